"""Which Einsums run together: the fusion tree cut into nests, each with the loops that its schedule pipelines.

A *nest* is a run of Einsums over common loops. Its *ops* come in phases and lanes; loops below the common
ones belong to single ops, or to a *group* of neighbours in a lane that share them. An op whose leaf comes after the
common loops (a final division, say) runs with the last iteration of the loops that it lacks, as soon as its inputs are
complete. Several nests run one after the other inside the loops they share, including their transfers.
"""

from dataclasses import dataclass, field, replace

from einsums.types import Cascade
from mappings.tree import PlacedLeaf, ResolvedTree
from mappings.types import Mapping


@dataclass(frozen=True, slots=True)
class Slot:
    """An Einsum's place in a nest. `loops` are its own, below the nest's and its group's."""

    leaf: PlacedLeaf
    phase: int
    depth: int  # loops of the nest that it shares
    guard: tuple[int, ...]  # positions of loops in whose last iteration it runs
    group: int
    group_loops: tuple[int, ...]
    loops: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Nest:
    """Slots in the order of phases, lanes and lists; `drains` pairs a phase with the Einsum that drains in it."""

    outer: tuple[int, ...]  # loops around all of it, run one iteration after the other
    loops: tuple[int, ...]  # loops that its schedule pipelines, outermost first
    slots: tuple[Slot, ...]
    drains: tuple[tuple[int, str], ...] = ()
    barrier: bool = True
    stages: tuple[tuple[str, int], ...] = ()  # given lags
    hides: bool = True  # whether an Einsum may work on an older tile to hide a drain


@dataclass
class _Phase:
    lanes: list[list[PlacedLeaf]]
    drain: str | None = None


def path(leaf: PlacedLeaf) -> tuple[int, ...]:
    """The shared loops above a leaf."""
    return leaf.loops[: leaf.shared]


def common(leaves: list[PlacedLeaf]) -> tuple[int, ...]:
    """The loops that all of these leaves share."""
    found: list[int] = []
    for loops in zip(*(path(leaf) for leaf in leaves), strict=False):
        if len(set(loops)) > 1:
            break
        found.append(loops[0])
    return tuple(found)


def nests_of(mapping: Mapping, tree: ResolvedTree, cascade: Cascade) -> tuple[Nest, ...]:
    """The nests of a mapping, in execution order. ValueError for a schedule that no nest can follow."""
    schedule = mapping.schedule
    if schedule.kind == "sequential":
        return tuple(_cut(tree, list(tree.leaves), (), cascade))
    leaf = {placed.einsum: placed for placed in tree.leaves}
    if schedule.kind == "pipelined":
        staged = [s.einsum for s in schedule.stages]
        phases = [_Phase(_by_array([x for x in tree.leaves if x.einsum in staged]))]
        phases += [_Phase([[x]]) for x in tree.leaves if x.einsum not in staged]
        loops = tree.step_loops(frozenset(staged))
        stages = tuple((s.einsum, s.stage) for s in schedule.stages)
        return (_nest(tree, phases, ((), loops), _Manner(barrier=False, stages=stages), cascade),)
    phases = [_Phase([[leaf[name] for name in lane.einsums] for lane in p.lanes], p.drain) for p in schedule.phases]
    loops = tree.phase_loops([lane.einsums for phase in schedule.phases for lane in phase.lanes])
    if _stand_apart(phases, loops):
        inner = [common([x for lane in phase.lanes for x in lane])[len(loops) :] for phase in phases]
        return tuple(
            _nest(tree, [phase], (loops, own), _Manner(), cascade) for phase, own in zip(phases, inner, strict=True)
        )
    return (_nest(tree, phases, ((), loops), _Manner(), cascade),)


@dataclass(frozen=True)
class _Manner:
    barrier: bool = True
    stages: tuple[tuple[str, int], ...] = ()
    hides: bool = True


def _by_array(leaves: list[PlacedLeaf]) -> list[list[PlacedLeaf]]:
    lanes: dict[str, list[PlacedLeaf]] = {}
    for leaf in leaves:
        lanes.setdefault(leaf.array, []).append(leaf)
    return list(lanes.values())


