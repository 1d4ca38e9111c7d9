"""The analytical engine counts what an execution of the loops counts: several hundred random mappings, and every shipped one.

Left out, because the counting convention itself differs from an execution there: a tensor over the inner part of a partitioned
rank without the outer part, where the last, ragged step of the outer part ends on the very tile that the next round starts with.
An execution keeps that tile; the convention fetches it again.
"""

from functools import cache

import pytest

from arch.expression import SCALAR_FUNCTIONS, evaluate, parse_expression
from einsums.types import Cascade
from sim import Experiment, IllegalMapping, SimulationResult, load_experiment, simulate
from tests.by_hand import PRODUCT, experiment_of
from tests.oracle import Case, Counts, Run, WrongOrderError, phase_of_leaf, run_loops
from tests.random_mappings import is_fused, random_experiment

SEEDS = range(430)
TINY = {
    "seq_len": 6, "batch": 2, "model.heads": 1, "model.head_size": 3, "model.hidden": 3, "model.ffn_size": 5,
    "architecture.components.PE2D.rows": 2, "architecture.components.PE2D.columns": 2,
    "architecture.components.PE1D.columns": 2, "architecture.components.GLB.size": "2 KiB",
}  # fmt: skip
SHIPPED = (
    "unfused",
    "flat",
    "fusemax-cascade",
    "fusemax-architecture",
    "fusemax-binding",
    "linear-flat",
    "linear-fusemax",
)


def number(experiment: Experiment, text: str) -> int:
    return int(evaluate(parse_expression(text), experiment.symbols.__getitem__, SCALAR_FUNCTIONS))


def case_of(experiment: Experiment) -> Case:
    """The experiment as the oracle takes it: nouns and numbers."""
    tree, cascade = experiment.tree, experiment.cascade
    inner = {part: number(experiment, part) for partition in cascade.partitions for part in partition.inner}
    reserved: dict[str, float] = {}
    for room in tree.reservations:
        reserved[room.memory] = reserved.get(room.memory, 0.0) + number(experiment, room.words)
    tiles = tuple(number(experiment, loop.tile) for loop in tree.loops)
    sizes = dict(experiment.sizes) | inner
    counts = {side.text: number(experiment, side.text) for side in tree.counted_sides}
    cores = experiment.architecture.cores.count if experiment.architecture.cores else 1
    dealt = len(experiment.mapping.cores)
    return Case(
        cascade, experiment.architecture, experiment.mapping, tree, sizes, tiles, reserved, counts, cores, dealt
    )


@cache
def legal_experiment(seed: int) -> Experiment | None:
    """The random experiment of a seed, None if its mapping is illegal."""
    experiment = random_experiment(seed)
    if experiment.problems:
        return None
    try:
        simulate(experiment)
    except IllegalMapping:
        return None
    return experiment


def described(experiment: Experiment) -> str:
    tree = experiment.tree
    lines = [f"{experiment.name}: {dict(experiment.sizes)}", *(einsum.text for einsum in experiment.cascade.einsums)]
    lines += [f"loop {loop.index}: {loop.variable} in {loop.tile}" for loop in tree.loops]
    lines += [f"{k.memory} keeps {k.tensor} in {k.loops} for leaves {k.first_leaf}-{k.last_leaf}" for k in tree.keeps]
    sides = {leaf.einsum: [(s.side, s.variable, s.count) for s in leaf.spatial] for leaf in tree.leaves}
    lines += [f"{x.einsum} on {x.array} in {x.loops}, {sides[x.einsum]}, forwarded {x.forwarded}" for x in tree.leaves]
    return "\n".join(lines)


def operators(cascade: Cascade, einsum: str) -> tuple[str, ...]:
    found = cascade.einsum(einsum)
    return (*found.map_operators, *((found.reduction.operator,) if found.reduction else ()))


