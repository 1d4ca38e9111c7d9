"""Another engine looks at the fronts of a sweep again, point by point; each answer is kept as soon as it is there."""

import json
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.explore.plan import Plan
from sim.explore.points import Point, Points
from sim.explore.store import Store
from sim.explore.watch import Watcher
from sim.simulation.flow import IllegalMapping, simulate

REFUSED = "refused"  # key of an answer that is a reason


class Progress(Protocol):
    """Shows a task of so many points, some of them done."""

    def __call__(self, name: str, total: int, done: int) -> AbstractContextManager[Watcher]:
        """The watcher of that task."""


@dataclass(frozen=True, slots=True)
class Second:
    """What the other engine says of a point; `refused` says why it cannot run there."""

    point: int
    engine: str
    values: tuple[tuple[str, float], ...] = ()  # latency_s, cycles, energy_pj
    refused: str = ""

    def value(self, name: str) -> float:
        return dict(self.values)[name]


def look_again(plan: Plan, folder: Path, front: Points, progress: Progress) -> tuple[Second, ...]:
    """Every point of the fronts through the sweep's second engine; those that the store has are not run again."""
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


def seconds_of(found: dict[int, tuple[str, str]]) -> tuple[Second, ...]:
    """Typed answers from engine and JSON by point."""
    return tuple(_second(point, engine, json.loads(text)) for point, (engine, text) in sorted(found.items()))


def _second(point: int, engine: str, told: dict[str, Any]) -> Second:
    if REFUSED in told:
        return Second(point, engine, refused=told[REFUSED])
    return Second(point, engine, tuple((name, float(told[name])) for name in ("latency_s", "cycles", "energy_pj")))


def experiment_of(point: Point) -> Experiment:
    """The design point, assembled as from its file."""
    return load_experiment(point.experiment, dict(point.settings))


def _answer(point: Point, engine: str) -> dict[str, Any]:
    try:
        return simulate(experiment_of(point), engine).to_json()
    except IllegalMapping as error:
        return {REFUSED: "; ".join(problem.message for problem in error.problems)}
