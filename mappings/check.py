"""Is this mapping legal for this cascade on this machine? Everything that can be told without numbers, as a list of problems.

Checked here: names; every Einsum bound once, to an array that has its operators; every rank of an Einsum covered exactly
once; no loop around an Einsum that lacks its rank; producers before consumers, and no reduced value read inside a loop
that its reduction still runs over (a fused softmax needs its maximum before it exists); schedules that run every Einsum
once, on its own array. Capacities and sides depend on sizes and are checked when numbers are known.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from arch.names import nearest
from arch.types import Architecture
from einsums.graph import consumers_of, producer_of
from einsums.types import Access, Cascade
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from mappings.types import Mapping


class Problem(NamedTuple):
    """One reason why a mapping is refused; `path` is where in the mapping, or empty."""

    path: str
    message: str


class Combination(NamedTuple):
    """What is checked together."""

    mapping: Mapping
    tree: ResolvedTree
    cascade: Cascade
    architecture: Architecture


def check_mapping(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, architecture: Architecture
) -> tuple[Problem, ...]:
    """All problems that hold whatever the sizes; none if the mapping is legal as far as structure goes."""
    combination = Combination(mapping, tree, cascade, architecture)
    problems = tuple(iter_unknown_names(combination))
    if problems:
        return problems
    checks = (iter_binding_problems, iter_coverage_problems, iter_keep_problems, iter_order_problems, iter_schedule_problems)
    return tuple(problem for check in checks for problem in check(combination))


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = tuple(known)
    near = nearest(name, names)
    return f"unknown {kind} '{name}'{near}" if near else f"unknown {kind} '{name}' (there are: {', '.join(names)})"


def iter_unknown_names(c: Combination) -> Iterator[Problem]:
    """Names of the tree and the schedule that neither the cascade nor the machine has."""
    variables = [rank.lower() for rank in c.cascade.leaf_ranks()]
    arrays = [array.name for array in c.architecture.arrays]
    memories = [memory.name for memory in c.architecture.memories]
    einsums = [einsum.name for einsum in c.cascade.einsums]
    tensors = [tensor.name for tensor in c.cascade.tensors]
    for loop in c.tree.loops:
        if loop.variable not in variables:
            yield Problem(loop.path, _unknown("rank variable", loop.variable, variables))
    for keep in c.tree.keeps:
        if keep.memory not in memories:
            yield Problem(keep.path, _unknown("memory", keep.memory, memories))
        if keep.tensor not in tensors:
            yield Problem(keep.path, _unknown("tensor", keep.tensor, tensors))
    for leaf in c.tree.leaves:
        if leaf.einsum not in einsums:
            yield Problem(leaf.path, _unknown("Einsum", leaf.einsum, einsums))
        if leaf.array not in arrays:
            yield Problem(f"{leaf.path}.array", _unknown("array", leaf.array, arrays))
        for side in leaf.spatial:
            if side.variable not in variables:
                yield Problem(f"{leaf.path}.spatial", _unknown("rank variable", side.variable, variables))
    for policy in c.mapping.capacity:
        if policy.memory not in memories:
            yield Problem(f"capacity.{policy.memory}", _unknown("memory", policy.memory, memories))
    for reservation in c.mapping.reserve:
        if reservation.memory not in memories:
            yield Problem("reserve", _unknown("memory", reservation.memory, memories))
    yield from _unknown_in_schedule(c, einsums, arrays)


def _unknown_in_schedule(c: Combination, einsums: list[str], arrays: list[str]) -> Iterator[Problem]:
    for i, phase in enumerate(c.mapping.schedule.phases):
        path = f"schedule.phases[{i}]"
        if phase.drain is not None and phase.drain not in einsums:
            yield Problem(path, _unknown("Einsum", phase.drain, einsums))
        for lane in phase.lanes:
            if lane.array not in arrays:
                yield Problem(path, _unknown("array", lane.array, arrays))
            yield from (Problem(path, _unknown("Einsum", e, einsums)) for e in lane.einsums if e not in einsums)
    for stage in c.mapping.schedule.stages:
        if stage.einsum not in einsums:
            yield Problem("schedule.stages", _unknown("Einsum", stage.einsum, einsums))


def iter_binding_problems(c: Combination) -> Iterator[Problem]:
    """Every Einsum has one leaf, on an array that can do its operators."""
    bound = [leaf.einsum for leaf in c.tree.leaves]
    for einsum in c.cascade.einsums:
        if einsum.name not in bound:
            yield Problem("tree", f"Einsum '{einsum.name}' of '{c.cascade.name}' is not bound to any array")
        elif bound.count(einsum.name) > 1:
            yield Problem("tree", f"Einsum '{einsum.name}' is bound {bound.count(einsum.name)} times, expected once")
        elif any(len(i.terms) > 1 and not _recomposes(c.cascade, load, k) for load in einsum.loads for k, i in enumerate(load.indices)):
            yield Problem("tree", f"Einsum '{einsum.name}' reads through a sum of rank variables, which has no mapping yet")
    for leaf in c.tree.leaves:
        found = c.cascade.einsum(leaf.einsum)
        operators = found.map_operators + ((found.reduction.operator,) if found.reduction else ())
        try:
            c.architecture.array(leaf.array).resolve(operators)
        except ValueError as error:
            yield Problem(leaf.path, f"Einsum '{leaf.einsum}': {error}")
        loads = {load.tensor for load in found.loads}
        for tensor in leaf.forwarded:
            if tensor not in loads:
                yield Problem(f"{leaf.path}.forwarded", f"Einsum '{leaf.einsum}' does not read '{tensor}'{nearest(tensor, loads)}")
            elif not _stream_before(c, leaf, tensor):
                message = f"no earlier Einsum beside '{leaf.einsum}' makes or reads '{tensor}', so nothing forwards it"
                yield Problem(f"{leaf.path}.forwarded", message)


def _recomposes(cascade: Cascade, access: Access, position: int) -> bool:
    """Whether an index of several terms is m1*M0 + m0 over a partitioned rank."""
    partition = cascade.partition_of(cascade.tensor(access.tensor).ranks[position])
    variables = {term.variable for term in access.indices[position].terms}
    return partition is not None and variables == {part.lower() for part in partition.parts}


def _stream_before(c: Combination, leaf: PlacedLeaf, tensor: str) -> bool:
    for other in c.tree.leaves[: leaf.index]:
        einsum = c.cascade.einsum(other.einsum)
        beside = other.loops[: other.shared] == leaf.loops[: leaf.shared]
        if beside and tensor in {einsum.output.tensor, *(load.tensor for load in einsum.loads)}:
            return True
    return False


def iter_coverage_problems(c: Combination) -> Iterator[Problem]:
    """Every rank of an Einsum reaches one coordinate, once, by its loops or a side of its array; no other loop is around it."""
    for leaf in c.tree.leaves:
        own = c.cascade.variables_of(leaf.einsum)
        sides = [loop.variable for loop in leaf.spatial]
        for side in leaf.spatial:
            if side.variable not in own:
                yield Problem(f"{leaf.path}.spatial", f"Einsum '{leaf.einsum}' has no rank variable '{side.variable}'")
        names = [side.side for side in leaf.spatial]
        if len(set(names)) < len(names) or len(set(sides)) < len(sides):
            yield Problem(f"{leaf.path}.spatial", "each side of an array carries one rank, each rank one side")
        for variable in own:
            yield from _cover(c, leaf, variable, variable in sides)
        for index in leaf.loops:
            loop = c.tree.loops[index]
            if loop.variable not in own:
                yield Problem(
                    loop.path,
                    f"the loop over '{loop.variable}' is around Einsum '{leaf.einsum}', which has no such rank: "
                    "it would be computed again in every iteration",
                )


def _cover(c: Combination, leaf: PlacedLeaf, variable: str, is_spatial: bool) -> Iterator[Problem]:
    loops = [c.tree.loops[index] for index in leaf.loops if c.tree.loops[index].variable == variable]
    finished = [i for i, loop in enumerate(loops) if loop.tile == "1"]
    if not loops and not is_spatial:
        yield Problem(leaf.path, f"Einsum '{leaf.einsum}': no loop and no side of the array covers rank variable '{variable}'")
    elif finished and (finished[0] < len(loops) - 1 or is_spatial):
        again = "a side of the array" if finished[0] == len(loops) - 1 else "another loop"
        yield Problem(leaf.path, f"Einsum '{leaf.einsum}': rank variable '{variable}' is covered by a loop in steps of 1 and by {again}")


def iter_keep_problems(c: Combination) -> Iterator[Problem]:
    """A kept tile serves an Einsum inside, and lies further in than the tile that fills it."""
    for keep in c.tree.keeps:
        inside = [leaf for leaf in c.tree.leaves if keep.covers(leaf.index)]
        if not any(_touches(c.cascade, leaf, keep.tensor) for leaf in inside):
            yield Problem(keep.path, f"'{keep.memory}' keeps '{keep.tensor}', which no Einsum inside reads or writes")
        for outer in c.tree.keeps[: keep.index]:
            if outer.tensor == keep.tensor and outer.first_leaf <= keep.first_leaf <= keep.last_leaf <= outer.last_leaf:
                yield from _nesting_problems(c, outer, keep)


def _nesting_problems(c: Combination, outer: PlacedKeep, inner: PlacedKeep) -> Iterator[Problem]:
    if c.architecture.depth_of(inner.memory) <= c.architecture.depth_of(outer.memory):
        message = f"'{inner.memory}' keeps '{inner.tensor}' inside the tile that '{outer.memory}' keeps, but is no deeper in the machine"
        yield Problem(inner.path, message)


def _touches(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    einsum = cascade.einsum(leaf.einsum)
    return einsum.output.tensor == tensor or any(load.tensor == tensor for load in einsum.loads)


def iter_order_problems(c: Combination) -> Iterator[Problem]:
    """Values exist before they are read."""
    for tensor in c.cascade.tensors:
        producer = producer_of(c.cascade, tensor.name)
        made_by = c.tree.leaf_of(producer) if producer else None
        if made_by is None:
            continue
        for name in consumers_of(c.cascade, tensor.name):
            reader = c.tree.leaf_of(name)
            if reader is not None:
                yield from _dependency_problems(c, made_by, reader, tensor.name)


def _dependency_problems(c: Combination, producer: PlacedLeaf, consumer: PlacedLeaf, tensor: str) -> Iterator[Problem]:
    ranks = [rank for name, rank in c.cascade.iterative if name == tensor]
    loads = [load for load in c.cascade.einsum(consumer.einsum).loads if load.tensor == tensor]
    shared = c.tree.shared_loops(producer, consumer)
    if ranks:
        yield from _recurrence_problems(c, producer, consumer, ranks[0].lower(), loads)
        return
    reduced = c.cascade.einsum(producer.einsum).reduced_variables
    for loop in shared:
        if loop.variable in reduced:
            yield Problem(
                loop.path,
                f"Einsum '{consumer.einsum}' reads '{tensor}' inside the loop over '{loop.variable}', over which Einsum "
                f"'{producer.einsum}' still reduces it: the value is not complete there",
            )
    if producer.index > consumer.index:
        yield Problem(consumer.path, f"Einsum '{consumer.einsum}' reads '{tensor}' before Einsum '{producer.einsum}' makes it")


def _recurrence_problems(
    c: Combination, producer: PlacedLeaf, consumer: PlacedLeaf, variable: str, loads: list[Access]
) -> Iterator[Problem]:
    """Running values: the new one after it is made, the old one in step with its successor, the last one after the loop."""
    shared = c.tree.shared_loops(producer, consumer)
    in_step = any(loop.variable == variable and loop.tile == "1" for loop in shared)
    tensor = producer.einsum
    for load in loads:
        is_last = any(index.last_of is not None for index in load.indices)
        is_new = not is_last and any(index.offset == 1 for index in load.indices)
        if is_last and any(loop.variable == variable for loop in shared):
            yield Problem(consumer.path, f"Einsum '{consumer.einsum}' reads the last '{tensor}' inside the loop over '{variable}' that makes it")
        elif (is_last or is_new) and producer.index > consumer.index:
            yield Problem(consumer.path, f"Einsum '{consumer.einsum}' reads '{tensor}' before Einsum '{producer.einsum}' makes it")
        elif not is_last and not is_new and producer.index >= consumer.index and producer != consumer and not in_step:
            yield Problem(
                consumer.path,
                f"Einsum '{consumer.einsum}' reads the old '{tensor}', which Einsum '{producer.einsum}' makes later: both must share "
                f"a loop over '{variable}' in steps of 1",
            )


def iter_schedule_problems(c: Combination) -> Iterator[Problem]:
    """Each Einsum runs in one phase or stage, on the array it is bound to."""
    schedule = c.mapping.schedule
    if schedule.kind == "pipelined":
        staged = [stage.einsum for stage in schedule.stages]
        yield from (Problem("schedule.stages", f"Einsum '{e}' has two stages") for e in sorted({e for e in staged if staged.count(e) > 1}))
    if schedule.kind != "phases":
        return
    bound = {leaf.einsum: leaf.array for leaf in c.tree.leaves}
    placed: list[str] = []
    for i, phase in enumerate(schedule.phases):
        for lane in phase.lanes:
            for einsum in lane.einsums:
                placed.append(einsum)
                if bound.get(einsum, lane.array) != lane.array:
                    message = f"Einsum '{einsum}' runs on '{lane.array}' here but is bound to '{bound[einsum]}'"
                    yield Problem(f"schedule.phases[{i}]", message)
    for einsum in bound:
        if placed.count(einsum) != 1:
            yield Problem("schedule.phases", f"Einsum '{einsum}' is in {placed.count(einsum) or 'no'} phases, expected one")
