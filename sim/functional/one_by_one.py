"""Every Einsum of a cascade separately in torch, for cascades that no operator of the kernels computes.

An Einsum takes the interpreter's values of its operands, at all of its points and steps at once, and computes its own
tensor. The torch function of an operator is a column of the table of operators.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from einsums.nodes import Access, Call, Const, Einsum, Expr, Load, Position, iter_leaves
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME
from mappings.tree import PlacedLeaf
from sim.functional.boxes import Box, whole_box
from sim.functional.points import BoxPoints, reduced_order
from sim.functional.program import Program
from sim.functional.references import Backend, clean_environment, run_process

Arrays = dict[str, np.ndarray]


class _Asked(NamedTuple):
    """One Einsum on one set of inputs: where its results belong, and what they are compared with."""

    key: str
    einsum: Einsum
    points: BoxPoints
    expected: np.ndarray


def run_one_by_one(program: Program, values_by_set: Mapping[str, Arrays]) -> tuple[Backend, dict[str, Arrays]]:
    """Torch's results for each Einsum, by set and tensor; elements without a point are those of the interpreter.

    `values_by_set`: for each set its inputs, and the interpreter's result for every tensor. RuntimeError with the end
    of the kernels' process output if it fails.
    """
    asked: list[_Asked] = []
    arrays: Arrays = {}
    requests: list[dict[str, Any]] = []
    whole = whole_box(program.workload)
    for name, values in values_by_set.items():
        for leaf in program.leaves:
            one = _asked(program, leaf, whole, name, values)
            asked.append(one)
            requests.append(_request(one, values, arrays))
    results = run_process({"einsums": requests}, arrays, clean_environment())
    found: dict[str, Arrays] = {name: {} for name in values_by_set}
    for one in asked:
        found[one.key.partition("/")[0]][one.einsum.name] = _placed(one, results[one.key])
    return Backend("torch", str(results["device"])), found


def _asked(program: Program, leaf: PlacedLeaf, whole: Box, inputs: str, values: Arrays) -> _Asked:
    points = BoxPoints(program.workload, leaf.einsum, whole, reduced_order(program, leaf, whole, 0), values).existing()
    einsum = program.cascade.einsum(leaf.einsum)
    return _Asked(f"{inputs}/{einsum.name}", einsum, points, values[einsum.name])


def _request(one: _Asked, values: Arrays, arrays: Arrays) -> dict[str, Any]:
    """The description of an Einsum for the process; its operands are added to `arrays`."""
    einsum, points = one.einsum, one.points
    positions = tuple(leaf for leaf in iter_leaves(einsum.expr) if isinstance(leaf, Position))
    operands = [points.operand(values[access.tensor], access) for access in einsum.loads]
    for n, operand in enumerate([*operands, *map(points.position, positions)]):
        arrays[f"{one.key}/{n}"] = np.ascontiguousarray(operand, dtype=np.float64)
    if points.exists is not None:
        arrays[f"{one.key}/exists"] = points.exists
    reducer = REDUCER_BY_NAME[einsum.reduction.operator] if einsum.reduction else None
    return {
        "name": one.key,
        "expression": _data(einsum.expr, (*einsum.loads, *positions)),
        "operands": len(einsum.loads) + len(positions),
        "shape": [len(points.order.coordinates), *points.shape],
        "reducer": reducer.torch if reducer else None,
        "identity": reducer.identity if reducer else 0.0,
        "is_logical": reducer is not None and reducer.name == "or",
    }


def _data(expr: Expr, operands: tuple[Access | Position, ...]) -> Any:
    """An expression as plain data, with the functions that compute its operators."""
    match expr:
        case Const():
            return expr.value
        case Load():
            return {"operand": operands.index(expr.access)}
        case Position():
            return {"operand": operands.index(expr)}
        case Call():
            arguments = [_data(argument, operands) for argument in expr.arguments]
            return {"function": OPERATOR_BY_NAME[expr.operator].torch, "arguments": arguments}


def _placed(one: _Asked, result: np.ndarray) -> np.ndarray:
    """A result [output ...] in the shape of its tensor."""
    if one.einsum.reduction is not None and one.einsum.reduction.operator == "mean":
        with np.errstate(all="ignore"):  # a result without points is left out below
            result = result / np.maximum(one.points.counts(), 1)
    tensor = np.array(one.expected, dtype=np.float64)
    exists = one.points.target_exists()
    if exists is not None:
        result = np.where(exists, result, one.points.gather(tensor, one.einsum.output)[0])
    one.points.scatter(tensor, one.einsum.output, result)
    return tensor
