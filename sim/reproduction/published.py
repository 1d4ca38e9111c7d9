"""Published values of a reproduction: rows of its CSV files, each value under our names."""

import math
from dataclasses import dataclass
from pathlib import Path

from einsums.names import near_or_all
from sim.load.document import Document
from sim.load.nouns import read_table
from sim.load.problems import InputError, InputProblem
from sim.reproduction.evaluation import Reproduction
from sim.reproduction.parts import PublishedTable


@dataclass(frozen=True, slots=True)
class PublishedValue:
    """One published number. `axis_value` is that of a sweep; `einsum` is empty for a whole kernel."""

    kernel: str
    sweep: str
    axis_value: int | None
    design: str
    model: str
    seq_len: int
    metric: str
    einsum: str
    value: float


def load_published(document: Document, reproduction: Reproduction) -> tuple[PublishedValue, ...]:
    """Every published value, in the order of the files; InputError for a table that holds something else."""
    values: list[PublishedValue] = []
    for i, table in enumerate(reproduction.published):
        path = Path(document.file).parent / table.file
        rows = read_table(path)
        columns = tuple(rows[0]) if rows else ()
        wanted = [*_key_columns(table), *(pair.value for pair in (*table.metrics, *table.by_einsum))]
        missing = [name for name in wanted if name not in columns]
        if missing:
            message = f"'{table.file}' has no column '{missing[0]}'{near_or_all(missing[0], columns)}"
            raise InputError([document.problem(("published", i), message)])
        for number, row in enumerate(rows, start=2):
            values += _values_of_row(reproduction, table, row, (path, number))
    return tuple(values)


def _key_columns(table: PublishedTable) -> tuple[str, ...]:
    return ("design", "model", "seq_len", *((table.axis,) if table.axis else ()))


def _values_of_row(
    reproduction: Reproduction, table: PublishedTable, row: dict[str, str], place: tuple[Path, int]
) -> list[PublishedValue]:
    try:
        design = {pair.name: pair.value for pair in table.designs}.get(row["design"], row["design"])
        if design not in [known.name for known in reproduction.designs]:
            raise ValueError(f"unknown design '{design}'{near_or_all(design, (d.name for d in reproduction.designs))}")
        kernel = reproduction.sweep(table.sweep).kernel if table.sweep else str(table.kernel)
        axis_value = int(row[table.axis]) if table.axis else None
        _check_point(reproduction, table, (row["model"], int(row["seq_len"]), axis_value))
        point = (kernel, table.sweep or "", axis_value, design, row["model"], int(row["seq_len"]))
        found = [PublishedValue(*point, pair.name, "", _number(row[pair.value], pair.value)) for pair in table.metrics]
        for pair in table.by_einsum:
            shares = _by_einsum(row[pair.value], pair.value)
            found += [PublishedValue(*point, pair.name, einsum, value) for einsum, value in shares]
    except ValueError as error:
        raise InputError([InputProblem(str(place[0]), place[1], "", str(error))]) from None
    return found


def _check_point(reproduction: Reproduction, table: PublishedTable, point: tuple[str, int, int | None]) -> None:
    """ValueError for a point that the reproduction does not run."""
    model, seq_len, axis_value = point
    models, lengths = reproduction.models, reproduction.lengths
    values: tuple[int | None, ...] = (None,)
    if table.sweep is not None:
        sweep = reproduction.sweep(table.sweep)
        models, lengths, values = (sweep.model,), (sweep.seq_len,), sweep.axis.values
    checks = (("model", model, models), ("length", seq_len, lengths), ("axis value", axis_value, values))
    for kind, found, known in checks:
        if found not in known:
            near = near_or_all(str(found), map(str, known))
            raise ValueError(f"no point of the reproduction has the {kind} '{found}'{near}")


def _number(text: str, column: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"expected a number in column '{column}', got '{text}'")
    return value


def _by_einsum(text: str, column: str) -> list[tuple[str, float]]:
    """`QK=0.1;LM=0.2`; empty if nothing was published."""
    pairs = [part.partition("=") for part in text.split(";") if part]
    return [(name, _number(value, column)) for name, _, value in pairs]
