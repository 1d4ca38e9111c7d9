"""Does the binding search find what is published, on shipped designs, and is every schedule that it returns possible?"""

import json
from dataclasses import replace
from functools import cache

import pytest
import yaml
from typer.testing import CliRunner

from sim import load_experiment, simulate
from sim.__main__ import app
from sim.binding.answer import bind
from sim.binding.graph import task_graphs
from sim.binding.search import SearchOptions
from sim.binding.types import COMPUTE, LOAD, UNLOAD
from sim.simulation.flow import IllegalMapping
from tests.binding_checker import broken, conflicts, held, overfull

QUICK = SearchOptions(effort=400_000)
SMALL = (
    ("architecture.components.PE2D.rows", 16),
    ("architecture.components.PE2D.columns", 16),
    ("architecture.components.PE1D.columns", 16),
    ("architecture.components.GLB.size", "1 MiB"),
    ("ranks.E", 8),
    ("ranks.F", 8),
    ("seq_len", 128),
)


def load(name, changes=()):
    return load_experiment(name, dict(changes))


@cache
def bound(name, changes=(), join=True, interleave=2):
    return bind(load(name, changes), SearchOptions(interleave, QUICK.effort), join)


def part_of(name, changes=(), join=True):
    return bound(name, changes, join).main


def placed(part):
    return {task.name: (task, place) for task, place in zip(part.graph.tasks, part.placements, strict=True)}


# --- what is published ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "head", "interval"), [("BERT", 64, 138), ("T5", 64, 138), ("TrXL", 64, 138), ("XLM", 128, 266)]
)
def test_published_interval_is_found_and_proved(model, head, interval):
    # 1D array: RM 1 + PRM 7 + SPD 1 + RD 1 + SPNV F + RNV F.
    part = part_of("fusemax-binding", (("model", model),))
    assert (part.interval, part.proof, part.is_shortest) == (interval, "equals the bound of PE1D", True)
    assert interval == 1 + 7 + 1 + 1 + 2 * head
    bounds = {bound.reason: bound.cycles for bound in part.bounds}
    assert bounds["PE2D"] == 2 * head + 1 + 7 + 1  # QK and SLNV, LM, SLN, SLD
    assert bounds["PE2D links down the columns"] == 2 * head + 3  # one word a slot, SLN's maximum in one of its seven


def test_published_interleaving_is_found():
    """QK and SLNV of two tiles take turns on the 2D array, SPNV and RNV on the 1D array; QK is newer than SLNV."""
    part = part_of("fusemax-binding")
    tasks = placed(part)
    for one, other in (("QK", "SLNV"), ("SPNV", "RNV")):
        first, second = tasks[one][1], tasks[other][1]
        assert (first.stride, second.stride) == (2, 2)
        assert (first.offset(part.interval) - second.offset(part.interval)) % 2 == 1
    assert tasks["QK"][1].stage(part.interval) < tasks["SLNV"][1].stage(part.interval)


def test_turns_are_what_the_registers_need():
    """Without turns all 64 rows of SPNV wait for RNV; the registers of an element of the 1D array hold 32 words."""
    with pytest.raises(ValueError, match=r"'RF1D' has room for 31 words of tiles in flight, which need at least 68$"):
        bound("fusemax-binding", interleave=1)
    deeper = bound("fusemax-binding", (("architecture.components.RF1D.depth", 128),), interleave=1).main
    assert deeper.interval == 138


def test_registers_of_a_published_element_suffice():
    part = part_of("fusemax-binding")
    assert dict(part.words_by_memory)["RF2D"] == 4  # of the 12 that the area model has: 3 QK, 1 SLN
    assert dict(part.words_by_memory)["RF1D"] <= 8


def test_published_schedule_without_pipelining_is_longer():
    """Phases tile by tile stall for the drain; the search is told neither phases nor stages and finds the same as above."""
    same = bound("fusemax-architecture").main
    assert (same.interval, same.placements) == (138, bound("fusemax-binding").main.placements)


# --- other cascades ---------------------------------------------------------------------------------------------------


def test_two_passes_pay_for_what_crosses_them():
    # Columns carry 64 + 1 + 1 + 1 + 1 + 64 words that ride along, and 256 rows of exponentials out and in again.
    part = part_of("attention-2pass-fused")
    assert (part.interval, part.proof) == (132 + 512, "equals the bound of PE2D links down the columns")
    kinds = {task.name: task.kind for task in part.graph.tasks}
    assert {name for name, kind in kinds.items() if kind != COMPUTE} == {"SLN out", "SLN in for SN"}


