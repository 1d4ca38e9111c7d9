"""Names in a document that its noun's own room cannot resolve, because what they name belongs to another room.

Operators of a machine are those of Einsums; sizes of a cascade are formulas over a model's dimensions; the words that a
mapping compares with are values of its parameters; systems of a taxonomy run shipped cascades. Each is checked when its
document is read, so that a misspelt word is never taken for one that merely has no effect.
"""

import re
from collections.abc import Callable, Iterator
from typing import Any

from pydantic import BaseModel

from arch.expression import check_names, parse_expression
from arch.operation import Operation
from arch.operator_table import OperatorTable
from arch.types import Architecture, Array
from arch.words import iter_word_problems
from einsums.model import Model
from einsums.names import near_or_all
from einsums.operators import OPERATOR_BY_NAME, REDUCER_BY_NAME
from einsums.types import Cascade
from mappings.expressions import iter_formulas, iter_selects
from mappings.types import Mapping

Path = tuple[str | int, ...]
Found = Iterator[tuple[Path, str]]

OPERATORS = tuple(dict.fromkeys((*OPERATOR_BY_NAME, *REDUCER_BY_NAME)))
# What a cascade's sizes may read: the workload, and the dimensions of its model.
DIMENSIONS = ("batch", "seq_len", *(name for name, field in Model.model_fields.items() if field.annotation is int))
_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")


def iter_unresolved(noun: BaseModel) -> Found:
    """Every name of a valid noun that stands for nothing, with its path in the document."""
    yield from _CHECKS.get(type(noun), _nothing)(noun)


def steps_of(path: str) -> Path:
    """`tree.body[0].loops` as keys and indices."""
    return tuple(int(index) if index else name for index, name in _PART.findall(path))


def _nothing(_: Any) -> Found:
    return iter(())


def _of_machine(machine: Architecture) -> Found:
    for array in machine.arrays:
        for path, message in _of_array(array):
            yield ("components", array.name, *path), message


def _of_array(array: Array) -> Found:
    yield from _of_operations(array.own_operations)
    if array.table is not None:
        yield from ((("operators", *path), message) for path, message in _of_table(array.table))


def _of_table(table: OperatorTable) -> Found:
    yield from _of_operations(table.operations)


def _of_operations(operations: tuple[Operation, ...]) -> Found:
    for operation in operations:
        for path, operator in _iter_operators(operation):
            if operator not in OPERATORS:
                near = near_or_all(operator, OPERATORS)
                yield ("operations", operation.name, *path), f"unknown operator '{operator}'{near}"


def _iter_operators(operation: Operation) -> Iterator[tuple[Path, str]]:
    yield from ((("operators", i), operator) for i, operator in enumerate(operation.operators))
    for i, covered in enumerate(operation.also):
        yield from ((("also", i, j), operator) for j, operator in enumerate(covered))


def _of_cascade(cascade: Cascade) -> Found:
    for rule in cascade.sizes:
        try:
            expression = parse_expression(rule.expression)
            check_names(expression, DIMENSIONS)
        except ValueError as error:
            yield ("sizes", rule.rank), str(error)
            continue
        numbers: dict[str, tuple[str, ...]] = dict.fromkeys(DIMENSIONS, ())
        yield from ((("sizes", rule.rank), message) for message in iter_word_problems(expression, numbers))


def _of_mapping(mapping: Mapping) -> Found:
    words = {parameter.name: parameter.values for parameter in mapping.parameters}
    words |= {tile.symbol: () for tile in mapping.tiles}
    for path, text in iter_formulas(mapping):
        yield from ((steps_of(path), message) for message in iter_word_problems(parse_expression(text), words))
    for select in iter_selects(mapping):
        values = words.get(select.parameter, ())
        for case in select.cases if values else ():
            if case not in values:
                message = f"'{select.parameter}' is never '{case}'{near_or_all(case, values)}"
                yield (*steps_of(select.path), "cases", case), message


_CHECKS: dict[type[BaseModel], Callable[[Any], Found]] = {
    Architecture: _of_machine,
    Array: _of_array,
    Cascade: _of_cascade,
    Mapping: _of_mapping,
    OperatorTable: _of_table,
}
