"""What a sweep keeps: rows that say everything, files that are refused with a sentence, exports, points to read again."""

import csv
import json
import shutil
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sim import InputError, SweepOptions, load_experiment, simulate, sweep
from sim.explore import store as stores
from sim.explore import versions
from sim.explore.bulk import evaluate_points
from sim.explore.database import FILE
from sim.explore.export import export_csv, export_parquet
from sim.explore.points import read_points
from sim.explore.store import Store
from tests.damaging import prepare, try_damage
from tests.small_sweep import MACHINE, SWEEP, alter, plan_of, write_sweep

RESUME, FRESH = SweepOptions(resume=True), SweepOptions(fresh=True)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    sweep(str(write_sweep(folder)), folder / "out")
    return folder


@pytest.fixture
def copied(finished: Path, tmp_path: Path) -> Path:
    """A finished sweep to spoil."""
    shutil.copytree(finished / "out", tmp_path / "out")
    write_sweep(tmp_path)
    return tmp_path


def refusal(folder: Path, options: SweepOptions = RESUME) -> str:
    with pytest.raises(InputError) as refused:
        sweep(str(folder / "sweep.yaml"), folder / "out", options)
    return str(refused.value)


# ------------------------------------------------------------------------------------------------- what is kept


def test_every_point_is_a_row(finished: Path) -> None:
    points = read_points(finished / "out")
    assert len(points) == 288
    assert points.column("point").tolist() == list(range(288))
    first = points.at(0)
    assert first.axes == (
        ("model", "BERT"), ("seq_len", 1024), ("rows", 32), ("columns", 64), ("buffer", "64 KiB"), ("bandwidth", 50),
    )  # fmt: skip
    assert (first.reason_kind, first.values) == ("", first.values)
    assert first.version == versions.code_version()
    assert first.settled == ((f"{MACHINE}.PE1D.columns", 64.0),)
    assert points.column("model").tolist()[::144] == ["BERT", "XLM"]


