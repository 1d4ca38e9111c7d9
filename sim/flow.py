"""The flow from experiments to results: check, lower, evaluate, name.

Experiments of one structure are evaluated in one call, so that a sweep of many sizes costs one pass through the engine.
"""

from collections.abc import Sequence

from mappings.check import Problem
from sim.engine.analytical import evaluate
from sim.experiment import Experiment, stack
from sim.fit import size_problems
from sim.lower import Structure, lower
from sim.result import SimulationResult, make_results
from sim.suggest import nearest

ENGINES = ("analytical",)


class IllegalMapping(Exception):
    """The mapping cannot run: `problems` says why, all of it."""

    def __init__(self, experiment: Experiment, problems: Sequence[Problem]) -> None:
        self.experiment, self.problems = experiment, tuple(problems)
        where = (f"$.{p.path}: " if p.path else "" for p in self.problems)
        lines = [f"mapping '{experiment.mapping.name}': {place}{p.message}" for place, p in zip(where, self.problems, strict=True)]
        super().__init__("\n".join(lines))


def simulate(experiment: Experiment, engine: str = "analytical") -> SimulationResult:
    """One design point. IllegalMapping when the mapping cannot run; ValueError for an unknown engine."""
    check_engine(engine)
    return simulate_all([experiment])[0]


def check_engine(name: str) -> None:
    """ValueError for an engine that does not exist."""
    if name not in ENGINES:
        raise ValueError(f"no engine is called '{name}'{nearest(name, ENGINES)}; there is: {', '.join(ENGINES)}")


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
        tables = lower(structure, stack(batch))
        evaluation = evaluate(tables)
        illegal = size_problems(structure, tables, evaluation)
        for d, problems in illegal.items():
            raise IllegalMapping(batch[d], problems)
        results.update(zip(members, make_results(batch, tables, evaluation), strict=True))
    return [results[i] for i in range(len(experiments))]
