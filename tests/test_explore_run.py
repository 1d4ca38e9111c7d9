"""A sweep as a whole: searches, executors, and every way in which it may be ended before its time."""

import io
import json
import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from mappings.check import Problem
from sim import (
    Experiment,
    IllegalMapping,
    InputError,
    SimulationResult,
    SweepOptions,
    load_experiment,
    simulate,
    sweep,
)
from sim.explore import progress as shown
from sim.explore.bulk import evaluate_points
from sim.explore.database import FILE
from sim.explore.pareto import front_of, hypervolume
from sim.explore.points import read_points
from sim.explore.run import chunk_size
from sim.explore.search import random_points
from sim.explore.watch import Silent
from tests.endings import ENVIRONMENT, LONG, POINTS, points_in, try_often, wait_until_gone
from tests.small_design import HANGS_S, heed_interrupts, run
from tests.small_sweep import alter, plan_of, write_sweep

RESUME = SweepOptions(resume=True)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bytes]:
    folder = tmp_path_factory.mktemp("undisturbed")
    path = write_sweep(folder, axes=LONG)
    sweep(str(path), folder / "out", SweepOptions(workers=1))
    return path, (folder / "out" / "points.csv").read_bytes()


# ------------------------------------------------------------------------------------------- ended before its time


# A sweep that sends itself signals when it writes its chunk number `when`: before it, in the middle of it, or after it.
ENDED_AT = """
import os, signal, sys, threading
from sim.__main__ import main
from sim.explore.store import Store

name, place, when = sys.argv[1], sys.argv[2], int(sys.argv[3])
real_add, real_rows = Store.add, Store._iter_rows
written = []

def end(at):
    if at == place and len(written) == when:
        number = getattr(signal, name)
        if name != "SIGKILL":  # again while it is ending
            threading.Timer(0.1, os.killpg, (os.getpgrp(), number)).start()
        os.killpg(os.getpgrp(), number)

def rows(self, plan, chunk, reasons):
    for i, row in enumerate(real_rows(self, plan, chunk, reasons)):
        if i == 1000:
            end("inside")
        yield row

def add(self, plan, chunk):
    written.append(chunk)
    end("before")
    real_add(self, plan, chunk)
    end("after")

Store.add, Store._iter_rows = add, rows
sys.argv = ["einfuse", "sweep", *sys.argv[4:]]
main()
"""


def end_at(moment: tuple[str, str, int], path: Path, folder: Path, workers: int) -> tuple[int, str]:
    """Exit status and words of a run that goes on with a folder and is ended at that moment."""
    command = [sys.executable, "-c", ENDED_AT, *map(str, moment), str(path), "--out", str(folder), "--resume"]
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    options = {"env": ENVIRONMENT, "start_new_session": True, "preexec_fn": heed_interrupts}
    with subprocess.Popen([*command, "--workers", str(workers)], **options, **pipes) as process:
        _, said = process.communicate(timeout=HANGS_S)
        assert wait_until_gone(process.pid)
    return process.returncode, said


def test_killed_at_every_place_it_loses_nothing(undisturbed: tuple[Path, bytes], tmp_path: Path) -> None:
    path, expected = undisturbed
    folder, kept = tmp_path / "out", 0
    moments = (("before", 1, 0), ("inside", 1, 0), ("after", 2, 2), ("inside", 3, 2), ("before", 2, 1))
    for place, when, finished in moments:
        size = chunk_size(POINTS - kept, workers=1)
        status, said = end_at(("SIGKILL", place, when), path, folder, workers=1)
        assert status == -signal.SIGKILL, said
        kept += finished * size
        assert points_in(folder) == kept
    result = sweep(str(path), folder, RESUME)
    assert result.evaluated == result.total - kept
    assert (folder / "points.csv").read_bytes() == expected


@pytest.mark.parametrize(
    ("name", "place", "workers", "status", "words"),
    [
        ("SIGINT", "after", 2, 130, "interrupted"),
        ("SIGINT", "inside", 1, 130, "interrupted"),
        ("SIGTERM", "after", 2, 143, "ended by SIGTERM"),
    ],
)
def test_an_interrupt_keeps_what_is_done(
    undisturbed: tuple[Path, bytes], tmp_path: Path, name: str, place: str, workers: int, status: int, words: str
) -> None:
    """To all of its processes, as a terminal does, and once more while it is ending."""
    path, expected = undisturbed
    folder = tmp_path / "out"
    kept = (1 if place == "inside" else 2) * chunk_size(POINTS, workers)
    said = f"einfuse: {words}; {kept} finished points are kept, go on with --resume\n"
    assert end_at((name, place, 2), path, folder, workers) == (status, said)
    assert points_in(folder) == kept
    assert sweep(str(path), folder, RESUME).evaluated == POINTS - kept
    assert (folder / "points.csv").read_bytes() == expected