def test_three_passes_pay_more():
    # QK, GM, SN, SD, AV ride along: 64 + 1 + 1 + 1 + 64; scores out and in, exponentials out, probabilities in: 4 x 256.
    part = part_of("attention-3pass-fused")
    assert (part.interval, part.proof) == (131 + 1024, "equals the bound of PE2D links down the columns")


def test_passes_apart_take_the_sum():
    apart = bound("attention-2pass-fused", join=False)
    assert [part.interval for part in apart.parts] == [323, 321, 72]
    assert sum(part.interval for part in apart.parts[:2]) == part_of("attention-2pass-fused").interval


def test_later_pass_follows_a_fiber_behind():
    """A global maximum is complete when its pass is over: 12 tiles later for 4 x 4 tiles whose last four complete it."""
    part = part_of("attention-2pass-fused")
    tasks = placed(part)
    maximum, reader = tasks["GM"][1], tasks["PLM"][1]
    assert reader.start - maximum.start >= 12 * part.interval
    graph = part.graph
    distances = {(graph.tasks[d.producer].name, graph.tasks[d.consumer].name): d.distance for d in graph.dependencies}
    assert distances["GM", "PLM"] == -12
    assert distances["SNV", "SNV"] == 4  # sums go on a row of tiles later
    assert distances["SLN in for SN", "SLN"] == 16  # its place is written again in the next chunk


def test_running_values_are_carried_a_row_of_tiles():
    graph = task_graphs(load("fusemax-binding"))[0]
    found = {(graph.tasks[d.producer].name, graph.tasks[d.consumer].name, d.distance) for d in graph.dependencies}
    assert {("RNV", "SPNV", 4), ("RM", "RM", 4), ("RM", "PRM", 0), ("RM", "PRM", 4)} <= found
    one_row = task_graphs(load("fusemax-binding", (("seq_len", 256),)))[0]
    assert {d.distance for d in one_row.dependencies} == {0, 1}


# --- every schedule is possible ---------------------------------------------------------------------------------------

DESIGNS = [
    ("fusemax-binding", ()),
    ("fusemax-binding", (("model", "XLM"),)),
    ("fusemax-binding", (("seq_len", 300),)),
    ("fusemax-binding", SMALL),
    ("fusemax-cascade", SMALL),
    ("attention-2pass-fused", ()),
    ("attention-2pass-fused", SMALL),
    ("attention-3pass-fused", SMALL),
    ("attention-3pass-fused", (("seq_len", 65536),)),
    ("unfused", ()),
    ("linear-fusemax", ()),
    ("docs/examples/rectangular.yaml", ()),
    ("docs/examples/rescale-on-2d.yaml", ()),
]


@pytest.mark.parametrize(
    ("name", "changes"), DESIGNS, ids=lambda value: value if isinstance(value, str) else len(value)
)
def test_schedules_are_possible(name, changes):
    if name == "fusemax-cascade":  # its machine has other arrays
        changes = tuple(change for change in changes if "GLB" not in change[0])
    for part in bound(name, changes).parts:
        graph, interval, places = part.graph, part.interval, part.placements
        assert conflicts(graph, interval, places) == []
        assert broken(graph, interval, places) == []
        pieces = held(graph, interval, places)
        assert overfull(graph, pieces) == []
        claimed = [count for _, _, count in part.copies]
        assert all(count <= said for count, said in zip(pieces, claimed, strict=True))
        assert part.interval >= part.lower_bound.cycles
        assert part.words >= part.least_words


@pytest.mark.parametrize(
    "name", ["fusemax-binding", "attention-2pass-fused", "attention-3pass-fused", "unfused", "linear-fusemax"]
)
def test_slots_agree_with_the_analytical_engine(name):
    """What a task issues in an iteration, times the iterations, is the busy time that the analytical engine counts."""
    result = simulate(load(name))
    for graph in task_graphs(load(name)):
        for task in graph.tasks:
            if task.kind == COMPUTE:
                cycles = min(use.cycles for use in task.uses if graph.resources[use.resource].name == task.array)
                assert task.slots * cycles * graph.iterations == result.busy_cycles_by_einsum[task.einsum]


