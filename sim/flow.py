"""The flow from experiments to results: check, lower, evaluate, name.

Experiments of one structure are evaluated in one call, so that a sweep of many sizes costs one pass through the engine.
"""

from collections.abc import Sequence

import numpy as np

from arch.area import area_um2
from mappings.check import Problem
from sim.engine.analytical import Evaluation, evaluate
from sim.experiment import Experiment, stack
from sim.lower import Structure, lower
from sim.result import SimulationResult, make_result
from sim.tables import Tables


class IllegalMapping(Exception):
    """The mapping cannot run: `problems` says why, all of it."""

    def __init__(self, experiment: Experiment, problems: Sequence[Problem]) -> None:
        self.experiment, self.problems = experiment, tuple(problems)
        where = (f"$.{p.path}: " if p.path else "" for p in self.problems)
        lines = [f"mapping '{experiment.mapping.name}': {place}{p.message}" for place, p in zip(where, self.problems, strict=True)]
        super().__init__("\n".join(lines))


def simulate(experiment: Experiment, engine: str = "analytical") -> SimulationResult:
    """One design point. IllegalMapping when the mapping cannot run; ValueError for an unknown engine."""
    if engine != "analytical":
        raise ValueError(f"no engine is called '{engine}' (there is: analytical)")
    return simulate_all([experiment])[0]


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
        for d, (i, experiment) in enumerate(zip(members, batch, strict=True)):
            problems = size_problems(experiment, tables, evaluation, d)
            if problems:
                raise IllegalMapping(experiment, problems)
            area = dict(area_um2(experiment.architecture))
            results[i] = make_result(experiment, tables, evaluation, d, area)
    return [results[i] for i in range(len(experiments))]


def size_problems(experiment: Experiment, tables: Tables, evaluation: Evaluation, d: int) -> list[Problem]:
    """What only numbers tell: tiles that a memory cannot hold, ranks that an array's side cannot, ranks left uncovered."""
    problems = [*_coverage_problems(experiment, tables, d)]
    for m, memory in enumerate(experiment.structure.machine.memories):
        capacity, needed = tables.machine.capacity_bytes[d, m], evaluation.footprint_bytes[d, m]
        if needed > capacity and not tables.shape.spills[m]:
            message = f"'{memory}' holds {_bytes(capacity)} but the tiles it keeps need {_bytes(needed)}"
            problems.append(Problem("", message))
    return problems


def _coverage_problems(experiment: Experiment, tables: Tables, d: int) -> list[Problem]:
    problems = []
    cascade, tree, machine = experiment.cascade, experiment.tree, experiment.structure.machine
    space = _space(experiment)
    for leaf in tree.leaves:
        extent = tables.extents[d].copy()
        for index in leaf.loops:
            part = space.parts[space.part_of_variable(tree.loops[index].variable)]
            extent[part.root] = min(extent[part.root], tables.loop_tiles[d, index])
        sides = {loop.variable: loop.side for loop in leaf.spatial}
        for variable in cascade.variables_of(leaf.einsum):
            part = space.parts[space.part_of_variable(variable)]
            left = -(-min(extent[part.root], tables.sizes[d, part.span]) // tables.sizes[d, part.unit])
            array = machine.array(leaf.array)
            if variable not in sides and left > 1:
                message = f"Einsum '{leaf.einsum}': its loops leave {left} coordinates of '{variable}' uncovered"
                problems.append(Problem(leaf.path, message))
            elif variable in sides:
                side = tables.machine.rows if sides[variable] == "rows" else tables.machine.columns
                if left > side[d, array]:
                    what = f"{left} coordinates of '{variable}' on {side[d, array]:g} {sides[variable]} of '{leaf.array}'"
                    problems.append(Problem(leaf.path, f"Einsum '{leaf.einsum}' does not fit: {what}"))
    return problems


def _space(experiment: Experiment):  # type: ignore[no-untyped-def]
    from sim.lower import lower_structure

    return lower_structure(experiment.structure).space


def _bytes(value: float) -> str:
    for unit, factor in (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)):
        if value >= factor:
            return f"{value / factor:.6g} {unit}"
    return f"{np.ceil(value):g} B"