@pytest.mark.parametrize(("mark", "heeds"), [((), True), (("--multiprocessing-fork",), False)])
def test_a_worker_that_is_loading_leaves_signals_to_the_command(mark: tuple[str, ...], heeds: bool) -> None:
    """Until a worker has begun its work, only Python's mark on its command line tells it from the command."""
    code = "import signal, sys; sys.argv = ['einfuse']; import sim.ending; print(signal.getsignal(signal.SIGTERM))"
    ran = subprocess.run(
        [sys.executable, "-c", code, *mark], env=ENVIRONMENT, capture_output=True, text=True, check=True
    )
    assert ("_hear" in ran.stdout) == heeds, ran.stdout


@pytest.mark.parametrize(("kind", "workers"), [("Ctrl-C twice", 2), ("Ctrl-C five times", 1), ("kill -9", 2)])
def test_ended_at_any_moment_it_goes_on(
    undisturbed: tuple[Path, bytes], tmp_path: Path, kind: str, workers: int
) -> None:
    """`tests/endings.py` does this many times."""
    path, expected = undisturbed
    folder = tmp_path / "out"
    status = {"SIGTERM": 143, "kill -9": -signal.SIGKILL}.get(kind, 130)
    for ending in try_often(path, folder, kind, workers, 2):
        # A run may be done before it is told to end.
        assert ending.status in (status, 0), ending.said
        assert not ending.leaves_processes
    sweep(str(path), folder, RESUME)
    assert (folder / "points.csv").read_bytes() == expected


class KillsOne:
    """Kills a worker process when the first points are finished."""

    def __init__(self) -> None:
        self.killed: list[int] = []

    @contextmanager
    def __call__(self, name: str, total: int, done: int) -> Iterator["KillsOne"]:
        yield self

    def advance(self, points: int, best: str) -> None:
        if not self.killed:
            worker = multiprocessing.active_children()[0]
            assert worker.pid is not None
            self.killed.append(worker.pid)
            os.kill(worker.pid, signal.SIGKILL)


def test_a_lost_process_is_replaced(undisturbed: tuple[Path, bytes], tmp_path: Path) -> None:
    path, expected = undisturbed
    killer = KillsOne()
    result = sweep(str(path), tmp_path, SweepOptions(workers=2), progress=killer)
    assert (len(killer.killed), result.total) == (1, POINTS)
    assert (tmp_path / "points.csv").read_bytes() == expected


def test_a_dask_worker_is_killed(undisturbed: tuple[Path, bytes], tmp_path: Path) -> None:
    """Three workers of a real cluster, one of them killed while the sweep runs."""
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    path, expected = undisturbed
    killer = KillsOne()
    result = sweep(str(path), tmp_path, SweepOptions(executor="dask", workers=3), progress=killer)
    assert (len(killer.killed), result.evaluated) == (1, POINTS)
    assert (tmp_path / "points.csv").read_bytes() == expected


class EndsCluster(KillsOne):
    """Ends a cluster when the first points are finished."""

    def __init__(self, cluster: Any) -> None:
        super().__init__()
        self.cluster = cluster

    def advance(self, points: int, best: str) -> None:
        self.cluster.close()