def test_trains_carry_every_word():
    """Rows that trains read and write are the traffic of the tensors that cross the passes."""
    graph = task_graphs(load("attention-2pass-fused"))[0]
    result = simulate(load("attention-2pass-fused"))
    moved = result.traffic_by_tensor_bytes["SLN"]["GLB"]
    for kind, direction in ((LOAD, "read"), (UNLOAD, "write")):
        slots = sum(task.slots for task in graph.tasks if task.kind == kind)
        assert slots * graph.iterations * 512 == moved[direction]  # rows of 512 bytes


def test_small_arrays_are_bound_by_the_same_array():
    part = part_of("fusemax-binding", SMALL)
    assert (part.interval, part.lower_bound.reason) == (1 + 7 + 1 + 1 + 8 + 8, "PE1D")


def test_correcting_on_the_2d_array_is_no_gain():
    part = part_of("docs/examples/rescale-on-2d.yaml")
    assert (part.interval, part.lower_bound.reason) == (324, "PE2D links down the columns")
    assert {bound.reason: bound.cycles for bound in part.bounds}["PE1D"] == 10


def test_tile_that_stays_in_registers_is_shifted_out_when_others_need_it():
    """Exponentials kept in registers and in the buffer: the same train out, and SLD reads them without waiting for it."""
    keep = "mapping.tree.body[0].body[0].keep"
    graph = task_graphs(load("attention-2pass-fused", ((keep, {"RF2D": ["QK", "SLN"]}),)))[0]
    names = [task.name for task in graph.tasks]
    assert "SLN out" in names
    assert (names.index("SLN"), names.index("SLD")) in {(d.producer, d.consumer) for d in graph.dependencies}
    kept = [value for value in graph.values if value.tensor == "SLN" and value.memory == "RF2D"]
    assert [{names[reader.task] for reader in value.readers} for value in kept] == [{"SLD", "SLN out"}]


# --- what cannot be bound ---------------------------------------------------------------------------------------------


def test_a_tree_that_cannot_run_is_refused():
    with pytest.raises(IllegalMapping, match="'GLB' holds 16 KiB"):
        bind(load("fusemax-binding", (("architecture.components.GLB.size", "16 KiB"), ("mapping.tiles.P1", 1))))


def test_an_illegal_schedule_does_not_matter():
    experiment = load("fusemax-binding")
    schedule = experiment.mapping.schedule.model_copy(update={"phases": experiment.mapping.schedule.phases[:1]})
    broken_one = replace(experiment, mapping=experiment.mapping.model_copy(update={"schedule": schedule}))
    with pytest.raises(IllegalMapping):
        simulate(broken_one)
    assert [graph.name for graph in task_graphs(broken_one)] == [graph.name for graph in task_graphs(experiment)]


def test_einsums_without_a_loop_are_refused():
    experiment = load("linear-fusemax")
    leaf = experiment.mapping.tree.body[0].body[0].body[0]
    loops = (*experiment.mapping.tree.body[0].loops, *experiment.mapping.tree.body[0].body[0].loops, *leaf.loops)
    alone = leaf.model_copy(update={"loops": loops})
    tree = experiment.mapping.tree.model_copy(update={"body": (alone, *experiment.mapping.tree.body[1:])})
    mapping = experiment.mapping.model_copy(update={"tree": tree})
    with pytest.raises(ValueError, match=r"^no loop is shared around Einsum 'QP': there is nothing to pipeline$"):
        bind(replace(experiment, mapping=mapping))


# --- what comes out ---------------------------------------------------------------------------------------------------


def invoke(*arguments):
    return CliRunner().invoke(app, ["bind", *map(str, arguments)])


