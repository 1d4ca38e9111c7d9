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
from arch.words import iter_word_problems
from einsums.names import near_or_all, nearest
from mappings.check import Problem
from mappings.types import Mapping, Parameter
from sim.design.diagnosis import Origin
from sim.load.document import Document
from sim.load.files import stamp_of
from sim.load.nouns import read_table
from sim.load.problems import InputError, InputProblem
from sim.lower.lowering import parsed

LABELS = ("model", "seq_len", "batch")  # of a workload: what a table may be looked up by


@dataclass(frozen=True, slots=True)
class Given:
    """The sources of parameter values."""

    experiment: Document
    origin: Origin  # where the mapping was written
    mapping: Mapping
    parameters: MappingOf[str, str]  # as the experiment gives them
    labels: MappingOf[str, Any]  # of the workload: a value for each of LABELS
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
    words: dict[str, tuple[str, ...]] = dict.fromkeys(
        (*given.readable, *(rule.symbol for rule in given.mapping.tiles)), ()
    )
    words |= {other.name: other.values for other in given.mapping.parameters}
    try:
        check_names(parsed(value), words)
        problems = [*iter_word_problems(parsed(value), words)]
    except ValueError as error:
        problems = [str(error)]
    yield from (f"parameter '{parameter.name}': {problem}" for problem in problems)


def stored_choices(given: Given) -> dict[str, str]:
    """The row of the mapping's table for this workload, empty if it has none."""
    table = given.mapping.table
    for row in read_choices(given.mapping, given.origin) if table else ():
        if table and all(row[key] == str(given.labels[key]) for key in table.key):
            return row
    return {}


def read_choices(mapping: Mapping, origin: Origin) -> list[dict[str, str]]:
    """The table of a mapping that has one; InputError for names in it, or in its key, that stand for nothing."""
    assert mapping.table is not None
    path = Path(origin.document.place(("table", "file")).file).parent / mapping.table.file
    rows = _read_table_once(path, _stamp(origin, mapping.table.file, path))
    columns = list(rows[0]) if rows else list(mapping.table.key)
    problems = [*_iter_key_problems(mapping, origin, columns), *_iter_table_problems(mapping, path, rows)]
    if problems:
        raise InputError(problems)
    return rows


def _iter_table_problems(mapping: Mapping, path: Path, rows: list[dict[str, str]]) -> Iterator[InputProblem]:
    """Words of a table that no parameter has, and columns that look like misspelt parameters (others are remarks)."""
    parameters = {parameter.name: parameter for parameter in mapping.parameters}
    keys = () if mapping.table is None else mapping.table.key
    columns = list(rows[0]) if rows else []
    absent = [name for name in parameters if name not in columns]
    for column in columns:
        near = "" if column in keys or column in parameters else nearest(column, absent)
        if near:
            yield InputProblem(str(path), 1, "", f"the column '{column}' is neither a key nor a parameter{near}")
    for line, row in enumerate(rows, start=2):
        for column in columns:
            values = parameters[column].values if column in parameters else ()
            if values and row[column] not in values:
                near = near_or_all(row[column], values)
                yield InputProblem(str(path), line, "", f"'{column}' is never '{row[column]}'{near}")


def _iter_key_problems(mapping: Mapping, origin: Origin, columns: list[str]) -> Iterator[InputProblem]:
    assert mapping.table is not None
    for i, key in enumerate(mapping.table.key):
        if key not in LABELS:
            message = f"expected a label of the workload, got '{key}'{near_or_all(key, LABELS)}"
            yield origin.locate(Problem(f"table.key[{i}]", message))
        elif key not in columns:
            message = f"'{mapping.table.file}' has no column '{key}'{near_or_all(key, columns)}"
            yield origin.locate(Problem(f"table.key[{i}]", message))


def _stamp(origin: Origin, name: str, path: Path) -> tuple[int, ...]:
    """Identifies the state of the table's file; InputError if there is no such file."""
    found = stamp_of(path)
    if found is None:
        names = [file.name for file in path.parent.glob("*.csv")]
        raise InputError([origin.locate(Problem("table.file", f"no such file '{name}'{nearest(name, names)}"))])
    return found


@lru_cache(maxsize=32)
def _read_table_once(path: Path, _stamp: tuple[int, ...]) -> list[dict[str, str]]:
    return read_table(path)