def test_a_scheduler_that_goes(undisturbed: tuple[Path, bytes], tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    path, expected = undisturbed
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        options = SweepOptions(executor="dask", scheduler=cluster.scheduler_address)
        with pytest.raises(InputError) as refused:
            sweep(str(path), tmp_path, options, progress=EndsCluster(cluster))
        said = f"the dask scheduler at '{cluster.scheduler_address}' is gone: finished points are kept, go on with --resume"
    assert str(refused.value) == f"--executor: {said}"
    assert 0 < points_in(tmp_path) < POINTS
    sweep(str(path), tmp_path, RESUME)
    assert (tmp_path / "points.csv").read_bytes() == expected


def test_ended_on_dask_it_goes_on(undisturbed: tuple[Path, bytes], tmp_path: Path) -> None:
    """The workers of a cluster hear no interrupt, and say nothing about it."""
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    path, expected = undisturbed
    kinds = {
        "Ctrl-C twice": (130, "einfuse: interrupted"),
        "SIGTERM": (143, "einfuse: ended by SIGTERM"),
        "kill -9": (-signal.SIGKILL, ""),
    }
    for kind, (status, said) in kinds.items():
        (ending,) = try_often(path, tmp_path / "out", kind, 2, 1, "dask")
        assert ending.status in (status, 0), ending.said
        assert (ending.leaves_processes, "Traceback" in ending.said) == (False, False), ending.said
        assert ending.status == 0 or ending.said.startswith(said)
    sweep(str(path), tmp_path / "out", RESUME)
    assert (tmp_path / "out" / "points.csv").read_bytes() == expected


def test_a_dask_cluster_that_is_there(tmp_path: Path) -> None:
    distributed = pytest.importorskip("distributed", reason="the dask extra is not installed")
    path = write_sweep(tmp_path)
    sweep(str(path), tmp_path / "here")
    with distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, silence_logs=50) as cluster:
        status, out, err = run(
            ["sweep", str(path), "--out", str(tmp_path / "there"), "--executor", "dask", "--scheduler", cluster.scheduler_address]
        )  # fmt: skip
    assert (status, err.startswith("written: ")) == (0, True), (out, err)
    assert (tmp_path / "there" / "points.csv").read_bytes() == (tmp_path / "here" / "points.csv").read_bytes()


def test_a_scheduler_that_does_not_answer(tmp_path: Path) -> None:
    pytest.importorskip("distributed", reason="the dask extra is not installed")
    status, out, err = run(
        ["sweep", str(write_sweep(tmp_path)), "--out", str(tmp_path / "out"), "--executor", "dask", "--scheduler", "nowhere"]
    )  # fmt: skip
    assert (status, out) == (2, "")
    assert err.startswith("--scheduler: no dask scheduler answers at 'nowhere' (")


def test_without_dask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "distributed", None)
    with pytest.raises(InputError) as refused:
        sweep(str(write_sweep(tmp_path)), tmp_path / "out", SweepOptions(executor="dask"))
    assert str(refused.value) == "--executor: dask is not installed: in the checkout, pip install -e '.[dask]'"


# -------------------------------------------------------------------------------------------------------- searches


def searched(folder: Path, method: str, trials: int, **settings: Any) -> Path:
    search = {"method": method, "trials": trials, "seed": 7} | settings
    fixed = {name: axis for name, axis in LONG.items() if name not in ("model", "seq_len")}
    return write_sweep(folder, axes=fixed, search=search, fixed={"model": "BERT", "seq_len": 16384})


def test_random_points_are_different_and_repeatable() -> None:
    found = random_points(10**15, 5000, 3)
    assert (np.unique(found).size, found.min() >= 0, found.max() < 10**15) == (5000, True, True)
    assert found.tolist() == random_points(10**15, 5000, 3).tolist()
    assert random_points(10, 50, 0).tolist() == list(range(10))
    assert np.sort(random_points(100, 99, 0)).tolist() == random_points(100, 99, 0).tolist()


@pytest.mark.parametrize(("method", "trials"), [("random", 300), ("nsga2", 300), ("tpe", 96)])
def test_a_search_looks_at_real_points(tmp_path: Path, method: str, trials: int) -> None:
    pytest.importorskip("optuna", reason="the dse extra is not installed")
    path = searched(tmp_path, method, trials, batch=32)
    result = sweep(str(path), tmp_path / "out")
    points = result.points()
    assert 0 < len(points) <= trials
    chunk = evaluate_points(result.plan, points.column("point").astype(np.int64))
    assert [point.hash for point in points] == chunk.hashes
    legal = points.is_legal
    assert np.array_equal(points.column("latency_s")[legal], chunk.values[legal, 0])
    assert [p.point for p in result.front] == points.column("point")[points.front].tolist()


@pytest.mark.parametrize("method", ["nsga2", "tpe"])
def test_a_search_that_goes_on_asks_for_the_same(tmp_path: Path, method: str) -> None:
    """Half of the trials, the rest afterwards: what one search over all finds."""
    pytest.importorskip("optuna", reason="the dse extra is not installed")
    (tmp_path / "a").mkdir()
    path = searched(tmp_path / "a", method, 128, batch=32)
    whole = sweep(str(path), tmp_path / "whole")
    sweep(str(path), tmp_path / "parts")
    alter(tmp_path / "parts" / FILE, "DELETE FROM points WHERE point % 2 = 0")
    parts = sweep(str(path), tmp_path / "parts", RESUME)
    assert 0 < parts.evaluated < whole.evaluated
    assert (tmp_path / "parts" / "points.csv").read_bytes() == (tmp_path / "whole" / "points.csv").read_bytes()


