"""What the functional engine executes: loops with numbers for tiles, and leaves in the order in which they run.

A program comes from a mapped experiment, whose fusion tree it follows, or from a bare cascade, whose Einsums
then run one after the other, those of an iteration together.
"""

from dataclasses import dataclass

from arch.expression import SCALAR_FUNCTIONS, evaluate
from einsums.graph import iteration_groups
from einsums.types import Cascade
from einsums.workload import Workload
from sim.design.experiment import Experiment
from sim.functional.places import Home, homes_of
from sim.lower.lowering import parsed


@dataclass(frozen=True, slots=True)
class Loop:
    """A temporal loop over a rank variable in steps of `tile` of its coordinates."""

    variable: str
    tile: int


@dataclass(frozen=True, slots=True)
class Leaf:
    """An Einsum with the loops around it (indices, outermost first; `shared` of them with others) and what the sides
    of its array carry, rows before columns."""

    einsum: str
    array: str
    loops: tuple[int, ...]
    shared: int
    sides: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Program:
    """Leaves in the order of the tree, with the sizes of all ranks."""

    workload: Workload
    loops: tuple[Loop, ...]
    leaves: tuple[Leaf, ...]
    homes: tuple[Home, ...] = ()  # where tensors live that do not live in the root memory

    @property
    def cascade(self) -> Cascade:
        return self.workload.cascade

    def size(self, variable: str) -> int:
        """Coordinates of a rank variable."""
        return self.workload.size(self.cascade.rank_of_variable(variable))


def program_of_experiment(experiment: Experiment) -> Program:
    """The program of a legal mapping. ValueError for a tile that is no whole number."""
    cascade, tree = experiment.cascade, experiment.tree
    inner = {part: number_of(experiment, part) for partition in cascade.partitions for part in partition.inner}
    loops = tuple(Loop(loop.variable, number_of(experiment, loop.tile)) for loop in tree.loops)
    leaves = tuple(
        Leaf(
            leaf.einsum,
            leaf.array,
            leaf.loops,
            leaf.shared,
            tuple(loop.variable for side in ("rows", "columns") for loop in leaf.spatial if loop.side == side),
        )
        for leaf in tree.leaves
    )
    return Program(workload_of(cascade, dict(experiment.sizes) | inner), loops, leaves, homes_of(cascade, tree))


def number_of(experiment: Experiment, text: str) -> int:
    """An expression of the mapping as a whole number."""
    value = float(evaluate(parsed(text), experiment.symbols.__getitem__, SCALAR_FUNCTIONS))
    if value < 1 or value != int(value):
        raise ValueError(f"'{text}' is {value:g} where a whole number of at least 1 is needed")
    return int(value)


def program_of_cascade(cascade: Cascade, sizes: dict[str, int]) -> Program:
    """Einsum after Einsum, each over its whole space; `sizes` are those of whole ranks and inner parts."""
    loops: list[Loop] = []
    leaves: list[Leaf] = []
    for group in iteration_groups(cascade):
        ranks = [cascade.scope.iterative_rank[name] for name in group if cascade.is_iterative(name)]
        shared: tuple[int, ...] = ()
        if ranks:
            loops.append(Loop(ranks[0].lower(), 1))
            shared = (len(loops) - 1,)
        for name in group:
            first = len(loops)
            loops += [Loop(variable, 1) for variable in cascade.einsum(name).reduced_variables]
            leaves.append(Leaf(name, "", (*shared, *range(first, len(loops))), len(shared)))
    return Program(workload_of(cascade, sizes), tuple(loops), tuple(leaves))


def workload_of(cascade: Cascade, sizes: dict[str, int]) -> Workload:
    return Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": sizes})
