"""Tables for other programs: what is true or false, missing, whole, in which unit, in CSV, Parquet and SQLite alike."""

import csv
import re
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from arch.quantity import TABLE_UNITS, parse_quantity
from sim.explore.export import export_csv, export_parquet, export_second_stage, table_columns
from sim.explore.run import SweepOptions, SweepResult, sweep
from sim.explore.seconds import Second
from sim.explore.store import FILE, read_only
from sim.explore.table import metric_column, plain_numbers, quantities
from tests.small_sweep import MACHINE, write_sweep

DOCS = Path(__file__).resolve().parent.parent / "docs" / "explore.md"
AXES = {
    "mapping": {"path": "mapping", "values": ["fusemax-binding", "fusemax-architecture"]},
    "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 100]},
    "buffer": {"path": f"{MACHINE}.GLB.size", "values": ["1536 KiB", "1 GiB"]},
    "bandwidth": {"path": f"{MACHINE}.DRAM.bandwidth", "values": [50, 400.5], "unit": "GiB/s"},
    "energy": {"path": f"{MACHINE}.DRAM.read_energy", "values": ["0.5 nJ", "1 nJ"]},
}
DERIVE = {
    f"{MACHINE}.PE1D.columns": "256",
    "architecture.clock": {"expression": "rows*1.5", "unit": "GHz"},
}
RECORD = ["cycles", "traffic_bytes.DRAM", "footprint_bytes.GLB", "utilization.PE2D"]


@pytest.fixture(scope="module")
def swept(tmp_path_factory: pytest.TempPathFactory) -> SweepResult:
    folder = tmp_path_factory.mktemp("table")
    changes: dict[str, Any] = {
        "axes": AXES,
        "derive": DERIVE,
        "record": RECORD,
        "fixed": {"model": "BERT", "seq_len": 4096},
    }
    path = write_sweep(folder, constraints={"small": "GLB.size_bytes < 1e9"}, **changes)
    return sweep(str(path), folder / "out", SweepOptions(workers=1))


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_headers_have_units(swept: SweepResult) -> None:
    assert list(rows_of(swept.folder / "points.csv")[0]) == [
        *("point", "hash", "version", "legal", "front", "reason_kind", "reason", "bound_by", "extrapolated"),
        *("mapping", "rows", "buffer (MiB)", "bandwidth (GiB/s)", "energy (nJ)"),
        *(f"{MACHINE}.PE1D.columns", "architecture.clock (MHz)"),
        *(*RECORD, "latency_s", "energy_pj"),
    ]


def test_an_axis_has_a_number_in_one_unit(swept: SweepResult) -> None:
    """1536 KiB and 1 GiB are 1.5 and 1024 MiB; 64 rows make 96 GHz."""
    rows = rows_of(swept.folder / "points.csv")
    assert {row["buffer (MiB)"] for row in rows} == {"1.5", "1024"}
    assert {row["bandwidth (GiB/s)"] for row in rows} == {"50", "400.5"}
    assert {row["energy (nJ)"] for row in rows} == {"0.5", "1"}
    assert {row["rows"]: float(row["architecture.clock (MHz)"]) for row in rows} == {"64": 96000, "100": 150000}


def test_legal_and_front_are_booleans(swept: SweepResult) -> None:
    rows = rows_of(swept.folder / "points.csv")
    points = swept.points()
    assert [row["legal"] for row in rows] == ["true" if is_legal else "false" for is_legal in points.is_legal]
    on_front = {points.at(int(row)).point for row in points.front}
    assert [row["front"] for row in rows] == ["true" if int(row["point"]) in on_front else "false" for row in rows]
    assert 0 < len(on_front) < len(rows) and not points.is_legal.all()
    front = rows_of(swept.folder / "front.csv")
    assert front == [row for row in rows if row["front"] == "true"]


def test_missing_is_missing(swept: SweepResult) -> None:
    """A legal point has no reason, an illegal one no metrics; neither is a text or a number."""
    for row in rows_of(swept.folder / "points.csv"):
        is_legal = row["legal"] == "true"
        assert bool(row["reason"]) == bool(row["reason_kind"]) == (not is_legal)
        assert all(bool(row[name]) == is_legal for name in (*RECORD, "latency_s", "energy_pj", "bound_by"))


def test_whole_numbers_are_integers(swept: SweepResult) -> None:
    rows = [row for row in rows_of(swept.folder / "points.csv") if row["legal"] == "true"]
    points = {point.point: point for point in swept.points()}
    for row in rows:
        point = points[int(row["point"])]
        assert row[f"{MACHINE}.PE1D.columns"] == "256"
        for name in ("cycles", "traffic_bytes.DRAM", "footprint_bytes.GLB"):
            value = point.value(name)
            assert row[name] == (str(int(value)) if value.is_integer() else repr(value))
        assert row["latency_s"] == repr(point.value("latency_s"))
    assert all(row["traffic_bytes.DRAM"].isdecimal() for row in rows)