def test_the_mapping_that_is_written_simulates(tmp_path):
    path = tmp_path / "found.yaml"
    result = invoke("fusemax-binding", "--effort", 400_000, "-o", path)
    assert result.exit_code == 0, result.output
    schedule = yaml.safe_load(path.read_text())["schedule"]
    assert schedule["kind"] == "pipelined"
    assert "AV" not in schedule["stages"]
    found = load_experiment("fusemax-binding", mapping=str(path))
    binding = bound("fusemax-binding")
    assert found.mapping.schedule == binding.schedule()
    # The pipeline, and the division, for which the 1D array has no slot left.
    stages = {stage.einsum: stage.stage for stage in binding.schedule().stages}
    wide, row = (
        {"QK": 64, "LM": 1, "SLN": 7, "SLD": 1, "SLNV": 64},
        {"RM": 1, "PRM": 7, "SPD": 1, "RD": 1, "SPNV": 64, "RNV": 64},
    )

    def step(first: int, last: int) -> int:
        return max(sum(n for e, n in own.items() if first <= stages[e] <= last) for own in (wide, row))

    most = max(stages.values())
    ends = sum(step(0, n - 1) + step(most - n + 1, most) for n in range(1, most + 1))
    assert simulate(found).cycles == (12_288 - most) * 138 + ends + 3_072 * 64


def test_the_tile_level_engine_keeps_the_interval_that_was_found(tmp_path):
    """Run event by event, tiles follow each other every 138 cycles, prologue and division apart."""
    path = tmp_path / "found.yaml"
    path.write_text(bound("fusemax-binding").mapping_text())
    found = load_experiment("fusemax-binding", {"mapping": str(path), "seq_len": 4096})
    heads, rows = 64 * 12, 4096 // 256
    ideal = heads * (138 * rows * rows + 64 * rows)
    assert ideal <= simulate(found, "cycle").cycles <= ideal * 1.0002


def test_neighbours_in_a_shared_loop_stay_in_one_stage():
    stages = {stage.einsum: stage.stage for stage in bound("fusemax-binding").schedule().stages}
    assert stages["SPNV"] == stages["RNV"]
    assert min(stages.values()) == 0
    order = ["QK", "LM", "RM", "SLN", "SLD", "RD"]
    assert [stages[name] for name in order] == sorted(stages[name] for name in order)


@pytest.mark.parametrize("name", ["attention-2pass-fused", "attention-3pass-fused"])
def test_the_tile_level_engine_agrees_on_what_crosses_the_passes(name):
    """It runs each pass of a chunk as a whole, not tile beside tile, and comes to the same links; then the 2D array waits for
    operands of the next chunk from DRAM.
    """
    result = simulate(load(name), "cycle")
    cycles = result.cycles - result.stall_cycles["PE2D"]["dram"]
    assert bound(name).total_cycles == pytest.approx(cycles, rel=0.01)


@pytest.mark.parametrize(("name", "stages"), [("attention-2pass-fused", 2), ("attention-3pass-fused", 3)])
def test_shipped_schedules_are_those_found(name, stages):
    shipped = load(name).mapping.schedule
    assert shipped == bound(name).schedule()
    assert {stage.stage for stage in shipped.stages} == set(range(stages))


def test_json_is_one_document():
    result = invoke("fusemax-binding", "--effort", 400_000, "--json")
    found = json.loads(result.stdout)
    assert result.exit_code == 0
    assert found["schema"] == "einfuse-binding-1"
    part = found["parts"][0]
    assert (part["interval_cycles"], part["is_shortest"], part["bounds"]["PE1D"]) == (138, True, 138)
    assert part["utilization"]["PE1D"] == 1.0
    assert {task["einsum"] for task in part["tasks"]} == set(found["stages"])


def test_chart_shows_every_cycle():
    text = invoke("fusemax-binding", "--effort", 400_000).stdout
    lane = next(line for line in text.splitlines() if line.startswith("  PE2D        |"))
    issued = lane.split("|")[1]
    counts = {letter: issued.count(letter) for letter in "ABDEI"}
    assert counts == {"A": 64, "B": 1, "D": 7, "E": 1, "I": 64}
    assert issued.count(".") == 1


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (
            ("fusemax-binding", "--interleave", 0),
            2,
            "einfuse: interleave of a binding search: expected at least 1, got 0\n",
        ),
        (
            ("fusemax-binding", "--interleave", 1),
            1,
            "fusemax-binding: no schedule found at any interval from 138 to 1811 cycles: 'RF1D' has room for 31 words of tiles in flight, which need at least 68\n",
        ),
    ],
)
def test_refusals_are_one_sentence(arguments, status, said):
    result = invoke(*arguments)
    assert (result.exit_code, result.stdout, result.stderr) == (status, "", said)


def test_same_inputs_give_the_same_bytes():
    first, second = (invoke("fusemax-binding", "--effort", 200_000, "--json").stdout for _ in range(2))
    assert first == second
