"""Checks of the Einsums of a cascade against its declarations: names, indices, iterations, order.

Every check yields one sentence per mistake, so that a user sees all of them at once. The checks of later stages
(indices, then cycles) run only if the earlier stages found nothing: otherwise they would only report consequences of
the first mistakes.
"""

from collections.abc import Iterator
from typing import NamedTuple

from einsums.declarations import repeated
from einsums.existence import Existence
from einsums.graph import cycle_problems
from einsums.names import near_or_all
from einsums.nodes import Access, Einsum, Index, Position, iter_leaves
from einsums.problems import CascadeProblem, listed
from einsums.scope import Scope, recomposition


def iter_problems(scope: Scope) -> Iterator[CascadeProblem]:
    """Everything wrong with the Einsums, stage by stage."""
    for stage in (_name_problems, _left_problems, _index_problems, _role_problems, cycle_problems, _existence_problems):
        found = tuple(stage(scope))
        yield from found
        if found:
            return


def _existence_problems(scope: Scope) -> Iterator[CascadeProblem]:
    if scope.declared.boundaries or any(einsum.condition is not None for einsum in scope.einsums):
        yield from Existence(scope).problems


# --- names --------------------------------------------------------------------------------------------------
def _name_problems(scope: Scope) -> Iterator[CascadeProblem]:
    inputs = [tensor.name for tensor in scope.declared.inputs]
    written = [einsum.name for einsum in scope.einsums]
    if not written:
        yield CascadeProblem("a cascade needs at least one Einsum")
    for name in repeated(written):
        yield CascadeProblem(f"tensor {name} is written twice", [e.line for e in scope.einsums if e.name == name][1])
    for einsum in scope.einsums:
        if einsum.name in inputs:
            yield CascadeProblem(f"{einsum.name} is an input and cannot be written", einsum.line)
        for name in dict.fromkeys(access.tensor for access in einsum.reads):
            if name not in inputs and name not in written:
                message = f"{einsum.name}: unknown tensor '{name}'{near_or_all(name, [*inputs, *written])}"
                yield CascadeProblem(f"{message}; it is neither an input nor written", einsum.line)
        for variable in einsum.variables:
            yield from _variable_problems(scope, einsum, variable)
        yield from _size_problems(scope, einsum)


def _variable_problems(scope: Scope, einsum: Einsum, variable: str) -> Iterator[CascadeProblem]:
    if variable in scope.rank_by_variable:
        return
    partition = scope.partition_by_rank.get(variable.upper())
    if variable.upper() in scope.declared.batch:
        batch = variable.upper()
        message = f"'{variable}' is the variable of batch rank {batch}, which every tensor carries unwritten"
    elif partition:
        split = f"rank {partition.rank} is partitioned into {listed(partition.parts)}"
        message = f"{split}; write {recomposition(partition)} for '{variable}'"
    else:
        message = f"unknown rank variable '{variable}'{near_or_all(variable, scope.rank_by_variable)}"
    yield CascadeProblem(f"{einsum.name}: {message}", einsum.line)


def _size_problems(scope: Scope, einsum: Einsum) -> Iterator[CascadeProblem]:
    """Sizes of ranks that are no ranks, in positions and indices."""
    known = (*scope.roots, *scope.root_by_part)
    for form in iter_forms(einsum):
        for term in form.sizes:
            for name in term.scale_ranks:
                if name not in known:
                    message = f"'{name}' is the size of no rank{near_or_all(name, known)}"
                    yield CascadeProblem(f"{einsum.name}: {message}", einsum.line)


def iter_forms(einsum: Einsum) -> Iterator[Index]:
    """Every affine form of an Einsum: indices of what it reads, positions and their divisors."""
    for access in einsum.reads:
        yield from access.indices
    for expr in (einsum.expr, einsum.condition):
        for leaf in iter_leaves(expr) if expr is not None else ():
            if isinstance(leaf, Position):
                yield leaf.form
                if leaf.divisor is not None:
                    yield leaf.divisor