def _cut(tree: ResolvedTree, leaves: list[PlacedLeaf], outer: tuple[int, ...], cascade: Cascade) -> list[Nest]:
    """Nests of a sequential schedule: each holds a body with its own Einsum; each Einsum is a phase."""
    shared = common(leaves)
    runs = _runs(leaves, len(shared))
    together = any(path(leaf) == shared for leaf in leaves)
    if len(leaves) == 1 or (
        together and not any(_step_together(run, cascade) for run in runs if path(run[0]) != shared)
    ):
        phases: list[_Phase] = []
        for leaf in leaves:
            lane = phases[-1].lanes[0] if phases else []
            beside = bool(lane) and path(lane[-1]) == path(leaf) != shared and lane[-1].array == leaf.array
            if beside:
                lane.append(leaf)
            else:
                phases.append(_Phase([[leaf]]))
        return [_nest(tree, phases, (outer, shared[len(outer) :]), _Manner(hides=False), cascade)]
    return [nest for run in runs for nest in _cut(tree, run, shared, cascade)]


def _runs(leaves: list[PlacedLeaf], depth: int) -> list[list[PlacedLeaf]]:
    """Neighbours that share their next loop; a leaf without one is a run of its own."""
    runs: list[list[PlacedLeaf]] = []
    for leaf in leaves:
        key = path(leaf)[depth : depth + 1]
        if runs and key and path(runs[-1][-1])[depth : depth + 1] == key:
            runs[-1].append(leaf)
        else:
            runs.append([leaf])
    return runs


def _step_together(leaves: list[PlacedLeaf], cascade: Cascade) -> bool:
    """Whether an Einsum reads the old value of another one: both advance step by step."""
    made = {leaf.einsum for leaf in leaves} & {tensor for tensor, _ in cascade.iterative}
    return any(
        load.tensor in made and load.tensor != leaf.einsum
        for leaf in leaves
        for load in cascade.einsum(leaf.einsum).loads
    )


def _stand_apart(phases: list[_Phase], loops: tuple[int, ...]) -> bool:
    """Whether every phase has its own loops below the common ones, which makes phases separate nests."""
    if len(phases) < 2 or any(phase.drain is not None for phase in phases):
        return False
    paths = [common([leaf for lane in phase.lanes for leaf in lane]) for phase in phases]
    deeper = all(len(one) > len(loops) for one in paths)
    return deeper and len({one[len(loops)] for one in paths}) == len(phases)


@dataclass
class _Grouping:
    slots: list[Slot] = field(default_factory=list)
    groups: int = 0


def _nest(
    tree: ResolvedTree,
    phases: list[_Phase],
    around: tuple[tuple[int, ...], tuple[int, ...]],
    manner: _Manner,
    cascade: Cascade,
) -> Nest:
    made, (outer, loops) = _Grouping(), around
    drains: list[tuple[int, str]] = []
    for number, phase in enumerate(phases):
        if phase.drain is not None:
            drains.append((number, phase.drain))
        for lane in phase.lanes:
            _add_lane(tree, made, number, lane, around)
    slots = _late_ones_last(tree, made.slots, around, cascade)
    return Nest(outer, loops, slots, tuple(drains), manner.barrier, manner.stages, manner.hides)


def _late_ones_last(
    tree: ResolvedTree, slots: list[Slot], around: tuple[tuple[int, ...], tuple[int, ...]], cascade: Cascade
) -> tuple[Slot, ...]:
    """Einsums outside the common loops that visit the same tiles wait for the last one all the same where they read
    what these loops reduce, or what waits for that.
    """
    place = {slot.leaf.einsum: n for n, slot in enumerate(slots)}
    found, waits = list(slots), dict[str, set[int]]()
    whole = around[0] + around[1]
    for slot in sorted(slots, key=lambda slot: slot.leaf.index):
        guarded = {around[1][position] for position in slot.guard}
        free = [loop for loop in whole[_shared(path(slot.leaf), whole) :] if loop not in guarded]
        loads = {load.tensor for load in cascade.einsum(slot.leaf.einsum).loads} & place.keys()
        reduced = {variable for tensor in loads for variable in cascade.einsum(tensor).reduced_variables}
        late = {loop for tensor in loads for loop in waits.get(tensor, ())}
        first = next((n for n, loop in enumerate(free) if tree.loops[loop].variable in reduced or loop in late), None)
        if first is not None:
            kept = _apart(tree, tuple(free[:first]), tuple(free[first:]))
            waits[slot.leaf.einsum] = {loop for loop in free if loop not in kept}
            found[place[slot.leaf.einsum]] = _at_the_end(tree, slot, around, kept)
    return tuple(found)


