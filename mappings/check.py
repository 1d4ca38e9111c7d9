"""Is this mapping legal for this cascade on this machine? All that can be told without numbers, as a list of problems.

Checked here: names; every Einsum bound once, to an array that has its operators; every rank of an Einsum covered;
no loop around an Einsum that lacks its rank, unless it says that it recomputes; producers before
consumers, and no reduced value read inside a loop that its reduction still runs over (a fused softmax needs its maximum
before it exists); values still there when they are read (`lifetime.py`); schedules that run every Einsum once, on its
own array, in no earlier stage than what it reads. Capacities and sides depend on sizes and are checked when numbers are
known.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from arch.types import Architecture
from einsums.counts import operators_per_point
from einsums.extensions import beyond
from einsums.graph import consumers_of, producer_of
from einsums.names import nearest
from einsums.types import Access, Cascade
from mappings.cores import iter_core_findings
from mappings.elements import iter_bypass_findings, iter_element_findings
from mappings.existence import FOLLOWED, iter_existence_findings
from mappings.holding import iter_holding_findings
from mappings.layouts import iter_layout_findings
from mappings.lifetime import iter_lifetime_findings
from mappings.naming import iter_naming_findings
from mappings.schedules import iter_schedule_findings
from mappings.sides import iter_network_findings, iter_side_findings
from mappings.tree import PlacedKeep, PlacedLeaf, ResolvedTree
from mappings.turns import iter_turn_findings
from mappings.types import Mapping, Node
from mappings.walk import iter_walk_findings


class Problem(NamedTuple):
    """One reason why a mapping is refused; `path` is where in the mapping, or empty."""

    path: str
    message: str


class Combination(NamedTuple):
    """What is checked together; without a machine, all that does not need one."""

    mapping: Mapping
    tree: ResolvedTree
    cascade: Cascade
    architecture: Architecture | None


def check_mapping(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, architecture: Architecture | None
) -> tuple[Problem, ...]:
    """All problems that hold whatever the sizes; none if the mapping is legal as far as structure goes.

    Without a machine, memories and arrays are taken to exist and to be able to do what is asked of them.
    """
    extension = beyond(cascade, FOLLOWED)
    if extension:
        return (Problem("", f"'{cascade.name}' cannot be mapped: {extension}, which no mapping follows"),)
    combination = Combination(mapping, tree, cascade, architecture)
    problems = tuple(iter_unknown_names(combination))
    if problems:
        return problems
    checks = (
        iter_core_problems,
        iter_language_problems,
        iter_binding_problems,
        iter_coverage_problems,
        iter_walk_problems,
        iter_keep_problems,
        iter_element_problems,
        iter_layout_problems,
        iter_order_problems,
        iter_lifetime_problems,
        iter_schedule_problems,
    )
    return tuple(problem for check in checks for problem in check(combination))


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    names = tuple(known)
    near = nearest(name, names)
    return f"unknown {kind} '{name}'{near}" if near else f"unknown {kind} '{name}' (there are: {', '.join(names)})"


def iter_unknown_names(c: Combination) -> Iterator[Problem]:
    """Names of the tree and the schedule that neither the cascade nor the machine has."""
    yield from _unknown_in_machine(c)
    variables = [rank.lower() for rank in c.cascade.leaf_ranks()]
    einsums = [einsum.name for einsum in c.cascade.einsums]
    tensors = [tensor.name for tensor in c.cascade.tensors]
    for loop in c.tree.loops:
        if loop.variable not in variables:
            yield Problem(loop.path, _unknown("rank variable", loop.variable, variables))
    placed = [(keep.path, keep.tensor) for keep in c.tree.keeps]
    placed += [(f"layout.{m.memory}.{one.tensor}", one.tensor) for m in c.mapping.layout for one in m.tensors]
    for path, tensor in placed:
        if tensor not in tensors:
            yield Problem(path, _unknown("tensor", tensor, tensors))
    for leaf in c.tree.leaves:
        if leaf.einsum not in einsums:
            yield Problem(f"{leaf.path}.einsum", _unknown("Einsum", leaf.einsum, einsums))
        for side in leaf.spatial:
            if side.variable not in variables:
                yield Problem(f"{leaf.path}.spatial.{side.side}", _unknown("rank variable", side.variable, variables))
    for path, name in _scheduled_einsums(c.mapping):
        if name not in einsums:
            yield Problem(path, _unknown("Einsum", name, einsums))


def _scheduled_einsums(mapping: Mapping) -> Iterator[tuple[str, str]]:
    """Every Einsum that the schedule names, with its path."""
    for i, phase in enumerate(mapping.schedule.phases):
        if phase.drain is not None:
            yield f"schedule.phases[{i}].drain", phase.drain
        for lane in phase.lanes:
            yield from ((f"schedule.phases[{i}].{lane.array}[{k}]", name) for k, name in enumerate(lane.einsums))
    yield from ((f"schedule.stages.{stage.einsum}", stage.einsum) for stage in mapping.schedule.stages)


def _unknown_in_machine(c: Combination) -> Iterator[Problem]:
    if c.architecture is None:
        return
    arrays = [array.name for array in c.architecture.arrays]
    memories = [memory.name for memory in c.architecture.memories]
    used_arrays = [(f"{leaf.path}.array", leaf.array) for leaf in c.tree.leaves]
    for i, phase in enumerate(c.mapping.schedule.phases):
        used_arrays += [(f"schedule.phases[{i}].{lane.array}", lane.array) for lane in phase.lanes]
    used_memories = [(keep.path.rpartition("[")[0], keep.memory) for keep in c.tree.keeps]
    used_memories += [(f"capacity.{policy.memory}", policy.memory) for policy in c.mapping.capacity]
    used_memories += [(f"reserve[{i}].memory", r.memory) for i, r in enumerate(c.mapping.reserve)]
    used_memories += [(f"layout.{layout.memory}", layout.memory) for layout in c.mapping.layout]
    used_memories += [(share.path, share.memory) for share in iter_shares(c.mapping.tree, "tree")]
    for used, kind, known in ((used_arrays, "array", arrays), (used_memories, "memory", memories)):
        yield from (
            Problem(path, _unknown(kind, name, known)) for path, name in dict.fromkeys(used) if name not in known
        )


class PlacedShare(NamedTuple):
    """Tensors that take turns in a memory, with those that it may keep at that node."""

    path: str
    memory: str
    tensors: tuple[str, ...]
    kept: tuple[str, ...]


def iter_shares(node: Node, path: str) -> Iterator[PlacedShare]:
    """Every `share` of a tree."""
    for share in node.share:
        kept = (kept.tensor for keep in node.keep if keep.memory == share.memory for kept in keep.tensors)
        yield PlacedShare(f"{path}.share.{share.memory}", share.memory, share.tensors, tuple(kept))
    for i, item in enumerate(node.body):
        if isinstance(item, Node):
            yield from iter_shares(item, f"{path}.body[{i}]")


def iter_binding_problems(c: Combination) -> Iterator[Problem]:
    """Every Einsum has one leaf, on an array that can do its operators."""
    bound = [leaf.einsum for leaf in c.tree.leaves]
    for einsum in c.cascade.einsums:
        if einsum.name not in bound:
            yield Problem("tree", f"Einsum '{einsum.name}' of '{c.cascade.name}' is not bound to any array")
        elif bound.count(einsum.name) > 1:
            yield Problem("tree", f"Einsum '{einsum.name}' is bound {bound.count(einsum.name)} times, expected once")
        elif any(
            len(i.terms) > 1 and not _recomposes(c.cascade, load, k)
            for load in einsum.reads
            for k, i in enumerate(load.indices)
        ):
            yield Problem(
                "tree",
                f"Einsum '{einsum.name}' reads through a sum of rank variables, which has no mapping yet",
            )
    for leaf in c.tree.leaves:
        found = c.cascade.einsum(leaf.einsum)
        try:
            if c.architecture is not None:
                c.architecture.array(leaf.array).resolve(operators_per_point(found))
        except ValueError as error:
            yield Problem(leaf.path, f"Einsum '{leaf.einsum}': {error}")
        loads = {load.tensor for load in found.reads}
        for tensor in leaf.forwarded:
            if tensor not in loads:
                yield Problem(
                    f"{leaf.path}.forwarded",
                    f"Einsum '{leaf.einsum}' does not read '{tensor}'{nearest(tensor, loads)}",
                )
            elif not _stream_before(c, leaf, tensor):
                message = f"no earlier Einsum beside '{leaf.einsum}' makes or reads '{tensor}', so nothing forwards it"
                yield Problem(f"{leaf.path}.forwarded", message)


def _recomposes(cascade: Cascade, access: Access, position: int) -> bool:
    """Whether an index of several terms is m1*M0 + m0 over a partitioned rank."""
    axis = cascade.axes_of(access)[position]
    partition = cascade.partition_of(axis.over or axis.rank)
    variables = {term.variable for term in access.indices[position].terms}
    return partition is not None and variables == {part.lower() for part in partition.parts}


def _stream_before(c: Combination, leaf: PlacedLeaf, tensor: str) -> bool:
    for other in c.tree.leaves[: leaf.index]:
        einsum = c.cascade.einsum(other.einsum)
        beside = other.loops[: other.shared] == leaf.loops[: leaf.shared]
        if beside and tensor in {einsum.output.tensor, *(load.tensor for load in einsum.reads)}:
            return True
    return False


def iter_coverage_problems(c: Combination) -> Iterator[Problem]:
    """Every rank of an Einsum is walked, by its loops or a side of its array, and no other loop is around it."""
    for leaf in c.tree.leaves:
        own = c.cascade.variables_of(leaf.einsum)
        for side in leaf.spatial:
            if side.variable not in own:
                yield Problem(f"{leaf.path}.spatial", f"Einsum '{leaf.einsum}' has no rank variable '{side.variable}'")
        yield from (Problem(*found) for found in iter_side_findings(leaf))
        if c.architecture is not None:
            array = c.architecture.array(leaf.array)
            yield from (Problem(*found) for found in iter_network_findings(c.cascade, leaf, array))
        for variable in own:
            if not _is_covered(c, leaf, variable):
                missing = f"no loop and no side of the array covers rank variable '{variable}'"
                yield Problem(leaf.path, f"Einsum '{leaf.einsum}': {missing}")
        yield from _lacking_problems(c, leaf)


def _lacking_problems(c: Combination, leaf: PlacedLeaf) -> Iterator[Problem]:
    """Loops over ranks that the Einsum lacks compute it again, which a mapping must ask for."""
    own = c.cascade.variables_of(leaf.einsum)
    lacking = [c.tree.loops[i] for i in leaf.loops if c.tree.loops[i].variable not in own]
    path = f"{leaf.path}.recompute"
    if leaf.recompute and not lacking:
        yield Problem(path, f"every loop around Einsum '{leaf.einsum}' is over one of its ranks: nothing is recomputed")
    elif leaf.recompute and c.cascade.is_iterative(leaf.einsum):
        yield Problem(path, f"Einsum '{leaf.einsum}' makes a running value, which cannot be computed again")
    for loop in [] if leaf.recompute else lacking:
        yield Problem(
            loop.path,
            f"the loop over '{loop.variable}' is around Einsum '{leaf.einsum}', which has no such rank: "
            "it would be computed again in every iteration",
        )


def _is_covered(c: Combination, leaf: PlacedLeaf, variable: str) -> bool:
    """Whether anything walks a rank; how far is a matter of numbers. What has nothing left to walk runs once."""
    around = {c.tree.loops[index].variable for index in leaf.loops}
    return variable in around | {loop.variable for loop in leaf.spatial}


def iter_core_problems(c: Combination) -> Iterator[Problem]:
    """Several cores have work that is dealt to them."""
    yield from (Problem(*found) for found in iter_core_findings(c.mapping, c.tree, c.cascade, c.architecture))


def iter_language_problems(c: Combination) -> Iterator[Problem]:
    """Conditions are such that tiles can be skipped by them; no tile and no value is under two names at once."""
    for findings in (
        iter_existence_findings(c.mapping, c.tree, c.cascade, c.architecture),
        iter_naming_findings(c.tree, c.cascade, c.architecture),
    ):
        yield from (Problem(*found) for found in dict.fromkeys(findings))


def iter_walk_problems(c: Combination) -> Iterator[Problem]:
    """Partitions are walked from the outside in, recurrences step by step."""
    yield from (Problem(path, message) for path, message in iter_walk_findings(c.tree, c.cascade))


def iter_keep_problems(c: Combination) -> Iterator[Problem]:
    """A kept tile serves an Einsum inside, and lies further in than the tile that fills it."""
    for keep in c.tree.keeps:
        inside = [leaf for leaf in c.tree.leaves if keep.covers(leaf.index)]
        if not any(_touches(c.cascade, leaf, keep.tensor) for leaf in inside):
            yield Problem(keep.path, f"'{keep.memory}' keeps '{keep.tensor}', which no Einsum inside reads or writes")
        if c.architecture is not None and keep.memory == c.architecture.root.name:
            home = "is the root memory, where every tensor lives unless it is kept further in"
            yield Problem(keep.path, f"'{keep.memory}' {home}: it keeps no tiles")
            continue
        for outer in c.tree.keeps[: keep.index]:
            if outer.tensor == keep.tensor and outer.first_leaf <= keep.first_leaf <= keep.last_leaf <= outer.last_leaf:
                yield from _nesting_problems(c, outer, keep)
    for share in iter_shares(c.mapping.tree, "tree"):
        for tensor in share.tensors:
            if tensor not in share.kept:
                near = nearest(tensor, share.kept)
                yield Problem(
                    share.path,
                    f"'{tensor}' shares a place in '{share.memory}' that is not kept for it here{near}",
                )


def iter_element_problems(c: Combination) -> Iterator[Problem]:
    """Of a tile beside the elements of an array it is known which element has which words; bypassing operands exist;
    memories hold what they are there for.
    """
    for findings in (iter_element_findings, iter_bypass_findings, iter_holding_findings):
        yield from (Problem(*found) for found in findings(c.cascade, c.tree, c.architecture))


def iter_layout_problems(c: Combination) -> Iterator[Problem]:
    """Orders in which tensors lie in memory are of their own ranks."""
    yield from (Problem(*found) for found in iter_layout_findings(c.mapping.layout, c.cascade, c.architecture))


def _nesting_problems(c: Combination, outer: PlacedKeep, inner: PlacedKeep) -> Iterator[Problem]:
    machine = c.architecture
    if machine is not None and machine.depth_of(inner.memory) <= machine.depth_of(outer.memory):
        inside = f"'{inner.memory}' keeps '{inner.tensor}' inside the tile that '{outer.memory}' keeps"
        yield Problem(inner.path, f"{inside}, but is no deeper in the machine")


def _touches(cascade: Cascade, leaf: PlacedLeaf, tensor: str) -> bool:
    einsum = cascade.einsum(leaf.einsum)
    return einsum.output.tensor == tensor or any(load.tensor == tensor for load in einsum.reads)


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
    loads = [load for load in c.cascade.einsum(consumer.einsum).reads if load.tensor == tensor]
    shared = c.tree.shared_loops(producer, consumer)
    if ranks:
        yield from _recurrence_problems(c, producer, consumer, ranks[0].lower(), loads)
        return
    reduced = c.cascade.einsum(producer.einsum).reduced_variables
    for loop in shared:
        if loop.variable in reduced:
            yield Problem(
                loop.path,
                f"Einsum '{consumer.einsum}' reads '{tensor}' inside the loop over '{loop.variable}' (rank "
                f"{c.cascade.root_of(loop.variable.upper())}), over which Einsum '{producer.einsum}' still reduces it: "
                "the value is not complete there",
            )
    if producer.index > consumer.index:
        yield Problem(
            consumer.path,
            f"Einsum '{consumer.einsum}' reads '{tensor}' before Einsum '{producer.einsum}' makes it",
        )


def _recurrence_problems(
    c: Combination, producer: PlacedLeaf, consumer: PlacedLeaf, variable: str, loads: list[Access]
) -> Iterator[Problem]:
    """Running values: the new one after it is made, the old one in step with the new, the last one after the loop."""
    shared = c.tree.shared_loops(producer, consumer)
    in_step = any(loop.variable == variable and loop.tile == "1" for loop in shared)
    tensor = producer.einsum
    for load in loads:
        is_last = any(index.last_of is not None for index in load.indices)
        is_new = not is_last and any(index.offset == 1 for index in load.indices)
        if is_last and any(loop.variable == variable for loop in shared):
            yield Problem(
                consumer.path,
                f"Einsum '{consumer.einsum}' reads the last '{tensor}' inside the loop over '{variable}' that makes it",
            )
        elif (is_last or is_new) and producer.index > consumer.index:
            yield Problem(
                consumer.path,
                f"Einsum '{consumer.einsum}' reads '{tensor}' before Einsum '{producer.einsum}' makes it",
            )
        elif not is_last and not is_new and producer.index >= consumer.index and producer != consumer and not in_step:
            yield Problem(
                consumer.path,
                f"Einsum '{consumer.einsum}' reads the old '{tensor}', which Einsum '{producer.einsum}' makes later: "
                f"both must share a loop over '{variable}' in steps of 1",
            )


def iter_lifetime_problems(c: Combination) -> Iterator[Problem]:
    """Values are still where they are read, and complete."""
    for findings in (iter_turn_findings, iter_lifetime_findings):
        yield from (Problem(*finding) for finding in dict.fromkeys(findings(c.cascade, c.tree)))


def iter_schedule_problems(c: Combination) -> Iterator[Problem]:
    """Each Einsum runs in one phase, on the array it is bound to, or in a stage that comes after what it reads."""
    yield from (Problem(*finding) for finding in iter_schedule_findings(c.mapping, c.tree, c.cascade))
