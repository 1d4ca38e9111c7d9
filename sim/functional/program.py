"""What the functional engine executes: loops with numbers for tiles, and leaves in the order in which they run.

A program comes from a mapped experiment, whose fusion tree it follows, or from a bare cascade, whose Einsums
then run one after the other, those of an iteration together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from einsums.extensions import beyond
from einsums.graph import iteration_groups
from einsums.types import Cascade
from einsums.workload import Workload
from mappings.tree import PlacedKeep, PlacedLeaf
from sim.design.experiment import Experiment, stack
from sim.functional.boxes import BoxLoop
from sim.lower.lowering import lower
from sim.lower.walk import Walk


@dataclass(frozen=True, slots=True)
class Program:
    """Leaves in the order of the tree, with the sizes of all ranks."""

    workload: Workload
    loops: tuple[BoxLoop, ...]
    leaves: tuple[PlacedLeaf, ...]
    homes: tuple[PlacedKeep, ...] = ()  # where tensors live that do not live in the root memory
    side_counts: Mapping[str, int] = field(default_factory=dict)  # stated of ranks on sides, by its text

    @property
    def cascade(self) -> Cascade:
        return self.workload.cascade

    def size(self, variable: str) -> int:
        """Coordinates of a rank variable."""
        return self.workload.size(self.cascade.rank_of_variable(variable))


def program_of_experiment(experiment: Experiment) -> Program:
    """The program of a legal mapping. ValueError for a tile that is not a whole number."""
    lowered = experiment.structure.lowered
    walk = Walk.of(lowered, lower(experiment.structure, stack([experiment])))
    cascade, tree, chains = experiment.cascade, experiment.tree, lowered.chains
    inner = {rank: walk.part_size(rank) for partition in cascade.partitions for rank in partition.inner}
    loops = tuple(BoxLoop(loop.variable, loop.step) for loop in walk.loops)
    homes = tuple(keep for keep in tree.keeps if chains.home_of(keep.tensor) == keep)
    workload = workload_of(cascade, dict(experiment.sizes) | inner)
    return Program(workload, loops, tree.leaves, homes, walk.side_counts)


def program_of_cascade(cascade: Cascade, sizes: dict[str, int]) -> Program:
    """Einsum after Einsum, each over its whole space; `sizes` are those of whole ranks and inner parts.

    ValueError for a cascade that says what the engine does not follow.
    """
    refuse_beyond(cascade)
    loops: list[BoxLoop] = []
    leaves: list[PlacedLeaf] = []
    for group in iteration_groups(cascade):
        ranks = [cascade.scope.iterative_rank[name] for name in group if cascade.is_iterative(name)]
        shared: tuple[int, ...] = ()
        if ranks:
            loops.append(BoxLoop(ranks[0].lower(), 1))
            shared = (len(loops) - 1,)
        for name in group:
            first = len(loops)
            loops += [BoxLoop(variable, 1) for variable in cascade.einsum(name).reduced_variables]
            around = (*shared, *range(first, len(loops)))
            leaves.append(PlacedLeaf(len(leaves), name, "", around, len(shared), (), (), ""))
    return Program(workload_of(cascade, sizes), tuple(loops), tuple(leaves))


def refuse_beyond(cascade: Cascade) -> None:
    """ValueError for a cascade that says what the engine does not follow."""
    extension = beyond(cascade)
    if extension:
        raise ValueError(
            f"'{cascade.name}' cannot be executed: {extension}, which the functional engine does not follow"
        )


def workload_of(cascade: Cascade, sizes: dict[str, int]) -> Workload:
    return Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": sizes})
