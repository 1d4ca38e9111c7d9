"""Single designs of a sweep, assembled and simulated again: what they spend by component and Einsum is not recorded.

`simulate` says the same of a point as the sweep did, to the last bit.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.explore.points import Point, Points
from sim.load.problems import InputError
from sim.simulation.flow import IllegalMapping, simulate_all
from sim.simulation.result import SimulationResult
from sim.simulation.trying import result_or_none


def experiment_of(point: Point) -> Experiment:
    """The design point, assembled as from its file; InputError where the file that it starts from is not at hand."""
    return load_experiment(point.experiment, dict(point.settings))


def results_of(points: Points, rows: Iterable[int]) -> dict[int, SimulationResult]:
    """By row, the results of these designs; without those whose files are not at hand. Rows are those of legal points.

    Empty where one of them cannot run after all: the points were found by other code.
    """
    experiments: dict[int, Experiment] = {}
    for row in rows:
        try:
            experiments[row] = experiment_of(points.at(row))
        except InputError:
            continue
    try:
        return dict(zip(experiments, simulate_all(list(experiments.values())), strict=True))
    except IllegalMapping:
        return {}


def start_of(points: Points, workload: Mapping[str, Any]) -> SimulationResult | None:
    """What the sweep starts from, with all that it fixes, at a workload (values by path); None where it cannot run."""
    meta = points.contents.meta
    return result_or_none(meta["experiment"], {**dict(meta["fixed"]), **workload})
