"""Runs a sweep, combining plan, store, executor and search, and returns its outcome.

Points in the store are never evaluated again. Chunks go to the executor a few at a time, so that a million points need
no more memory than a few chunks, and every finished chunk is written before the next is requested.
"""

import os
import pickle
from collections import deque
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, Executor, Future, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sim.explore.bulk import Chunk, evaluate_points
from sim.explore.database import FILE, is_blank
from sim.explore.executors import KEPT, RETRIES, dask_cluster, evaluate_packed, in_process, local_processes
from sim.explore.export import check_parquet, export_csv, export_fronts, export_parquet, export_second_stage
from sim.explore.load_sweep import load_plan
from sim.explore.pareto import fronts_of, hypervolume
from sim.explore.plan import Plan
from sim.explore.points import Point, Points, read_points
from sim.explore.search import check_sampler, search
from sim.explore.second_stage import Progress, look_again
from sim.explore.seconds import Second
from sim.explore.store import Store
from sim.explore.table import axis_column, shown_value
from sim.explore.watch import Silent, Watcher
from sim.load.files import stamp_of
from sim.load.problems import InputError, InputProblem
from sim.simulation.flow import check_engine

CHUNK = 8192
SMALL = 4 * CHUNK  # sweeps that finish before a second process would have started


@dataclass(frozen=True, slots=True)
class SweepOptions:
    """How a sweep is run; none of it affects the results."""

    executor: str = "local"  # or "dask"
    scheduler: str | None = None
    workers: int | None = None
    resume: bool = False
    fresh: bool = False
    parquet: bool = False


@dataclass(frozen=True, slots=True)
class Front:
    """The points of one workload that no other point dominates."""

    of: tuple[tuple[str, Any], ...]  # the axis values that its points share
    points: tuple[Point, ...]
    hypervolume: float
    reference: tuple[float, ...]  # of the hypervolume: as given, or the worst legal value; the objectives' units


@dataclass(frozen=True, slots=True)
class SweepResult:
    """The outcome of a sweep."""

    folder: Path
    plan: Plan
    counts: tuple[tuple[str, int], ...]  # points of every kind, legal ones first
    examples: tuple[tuple[str, str], ...]  # the most frequent sentence of each kind of illegal points
    fronts: tuple[Front, ...]
    evaluated: int  # points computed in this run; the others were in the store
    second_stage: tuple[Second, ...] = ()  # another engine's results for the fronts

    @property
    def front(self) -> tuple[Point, ...]:
        """The points of all fronts."""
        return tuple(point for front in self.fronts for point in front.points)

    @property
    def legal(self) -> int:
        return dict(self.counts)["legal"]

    @property
    def total(self) -> int:
        return sum(count for _, count in self.counts)

    def points(self) -> Points:
        """All of them."""
        return read_points(self.folder)

    def __repr__(self) -> str:
        where = "the front" if len(self.fronts) == 1 else f"{len(self.fronts)} fronts"
        lines = [f"{self.plan.sweep.name}: {self.total} points, {self.legal} legal, {len(self.front)} on {where}"]
        examples = dict(self.examples)
        for kind, count in self.counts:
            if kind != "legal":
                lines.append(f"  {count:9d} out by {kind}, most often: {_first_of(examples[kind])}")
        return "\n".join([*lines, *self._second_lines()])

    def _second_lines(self) -> Iterator[str]:
        """Comparison with the other engine's times."""
        times = {point.point: dict(point.values).get("latency_s") for point in self.front}
        ratios = [
            one.value("latency_s") / first
            for one in self.second_stage
            if not one.refused and (first := times.get(one.point))
        ]
        if ratios:
            engine, count = self.second_stage[0].engine, len(self.second_stage)
            yield f"  {engine} engine on {count} of the fronts: {min(ratios):.4f} to {max(ratios):.4f} times as long"
        refused = [one for one in self.second_stage if one.refused]
        if refused:
            yield f"  {len(refused)} that the {refused[0].engine} engine refuses, such as: {refused[0].refused}"


def _first_of(reason: str) -> str:
    """The first of the sentences of a reason."""
    first, *others = reason.split("; $.")
    return f"{first}; and {len(others)} more" if others else first