def differences(experiment: Experiment, result: SimulationResult, kind: type[Run] = Run) -> list[str]:
    """Every number in which an execution of the loops, of some kind, disagrees with the result."""
    case = case_of(experiment)
    counts, footprint = run_loops(case, kind)
    word_bytes = experiment.architecture.word_bits / 8
    pairs: dict[str, tuple[float, float]] = {}
    traffic = result.traffic_by_tensor_bytes
    engine = {(t, m, d): v for t, by in traffic.items() for m, moved in by.items() for d, v in moved.items()}
    for key in sorted({*engine, *counts.words}):
        pairs[" ".join(key)] = (counts.words[key], engine.get(key, 0.0) / word_bytes)
    for memory, words in footprint.items():
        if case.cores > 1 and case.architecture.is_in_core(memory):
            continue  # cores work at once, not in turn as here
        pairs[f"footprint {memory}"] = (words, result.footprint_bytes[memory] / word_bytes)
    busy = {}
    for leaf in experiment.tree.leaves:
        array = experiment.architecture.array(leaf.array)
        per_point = array.cycles_per_point(operators(experiment.cascade, leaf.einsum))
        busy[leaf.einsum] = counts.steps[leaf.einsum] * per_point
        pairs[f"busy {leaf.einsum}"] = (busy[leaf.einsum], result.busy_cycles_by_einsum[leaf.einsum])
        active = (
            result.utilization_by_einsum[leaf.array][leaf.einsum]
            * array.pes
            * case.architecture.cores_of(array.name)
            * result.cycles
        )
        if per_point:  # an Einsum that only copies has no operator, and takes no cycle
            pairs[f"points {leaf.einsum}"] = (counts.points[leaf.einsum], active / per_point)
    for name, energy in energies(case, counts).items():
        pairs[f"energy {name}"] = (energy, result.energy_by_component_pj[name])
    if all(memory.bandwidth_bits_per_s is None for memory in case.architecture.memories):
        share = -(-counts.dealt // case.cores) / counts.dealt if case.cores > 1 else 1.0
        pairs["cycles"] = (compute_cycles(case, counts, busy) * share, result.cycles)
    wrong = {name: pair for name, pair in pairs.items() if abs(pair[0] - pair[1]) > 1e-9 * max(1.0, abs(pair[0]))}
    return [f"{name}: executed {executed:g}, engine {found:g}" for name, (executed, found) in wrong.items()]


def energies(case: Case, counts: Counts) -> dict[str, float]:
    """Energy of every component: rows moved, and operators of points."""
    energy: dict[str, float] = {}
    for memory in case.architecture.memories:
        read = sum(
            words for (_, name, direction), words in counts.words.items() if (name, direction) == (memory.name, "read")
        )
        write = sum(
            words for (_, name, direction), words in counts.words.items() if (name, direction) == (memory.name, "write")
        )
        charged = read if memory.drains_charged else read - counts.drained_words[memory.name]
        assert memory.read_pj is not None and memory.write_pj is not None
        instances = case.architecture.instances(memory)
        share = (memory.charged_instances or instances) / instances
        rows_per_word = case.architecture.word_bits / memory.row_bits
        energy[memory.name] = share * rows_per_word * (charged * memory.read_pj + write * memory.write_pj)
    for array in case.architecture.arrays:
        einsums = [leaf.einsum for leaf in case.tree.leaves if leaf.array == array.name]
        energy[array.name] = sum(
            counts.points[e] * array.energy_pj_per_point(operators(case.cascade, e)) for e in einsums
        )
    return energy


def over_elements(counts: Counts, einsum: str) -> int:
    """Slots in which sums that elements have made over several steps each are added up over the elements."""
    runs = counts.runs[einsum] if einsum in counts.chained else 0
    return runs if counts.steps[einsum] > runs else 0


def compute_cycles(case: Case, counts: Counts, busy: dict[str, float]) -> float:
    """Latency where no memory is a limit: phase by phase the busiest array."""
    phases = phase_of_leaf(case)
    latency = 0.0
    for phase in sorted(set(phases)):
        lanes: dict[str, float] = {}
        for leaf in case.tree.leaves:
            if phases[leaf.index] == phase:
                lanes[leaf.array] = lanes.get(leaf.array, 0.0) + busy[leaf.einsum] + over_elements(counts, leaf.einsum)
        latency += max(lanes.values())
    return latency


@pytest.mark.parametrize("seed", SEEDS)
def test_counts_of_random_mappings(seed: int) -> None:
    experiment = legal_experiment(seed)
    if experiment is not None:
        assert not differences(experiment, simulate(experiment)), f"seed {seed}\n{described(experiment)}"


def test_random_mappings_are_worth_testing() -> None:
    legal = [experiment for experiment in map(legal_experiment, SEEDS) if experiment is not None]
    assert len(legal) >= 300
    assert sum(map(is_fused, legal)) >= 100
    assert sum(map(is_ragged, legal)) >= 100
    assert len({experiment.cascade.name for experiment in legal}) >= 12
    assert sum(bool(experiment.mapping.capacity) for experiment in legal) >= 50
    assert sum(any(leaf.forwarded for leaf in experiment.tree.leaves) for experiment in legal) >= 10
    memories = [{keep.memory for keep in experiment.tree.keeps} for experiment in legal]
    assert sum(len(names) >= 2 for names in memories) >= 100
    sides = [[leaf.spatial for leaf in experiment.tree.leaves] for experiment in legal]
    assert sum(any(len({loop.side for loop in one}) < len(one) for one in found) for found in sides) >= 30
    assert sum(any(len({loop.variable for loop in one}) < len(one) for one in found) for found in sides) >= 60
    assert sum(any(loop.side == "lanes" for one in found for loop in one) for found in sides) >= 60
    assert sum(any(name.startswith("LB") for name in names) for names in memories) >= 60
    assert sum(any(leaf.bypass for leaf in experiment.tree.leaves) for experiment in legal) >= 60
    assert sum(bool(experiment.mapping.cores) for experiment in legal) >= 30


def is_ragged(experiment: Experiment) -> bool:
    """Whether some loop ends in a tile shorter than the others."""
    case = case_of(experiment)
    for leaf in case.tree.leaves:
        left = dict(case.sizes)
        for index in leaf.loops:
            rank = case.cascade.rank_of_variable(case.tree.loops[index].variable)
            partition = case.cascade.partition_of(case.cascade.root_of(rank))
            tile = case.tiles[index]
            for inner in partition.parts[partition.parts.index(rank) + 1 :] if partition else ():
                tile *= case.sizes[inner]
            root = case.cascade.root_of(rank)
            if left[root] > tile and left[root] % tile:
                return True
            left[root] = min(left[root], tile)
    return False


@pytest.mark.parametrize("length", [6, 7])
@pytest.mark.parametrize("name", SHIPPED)
def test_counts_of_shipped_mappings(name: str, length: int) -> None:
    experiment = load_experiment(name, {**TINY, "seq_len": length})
    assert not differences(experiment, simulate(experiment)), described(experiment)


@pytest.mark.parametrize("stationarity", ["input", "weight", "output"])
def test_counts_of_an_overbooked_buffer(stationarity: str) -> None:
    onchip = {f"parameters.{tensor}_loc": "onchip" for tensor in ("Q", "K", "QK", "A", "V", "AV")}
    kinds = {f"parameters.{einsum}_stationarity": stationarity for einsum in ("QK", "AV")}
    sizes = {"seq_len": 23, "parameters.P1": "7", "architecture.components.GLB.size": "512 B"}
    experiment = load_experiment("flat", {**TINY, **onchip, **kinds, **sizes})
    result = simulate(experiment)
    assert any("overbooked" in warning for warning in result.warnings)
    assert not differences(experiment, result), described(experiment)


# --- the oracle against counts made by hand -----------------------------------------------------------------
def test_product_by_hand() -> None:
    """M = 4, N = 6, K = 5 on 2 x 2 elements; A, in tiles of 3 of K, and Z stay in GLB; partial sums leave for each K tile."""
    leaf = {"einsum": "Z", "array": "PE", "loops": [{"m": 2}, {"n": 2}, "k"], "spatial": {"rows": "m", "columns": "n"}}
    tree = {"loops": [{"k": 3}], "keep": {"GLB": ["A"]}, "body": [leaf]}
    experiment = experiment_of(PRODUCT, tree, {"K": 5, "M": 4, "N": 6})
    counts, footprint = run_loops(case_of(experiment))
    expected = {
        ("A", "DRAM", "read"): 20,  # once
        ("A", "GLB", "write"): 20,
        ("A", "GLB", "read"): 60,  # once for each of 3 tiles of n
        ("A", "RF", "write"): 120,  # each word in two columns
        ("A", "RF", "read"): 120,  # 4 * 6 * 5 points
        ("B", "DRAM", "read"): 60,  # 30 words, once for each of 2 tiles of m
        ("B", "RF", "write"): 120,  # each word in two rows
        ("B", "RF", "read"): 120,
        ("Z", "DRAM", "write"): 48,  # 24 words for each of 2 tiles of k
        ("Z", "DRAM", "read"): 24,  # and back, save the first time
        ("Z", "RF", "write"): 120 + 24,  # and sums that come back
        ("Z", "RF", "read"): (120 - 24) + 48,  # each sum begins once; each tile of k sends all out
    }
    assert dict(counts.words) == expected
    assert dict(counts.steps) == {"Z": 30} and dict(counts.points) == {"Z": 120}
    assert footprint == {"DRAM": 0, "GLB": 12, "RF": 0}
    assert not differences(experiment, simulate(experiment))


def test_result_kept_in_registers_is_read_back() -> None:
    """With k outside n, all of a row's results wait in the registers: each point but the first of each reads its sum."""
    leaf = {"einsum": "Z", "array": "PE", "loops": ["m", "k", {"n": 2}], "spatial": {"columns": "n"}}
    tree = {"keep": {"RF": ["Z"]}, "body": [leaf]}
    experiment = experiment_of(PRODUCT, tree, {"K": 5, "M": 4, "N": 6})
    counts, _ = run_loops(case_of(experiment))
    assert counts.words["Z", "RF", "read"] == (120 - 24) + 24  # sums, and the tile on its way out
    assert not differences(experiment, simulate(experiment))


def test_old_value_comes_from_outside_once_for_each_tile_of_steps() -> None:
    """A tile that lasts 2 of 5 steps needs one earlier value, not one for each step; all new values leave."""
    cascade = {
        "name": "running", "ranks": {"I": "", "J": ""}, "inputs": {"A": ["I", "J"], "D": ["J"]}, "init": {"R": 0},
        "outputs": ["Z"], "einsums": "R[i+1,j] = R[i,j] + A[i,j]\nZ[j] = R[I,j] * D[j]",
    }  # fmt: skip
    steps = {"loops": [{"i": 2}], "keep": {"GLB": ["R"]}, "body": [{"einsum": "R", "array": "PE", "loops": ["i", "j"]}]}
    tree = {"body": [steps, {"einsum": "Z", "array": "PE", "loops": ["j"]}]}
    experiment = experiment_of(cascade, tree, {"I": 5, "J": 3})
    counts, _ = run_loops(case_of(experiment))
    assert counts.words["R", "DRAM", "read"] == 3 * 3 + 3  # 3 tiles of steps, and Z
    assert counts.words["R", "DRAM", "write"] == 5 * 3
    assert not differences(experiment, simulate(experiment))


def test_both_refuse_a_softmax_fused_before_its_maximum_exists() -> None:
    cascade = {
        "name": "scores", "ranks": {"M": "", "P": ""}, "inputs": {"S": ["M", "P"]}, "outputs": ["X"],
        "einsums": "G[p] = S[m,p] :: max(m)\nX[m,p] = exp(S[m,p] - G[p])",
    }  # fmt: skip
    body = [{"einsum": name, "array": "PE", "loops": ["p"]} for name in ("G", "X")]
    experiment = experiment_of(cascade, {"loops": ["m"], "body": body}, {"M": 3, "P": 2})
    assert any("the value is not complete there" in problem.message for problem in experiment.problems)
    with pytest.raises(WrongOrderError, match=r"^G adds to \(\(0,\),\) after it was read$"):
        run_loops(case_of(experiment))