def test_a_sampler_is_better_than_chance(tmp_path: Path) -> None:
    """24,000 points, 600 looks: the front of the sampler dominates more than that of chance, as averages of seeds."""
    pytest.importorskip("optuna", reason="the dse extra is not installed")
    plan = plan_of(
        tmp_path, axes={k: v for k, v in LONG.items() if k not in ("model", "seq_len")}, fixed={"seq_len": 16384}
    )
    chunk = evaluate_points(plan, np.arange(plan.sweep.size))
    values = chunk.values[:, :2]
    legal = chunk.reason == 0
    worst, best = values[legal].max(axis=0), values[legal].min(axis=0)

    def volume(points: np.ndarray) -> float:
        own = (values[points[legal[points]]] - best) / (worst - best)
        return hypervolume(own[front_of(own)], np.ones(2))

    volumes: dict[str, list[float]] = {"random": [], "nsga2": []}
    for method, found in volumes.items():
        for seed in range(4):
            folder = tmp_path / f"{method}-{seed}"
            folder.mkdir()
            result = sweep(str(searched(folder, method, 600, seed=seed)), folder / "out")
            found.append(volume(result.points().column("point").astype(np.int64)))
    assert np.mean(volumes["nsga2"]) > np.mean(volumes["random"])
    assert max(volumes["nsga2"]) <= volume(np.arange(plan.sweep.size))


