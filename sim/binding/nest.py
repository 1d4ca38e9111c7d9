"""Which Einsums of a fusion tree are pipelined together: nests, and passes that can be worked on side by side.

A *nest* holds the Einsums below an outermost node of the tree that has an Einsum of its own; one iteration of the
loops around it is one tile. Neighbouring nests whose loops match below the loops that they share (the passes of a
cascade over one rank) may be *joined*: tile n of a later pass then runs beside tile n of an earlier pass of the next
chunk.
"""

from dataclasses import dataclass, replace
from functools import cached_property
from math import prod

from arch.components import SIDES
from mappings.tree import PlacedLeaf
from mappings.types import Schedule
from sim.cycle.rates import MachineRates, ported_memories
from sim.design.experiment import Experiment
from sim.engine.analytical import Evaluation
from sim.engine.columns import KeepColumn
from sim.engine.room import count_rows
from sim.engine.tables import Tables
from sim.lower.chains import Chains
from sim.lower.demands import held_anyway
from sim.lower.elements import Spread
from sim.lower.walk import Extents, Walk
from sim.simulation.flow import IllegalMapping, count


@dataclass(frozen=True)
class PipelinedNest:
    """Leaves and the loops around all of them."""

    leaves: tuple[PlacedLeaf, ...]
    path: tuple[int, ...]


@dataclass(frozen=True)
class Pipeline:
    """Nests that share one pipeline; `common`: how many loops of their paths are the same ones."""

    nests: tuple[PipelinedNest, ...]
    common: int

    @property
    def leaves(self) -> tuple[PlacedLeaf, ...]:
        return tuple(leaf for nest in self.nests for leaf in nest.leaves)

    def nest_of(self, leaf: PlacedLeaf) -> int:
        return next(i for i, nest in enumerate(self.nests) if leaf in nest.leaves)


@dataclass(frozen=True)
class UnscheduledDesign:
    """An experiment as the binding search reads it: loops as arithmetic, and what the analytical engine counts."""

    experiment: Experiment
    chains: Chains
    walk: Walk
    tables: Tables
    evaluation: Evaluation

    @cached_property
    def machine(self) -> MachineRates:
        """Its numbers, as the tile-level engine reads them."""
        architecture = self.experiment.architecture
        return MachineRates(architecture, self.tables.machine, ported_memories(architecture), {}, {})

    @cached_property
    def held_anyway(self) -> frozenset[int]:
        return held_anyway(self.chains, self.walk)

    @cached_property
    def keep_words(self) -> tuple[int, ...]:
        """Words of the largest tile of every kept tensor, one copy."""
        words = count_rows(self.tables, self.tables.shape.tiles)[0]
        return tuple(int(words[row]) for row in self.tables.shape.keeps[:, KeepColumn.ROW])

    def register_words(self, leaf: PlacedLeaf, path: tuple[int, ...], parts: frozenset[int]) -> int:
        """Words over these parts that an element of the leaf's array holds of one iteration of the loops of `path`."""
        return self.walk.held_words(self.inside(path), Spread(leaf, SIDES), leaf.loops[len(path) :], parts)

    def inside(self, loops: tuple[int, ...]) -> Extents:
        """Extents of a full tile inside these loops."""
        return self.walk.full_tile(self.walk.whole, loops)

    def trips(self, loops: tuple[int, ...], first: int = 0) -> tuple[int, ...]:
        """Iterations of each of these loops from position `first` on, over a full tile of the one before."""
        return tuple(self.walk.trips(self.inside(loops[:i]), loops[i]) for i in range(first, len(loops)))

    def kind(self, loop: int) -> tuple[str, str]:
        """What a loop walks: loops of one kind in two nests visit the same tiles in the same order."""
        found = self.chains.tree.loops[loop]
        return found.variable, found.tile

    def after(self, path: tuple[int, ...], position: int) -> int:
        """Iterations of a nest from one step of the loop at `position` of its path to the next."""
        return prod(self.trips(path, position + 1))

    def name_loops(self, path: tuple[int, ...]) -> tuple[str, ...]:
        return tuple(self.chains.tree.loops[loop].variable for loop in path)


def design_of(experiment: Experiment) -> UnscheduledDesign:
    """An experiment without its schedule, checked; IllegalMapping when its tree cannot run."""
    mapping = experiment.mapping.model_copy(update={"schedule": Schedule(kind="sequential")})
    unscheduled = replace(experiment, mapping=mapping)
    try:
        counted = count(unscheduled)
    except IllegalMapping as error:
        raise IllegalMapping(experiment, error.problems) from None
    lowered, tables = unscheduled.structure.lowered, counted.tables
    return UnscheduledDesign(unscheduled, lowered.chains, Walk.of(lowered, tables), tables, counted.evaluation)


def nests_of(design: UnscheduledDesign) -> tuple[PipelinedNest, ...]:
    """The nests of the tree, in its order. ValueError for Einsums that no loop repeats."""
    leaves = design.chains.tree.leaves
    paths = sorted({leaf.loops[: leaf.shared] for leaf in leaves}, key=len)
    found: dict[tuple[int, ...], list[PlacedLeaf]] = {}
    for leaf in leaves:
        own = leaf.loops[: leaf.shared]
        root = next(path for path in paths if own[: len(path)] == path)
        found.setdefault(root, []).append(leaf)
    for path, members in found.items():
        if not path:
            raise ValueError(f"no loop is shared around Einsum '{members[0].einsum}': there is nothing to pipeline")
    return tuple(PipelinedNest(tuple(members), path) for path, members in found.items())


def groups_of(design: UnscheduledDesign, join: bool) -> tuple[Pipeline, ...]:
    """Nests that run as one pipeline each: alone, or (`join`) with neighbours of the same loops."""
    groups: list[Pipeline] = []
    for nest in nests_of(design):
        shared = _shared(groups[-1].nests[0], nest) if groups and join else 0
        if shared and _matches(design, groups[-1].nests[0], nest, shared):
            groups[-1] = Pipeline((*groups[-1].nests, nest), shared)
        else:
            groups.append(Pipeline((nest,), 0))
    return tuple(groups)


def _shared(one: PipelinedNest, other: PipelinedNest) -> int:
    pairs = zip(one.path, other.path, strict=False)
    return next((i for i, (a, b) in enumerate(pairs) if a != b), min(len(one.path), len(other.path)))


def _matches(design: UnscheduledDesign, one: PipelinedNest, other: PipelinedNest, shared: int) -> bool:
    kinds = [[design.kind(loop) for loop in nest.path[shared:]] for nest in (one, other)]
    return bool(kinds[0]) and kinds[0] == kinds[1]