def _apart(tree: ResolvedTree, outside: tuple[int, ...], inside: tuple[int, ...]) -> tuple[int, ...]:
    """The loops outside, if none of them runs over a variable of those inside; else none."""
    variables = {tree.loops[loop].variable for loop in inside}
    return () if any(tree.loops[loop].variable in variables for loop in outside) else outside


def _shared(loops: tuple[int, ...], others: tuple[int, ...]) -> int:
    """How many outermost loops are the same."""
    pairs = enumerate(zip(loops, others, strict=False))
    return next((i for i, pair in pairs if pair[0] != pair[1]), min(len(loops), len(others)))


def _at_the_end(
    tree: ResolvedTree, slot: Slot, around: tuple[tuple[int, ...], tuple[int, ...]], kept: tuple[int, ...]
) -> Slot:
    """The same in the last iterations of all loops that it does not share, but for those kept; with its own loops
    inside.
    """
    outer, loops = around[0], around[0] + around[1]
    shared = _shared(path(slot.leaf), loops)
    guard = tuple(n - len(outer) for n in range(shared, len(loops)) if loops[n] not in kept)
    depth = (len(loops) if kept else shared) - len(outer)
    variables = {tree.loops[loop].variable for loop in kept}
    own = tuple(loop for loop in slot.leaf.loops[shared:] if tree.loops[loop].variable not in variables)
    return replace(slot, depth=depth, guard=guard, loops=own)


def _add_lane(
    tree: ResolvedTree,
    made: _Grouping,
    phase: int,
    lane: list[PlacedLeaf],
    around: tuple[tuple[int, ...], tuple[int, ...]],
) -> None:
    """Neighbours in a lane that share further loops form a group; everything else is a group by itself."""
    all_loops = around[0] + around[1]
    runs: list[list[PlacedLeaf]] = []
    for leaf in lane:
        inner = path(leaf)[len(all_loops) :]
        beside = (
            bool(runs)
            and bool(inner)
            and path(runs[-1][-1]) == path(leaf)
            and path(leaf)[: len(all_loops)] == all_loops
        )
        if beside:
            runs[-1].append(leaf)
        else:
            runs.append([leaf])
    for run in runs:
        for leaf in run:
            made.slots.append(_slot(tree, leaf, (phase, made.groups), around, len(run) > 1))
        made.groups += 1


def _slot(
    tree: ResolvedTree,
    leaf: PlacedLeaf,
    place: tuple[int, int],
    around: tuple[tuple[int, ...], tuple[int, ...]],
    in_group: bool,
) -> Slot:
    outer, loops = around
    all_loops = outer + loops
    own = leaf.loops[leaf.shared :]
    if path(leaf)[: len(all_loops)] == all_loops:
        inner = path(leaf)[len(all_loops) :]
        group_loops, own = (inner, own) if in_group else ((), inner + own)
        return Slot(leaf, place[0], len(loops), (), place[1], group_loops, own)
    # It is outside the common loops: the part of them that it shares, and its own loops in place of the others.
    shared = next(
        (i for i, pair in enumerate(zip(path(leaf), all_loops, strict=False)) if pair[0] != pair[1]), len(path(leaf))
    )
    inner = path(leaf)[shared:]
    first_inside = all_loops[shared]
    if leaf.index < min(x.index for x in tree.leaves if first_inside in x.loops):
        raise ValueError(
            f"Einsum '{leaf.einsum}' stands before the loops that its phase pipelines: "
            "give it a phase and loops of its own"
        )
    rest = all_loops[shared:]
    same = tree.replaced_loops(leaf, all_loops)
    if same is not None:
        guard, depth = tuple(i for i in rest if i not in same), len(all_loops)
    else:
        guard, depth, own = rest, shared, inner + own
    positions = tuple(all_loops.index(i) - len(outer) for i in guard)
    return Slot(leaf, place[0], depth - len(outer), positions, place[1], (), own)
