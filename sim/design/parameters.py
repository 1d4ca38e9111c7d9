"""The value of every parameter of a mapping: from the experiment, from a table, or the default.

A table is a CSV file next to the mapping, with one row per workload for which values have been chosen.
"""

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from arch.expression import check_names
from einsums.names import near_or_all, nearest
from mappings.check import Problem
from mappings.types import Mapping, Parameter
from sim.design.diagnosis import Origin
from sim.load.document import Document
from sim.load.nouns import read_table
from sim.load.problems import InputError, InputProblem
from sim.lower.lowering import parsed


@dataclass(frozen=True, slots=True)
class Given:
    """The sources of parameter values."""

    experiment: Document
    origin: Origin  # where the mapping was written
    mapping: Mapping
    parameters: MappingOf[str, str]  # as the experiment gives them
    labels: MappingOf[str, Any]  # of the workload: model, seq_len, batch
    readable: frozenset[str]  # ranks and numbers of the machine


def parameter_values(given: Given) -> tuple[tuple[str, str], ...]:
    """Name and value of every parameter; InputError lists all invalid ones."""
    mapping = given.mapping
    known = [parameter.name for parameter in mapping.parameters]
    stored = stored_choices(given)
    problems = [
        given.experiment.problem(("parameters", name), _unknown(mapping, name, known))
        for name in given.parameters
        if name not in known
    ]
    values = []
    for parameter in mapping.parameters:
        name = parameter.name
        value = given.parameters.get(name, stored.get(name, parameter.default))
        for message in _iter_unfit(given, parameter, value):
            problems.append(_placed(given, name, stored, message))
        values.append((name, value))
    if problems:
        raise InputError(problems)
    return tuple(values)


def _placed(given: Given, name: str, stored: dict[str, str], message: str) -> InputProblem:
    """A problem with the value of a parameter, located where that value was written."""
    if name in given.parameters:
        return given.experiment.problem(("parameters", name), message)
    return given.origin.locate(Problem("table.file" if name in stored else f"parameters.{name}", message))


def _unknown(mapping: Mapping, name: str, known: list[str]) -> str:
    return f"mapping '{mapping.name}' has no parameter '{name}'{near_or_all(name, known)}"


def _iter_unfit(given: Given, parameter: Parameter, value: str) -> Iterator[str]:
    """Why a value is not one of the parameter's, or not an expression that can be read here."""
    if parameter.values:
        if value not in parameter.values:
            near = nearest(value, parameter.values)
            yield f"parameter '{parameter.name}' is '{value}'{near}, expected one of {', '.join(parameter.values)}"
        return
    tiles = (rule.symbol for rule in given.mapping.tiles)
    try:
        check_names(parsed(value), [*given.readable, *(p.name for p in given.mapping.parameters), *tiles])
    except ValueError as error:
        yield f"parameter '{parameter.name}': {error}"


def stored_choices(given: Given) -> dict[str, str]:
    """The row of the mapping's table for this workload, empty if it has none."""
    table = given.mapping.table
    if table is None:
        return {}
    path = Path(given.origin.document.place(("table", "file")).file).parent / table.file
    rows = _read_table_once(path, _stamp(given, table.file, path))
    columns = list(rows[0]) if rows else list(table.key)
    problems = [*_iter_key_problems(given, columns)]
    if problems:
        raise InputError(problems)
    for row in rows:
        if all(row[key] == str(given.labels[key]) for key in table.key):
            return row
    return {}


def _iter_key_problems(given: Given, columns: list[str]) -> Iterator[InputProblem]:
    assert given.mapping.table is not None
    for i, key in enumerate(given.mapping.table.key):
        if key not in given.labels:
            message = f"expected a label of the workload, got '{key}'{near_or_all(key, given.labels)}"
            yield given.origin.locate(Problem(f"table.key[{i}]", message))
        elif key not in columns:
            message = f"'{given.mapping.table.file}' has no column '{key}'{near_or_all(key, columns)}"
            yield given.origin.locate(Problem(f"table.key[{i}]", message))


def _stamp(given: Given, name: str, path: Path) -> tuple[int, ...]:
    """Identifies the state of the table's file; InputError if there is no such file."""
    try:
        found = path.stat()
    except OSError:
        names = [file.name for file in path.parent.glob("*.csv")]
        message = f"no such file '{name}'{nearest(name, names)}"
        raise InputError([given.origin.locate(Problem("table.file", message))]) from None
    return found.st_mtime_ns, found.st_size, found.st_dev, found.st_ino


@lru_cache(maxsize=32)
def _read_table_once(path: Path, _stamp: tuple[int, ...]) -> list[dict[str, str]]:
    return read_table(path)
