"""Several cores in the cycle engine: counted on paper, held to one core, to the counts, and to what they share."""

from itertools import pairwise
from typing import Any

import pytest

from sim import Experiment, IllegalMapping, simulate
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.cycle.core_runs import run_cores
from sim.cycle.program import lower_nests
from sim.cycle.state import run
from sim.simulation.flow import count
from sim.timeline.recorder import record_timeline
from tests.by_hand import PRODUCT
from tests.core_designs import design, machine, many_rounds, random_design, with_cores
from tests.cycle_laws import Ran, words_differ
from tests.test_fetches import parts

WHOLE = 100_000  # events of a whole small run
ONE = {"PE": (1, 1)}
LEAF = {"einsum": "Z", "array": "PE"}
COUNTS = (1, 2, 4, 8, 16)


def timed(experiment: Experiment, fast: bool = True) -> DesignTiming:
    assert not experiment.problems, experiment.problems
    return time_design(design_of(experiment, *parts(experiment)), fast)


def moved(experiment: Experiment, memory: str) -> list[tuple[str, str, int, int]]:
    """(what, of, from, to) of every transfer of a memory, in order."""
    spans = record_timeline(experiment, None, WHOLE).on(memory, "fill", "drain", "read", "write")
    return [(span.kind, span.name, span.start, span.end) for span in spans]


# --- counted on paper ---------------------------------------------------------------------------------------


