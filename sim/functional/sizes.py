"""Sizes at which a design runs on numbers within seconds and still has several tiles, including ragged ones.

Machines and tiles are unchanged; ranks are shortened. A rank that a side of an array or a tile of a partition divides
covers one whole tile and a ragged second one, the long rank (the keys) two and a ragged third if there are not too many
points; batches and heads are 1 or 2, other ranks at most 96. Names of one rank have the size of the longest.
"""

from collections.abc import Container
from dataclasses import replace
from math import prod

from einsums.types import Cascade
from einsums.workload import Workload, count_coordinates
from sim.design.experiment import Experiment
from sim.functional.inputs import long_rank, weighed_inputs
from sim.functional.program import program_of_experiment

MOST_POINTS = 35_000_000  # over all Einsums, for shortened sizes
MOST_POINTS_AT_ALL = 2_000_000_000  # for requested sizes: minutes, and gigabytes
# Heads, whole tiles of the long rank, and the longest untiled rank, as far as the number of points allows.
LIMITS = ((2, 2, 96), (1, 2, 96), (1, 1, 96), (1, 1, 32), (1, 1, 8))
# For an unmapped cascade: ranks that some Einsum reduces, whole or in parts, other ranks, and inner parts.
LONG, SHORT, BATCH, PART, SMALL_PART = 67, 24, 2, 16, 4


def reduced_experiment(experiment: Experiment, kept: Container[str] = ()) -> Experiment:
    """The experiment with every rank except `kept` shortened as described above; unchanged if nothing is too long."""
    cascade = experiment.cascade
    tiles, batch, first_name = tile_of_rank(experiment), cascade.batch, cascade.scope.first_name
    long = long_rank(cascade, weighed_inputs(cascade))
    for heads, whole_tiles, longest in LIMITS:
        sizes = tuple(
            (rank, size)
            if any(name in kept for name in cascade.scope.names_of(rank))
            else (rank, min(size, heads if rank == batch[-1] else 1))
            if rank in batch
            else (rank, _cut(size, tiles.get(rank, 0), whole_tiles if rank == long else 1, longest))
            for rank, size in experiment.sizes
        )
        most: dict[str, int] = {}
        for rank, size in sizes:
            first = first_name.get(rank, rank)
            most[first] = max(size, most.get(first, 0))
        sizes = tuple((rank, most[first_name.get(rank, rank)]) for rank, _ in sizes)
        found = experiment if sizes == experiment.sizes else replace(experiment, sizes=sizes)
        if total_points(program_of_experiment(found).workload) <= MOST_POINTS:
            break
    return found


def tile_of_rank(experiment: Experiment) -> dict[str, int]:
    """Elements of each root rank in the largest tile that a side of an array or a partition cuts."""
    cascade, machine = experiment.cascade, experiment.architecture
    workload = program_of_experiment(experiment).workload
    found: dict[str, int] = {}
    for leaf in experiment.tree.leaves:
        array = machine.array(leaf.array)
        for variable in leaf.sides:
            rank = cascade.rank_of_variable(variable)
            length = prod(array.length(loop.side) for loop in leaf.spatial if loop.variable == variable)
            root = cascade.root_of(rank)
            found[root] = max(found.get(root, 0), length * workload.stride(rank))
    return found | {partition.rank: workload.stride(partition.parts[0]) for partition in cascade.partitions}


def _cut(size: int, tile: int, whole_tiles: int, longest: int) -> int:
    return min(size, whole_tiles * tile + tile // 3 + 1 if tile else longest)


def total_points(workload: Workload) -> int:
    """Points of all Einsums inside their ranks, whether conditions let them exist or not."""
    cascade = workload.cascade
    spaces = (cascade.variables_of(einsum.name) for einsum in cascade.einsums)
    return sum(count_coordinates(workload, tuple(map(cascade.rank_of_variable, names))) for names in spaces)


def sizes_of_cascade(cascade: Cascade, given: dict[str, int]) -> dict[str, int]:
    """Sizes of whole ranks and inner parts of an unmapped cascade; those `given` are kept."""
    first_name = cascade.scope.first_name
    weighed = long_rank(cascade, weighed_inputs(cascade))
    long = first_name.get(weighed, weighed)
    sizes: dict[str, int] = {}
    for rank in dict.fromkeys(cascade.root_of(rank) for rank in cascade.leaf_ranks()):
        partition = cascade.partition_of(rank)
        inner = partition.inner if partition else ()
        first = first_name.get(rank, rank)
        size = BATCH if rank in cascade.batch else LONG if inner or first == long else SHORT
        sizes[first] = max(size, sizes.get(first, 0))
        sizes |= dict.fromkeys(inner, PART if len(inner) == 1 else SMALL_PART)
    return sizes | given


def check_points(workload: Workload) -> None:
    """ValueError for more points than can be run."""
    count = total_points(workload)
    if count > MOST_POINTS_AT_ALL:
        limit = f"at most {MOST_POINTS_AT_ALL:,} are run on numbers"
        raise ValueError(f"'{workload.cascade.name}' has {count:,} points at these sizes, {limit}: make ranks shorter")