def selected(value: float | None) -> Any:
    """A number of cycles through the SQL of its column."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.execute("CREATE TABLE points (cycles REAL)")
        connection.execute("INSERT INTO points VALUES (?)", (value,))
        (found,) = connection.execute(f"SELECT {metric_column('cycles').sql} FROM points").fetchone()
    return found


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (12.0, "12"),
        (12.5, "12.5"),
        (2.0**53 - 1, "9007199254740991"),
        (2.0**53, "9007199254740992.0"),  # 2^53 + 1 reads the same
        (2.0**70, "1.1805916207174113e+21"),
        (None, "None"),
    ],
)
def test_whole_numbers_beyond_floats_are_marked(value: float | None, expected: str) -> None:
    assert str(selected(value)) == expected


def test_a_second_stage_is_written_alike(tmp_path: Path) -> None:
    seconds = (
        Second(3, "cycle", (("latency_s", 2.0), ("cycles", 1000.0), ("energy_pj", 5.0))),
        Second(7, "cycle", refused="no"),
    )
    export_second_stage(seconds, tmp_path / "second_stage.csv")
    assert (tmp_path / "second_stage.csv").read_text().splitlines() == [
        "point,engine,refused,latency_s,cycles,energy_pj",
        "3,cycle,,2.0,1000,5.0",
        "7,cycle,no,,,",
    ]


def test_parquet_has_the_same_values_and_their_types(swept: SweepResult, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the parquet extra is not installed")
    front = [point.point for point in swept.front]
    export_parquet(swept.folder / FILE, tmp_path / "points.parquet", front)
    table = parquet.read_table(tmp_path / "points.parquet")
    kinds = {field.name: str(field.type) for field in table.schema}
    assert {name: kinds[name] for name in ("point", "legal", "front", "reason", "rows", "latency_s")} == {
        "point": "int64", "legal": "bool", "front": "bool", "reason": "string", "rows": "int64",
        "latency_s": "double",
    }  # fmt: skip
    assert (kinds["traffic_bytes.DRAM"], kinds["cycles"]) == ("int64", "double")  # some cycles are no whole number
    assert (kinds["buffer (MiB)"], kinds["mapping"], kinds[f"{MACHINE}.PE1D.columns"]) == ("double", "string", "int64")
    as_text = {True: "true", False: "false", None: ""}
    rows = rows_of(swept.folder / "points.csv")
    for read, row in zip(table.to_pylist(), rows, strict=True):
        for name, value in read.items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            assert (float(row[name]) == value) if is_number else (row[name] == as_text.get(value, value)), name


def test_the_document_names_every_column_of_the_store(swept: SweepResult) -> None:
    """Names and types as SQLite has them."""
    text = DOCS.read_text("utf-8")
    told = dict(re.findall(r"^\| `(\w+)` \| (INTEGER|TEXT|REAL) \|", text, re.MULTILINE))
    with closing(sqlite3.connect(swept.folder / FILE)) as connection:
        columns = connection.execute("PRAGMA table_info(points)").fetchall()
        tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    own = {name: kind for _, name, kind, *_ in columns if name in told}
    assert told == own and len(own) == 6
    kinds = {name: kind for _, name, kind, *_ in columns}
    assert {kinds[name] for name in AXES} == {"BLOB"}
    assert {kinds[name] for name in (*DERIVE, *RECORD, "latency_s", "energy_pj")} == {"REAL"}
    assert all(f"`{table}`" in text for table in tables)


def test_an_area_that_is_held_is_a_number_and_groups_the_fronts(tmp_path: Path) -> None:
    """Without `per`, designs of different areas are not compared: a front for each area."""
    axes = {
        "area": {"values": ["6 cm2", "base"], "absorb": f"{MACHINE}.GLB.size", "step": "64 KiB"},
        "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 128]},
    }
    path = write_sweep(tmp_path, axes=axes, derive=None, constraints=None, fixed={"model": "BERT", "seq_len": 4096})
    result = sweep(str(path), tmp_path / "out", SweepOptions(workers=1))
    assert [front.of for front in result.fronts] == [(("area", "6 cm2"),), (("area", "base"),)]
    base = next(iter(result.plan.groups.values())).area_um2
    assert [float(row["area (um2)"]) for row in rows_of(tmp_path / "out" / "fronts.csv")] == [6e8, base]
    assert {float(row["area (um2)"]) for row in rows_of(tmp_path / "out" / "points.csv")} == {6e8, base}


def test_numbers_of_an_axis() -> None:
    assert plain_numbers([1, 2.5], "GiB/s") == ("GiB/s", (1, 2.5))
    assert plain_numbers(["a", 1], None) is None
    assert quantities(["8 KiB", "0.5 KiB"], [65536.0, 4096.0], "size") == ("KiB", (8, 0.5))
    assert quantities(["1 MiB", 2], [2.0**23, 2.0**24], "size") == ("MiB", (1, 2))
    assert all(np.isfinite(parse_quantity(f"1 {unit}", dimension)) for dimension, unit in TABLE_UNITS.items())


def test_tables_are_written_from_one_list_of_columns(swept: SweepResult, tmp_path: Path) -> None:
    export_csv(swept.folder / FILE, tmp_path / "again.csv", [point.point for point in swept.front])
    assert (tmp_path / "again.csv").read_bytes() == (swept.folder / "points.csv").read_bytes()
    connection, contents = read_only(swept.folder / FILE)
    connection.close()
    assert [column.header for column in table_columns(contents)] == list(rows_of(tmp_path / "again.csv")[0])
