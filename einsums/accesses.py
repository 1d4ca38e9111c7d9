"""Checks of the Einsums of a cascade against its declarations: names, indices, iterations, order.

Every check yields one sentence per mistake, so that a user sees all of them at once. The checks of later stages
(indices, then cycles) run only if the earlier stages found nothing: otherwise they would only report consequences of
the first mistakes.
"""

from collections.abc import Iterator

from einsums.declarations import repeated
from einsums.graph import cycle_problems
from einsums.names import near_or_all
from einsums.nodes import Access, Einsum, Index
from einsums.problems import CascadeProblem, listed
from einsums.scope import Scope, recomposition


def iter_problems(scope: Scope) -> Iterator[CascadeProblem]:
    """Everything wrong with the Einsums, stage by stage."""
    for stage in (_name_problems, _left_problems, _index_problems, _role_problems, cycle_problems):
        found = tuple(stage(scope))
        yield from found
        if found:
            return


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
        for name in dict.fromkeys(access.tensor for access in einsum.loads):
            if name not in inputs and name not in written:
                message = f"{einsum.name}: unknown tensor '{name}'{near_or_all(name, [*inputs, *written])}"
                yield CascadeProblem(f"{message}; it is neither an input nor written", einsum.line)
        for variable in einsum.variables:
            yield from _variable_problems(scope, einsum, variable)


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


# --- the left side ------------------------------------------------------------------------------------------
def _left_problems(scope: Scope) -> Iterator[CascadeProblem]:
    for einsum in scope.einsums:
        steps = 0
        for index in einsum.output.indices:
            if scope.rank_of_index(index) is None or index.offset not in (0, 1):
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
        for access in einsum.loads:
            ranks = scope.tensor_by_name[access.tensor].ranks
            if len(ranks) != len(access.indices):
                yield CascadeProblem(_wrong_count(einsum, access, ranks), einsum.line)
                continue
            for index, rank in zip(access.indices, ranks, strict=True):
                problem = _index_problem(scope, access, index, rank)
                if problem:
                    yield CascadeProblem(f"{einsum.name}: {problem}", einsum.line)


def _wrong_count(einsum: Einsum, access: Access, ranks: tuple[str, ...]) -> str:
    has = f"{len(ranks)} rank{'s' * (len(ranks) != 1)} ({listed(ranks)})" if ranks else "no ranks"
    used = f"{len(access.indices)} {'index' if len(access.indices) == 1 else 'indices'}"
    return f"{einsum.name}: {access.tensor} has {has} but is used with {used}"


def _index_problem(scope: Scope, access: Access, index: Index, rank: str) -> str | None:
    """What is wrong with one index; `rank` is the tensor's rank at that place."""
    iterates = scope.iterative_rank.get(access.tensor) == rank
    if index.last_of:
        if iterates and index.last_of == rank:
            return None
        if iterates:
            return f"{access} must read the last coordinate of {access.tensor} as {rank}, found {index.last_of}"
        return f"{access}: '{index}' reads a last coordinate, but {access.tensor} does not iterate over {rank}"
    if index.plain_variable is not None:
        return _plain_problem(scope, access, index, (rank, iterates))
    unknown = [name for term in index.terms for name in term.scale_ranks if name not in scope.root_by_part]
    if unknown:
        hint = near_or_all(unknown[0], scope.root_by_part)
        return f"{access}: index '{index}' is scaled by {unknown[0]}, which is no part of a partition{hint}"
    if any(term.scale_ranks for term in index.terms) and scope.rank_of_index(index) != rank:
        partition = scope.partition_by_rank.get(rank)
        expected = recomposition(partition) if partition else rank.lower()
        return f"{access}: index '{index}' does not run over {rank}, expected '{expected}'"
    if iterates and index.terms:
        allowed = f"{rank.lower()}, {rank.lower()}+1, a number or {rank}"
        return f"{access}: index '{index}' of the iterative rank {rank} must be {allowed}"
    return None


def _plain_problem(scope: Scope, access: Access, index: Index, place: tuple[str, bool]) -> str | None:
    """Check an index that is a variable, optionally plus a constant, over a rank that may be iterative."""
    rank, iterates = place
    runs_over = scope.rank_by_variable[str(index.plain_variable)]
    if runs_over == rank and index.offset and not (iterates and index.offset == 1):
        allowed = f"{rank.lower()} or {rank.lower()}+1" if iterates else rank.lower()
        return f"{access}: index '{index}' leaves rank {rank}; expected {allowed}"
    if runs_over != rank and not index.offset:
        partition = scope.partition_by_rank.get(rank)
        expected = recomposition(partition) if partition else rank.lower()
        has = f"{access.tensor} has rank {rank} there"
        return f"{access}: index '{index}' runs over {runs_over}, but {has}, expected '{expected}'"
    return None


# --- what each tensor is for --------------------------------------------------------------------------------
def _role_problems(scope: Scope) -> Iterator[CascadeProblem]:
    declared, written = scope.declared, [einsum.name for einsum in scope.einsums]
    read = {access.tensor for einsum in scope.einsums for access in einsum.loads}
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
    yield from _unused_ranks(scope)


def _initial_problems(scope: Scope) -> Iterator[CascadeProblem]:
    started = [item.tensor for item in scope.declared.initial]
    for name in repeated(started):
        yield CascadeProblem(f"the initial value of {name} is given twice")
    for name, rank in scope.iterative:
        if name not in started:
            yield CascadeProblem(f"{name} iterates over {rank} but has no initial value; add init: {{{name}: value}}")
    for name in dict.fromkeys(started):
        if name not in scope.iterative_rank:
            hint = near_or_all(name, scope.iterative_rank)
            yield CascadeProblem(f"init gives a value to '{name}', which is not iterative (written at i+1){hint}")


def _unused_ranks(scope: Scope) -> Iterator[CascadeProblem]:
    used = {scope.rank_by_variable[variable] for einsum in scope.einsums for variable in einsum.variables}
    used |= {scope.root_by_part.get(rank, rank) for rank in used}
    used |= {rank for tensor in scope.declared.inputs for rank in tensor.ranks} | set(scope.declared.batch)
    for rank in (*scope.roots, *scope.root_by_part):
        if rank not in used:
            yield CascadeProblem(f"rank {rank} is declared but never used")
