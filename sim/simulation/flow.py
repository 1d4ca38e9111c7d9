"""The flow from experiments to results: check, lower, evaluate, name.

Experiments of one structure are evaluated in one call, so that a sweep of many sizes costs one pass through the engine.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from einsums.names import nearest
from mappings.check import Problem
from mappings.existence import unfollowed
from sim.design.diagnosis import Origin
from sim.design.experiment import Experiment, stack
from sim.ending import CutShort
from sim.engine.analytical import Evaluation, evaluate, lasting
from sim.engine.tables import Tables
from sim.load.document import plain_document
from sim.load.problems import InputError, InputProblem, Refused
from sim.lower.fit import size_problems
from sim.lower.lowering import Structure, lower
from sim.simulation.result import SimulationResult, make_results

if TYPE_CHECKING:
    from sim.cycle.answer import DesignTiming

ENGINES = ("analytical", "cycle")
MOST_CYCLES = 2.0**53  # of the cycle engine; results count exactly up to here


class IllegalMapping(Refused):
    """The mapping cannot run: `problems` lists all reasons; its text has one line per problem, with file and line."""

    def __init__(self, experiment: Experiment, problems: Sequence[Problem]) -> None:
        self.experiment, self.problems = experiment, tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.located()))

    def located(self) -> tuple[InputProblem, ...]:
        """The problems located where the mapping was written; without a file for a mapping made in Python."""
        origin = self.experiment.origin or Origin(plain_document({}, f"mapping '{self.experiment.mapping.name}'"))
        return tuple(origin.locate(problem) for problem in self.problems)


def simulate(
    experiment: Experiment, engine: str = "analytical", tell: Callable[[float], None] = lambda share_done: None
) -> SimulationResult:
    """One design point; `tell` hears now and then of the share that is done. IllegalMapping if the mapping cannot run;
    ValueError for an unknown engine; of the cycle engine CutShort, with the result so far, at an interrupt.
    """
    check_engine(engine)
    _check_kind(experiment)
    if engine == "cycle":
        return simulate_cycles(experiment, tell=tell)
    return simulate_all([experiment])[0]


def check_engine(name: str) -> None:
    """ValueError for an engine that does not exist."""
    if name not in ENGINES:
        near, known = nearest(str(name), ENGINES), ", ".join(ENGINES)
        raise ValueError(f"no engine is called '{name}'{near}; there is: {known}")


def _check_kind(experiment: object) -> None:
    if not isinstance(experiment, Experiment):
        raise TypeError(f"expected an Experiment, as load_experiment gives it, got {type(experiment).__name__}")


def simulate_cycles(
    experiment: Experiment, fast: bool = True, tell: Callable[[float], None] = lambda share_done: None
) -> SimulationResult:
    """One design point under the cycle engine: same counts, actual time. IllegalMapping if it cannot run.

    Without `fast` every cycle is simulated; the outcome is the same. `tell` hears now and then of the share that is
    done. CutShort at an interrupt: `known` is the result with the times until then, None if there are none.
    """
    from sim.cycle.answer import DesignTiming, design_of, time_design  # nothing else needs its loops

    reason = unfollowed(experiment.cascade, "the cycle engine")
    if reason:
        raise IllegalMapping(experiment, [Problem("", reason)])
    counted = count(experiment)
    try:
        _check_countable(counted.results()[0])
        timing = time_design(design_of(experiment, counted.tables, counted.evaluation), fast, tell)
    except ValueError as error:
        raise IllegalMapping(experiment, [Problem("schedule", str(error))]) from None
    except CutShort as cut:
        assert isinstance(cut.known, DesignTiming)
        raise CutShort(_timed(counted, cut.known) if cut.known.cycles else None, cut.interrupt) from cut
    return _timed(counted, timing)


def _timed(counted: "Counted", timing: "DesignTiming") -> SimulationResult:
    from sim.simulation.timed import timed_result

    retimed = lasting(counted.tables, counted.evaluation, np.array([float(timing.cycles)]))
    return timed_result(counted.results()[0], counted._replace(evaluation=retimed).results()[0], timing)


def _check_countable(counted: SimulationResult) -> None:
    """ValueError for a run whose cycles, by the analytical engine, are too many to be counted one by one."""
    if counted.cycles > MOST_CYCLES:
        raise ValueError(f"a run of about {counted.cycles:.3g} cycles: the cycle engine counts to {MOST_CYCLES:.3g}")


def simulate_all(experiments: Sequence[Experiment]) -> list[SimulationResult]:
    """Many design points, in order; those that share a structure go through the engine together."""
    batches: dict[Structure, list[int]] = {}
    for i, experiment in enumerate(experiments):
        _check_kind(experiment)
        _refuse_illegal(experiment)
        batches.setdefault(experiment.structure, []).append(i)
    results: dict[int, SimulationResult] = {}
    for members in batches.values():
        batch = _count_batch([experiments[i] for i in members])
        results.update(zip(members, batch.results(), strict=True))
    return [results[i] for i in range(len(experiments))]


class Counted(NamedTuple):
    """Legal designs of one structure, lowered, with the counts of the analytical engine."""

    experiments: list[Experiment]
    tables: Tables
    evaluation: Evaluation

    def results(self) -> list[SimulationResult]:
        """InputError for one that is not finite, which the bounds of all inputs should make impossible."""
        results = make_results(self.experiments, self.tables, self.evaluation)
        for result in results:
            for name in ("latency_s", "energy_pj"):
                if not math.isfinite(getattr(result, name)):
                    message = f"'{name}' is not finite: a number of the machine or of the workload is too large"
                    raise InputError([InputProblem(result.experiment.name, None, "", message)])
        return results


def count(experiment: Experiment) -> Counted:
    """A batch of one; IllegalMapping if the mapping cannot run."""
    _refuse_illegal(experiment)
    return _count_batch([experiment])


def _refuse_illegal(experiment: Experiment) -> None:
    if experiment.problems:
        raise IllegalMapping(experiment, experiment.problems)


def _count_batch(batch: list[Experiment]) -> Counted:
    structure = batch[0].structure
    tables = _lowered(structure, batch)
    evaluation = evaluate(tables)
    for d, problems in size_problems(structure, tables, evaluation).items():
        raise IllegalMapping(batch[d], problems)
    return Counted(batch, tables, evaluation)


def _lowered(structure: Structure, batch: list[Experiment]) -> Tables:
    """As `lower`; numbers that no engine can use are reported for the first mapping that has them."""
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
