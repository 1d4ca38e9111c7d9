"""Single designs of a sweep, assembled and simulated again for breakdowns by component and Einsum that are not
recorded.

`simulate` gives the same numbers for a point as the sweep, to the last bit.
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
    """The design point, assembled as from its file; InputError if the file that it starts from is not available."""
    return load_experiment(point.experiment, dict(point.settings))


def results_of(points: Points, rows: Iterable[int]) -> dict[int, SimulationResult]:
    """The results of these designs by row, without those whose files are not available. Rows are those of legal points.

    Empty if one of them cannot run, because the points were computed by other code.
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
    """The sweep's experiment with everything that it fixes, at a workload (values by path); None if it cannot run."""
    meta = points.contents.meta
    return result_or_none(meta["experiment"], {**dict(meta["fixed"]), **workload})