def test_a_point_is_a_file_that_simulates_to_its_values(finished: Path, tmp_path: Path) -> None:
    points = read_points(finished / "out")
    legal = np.flatnonzero(points.is_legal)
    for row in legal[:: max(1, len(legal) // 12)]:
        point = points.at(int(row))
        path = tmp_path / f"{point.point}.yaml"
        path.write_text(point.to_yaml(), encoding="utf-8")
        result = simulate(load_experiment(str(path)))
        assert point.value("latency_s") == result.latency_s
        assert point.value("energy_pj") == result.energy_pj
        assert point.bound_by == result.bound_by


def test_yaml_of_a_point(finished: Path) -> None:
    assert read_points(finished / "out").at(0).to_yaml() == (
        'base: "fusemax-binding"\n'
        "set:\n"
        '  model: "BERT"\n'
        "  seq_len: 1024\n"
        "  architecture.components.PE2D.rows: 32\n"
        "  architecture.components.PE2D.columns: 64\n"
        '  architecture.components.GLB.size: "524288 bit"\n'
        '  architecture.components.DRAM.bandwidth: "429496729600 bit/s"\n'
        "  architecture.components.PE1D.columns: 64\n"
    )


def test_small_numbers_survive_yaml(tmp_path: Path) -> None:
    """YAML 1.1 reads 1e-05 as text."""
    axes = {"slots": {"path": f"{MACHINE}.PE1D.operations.macc.cycles", "values": [0.00001, 1]}}
    result = sweep(str(write_sweep(tmp_path, axes=axes, derive=None, constraints=None)), tmp_path / "out")
    point = result.points().at(0)
    assert f"{MACHINE}.PE1D.operations.macc.cycles: 1.0e-05\n" in point.to_yaml()
    (tmp_path / "point.yaml").write_text(point.to_yaml(), encoding="utf-8")
    assert simulate(load_experiment(str(tmp_path / "point.yaml"))).latency_s == point.value("latency_s")


HEADERS = {"buffer": "buffer (MiB)", "bandwidth": "bandwidth (GiB/s)"}


def test_csv_holds_what_the_store_holds(finished: Path) -> None:
    points = read_points(finished / "out")
    with (finished / "out" / "points.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == len(points)
    for row, point in zip(rows, points, strict=True):
        assert row["hash"] == point.hash
        assert (row["reason_kind"], row["reason"]) == (point.reason_kind, point.reason)
        axes = {name: row[HEADERS.get(name, name)] for name, _ in point.axes}
        axes["buffer"] = {"0.0625": "64 KiB", "1": "1 MiB", "16": "16 MiB"}[axes["buffer"]]
        assert axes == {name: str(value) for name, value in point.axes}
        assert all(float(row[name]) == value for name, value in point.values)
        assert point.is_legal or row["latency_s"] == ""


def test_front_file_holds_the_fronts(finished: Path) -> None:
    with (finished / "out" / "front.csv").open(newline="", encoding="utf-8") as file:
        found = [int(row["point"]) for row in csv.DictReader(file)]
    points = read_points(finished / "out")
    assert found == [points.at(int(row)).point for row in points.front]
    # A front for each workload, and nothing beats a point among those of its own.
    by_workload = {(p.axis("model"), p.axis("seq_len")) for p in (points.at(int(row)) for row in points.front)}
    assert len(by_workload) == 4
    values = {
        p.point: (p.axis("model"), p.axis("seq_len"), p.value("latency_s"), p.value("energy_pj"))
        for p in points
        if p.is_legal
    }
    for number, (model, length, latency, energy) in values.items():
        rivals = [v for v in values.values() if v[:2] == (model, length) and v[2] <= latency and v[3] <= energy]
        is_beaten = any(v[2:] != (latency, energy) for v in rivals)
        assert (number in found) == (not is_beaten)


def test_every_front_has_its_hypervolume(finished: Path) -> None:
    """In two objectives, the area between the front's steps and the worst legal point of its workload."""
    with (finished / "out" / "fronts.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == [
        *("model", "seq_len", "points", "hypervolume", "reference latency_s", "reference energy_pj")
    ]
    points = [point for point in read_points(finished / "out") if point.is_legal]
    assert len(rows) == 4
    for row in rows:
        own = [p for p in points if (p.axis("model"), str(p.axis("seq_len"))) == (row["model"], row["seq_len"])]
        values = sorted({(p.value("latency_s"), p.value("energy_pj")) for p in own})
        worst = max(v[0] for v in values), max(v[1] for v in values)
        area, ceiling, steps = 0.0, worst[1], 0
        for latency, energy in values:
            if energy < ceiling:
                area, ceiling, steps = area + (worst[0] - latency) * (ceiling - energy), energy, steps + 1
        assert float(row["hypervolume"]) == pytest.approx(area, rel=1e-9)
        assert (float(row["reference latency_s"]), float(row["reference energy_pj"])) == worst
        assert steps <= int(row["points"])


def test_parquet_holds_the_same(finished: Path, tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet", reason="the parquet extra is not installed")
    export_parquet(finished / "out" / FILE, tmp_path / "points.parquet", ())
    table = parquet.read_table(tmp_path / "points.parquet").to_pydict()
    points = read_points(finished / "out")
    assert table["hash"] == [point.hash for point in points]
    assert table["latency_s"] == [dict(point.values).get("latency_s") for point in points]


def test_parquet_without_its_library(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(InputError) as refused:
        sweep(str(finished / "sweep.yaml"), tmp_path / "out", SweepOptions(parquet=True))
    assert not (tmp_path / "out").exists()
    assert str(refused.value) == "--parquet: pyarrow is not installed: in the checkout, pip install -e '.[parquet]'"


# ------------------------------------------------------------------------------------------------------- resuming


def test_what_is_finished_is_not_found_again(copied: Path) -> None:
    before = (copied / "out" / "points.csv").read_bytes()
    # The second is a mark that would be lost if the point were found again.
    alter(
        copied / "out" / FILE,
        "DELETE FROM points WHERE point % 3 = 1",
        "UPDATE points SET latency_s = 7 WHERE point = 3",
    )
    result = sweep(str(copied / "sweep.yaml"), copied / "out", RESUME)
    assert (result.evaluated, result.total) == (96, 288)
    after = (copied / "out" / "points.csv").read_bytes()
    changed = [(a, b) for a, b in zip(before.split(b"\n"), after.split(b"\n"), strict=True) if a != b]
    assert len(changed) == 1
    assert changed[0][1].startswith(b"3,")
    assert sweep(str(copied / "sweep.yaml"), copied / "out", RESUME).evaluated == 0


def test_a_folder_in_use_is_not_overwritten(copied: Path) -> None:
    path = copied / "out" / FILE
    assert (
        refusal(copied, SweepOptions())
        == f"{path}: there is a sweep already: go on with --resume, or start over with --fresh"
    )
    assert sweep(str(copied / "sweep.yaml"), copied / "out", FRESH).evaluated == 288


END = ": start over with --fresh, or use another --out"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"constraints": {"area": "area_um2 <= 2e9"}}, "sweep 'small' has changed since"),
        ({"name": "other"}, "holds the sweep 'small', not 'other'"),
    ],
)
def test_another_sweep_is_not_mixed_in(copied: Path, changes: dict[str, object], said: str) -> None:
    write_sweep(copied, **changes)
    assert refusal(copied) == f"{copied / 'out' / FILE}: {said}{END}"


def test_a_changed_title_is_no_other_sweep(copied: Path) -> None:
    write_sweep(copied, title="Another title")
    assert sweep(str(copied / "sweep.yaml"), copied / "out", RESUME).evaluated == 0


def test_a_changed_machine_is_noticed(tmp_path: Path) -> None:
    def write_experiment(clock: str) -> None:
        text = f"base: fusemax-binding\nset:\n  architecture.clock: {clock}\n"
        (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")

    write_experiment("940 MHz")
    write_sweep(tmp_path, experiment="./experiment.yaml")
    sweep(str(tmp_path / "sweep.yaml"), tmp_path / "out")
    write_experiment("941 MHz")
    said = "what sweep 'small' names (experiment, machine, mapping, ...) has changed since"
    assert refusal(tmp_path) == f"{tmp_path / 'out' / FILE}: {said}{END}"


def test_points_know_their_experiment_from_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A path in a sweep is beside its file; who reads the points, or looks at them again, may stand elsewhere."""
    text = "base: fusemax-binding\nset: {architecture.clock: 1 GHz}\n"
    (tmp_path / "experiment.yaml").write_text(text, encoding="utf-8")
    rows = {"rows": {"path": f"{MACHINE}.PE2D.rows", "values": [64, 256]}}
    path = write_sweep(
        tmp_path, experiment="./experiment.yaml", axes=rows, derive=None, search={"second_stage": "analytical"}
    )
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    result = sweep(str(path), "out")
    assert len(result.second_stage) == len(result.front) > 0
    point = result.front[0]
    (tmp_path / "point.yaml").write_text(point.to_yaml(), encoding="utf-8")
    assert simulate(load_experiment(str(tmp_path / "point.yaml"))).latency_s == point.value("latency_s")
    # The whole of it may move, and goes on.
    (tmp_path / "moved").mkdir()
    for name in ("experiment.yaml", "sweep.yaml"):
        (tmp_path / name).rename(tmp_path / "moved" / name)
    assert sweep(str(tmp_path / "moved" / "sweep.yaml"), "out", RESUME).evaluated == 0
    assert read_points(Path("out")).at(0).experiment == str((tmp_path / "moved" / "experiment.yaml").resolve())


def test_other_code_is_noticed(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    was = versions.code_version()
    monkeypatch.setattr(stores, "code_version", lambda: "0.1.0+another")
    assert refusal(copied) == f"{copied / 'out' / FILE}: was made by einfuse {was}, this is 0.1.0+another{END}"


def test_another_form_of_the_file_is_noticed(copied: Path) -> None:
    with closing(sqlite3.connect(copied / "out" / FILE)) as connection, connection:
        connection.execute("UPDATE meta SET value = ? WHERE key = 'schema'", (json.dumps("einfuse-sweep-9"),))
    said = "was written in the form 'einfuse-sweep-9', this version writes 'einfuse-sweep-2'"
    assert refusal(copied) == f"{copied / 'out' / FILE}: {said}{END}"
    with pytest.raises(InputError) as refused:
        read_points(copied / "out")
    assert str(refused.value) == f"{copied / 'out' / FILE}: {said.replace('writes', 'reads')}"


# -------------------------------------------------------------------------------------------- what goes wrong


@pytest.mark.parametrize("content", [b"no database at all, but some text" * 50, None])
def test_a_file_that_is_none(copied: Path, content: bytes | None) -> None:
    path = copied / "out" / FILE
    path.unlink()
    if content is None:
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE TABLE something (x)")
        said = "is no file of a sweep (no such table: meta): start over with --fresh"
    else:
        path.write_bytes(content)
        said = "is no file of a sweep (file is not a database): start over with --fresh"
    assert refusal(copied) == f"{path}: {said}"
    assert sweep(str(copied / "sweep.yaml"), copied / "out", FRESH).evaluated == 288


def test_a_file_whose_writer_had_not_begun(copied: Path) -> None:
    (copied / "out" / FILE).write_bytes(b"")
    assert sweep(str(copied / "sweep.yaml"), copied / "out", RESUME).evaluated == 288


def test_a_second_sweep_waits_for_nobody(copied: Path) -> None:
    plan = plan_of(copied)
    with Store.resume(copied / "out", plan):
        assert refusal(copied) == f"{copied / 'out' / FILE}: is in use by another sweep"


def test_starting_over_leaves_a_running_sweep_alone(copied: Path) -> None:
    """It would delete the file under it."""
    plan = plan_of(copied)
    before = (copied / "out" / FILE).read_bytes()
    with Store.resume(copied / "out", plan):
        assert refusal(copied, FRESH) == f"{copied / 'out' / FILE}: is in use by another sweep"
    assert (copied / "out" / FILE).exists()
    assert sweep(str(copied / "sweep.yaml"), copied / "out", RESUME).evaluated == 0
    assert len(before) == len((copied / "out" / FILE).read_bytes())


@pytest.mark.parametrize(
    ("statement", "fault"),
    [
        ("UPDATE points SET latency_s = latency_s * 2 WHERE point = 3", "1 of its 2 chunks of points are not what was written"),
        ("UPDATE reasons SET text = 'another' WHERE id = 1", "2 of its 2 chunks of points are not what was written"),
        ("DELETE FROM points WHERE point = 3", "1 of its 2 chunks of points are not what was written"),
        ("DELETE FROM chunks WHERE points LIKE '[[256,%'", "point 256 belongs to no chunk"),
        ("UPDATE chunks SET points = '[[0, 99999999999]]'", "its list of chunks cannot be read"),
        ("DELETE FROM meta WHERE key = 'axes'", "its description has no 'axes'"),
        ("UPDATE meta SET value = '[' WHERE key = 'axes'", "its description cannot be read"),
        ("UPDATE meta SET value = '[]' WHERE key = 'per'", "its description is not the one that was written"),
        ("DROP TABLE versions", "its tables are not those of a sweep"),
        ("CREATE TABLE other (x)", "its tables are not those of a sweep"),
        ("INSERT INTO second_stage VALUES (3, 'cycle', '{}', 'none')", "the second result of point 3 is not the one that was written"),
    ],
)  # fmt: skip
def test_damage_is_refused(copied: Path, statement: str, fault: str) -> None:
    path = copied / "out" / FILE
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)
    said = f"{path}: is no file of a sweep ({fault}): start over with --fresh"
    assert refusal(copied) == said
    with pytest.raises(InputError) as refused:
        read_points(copied / "out")
    assert str(refused.value) == said
    assert sweep(str(copied / "sweep.yaml"), copied / "out", FRESH).evaluated == 288


def test_damaged_files_are_recovered_whole_or_refused(tmp_path: Path) -> None:
    """`tests/damaging.py` tries hundreds."""
    expected = prepare(tmp_path)
    found = {try_damage(tmp_path, expected, number) for number in range(40)}
    assert "recovered" in found
    assert len(found) > 5


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """SQLite's own limit on pages gives the same error as a disk without room."""
    plan = plan_of(tmp_path)
    real = stores.connect

    def small(path: Path) -> sqlite3.Connection:
        connection = real(path)
        connection.execute("PRAGMA max_page_count = 12")
        return connection

    monkeypatch.setattr(stores, "connect", small)
    parts = [np.arange(start, start + 32) for start in range(0, 288, 32)]
    with Store.create(tmp_path / "out", plan) as store:
        with pytest.raises(InputError) as refused:
            for part in parts:
                store.add(plan, evaluate_points(plan, part))
        kept = store.finished()
    reason = "cannot grow (database or disk is full): finished points are kept, make room and go on with --resume"
    assert str(refused.value) == f"{tmp_path / 'out' / FILE}: {reason}"
    assert 0 < kept.size < 288
    assert kept.size % 32 == 0  # whole chunks
    monkeypatch.setattr(stores, "connect", real)
    result = sweep(str(tmp_path / "sweep.yaml"), tmp_path / "out", RESUME)
    assert (result.evaluated, result.total) == (288 - kept.size, 288)


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    """Not even by an administrator, whom permissions do not stop."""
    write_sweep(tmp_path)
    with pytest.raises(InputError) as refused:
        sweep(str(tmp_path / "sweep.yaml"), "/proc/self")
    assert str(refused.value) == "/proc/self/sweep.sqlite: cannot be used (unable to open database file)"


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    write_sweep(tmp_path)
    with pytest.raises(InputError) as refused:
        sweep(str(tmp_path / "sweep.yaml"), tmp_path / "file" / "out")
    assert str(refused.value) == f"{tmp_path / 'file' / 'out'}: cannot be written (Not a directory)"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of its own, of a few blocks, whose size and rights can be changed."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=100k", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("only the superuser can mount a small disk")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def remount(disk: Path, options: str) -> None:
    subprocess.run(["mount", "-o", f"remount,{options}", str(disk)], check=True)


def test_a_real_disk_that_is_full_or_read_only(disk: Path, finished: Path, tmp_path: Path) -> None:
    path = write_sweep(tmp_path)
    out = disk / "out"

    def refusal(options: SweepOptions) -> str:
        with pytest.raises(InputError) as refused:
            sweep(str(path), out, options)
        return str(refused.value)

    reason = "cannot grow (database or disk is full): finished points are kept, make room and go on with --resume"
    assert refusal(FRESH) == f"{out / FILE}: {reason}"
    remount(disk, "size=300k")
    assert sweep(str(path), out, RESUME).total == 288
    (out / "points.csv").unlink()
    filler = disk / "filler"
    filler.write_bytes(b"0" * (shutil.disk_usage(disk).free - 45_000))  # room for the store, not for the table
    reason = "cannot be written (No space left on device): points are kept, go on with --resume"
    assert refusal(RESUME) == f"{out / 'points.csv'}: {reason}"
    assert {file.name for file in out.iterdir()} == {FILE, "front.csv", "fronts.csv"}
    filler.unlink()
    remount(disk, "ro")
    assert refusal(RESUME) == f"{out / FILE}: cannot be used (attempt to write a readonly database)"
    assert refusal(FRESH) == f"{out}: cannot be written (Read-only file system)"
    remount(disk, "rw,size=2m")
    assert sweep(str(path), out, RESUME).total == 288
    assert (out / "points.csv").read_bytes() == (finished / "out" / "points.csv").read_bytes()


def test_reading_where_there_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(InputError) as refused:
        read_points(tmp_path)
    assert str(refused.value) == f"{tmp_path}: expected the folder of a sweep, found no '{FILE}' in it"


def test_an_export_is_whole_or_not_there(copied: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = copied / "again.csv"
    monkeypatch.setattr("csv.writer", lambda *_, **__: None)
    with pytest.raises(AttributeError):
        export_csv(copied / "out" / FILE, target, ())
    assert not target.exists()


def test_names_of_sweep_columns_are_whole(finished: Path) -> None:
    with (finished / "out" / "points.csv").open(encoding="utf-8") as file:
        header = file.readline().strip().split(",")
    assert header == [
        *("point", "hash", "version", "legal", "front", "reason_kind", "reason", "bound_by", "extrapolated"),
        *(HEADERS.get(name, name) for name in SWEEP["axes"]),
        *SWEEP["derive"],
        *("latency_s", "energy_pj", "area_um2", "traffic_bytes.DRAM", "utilization.PE2D", "utilization.PE1D"),
    ]