def sweep(
    name_or_path: str, folder: Path | str, options: SweepOptions | None = None, progress: Progress | None = None
) -> SweepResult:
    """Run every point of a sweep, or those its search requests, into `folder`; InputError for anything wrong."""
    options = options or SweepOptions()
    plan = load_plan(name_or_path)
    _check(plan, options)
    folder = Path(folder)
    with open_store(folder, plan, options) as store:
        runner = _Runner(plan, store, options)
        runner.run(progress or _bar())
        counts = store.counts()
        examples = tuple((kind, store.example_of(kind)) for kind in counts if kind != "legal")
        points, values = store.objectives()
    fronts = fronts_of(values, plan.workload_of(points))
    on_front = np.sort(np.concatenate([points[:0], *(points[front] for front in fronts)]))
    found = read_points(folder, f"point IN ({', '.join(map(str, on_front.tolist()))})")
    seconds = look_again(plan, folder, found, progress or _bar())
    _export(folder, options, on_front, seconds)
    typed = _fronts(plan, points, values, found)
    labels = [objective.label for objective in plan.sweep.objectives]
    described = {axis["name"]: axis for axis in found.contents.meta["axes"]}
    rows = [
        (
            *(shown_value(described[name], value) for name, value in front.of),
            len(front.points),
            front.hypervolume,
            *front.reference,
        )
        for front in typed
    ]
    shared = (axis_column(described[name]).header for name in plan.sweep.front_axes)
    names = (*shared, "points", "hypervolume", *(f"reference {label}" for label in labels))
    export_fronts(folder / "fronts.csv", names, rows)
    return SweepResult(folder, plan, tuple(counts.items()), examples, typed, runner.evaluated, seconds)


def _bar() -> Progress:
    # Drawing code is loaded only when a sweep runs.
    from sim.explore.progress import watched

    return watched


def _check(plan: Plan, options: SweepOptions) -> None:
    if options.executor not in ("local", "dask"):
        found = f"expected local or dask, got '{options.executor}'"
        raise InputError([InputProblem("--executor", None, "", found)])
    if options.executor == "local" and options.scheduler is not None:
        raise InputError([InputProblem("--scheduler", None, "", "belongs to '--executor dask'")])
    if options.workers is not None and options.workers < 1:
        raise InputError([InputProblem("--workers", None, "", f"expected at least 1, got {options.workers}")])
    check_sampler(plan.sweep)
    if options.parquet:
        check_parquet()
    engine = plan.sweep.search.second_stage
    try:
        check_engine(engine or "analytical")
    except ValueError as error:
        raise InputError([InputProblem(plan.sweep.name, None, "$.search.second_stage", str(error))]) from None


def open_store(folder: Path, plan: Plan, options: SweepOptions) -> Store:
    """The store to write to; InputError if a different one already exists."""
    path = folder / FILE
    if stamp_of(path) is None or options.fresh or is_blank(path):
        return Store.create(folder, plan)
    if not options.resume:
        message = "there is a sweep already: go on with --resume, or start over with --fresh"
        raise InputError([InputProblem(str(path), None, "", message)])
    return Store.resume(folder, plan)


