"""What the functional engine executes: loops with numbers for tiles, and leaves in the order in which they run.

A program comes from a mapped experiment, whose fusion tree it follows, or from a bare cascade, whose Einsums
then run one after the other, those of an iteration together.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from einsums.graph import Step
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
    """Einsum after Einsum, each over its whole space; `sizes` are those of whole ranks and inner parts."""
    laid = _LaidOut(cascade)
    for step in cascade.nest:
        laid.add(step, ())
    return Program(workload_of(cascade, sizes), tuple(laid.loops), tuple(laid.leaves))


class _LaidOut:
    """Loops and leaves of a cascade without a mapping."""

    def __init__(self, cascade: Cascade) -> None:
        self.cascade = cascade
        self.loops: list[BoxLoop] = []
        self.leaves: list[PlacedLeaf] = []

    def add(self, step: Step, around: tuple[int, ...]) -> None:
        """An Einsum, or an iteration with all that it holds, inside these loops."""
        if isinstance(step, str):
            first = len(self.loops)
            self.loops += [BoxLoop(variable, 1) for variable in self.cascade.einsum(step).reduced_variables]
            loops = (*around, *range(first, len(self.loops)))
            self.leaves.append(PlacedLeaf(len(self.leaves), step, "", loops, len(around), (), (), ""))
            return
        self.loops.append(BoxLoop(step.rank.lower(), 1))
        inside = (*around, len(self.loops) - 1)
        for inner in step.body:
            self.add(inner, inside)


def workload_of(cascade: Cascade, sizes: dict[str, int]) -> Workload:
    return Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": sizes})