def test_without_optuna(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(InputError) as refused:
        sweep(str(searched(tmp_path, "tpe", 8)), tmp_path / "out")
    assert str(refused.value) == "einfuse: the search 'tpe' needs optuna: in the checkout, pip install -e '.[dse]'"


def test_a_second_engine_looks_at_the_front(tmp_path: Path) -> None:
    """The same engine again must say the same."""
    path = write_sweep(tmp_path, search={"second_stage": "analytical"})
    result = sweep(str(path), tmp_path / "out")
    with closing(sqlite3.connect(tmp_path / "out" / FILE)) as connection:
        rows = connection.execute("SELECT point, engine, result FROM second_stage ORDER BY point").fetchall()
    assert [number for number, _, _ in rows] == sorted(point.point for point in result.front)
    for (_, engine, told), point in zip(rows, sorted(result.front, key=lambda p: p.point), strict=True):
        assert engine == "analytical"
        assert json.loads(told)["latency_s"] == point.value("latency_s")


def test_the_cycle_engine_looks_at_the_front_of_a_search_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Interrupted after the first point, it goes on with the others; every answer is that of `simulate`."""
    pytest.importorskip("optuna", reason="the dse extra is not installed")
    path = searched(tmp_path, "nsga2", 96, batch=32, second_stage="cycle")
    asked: list[str] = []

    def once(experiment: Experiment, engine: str) -> SimulationResult:
        asked.append(experiment.hash)
        if len(asked) == 2:
            raise KeyboardInterrupt
        return simulate(experiment, engine)

    monkeypatch.setattr("sim.explore.second_stage.simulate", once)
    with pytest.raises(KeyboardInterrupt):
        sweep(str(path), tmp_path / "out")
    result = sweep(str(path), tmp_path / "out", RESUME)
    front = {point.point: point for point in result.front}
    assert len(front) > 1 and len(asked) == len(front) + 1  # the second one was asked twice, the first once
    assert {one.point for one in result.second_stage} == set(front)
    ratios = []
    for one in result.second_stage:
        point = front[one.point]
        expected = simulate(load_experiment(point.experiment, dict(point.settings)), "cycle")
        assert (one.engine, one.value("latency_s"), one.value("cycles")) == (
            "cycle",
            expected.latency_s,
            expected.cycles,
        )
        ratios.append(one.value("latency_s") / point.value("latency_s"))
    assert min(ratios) > 1 - 1e-9  # nothing is faster than the bound
    shown = f"  cycle engine on {len(front)} of the fronts: {min(ratios):.4f} to {max(ratios):.4f} times as long"
    assert repr(result).splitlines()[-1] == shown
    rows = (tmp_path / "out" / "second_stage.csv").read_text("utf-8").splitlines()
    assert rows[0] == "point,engine,refused,latency_s,cycles,energy_pj" and len(rows) == 1 + len(front)
    known = read_points(tmp_path / "out").second_stage
    assert set(known) == set(front)


def test_what_the_second_engine_refuses_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(experiment: Experiment, engine: str) -> SimulationResult:
        raise IllegalMapping(experiment, [Problem("schedule", "that is too much")])

    monkeypatch.setattr("sim.explore.second_stage.simulate", refuse)
    result = sweep(str(write_sweep(tmp_path, search={"second_stage": "cycle"})), tmp_path / "out")
    count = len(result.front)
    said = f"  {count} that the cycle engine refuses, such as: that is too much"
    assert repr(result).splitlines()[-1] == said
    assert (tmp_path / "out" / "points.csv").exists()


# --------------------------------------------------------------------------------------------------- command line


def test_the_command_says_what_came_of_it(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    status, out, err = run(["sweep", str(write_sweep(tmp_path)), "--out", str(folder)])
    assert status == 0
    assert err == f"written: {folder / FILE}, {folder / 'points.csv'}, {folder / 'front.csv'}\n"
    assert out.splitlines()[0].startswith("small: 288 points, 192 legal, ")
    assert out.splitlines()[0].endswith("on 4 fronts")


def test_impossible_constraints_say_what_refuses_how_many(tmp_path: Path) -> None:
    constraints = {"area": "area_um2 <= 1e8", "power": "energy_pj*1e-12/latency_s <= 1e-3"}
    status, out, err = run(
        ["sweep", str(write_sweep(tmp_path, constraints=constraints)), "--out", str(tmp_path / "out")]
    )
    assert status == 1
    counts = {"constraint area": 0, "capacity": 0, "constraint power": 0}
    plan = plan_of(tmp_path, constraints=constraints)
    chunk = evaluate_points(plan, np.arange(plan.sweep.size))
    for number in chunk.reason.tolist():
        counts[chunk.reasons[number - 1].kind] += 1
    assert min(counts.values()) > 0
    found = ", ".join(f"'{kind}' refuses {count}" for kind, count in sorted(counts.items(), key=lambda item: -item[1]))
    assert err == f"einfuse: none of the 288 points of 'small' is left: {found}\n"
    assert "most often: does not meet 'area_um2 <= 1e8'" in out


def test_bad_input_is_two(tmp_path: Path) -> None:
    status, out, err = run(["sweep", str(tmp_path / "none.yaml"), "--out", str(tmp_path / "out")])
    assert (status, out) == (2, "")
    assert "none.yaml: no such file" in err


# ------------------------------------------------------------------------------------------------------ progress


def test_no_bar_where_nobody_looks(tmp_path: Path) -> None:
    with shown.watched("small", 10, 0) as watcher:
        assert isinstance(watcher, Silent)
        watcher.advance(5, "")


def test_a_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(shown, "Console", lambda stderr: Console(file=screen, force_terminal=True, width=120))
    result = sweep(str(write_sweep(tmp_path)), tmp_path / "out")
    text = screen.getvalue()
    best = min(point.value("latency_s") for point in result.front)
    assert "288/288" in text
    assert "points/s" in text
    assert f"best latency_s {best:.4g}" in text


def test_results_do_not_depend_on_who_computes_them(tmp_path: Path) -> None:
    path = write_sweep(tmp_path, record=["all"])
    found = []
    for workers in (1, 2):
        sweep(str(path), tmp_path / str(workers), SweepOptions(workers=workers))
        found.append((tmp_path / str(workers) / "points.csv").read_bytes())
    assert found[0] == found[1]
    point = sweep(str(path), tmp_path / "1", RESUME).front[0]
    assert simulate(load_experiment(point.experiment, dict(point.settings))).energy_pj == point.value("energy_pj")


def test_the_dominance_loops_run_without_compilation() -> None:
    """The same code as plain Python."""
    program = (
        "import numpy as np; from sim.explore.pareto import front_of, hypervolume;"
        "v = np.random.default_rng(0).random((200, 3));"
        "print(front_of(v).tolist(), hypervolume(v, np.ones(3)))"
    )
    said = [
        subprocess.run(
            [sys.executable, "-c", program],
            env=ENVIRONMENT | extra,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for extra in ({}, {"NUMBA_DISABLE_JIT": "1"})
    ]
    assert said[0] == said[1]
