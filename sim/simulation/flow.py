"""The flow from experiments to results: check, lower, evaluate, name.

Experiments of one structure are evaluated in one call, so that a sweep of many sizes costs one pass through the engine.
"""

from collections.abc import Sequence

import numpy as np

from mappings.check import Problem
from sim.cycle.answer import time_design
from sim.design.diagnosis import Origin
from sim.design.experiment import Experiment, stack
from sim.engine.analytical import evaluate
from sim.engine.tables import Tables
from sim.load.document import plain_document
from sim.load.problems import InputProblem
from sim.load.suggest import nearest
from sim.lower.fit import size_problems
from sim.lower.lowering import Structure, lower
from sim.simulation.result import SimulationResult, make_results
from sim.simulation.timed import timed_result

ENGINES = ("analytical", "cycle")


class IllegalMapping(Exception):  # noqa: N818 (the answer is no; nothing went wrong)
    """The mapping cannot run: `problems` says why, all of it; its text has one line for each, with file and line."""

    def __init__(self, experiment: Experiment, problems: Sequence[Problem]) -> None:
        self.experiment, self.problems = experiment, tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.located()))

    def located(self) -> tuple[InputProblem, ...]:
        """The problems where the mapping was written; without a file for one that was made in Python."""
        origin = self.experiment.origin or Origin(plain_document({}, f"mapping '{self.experiment.mapping.name}'"))
        return tuple(origin.locate(problem) for problem in self.problems)


def simulate(experiment: Experiment, engine: str = "analytical") -> SimulationResult:
    """One design point. IllegalMapping when the mapping cannot run; ValueError for an unknown engine."""
    check_engine(engine)
    result = simulate_all([experiment])[0]
    return with_cycles(result) if engine == "cycle" else result


def check_engine(name: str) -> None:
    """ValueError for an engine that does not exist."""
    if name not in ENGINES:
        near, known = nearest(name, ENGINES), ", ".join(ENGINES)
        raise ValueError(f"no engine is called '{name}'{near}; there is: {known}")


def with_cycles(result: SimulationResult, fast: bool = True) -> SimulationResult:
    """The cycle engine's answer for the design of a result: same counts, real time. IllegalMapping if it cannot run.

    Without `fast` every cycle is gone through; the outcome is the same.
    """
    experiment = result.experiment
    tables = _lowered(experiment.structure, [experiment])
    try:
        return timed_result(result, time_design(experiment, tables, evaluate(tables), fast))
    except ValueError as error:
        raise IllegalMapping(experiment, [Problem("schedule", str(error))]) from None


def simulate_all(experiments: Sequence[Experiment]) -> list[SimulationResult]:
    """Many design points, in order; those that share a structure go through the engine together."""
    batches: dict[Structure, list[int]] = {}
    for i, experiment in enumerate(experiments):
        if experiment.problems:
            raise IllegalMapping(experiment, experiment.problems)
        batches.setdefault(experiment.structure, []).append(i)
    results: dict[int, SimulationResult] = {}
    for structure, members in batches.items():
        batch = [experiments[i] for i in members]
        tables = _lowered(structure, batch)
        evaluation = evaluate(tables)
        illegal = size_problems(structure, tables, evaluation)
        for d, problems in illegal.items():
            raise IllegalMapping(batch[d], problems)
        results.update(zip(members, make_results(batch, tables, evaluation), strict=True))
    return [results[i] for i in range(len(experiments))]


def _lowered(structure: Structure, batch: list[Experiment]) -> Tables:
    """As `lower`; numbers that no engine can use are problems of the first mapping that has them."""
    try:
        tables = lower(structure, stack(batch))
        if np.isfinite(tables.reserved_bytes).all() and (tables.reserved_bytes >= 0).all():
            return tables
        reason = "the room reserved in a memory is no number of at least 0"
    except (ValueError, OverflowError) as error:
        reason = str(error)
    for experiment in batch:
        problems = experiment.number_problems()
        if problems:
            raise IllegalMapping(experiment, problems)
    raise IllegalMapping(batch[0], [Problem("", reason)])