def two_of_a_kind(cores: int | None, dram: str = "2 GB/s", tiles: int = 4) -> Experiment:
    """A row of A (3 words), all of B (15) and a row of Z (5) in the buffer of a core: 15 points for each row."""
    on = machine(cores, "GLB", {"DRAM": {"bandwidth": dram}, "GLB": {}}, ONE)
    tree = {"loops": ["m"], "keep": {"GLB": ["A", "B", "Z"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    return design(PRODUCT, tree, {"K": 3, "M": tiles, "N": 5}, on, ["m"])


def test_two_cores_wait_for_one_dram() -> None:
    # A word a cycle. Core 0: A0 0-3, B 3-18, points 18-33. Core 1: A1 18-21, B 21-36, points 36-51. From 36 on the DRAM serves the
    # older row first: Z0 36-41, then A2 41-44 and A3 44-47. Core 0: points 44-59; core 1, busy until 51: Z1 51-56 and points
    # 51-66. Z2 59-64, Z3 66-71.
    experiment = two_of_a_kind(2)
    assert moved(experiment, "DRAM") == [
        ("fill", "A", 0, 3), ("fill", "B", 3, 18), ("fill", "A", 18, 21), ("fill", "B", 21, 36), ("drain", "Z", 36, 41),
        ("fill", "A", 41, 44), ("fill", "A", 44, 47), ("drain", "Z", 51, 56), ("drain", "Z", 59, 64), ("drain", "Z", 66, 71),
    ]  # fmt: skip
    result = simulate(experiment, "cycle")
    assert result.cycles == 71
    assert {cause: n for cause, n in result.stall_cycles["PE core 0"].items() if n} == {
        "dram": 18 + 11,
        "idle": 71 - 59,
    }
    assert {cause: n for cause, n in result.stall_cycles["PE core 1"].items() if n} == {"dram": 36, "idle": 71 - 66}


SCALED = {
    "name": "scaled", "ranks": dict.fromkeys("KMN", ""), "inputs": {"A": ["K", "M"], "B": ["K", "N"], "S": ["N"]},
    "outputs": ["Y"], "einsums": "Z[m,n] = A[k,m] * B[k,n]\nY[m,n] = Z[m,n] * S[n]",
}  # fmt: skip


def tensor_cores(cores: int) -> Experiment:
    """A 4 x 4 array and a vector unit in every core, and a buffer of two words a cycle that all of them fill from."""
    arrays = {"MXU": (4, 4), "VPU": (1, 4)}
    on = machine(cores, "VMEM", {"HBM": {}, "CMEM": {"bandwidth": "4 GB/s"}, "VMEM": {}}, arrays)
    product = {"einsum": "Z", "array": "MXU", "loops": ["k"], "spatial": {"rows": "m", "columns": "n"}}
    scaling = {"einsum": "Y", "array": "VPU", "loops": ["m"], "spatial": {"columns": "n"}}
    inside = {"loops": [{"m": "4"}], "keep": {"VMEM": ["A", "B", "S", "Z"]}, "body": [product, scaling]}
    tree = {"keep": {"CMEM": ["A", "B", "S"]}, "body": [inside]}
    return design(SCALED, tree, {"K": 4, "M": 16, "N": 4}, on, ["m"])


def test_two_cores_fill_from_one_buffer() -> None:
    # All of A (64 words), B (16), S (4) come to the shared buffer once, for both cores: 0-32, 32-40, 40-42. From there, when A is
    # whole, core 0 gets its rows 32-40, B 40-48, S 48-50, then core 1 A 50-58, B 58-66, S 66-68, then the next rows 68-76, 76-84.
    # A fold takes 4 slots, 4 cycles to shift out and 6 of skew; scaling 4 slots, and 3 until the last lane is done.
    # Core 0: 48-56, there at 62, scaled 62-66; 76-84, 90, 90-94. Core 1: 66-74, 80, 80-84; 84-92, 98, 98-102, and 3: 105.
    experiment = tensor_cores(2)
    assert moved(experiment, "HBM") == [("fill", "A", 0, 32), ("fill", "B", 32, 40), ("fill", "S", 40, 42)]
    assert [(of, start) for _, of, start, _ in moved(experiment, "CMEM")] == [
        ("A", 32), ("B", 40), ("S", 48), ("A", 50), ("B", 58), ("S", 66), ("A", 68), ("A", 76),
    ]  # fmt: skip
    assert simulate(experiment, "cycle").cycles == 105
    # One core: 32-40, 40-48, 48-50; Z 48-56, 62, Y 62-66, and again every 18 cycles, since Z has one place: 4 x 18 after 48, and 3.
    assert simulate(tensor_cores(1), "cycle").cycles == 48 + 4 * 18 + 3


def four_with_group_memory(cores: int) -> Experiment:
    """2 x 2 results, k in two steps of 2; A of a row in a memory above the cores, for all cores that have the row."""
    on = machine(cores, "SMEM", {"HBM": {"bandwidth": "2 GB/s"}, "L2": {}, "SMEM": {}}, ONE)
    steps = {"loops": [{"k": "2"}], "keep": {"SMEM": ["A", "B"]}, "body": [{**LEAF, "loops": ["k"]}]}
    columns = {"loops": ["n"], "keep": {"SMEM": ["Z"]}, "body": [steps]}
    tree = {"loops": ["m"], "keep": {"L2": ["A"]}, "body": [columns]}
    return design(PRODUCT, tree, {"K": 4, "M": 2, "N": 2}, on, ["m", "n"])


def test_four_cores_have_tiles_in_common() -> None:
    # A of row 0 comes for cores 0 and 1, of row 1 for cores 2 and 3, 4 words each: 0-4, 4-8. Then each core's 2 words of B for its
    # first step, 8-16, in order, and for the second: 16-22 for cores 0 to 2. At 22 core 0 (points 10-12, 18-20) and core 1 (12-14,
    # 20-22) have their results, which are as old as core 3's operand and of lower cores: 22-24. Then B of core 3 24-26; the
    # result of core 2 (14-16, 22-24) was complete when that had begun: 26-27. Core 3: points 26-28, its result 28-29.
    experiment = four_with_group_memory(4)
    assert [start for what, of, start, _ in moved(experiment, "HBM") if of == "A"] == [0, 4]
    assert [start for what, of, start, _ in moved(experiment, "HBM") if of == "B"] == [8, 10, 12, 14, 16, 18, 20, 24]
    assert [start for what, of, start, _ in moved(experiment, "HBM") if of == "Z"] == [22, 23, 26, 28]
    assert simulate(experiment, "cycle").cycles == 29


@pytest.mark.parametrize(("ports", "rounds"), [(2, 4), (4, 2), (8, 1)])
def test_ports_of_a_shared_buffer_go_to_the_first_cores(ports: int, rounds: int) -> None:
    # A (12 words) and B (6) come in 18 cycles; a slot takes a row of each, so ports / 2 of the 4 cores run at once, for 6 points.
    glb = {"size": "1 KiB", "ports": ports, "banks": 8}
    on = machine(4, "L1", {"DRAM": {"bandwidth": "2 GB/s"}, "GLB": glb, "L1": {}}, ONE)
    inside = {"loops": ["m"], "keep": {"L1": ["Z"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    tree = {"keep": {"GLB": ["A", "B"]}, "body": [inside]}
    experiment = design(PRODUCT, tree, {"K": 3, "M": 4, "N": 2}, on, ["m"])
    result = simulate(experiment, "cycle")
    # The last two results leave in 2 x 2 cycles, the others behind points of others.
    ends = [max(s.end for s in record_timeline(experiment).on(f"PE core {core}", "points")) for core in range(4)]
    assert ends == [18 + 6 * (1 + core // (ports // 2)) for core in range(4)]
    assert [result.stall_cycles[f"PE core {core}"]["port"] for core in range(4)] == [
        6 * (core // (ports // 2)) for core in range(4)
    ]
    assert max(ends) == 18 + 6 * rounds


def test_a_shared_memory_serves_others_while_a_buffer_takes_its_words() -> None:
    # The DRAM reads 3 words a cycle, each buffer takes one. Core 0: A0 0-3, of which the DRAM is busy until 1; core 1: A1 1-4. From 3
    # B 3-18 (the DRAM until 8), from 8 core 1's 8-23. Points 18-33 and 23-38; A2 18-21 and A3 23-26 come meanwhile, so points go on,
    # 33-48 and 38-53. 5 words of Z leave in 2 cycles each: the last 53-55.
    on = machine(2, "GLB", {"DRAM": {"bandwidth": "6 GB/s"}, "GLB": {"write_bandwidth": "2 GB/s"}}, ONE)
    tree = {"loops": ["m"], "keep": {"GLB": ["A", "B", "Z"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    experiment = design(PRODUCT, tree, {"K": 3, "M": 4, "N": 5}, on, ["m"])
    assert sorted(moved(experiment, "DRAM"), key=lambda one: one[2:]) == [
        ("fill", "A", 0, 3), ("fill", "A", 1, 4), ("fill", "B", 3, 18), ("fill", "B", 8, 23), ("fill", "A", 18, 21),
        ("fill", "A", 23, 26), ("drain", "Z", 33, 35), ("drain", "Z", 38, 40), ("drain", "Z", 48, 50), ("drain", "Z", 53, 55),
    ]  # fmt: skip
    assert simulate(experiment, "cycle").cycles == 55


@pytest.mark.parametrize(("ports", "cycles"), [(1, 12 + 18 + 6), (2, 12 + 9 + 6), (3, 12 + 8 + 6)])
def test_transfers_go_through_the_ports_of_a_shared_buffer_side_by_side(ports: int, cycles: int) -> None:
    # A and B, 6 rows each, come to the shared buffer 0-6 and 6-12; rows of A go to both cores meanwhile, or behind B. A transfer takes
    # a port for as many cycles as it has rows, and the next one begins when the ports would be through with it: B of core 0 12-18, of
    # core 1 from 15 with two ports, from 14 with three. With one, 4 transfers of 3, 3, 6 and 6 rows follow 12 rows, A of core 0 first.
    glb = {"size": "1 KiB", "ports": ports, "banks": 4}
    on = machine(2, "L1", {"DRAM": {}, "GLB": glb, "L1": {}}, ONE)
    inside = {"loops": ["m"], "keep": {"L1": ["A", "B", "Z"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    tree = {"keep": {"GLB": ["A", "B"]}, "body": [inside]}
    experiment = design(PRODUCT, tree, {"K": 3, "M": 2, "N": 2}, on, ["m"])
    assert simulate(experiment, "cycle").cycles == cycles


@pytest.mark.parametrize(("step", "cycles"), [("2", 20 + 12 + 6), ("1", 20 + 6 + 6)])
def test_sums_of_two_cores_leave_as_one(step: str, cycles: int) -> None:
    # A and B of K = 4, M = 2, N = 3: 20 words, all of which come before the last points, of core 1; its 6 sums leave with those of
    # core 0 in 6 cycles, and nothing comes back: k in two pieces has one round; in four, the sums stay in their cores.
    on = machine(2, "GLB", {"DRAM": {"bandwidth": "2 GB/s"}, "GLB": {}}, ONE)
    tree = {
        "loops": [{"k": step}],
        "keep": {"GLB": ["A", "B", "Z"]},
        "body": [{**LEAF, "loops": ["k", "m", "n"]}],
    }
    experiment = design(PRODUCT, tree, {"K": 4, "M": 2, "N": 3}, on, ["k"])
    assert simulate(experiment, "cycle").cycles == cycles
    assert [of for what, of, *_ in moved(experiment, "DRAM") if what == "drain"] == ["Z"]
    assert simulate(experiment).traffic_bytes["DRAM"] == {"read": 2 * 20, "write": 2 * 6}


# --- held to one core, to the counts and to the bandwidth ---------------------------------------------------

SEEDS = range(500)


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_one_core_among_several_takes_what_it_takes_alone(first: int) -> None:
    ran = 0
    for seed in range(first, first + 100):
        several = random_design(seed)
        if several is None:
            continue
        experiment = with_cores(several, 1)
        made = design_of(experiment, *parts(experiment))
        named = lower_nests(made, made.nests, made.walk.whole)
        alone, among = run(named.program), run_cores(made, named, made.walk.whole).together
        assert alone.cycles == among.cycles, f"seed {seed}"
        for table in ("stalls", "busy", "served", "words", "runs"):
            assert (getattr(alone, table) == getattr(among, table)).all(), f"seed {seed}: {table}"
        ran += 1
    assert ran >= 2


@pytest.mark.parametrize("first", range(0, 500, 100))
def test_words_served_are_words_counted(first: int) -> None:
    ran = 0
    for seed in range(first, first + 100):
        experiment = random_design(seed)
        if experiment is None:
            continue
        counted = count(experiment)
        made = design_of(experiment, counted.tables, counted.evaluation)
        done = Ran(experiment, counted, made, time_design(made))
        assert list(words_differ(done)) == [], f"seed {seed}"
        # Never below the busiest core's own work, nor below the bytes of a memory that they share / its bandwidth.
        assert done.timing.cycles >= counted.evaluation.latency_cycles[0] - 1e-6, f"seed {seed}"
        for lost in done.timing.stalls.values():
            assert done.timing.cycles - sum(lost.values()) >= 0
        ran += 1
    assert ran >= 2


@pytest.mark.parametrize(("cores", "tiles"), [(2, 8), (3, 8), (4, 8), (5, 3), (8, 8)])
def test_with_nothing_to_wait_for_the_largest_share_takes_the_time(cores: int, tiles: int) -> None:
    alone = timed(two_of_a_kind(None, "1000 GB/s", -(-tiles // cores)))
    together = timed(two_of_a_kind(cores, f"{1000 * cores * 8} GB/s", tiles))
    assert alone.busy["Z"] * tiles == together.busy["Z"] * -(-tiles // cores)
    assert abs(together.cycles - alone.cycles) <= 4 * tiles  # transfers of a cycle at the beginning and the end
    assert together.cycles >= 15 * -(-tiles // cores)


@pytest.mark.parametrize(("bandwidth", "slower"), [("1 GB/s", 1.03), ("4 GB/s", 1.03), ("40 GB/s", 1), ("400 GB/s", 1)])
def test_more_cores_are_never_slower_where_they_share_what_is_fetched(bandwidth: str, slower: float) -> None:
    # Bound by a DRAM with one link, more cores fetch more before the first result leaves, and have more left to send at the end:
    # 16 fetch everything, then work, then send everything.
    def cycles(cores: int) -> int:
        on = machine(cores, "L1", {"DRAM": {"bandwidth": bandwidth}, "GLB": {}, "L1": {}}, ONE)
        inside = {"loops": ["m"], "keep": {"L1": ["A", "Z"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
        tree = {"keep": {"GLB": ["B"]}, "body": [inside]}
        return timed(design(PRODUCT, tree, {"K": 3, "M": 16, "N": 5}, on, ["m"])).cycles

    found = [cycles(cores) for cores in COUNTS]
    assert all(twice <= slower * once for once, twice in pairwise(found))
    words, word_cycles = 16 * 3 + 15 + 16 * 5, 2 / float(bandwidth.split()[0])
    assert all(cycles >= max(words * word_cycles, 16 * 15 / cores) for cycles, cores in zip(found, COUNTS, strict=True))


# --- fast-forward, traces, results --------------------------------------------------------------------------


def loops_inside(cores: int, bandwidth: str, tiles: int = 5) -> Experiment:
    """40 steps of k inside each of the dealt rows, the results of a row kept, operands fetched step by step."""
    on = machine(cores, "GLB", {"DRAM": {"bandwidth": bandwidth}, "GLB": {}}, ONE)
    steps = {"loops": [{"k": "2"}], "keep": {"GLB": ["A", "B"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    tree = {"loops": ["m"], "keep": {"GLB": ["Z"]}, "body": [steps]}
    return design(PRODUCT, tree, {"K": 80, "M": tiles, "N": 3}, on, ["m"])


def rows_in_common(size: str) -> Experiment:
    """A row of A in a memory that four cores share, for as many rows as fit: cores that find no place wait."""
    on = machine(4, "L1", {"DRAM": {"bandwidth": "50 GB/s"}, "L2": {"size": size}, "L1": {}}, ONE)
    steps = {"loops": [{"k": "2"}], "keep": {"L1": ["A"]}, "body": [{**LEAF, "loops": ["k", "n"]}]}
    tree = {"loops": ["m"], "keep": {"L2": ["A"], "L1": ["Z"]}, "body": [steps]}
    return design(PRODUCT, tree, {"K": 60, "M": 7, "N": 3}, on, ["m"])


@pytest.mark.parametrize("size", ["300 B", "10 KiB"])
def test_skipping_changes_nothing_while_cores_wait(size: str) -> None:
    # 120 B a row: two places, or one for each core and the next.
    fast, slow = timed(rows_in_common(size)), timed(rows_in_common(size), fast=False)
    assert outcome(fast) == outcome(slow) and fast.runs[0].run.skipped > 0
    assert timed(rows_in_common("300 B")).cycles > timed(rows_in_common("10 KiB")).cycles


def outcome(timing: DesignTiming) -> Any:
    (item,) = timing.runs
    assert item.cores is not None
    rows = [
        (row.words.tolist(), row.moved.tolist(), row.served.tolist()) for row in (*item.cores.cores, item.cores.hub)
    ]
    return timing.cycles, timing.stalls, timing.busy, rows


@pytest.mark.parametrize("cores", [2, 3, 8])
@pytest.mark.parametrize("bandwidth", ["3 GB/s", "9 GB/s", "50 GB/s"])
def test_skipping_changes_nothing(cores: int, bandwidth: str) -> None:
    experiment = loops_inside(cores, bandwidth)
    fast, slow = timed(experiment), timed(experiment, fast=False)
    assert outcome(fast) == outcome(slow)
    assert slow.runs[0].run.skipped == 0
    if bandwidth == "50 GB/s" and cores < 8:
        assert fast.runs[0].run.skipped > 0 and fast.runs[0].run.events < 0.7 * slow.runs[0].run.events


@pytest.mark.parametrize("first", range(0, 300, 100))
def test_skipping_changes_nothing_in_random_mappings(first: int) -> None:
    for seed in range(first, first + 100):
        experiment = random_design(seed, longer=3)
        if experiment is not None:
            try:
                fast = timed(experiment)
            except (IllegalMapping, ValueError):
                continue  # what divides the sizes of the seed need not divide longer ones
            assert outcome(fast) == outcome(timed(experiment, fast=False)), f"seed {seed}"


def test_skipping_rounds_of_cores_changes_nothing() -> None:
    ran = skipped = 0
    for seed in range(80):
        experiment = many_rounds(seed)
        if experiment.problems:
            continue
        try:
            fast = timed(experiment)
        except (IllegalMapping, ValueError):
            continue  # tiles that no memory has room for, or that cores cannot share
        slow = timed(experiment, fast=False)
        assert outcome(fast) == outcome(slow), f"seed {seed}"
        ran += 1
        skipped += fast.runs[0].run.events < slow.runs[0].run.events
    assert ran >= 40 and skipped >= 20


@pytest.mark.parametrize("experiment", [two_of_a_kind(3), tensor_cores(2), four_with_group_memory(4)])
def test_a_trace_adds_up(experiment: Experiment) -> None:
    result, timeline = simulate(experiment, "cycle"), record_timeline(experiment, None, WHOLE)
    assert timeline.is_complete and timeline.last == result.cycles
    assert sorted(timeline.arrays) == sorted(result.stall_cycles)
    busy = dict.fromkeys(result.busy_cycles_by_einsum, 0)
    for array in timeline.arrays:
        points, stalls = timeline.on(array, "points"), timeline.on(array, "stall")
        assert sum(span.cycles for span in (*points, *stalls)) == result.cycles
        for span in points:
            busy[span.name] += span.cycles
        for cause, cycles in result.stall_cycles[array].items():
            assert sum(span.cycles for span in stalls if span.name == cause) == cycles
    assert busy == result.busy_cycles_by_einsum == simulate(experiment).busy_cycles_by_einsum
    tiles = {span.tile for array in timeline.arrays for span in timeline.on(array, "points")}
    assert tiles == set(range(timeline.tiles))  # each once, numbered as one core would


def test_equal_cores_are_served_in_their_order() -> None:
    experiment = loops_inside(8, "3 GB/s", tiles=8)
    first = {
        core: min(span.start for span in record_timeline(experiment, None, WHOLE).on(f"PE core {core}", "points"))
        for core in range(8)
    }
    assert list(first.values()) == sorted(first.values()) and len(set(first.values())) == 8