def chunk_size(points: int, workers: int) -> int:
    """Points that a worker evaluates at a time: several chunks for each, so that all end at about the same time."""
    return max(256, min(CHUNK, -(-points // (4 * workers))))


class _Runner:
    """One sweep in progress."""

    def __init__(self, plan: Plan, store: Store, options: SweepOptions) -> None:
        self.plan, self.store, self.options = plan, store, options
        self.finished = store.finished()
        self.evaluated = 0
        self.watcher: Watcher = Silent()
        self.best = np.inf
        self.restarts = 0
        # Results given to the search; an exhaustive one never requests a point twice.
        self.worth: dict[int, np.ndarray] = {}
        self.is_exhaustive = plan.sweep.search.method == "exhaustive"

    def run(self, progress: Progress) -> None:
        total = self.plan.sweep.size if self.is_exhaustive else int(self.plan.sweep.search.trials or 0)
        if not self.is_exhaustive:
            points, values = self.store.objectives()
            self.worth = dict(zip(points.tolist(), values, strict=True))
        self.packed = pickle.dumps(self.plan, pickle.HIGHEST_PROTOCOL)
        done = min(self.finished.size, total) if self.is_exhaustive else 0
        with progress(self.plan.sweep.name, total, done) as self.watcher:
            while not self._attempt(total - done):
                self.finished = self.store.finished()

    def _attempt(self, left: int) -> bool:
        """The whole search; False if worker processes were lost and it should continue with new ones."""
        try:
            with self._executor(left) as self.executor:
                search(self.plan.sweep, self._evaluate)
            return True
        except BrokenProcessPool:
            self.restarts += 1
            if self.restarts > RETRIES:
                message = f"worker processes were lost {self.restarts} times: {KEPT}"
                raise InputError([InputProblem(str(self.store.path), None, "", message)]) from None
            return False

    def _executor(self, left: int) -> AbstractContextManager[Executor]:
        options = self.options
        workers = options.workers or os.cpu_count() or 1
        if options.executor == "dask":
            return dask_cluster(workers, options.scheduler)
        if workers == 1 or (options.workers is None and left <= SMALL):
            return in_process()
        if self.plan.sweep.size:
            evaluate_points(self.plan, np.arange(1))  # compiled here once, found compiled by every worker
        return local_processes(workers)

    def _evaluate(self, points: np.ndarray) -> np.ndarray:
        """The objectives of points, each computed once."""
        wanted = np.unique(points)
        missing = np.setdiff1d(wanted, self.finished, assume_unique=True)
        size = chunk_size(missing.size, self.options.workers or os.cpu_count() or 1)
        self._run_chunks(deque(missing[i : i + size] for i in range(0, missing.size, size)))
        if self.is_exhaustive:
            return np.empty((0, 0))
        self.finished = np.union1d(self.finished, missing)
        self.watcher.advance(points.size - missing.size, self._best_text())
        out = np.full(len(self.plan.sweep.objectives), np.inf)
        return np.stack([self.worth.get(int(point), out) for point in points])

    def _run_chunks(self, chunks: deque[np.ndarray]) -> None:
        """Keep a few chunks in progress at any time; each is written when it is done."""
        most = 2 * (self.options.workers or os.cpu_count() or 1) + 2
        pending: set[Future[Chunk]] = set()
        try:
            while chunks or pending:
                while chunks and len(pending) < most:
                    pending.add(self.executor.submit(evaluate_packed, self.packed, chunks.popleft()))
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                for future in done:
                    self._keep(future.result())
        finally:
            for future in pending:
                future.cancel()

    def _keep(self, chunk: Chunk) -> None:
        self.store.add(self.plan, chunk)
        self.evaluated += chunk.points.size
        names = self.store.contents.values
        objectives = self.plan.sweep.objectives
        values = chunk.values[:, [names.index(o.label) for o in objectives]] * [o.sign for o in objectives]
        legal = chunk.reason == 0
        if legal.any():
            self.best = min(self.best, float(np.nanmin(values[legal, 0], initial=np.inf)))
        if not self.is_exhaustive:
            self.worth |= {int(chunk.points[i]): values[i] for i in np.flatnonzero(legal)}
        self.watcher.advance(chunk.points.size, self._best_text())

    def _best_text(self) -> str:
        if not np.isfinite(self.best):
            return "none legal yet"
        first = self.plan.sweep.objectives[0]
        return f"best {first.label} {self.best * first.sign:.4g}"


def _export(folder: Path, options: SweepOptions, front: np.ndarray, seconds: tuple[Second, ...]) -> None:
    export_csv(folder / FILE, folder / "points.csv", front.tolist())
    export_csv(folder / FILE, folder / "front.csv", front.tolist(), is_front_only=True)
    if seconds:
        export_second_stage(seconds, folder / "second_stage.csv")
    if options.parquet:
        export_parquet(folder / FILE, folder / "points.parquet", front.tolist())


def _fronts(plan: Plan, points: np.ndarray, values: np.ndarray, found: Points) -> tuple[Front, ...]:
    """The fronts with their points and volumes; `found` holds the points of all."""
    by_number = {point.point: point for point in found}
    kinds = plan.workload_of(points)
    signs = np.array([objective.sign for objective in plan.sweep.objectives], float)
    given = [objective.reference for objective in plan.sweep.objectives]
    typed = []
    for front in fronts_of(values, kinds):
        own = tuple(by_number[number] for number in points[front].tolist())
        worst = values[kinds == kinds[front[0]]].max(axis=0)
        reference = np.array([w if g is None else g * s for w, g, s in zip(worst, given, signs, strict=True)])
        of = tuple((name, own[0].axis(name)) for name in plan.sweep.front_axes)
        typed.append(Front(of, own, hypervolume(values[front], reference), tuple((reference * signs).tolist())))
    return tuple(typed)
