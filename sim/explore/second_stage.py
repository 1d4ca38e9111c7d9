"""Re-evaluates the fronts of a sweep with another engine, point by point; each result is stored at once."""

import json
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Protocol

from sim.explore.closely import experiment_of
from sim.explore.plan import Plan
from sim.explore.points import Point, Points
from sim.explore.seconds import REFUSED, Second, seconds_of
from sim.explore.store import Store
from sim.explore.watch import Watcher
from sim.simulation.flow import IllegalMapping, simulate


class Progress(Protocol):
    """Shows a task of that many points, some of them done."""

    def __call__(self, name: str, total: int, done: int) -> AbstractContextManager[Watcher]:
        """The watcher of that task."""


def look_again(plan: Plan, folder: Path, front: Points, progress: Progress) -> tuple[Second, ...]:
    """Every point of the fronts through the sweep's second engine; points in the store are not run again."""
    engine = plan.sweep.search.second_stage
    if engine is None:
        return ()
    with Store.resume(folder, plan) as store:
        store.keep_second_stage(engine, [point.point for point in front])
        done = store.second_stage()
        with progress(f"{plan.sweep.name}, {engine}", len(front), len(done)) as watcher:
            for point in front:
                if point.point not in done:
                    store.add_second_stage(point.point, engine, json.dumps(_answer(point, engine)))
                    watcher.advance(1, "")
        return seconds_of(store.second_stage())


def _answer(point: Point, engine: str) -> dict[str, Any]:
    try:
        return simulate(experiment_of(point), engine).to_json()
    except IllegalMapping as error:
        return {REFUSED: "; ".join(problem.message for problem in error.problems)}