# --- the left side ------------------------------------------------------------------------------------------
def _left_problems(scope: Scope) -> Iterator[CascadeProblem]:
    for einsum in scope.einsums:
        steps = 0
        for index in einsum.output.indices:
            if scope.rank_of_index(index) is None or index.offset not in (0, 1) or index.sizes:
                expected = "a rank variable, a rank variable + 1 (iterative) or a whole partition such as m1*M0+m0"
                yield CascadeProblem(f"{einsum.name}: index '{index}' on the left must be {expected}", einsum.line)
            steps += bool(index.offset)
        if steps > 1:
            yield CascadeProblem(f"{einsum.name}: {einsum.output} iterates over more than one rank", einsum.line)
        ranks = scope.tensor_by_name[einsum.name].ranks
        for rank in repeated(rank for rank in ranks if rank):
            yield CascadeProblem(f"{einsum.name}: {einsum.output} has rank {rank} twice", einsum.line)
        for root, parts in _mixed_roots(scope, ranks):
            yield CascadeProblem(f"{einsum.name}: {einsum.output} has rank {root} and its part {parts}", einsum.line)


def _mixed_roots(scope: Scope, ranks: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    for rank in ranks:
        root = scope.root_by_part.get(rank)
        if root in ranks and root is not None:
            yield root, rank


# --- indices on the right -----------------------------------------------------------------------------------
def _index_problems(scope: Scope) -> Iterator[CascadeProblem]:
    for einsum in scope.einsums:
        for access in einsum.reads:
            ranks = scope.tensor_by_name[access.tensor].ranks
            if len(ranks) != len(access.indices):
                yield CascadeProblem(_wrong_count(einsum, access, ranks), einsum.line)
                continue
            for index, rank in zip(access.indices, ranks, strict=True):
                is_free = einsum.condition is not None or access.tensor in scope.edge_by_tensor
                place = _IndexPlace(rank, scope.iterative_rank.get(access.tensor) == rank, is_free)
                problem = _index_problem(scope, access, index, place)
                if problem:
                    yield CascadeProblem(f"{einsum.name}: {problem}", einsum.line)


def _wrong_count(einsum: Einsum, access: Access, ranks: tuple[str, ...]) -> str:
    has = f"{len(ranks)} rank{'s' * (len(ranks) != 1)} ({listed(ranks)})" if ranks else "no ranks"
    used = f"{len(access.indices)} {'index' if len(access.indices) == 1 else 'indices'}"
    return f"{einsum.name}: {access.tensor} has {has} but is used with {used}"


class _IndexPlace(NamedTuple):
    """The tensor's rank at an index; `is_free`: a condition or a boundary says what lies outside the tensor."""

    rank: str
    iterates: bool
    is_free: bool


def _index_problem(scope: Scope, access: Access, index: Index, place: _IndexPlace) -> str | None:
    """What is wrong with one index."""
    rank, iterates, _ = place
    if index.last_of:
        if iterates and index.last_of == rank:
            return None
        if iterates:
            return f"{access} must read the last coordinate of {access.tensor} as {rank}, found {index.last_of}"
        return f"{access}: '{index}' reads a last coordinate, but {access.tensor} does not iterate over {rank}"
    if index.plain_variable is not None:
        return _plain_problem(scope, access, index, place)
    unknown = [name for term in index.terms for name in term.scale_ranks if name not in scope.root_by_part]
    if unknown:
        hint = near_or_all(unknown[0], scope.root_by_part)
        return f"{access}: index '{index}' is scaled by {unknown[0]}, which is no part of a partition{hint}"
    over = scope.rank_of_index(index)
    if any(term.scale_ranks for term in index.terms) and (over is None or not scope.is_same(over, rank)):
        partition = scope.partition_by_rank.get(rank)
        expected = recomposition(partition) if partition else rank.lower()
        return f"{access}: index '{index}' does not run over {rank}, expected '{expected}'"
    if iterates and index.terms and over is None and not index.sizes:
        allowed = f"{rank.lower()}, {rank.lower()}+1, a number or {rank}"
        return f"{access}: index '{index}' of the iterative rank {rank} must be {allowed}"
    return None


def _plain_problem(scope: Scope, access: Access, index: Index, place: _IndexPlace) -> str | None:
    """Check an index that is a variable, optionally plus a constant, over a rank that may be iterative."""
    rank, iterates, is_free = place
    runs_over = scope.rank_by_variable[str(index.plain_variable)]
    is_same = scope.is_same(runs_over, rank)
    if is_same and index.offset and not is_free and not (iterates and index.offset == 1):
        allowed = f"{rank.lower()} or {rank.lower()}+1" if iterates else runs_over.lower()
        return f"{access}: index '{index}' leaves rank {rank}; expected {allowed}"
    if not is_same and not index.offset and not is_free:
        partition = scope.partition_by_rank.get(rank)
        expected = recomposition(partition) if partition else rank.lower()
        has = f"{access.tensor} has rank {rank} there"
        return f"{access}: index '{index}' runs over {runs_over}, but {has}, expected '{expected}'"
    return None


# --- what each tensor is for --------------------------------------------------------------------------------
def _role_problems(scope: Scope) -> Iterator[CascadeProblem]:
    declared, written = scope.declared, [einsum.name for einsum in scope.einsums]
    read = {access.tensor for einsum in scope.einsums for access in scope.reads_of(einsum)}
    for name in declared.outputs:
        if name not in written:
            yield CascadeProblem(f"output '{name}' is never written{near_or_all(name, written)}")
    for tensor in declared.inputs:
        if tensor.name not in read:
            yield CascadeProblem(f"input {tensor.name} is never read")
    for einsum in scope.einsums:
        if einsum.name not in read and einsum.name not in declared.outputs:
            yield CascadeProblem(f"{einsum.name} is written but never read, and is no output", einsum.line)
    yield from _initial_problems(scope)
    yield from _edge_problems(scope)
    yield from _unused_ranks(scope)


def _initial_problems(scope: Scope) -> Iterator[CascadeProblem]:
    started = [item.tensor for item in scope.declared.initial]
    for name in repeated(started):
        yield CascadeProblem(f"the initial value of {name} is given twice")
    for name, rank in scope.iterative:
        if name not in started:
            yield CascadeProblem(f"{name} iterates over {rank} but has no initial value; add init: {{{name}: value}}")
        elif name in scope.start_by_tensor:
            yield from _start_problems(scope, name, rank)
    for name in dict.fromkeys(started):
        if name not in scope.iterative_rank:
            hint = near_or_all(name, scope.iterative_rank)
            yield CascadeProblem(f"init gives a value to '{name}', which is not iterative (written at i+1){hint}")


def _start_problems(scope: Scope, name: str, rank: str) -> Iterator[CascadeProblem]:
    """A start is a tensor of the remaining ranks, in order."""
    start, tensors = scope.start_by_tensor[name], scope.tensor_by_name
    if start not in tensors:
        yield CascadeProblem(f"{name} starts from unknown tensor '{start}'{near_or_all(start, tensors)}")
        return
    rest = [own for own in tensors[name].ranks if own != rank]
    found = tensors[start].ranks
    if len(found) != len(rest) or not all(map(scope.is_same, found, rest)):
        has = f"{start} has {listed(found)}"
        yield CascadeProblem(f"{name} starts from {start}, which must have its other ranks, {listed(rest)}; {has}")
    elif start in scope.iterative_rank:
        yield CascadeProblem(f"{name} starts from {start}, which iterates; read the step of it that is meant")


def _edge_problems(scope: Scope) -> Iterator[CascadeProblem]:
    for name in scope.edge_by_tensor:
        if name not in scope.tensor_by_name:
            hint = near_or_all(name, scope.tensor_by_name)
            yield CascadeProblem(f"boundary lists '{name}', which is neither an input nor written{hint}")
        elif name in scope.iterative_rank:
            yield CascadeProblem(f"boundary lists {name}, which iterates: what lies before its first step is its start")


def _unused_ranks(scope: Scope) -> Iterator[CascadeProblem]:
    used = {scope.rank_by_variable[variable] for einsum in scope.einsums for variable in einsum.variables}
    used |= {scope.root_by_part.get(rank, rank) for rank in used}
    used |= {rank for tensor in scope.declared.inputs for rank in tensor.ranks} | set(scope.declared.batch)
    forms = [form for einsum in scope.einsums for form in iter_forms(einsum)]
    used |= {rank for form in forms for term in (*form.terms, *form.sizes) for rank in term.scale_ranks}
    used |= {scope.root_by_part.get(rank, rank) for rank in used} | {scope.first_name.get(rank, rank) for rank in used}
    for rank in (*scope.roots, *scope.root_by_part):
        if rank not in used:
            yield CascadeProblem(f"rank {rank} is declared but never used")
