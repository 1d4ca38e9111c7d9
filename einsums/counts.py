"""What follows from sizes without a mapping: points, operations, compulsory traffic, intensity. All are exact."""

from typing import NamedTuple

from einsums.conditions import EVERYWHERE
from einsums.existing import Lengths, existing_elements, existing_points
from einsums.nodes import Einsum
from einsums.workload import Workload, count_coordinates


class OperationCount(NamedTuple):
    """Executions of one operator (map operator or reducer) in one Einsum."""

    einsum: str
    operator: str
    count: int  # type: ignore[assignment]  # hides tuple.count, which is not needed here


def points(workload: Workload, einsum: str, lengths: Lengths | None = None) -> int:
    """Points of an Einsum that exist, batch included. ValueError where lengths or a density are missing."""
    cascade = workload.cascade
    if cascade.existence.points[einsum] != EVERYWHERE:
        return existing_points(workload, einsum, lengths).points
    return count_coordinates(workload, tuple(cascade.rank_of_variable(name) for name in cascade.variables_of(einsum)))


def operation_counts(workload: Workload, lengths: Lengths | None = None) -> tuple[OperationCount, ...]:
    """Executions of each operator: one per point for every call in the expression, and one per point for a reduction.

    A reduction over n elements counts n operations. A multiply-accumulate appears as its `mul` and its `add`.
    """
    counts = []
    for einsum in workload.cascade.einsums:
        size = points(workload, einsum.name, lengths)
        operators = operators_per_point(einsum)
        for operator in dict.fromkeys(operators):
            counts.append(OperationCount(einsum.name, operator, size * operators.count(operator)))
    return tuple(counts)


def operators_per_point(einsum: Einsum) -> tuple[str, ...]:
    """Map operators bottom-up, then the reducer if there is one."""
    return (*einsum.map_operators, *((einsum.reduction.operator,) if einsum.reduction else ()))


def tensor_words(workload: Workload, tensor: str) -> int:
    """Values of a tensor, batch included; an iterative tensor counts its initial coordinate too, 0..I."""
    cascade = workload.cascade
    ranks = cascade.ranks_of(tensor)
    if cascade.existence.elements[tensor] != EVERYWHERE:
        return existing_elements(workload, tensor).points
    iterative = cascade.scope.iterative_rank.get(tensor)
    if iterative is None:
        return count_coordinates(workload, ranks)
    start = count_coordinates(workload, tuple(rank for rank in ranks if rank != iterative))
    return count_coordinates(workload, ranks) + start


def compulsory_traffic_words(workload: Workload) -> int:
    """Words that any mapping must move: every input read once, every output written once."""
    names = (*(tensor.name for tensor in workload.cascade.inputs), *workload.cascade.outputs)
    return sum(tensor_words(workload, name) for name in names)


def intensity(workload: Workload) -> float:
    """Operations per byte of compulsory traffic."""
    operations = sum(row.count for row in operation_counts(workload))
    return operations * 8 / (compulsory_traffic_words(workload) * workload.bits)
