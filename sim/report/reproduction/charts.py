"""Charts of a reproduction's folder beyond the figures of the paper: speedup, energy, utilization, Pareto, roofline.

All numbers are those of `results.csv`, under its first accounting; the roofline also needs results of the experiments
that the folder names. A chart is a function in `CHARTS`.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np

from sim.explore.pareto import front_of
from sim.load.problems import InputError, InputProblem
from sim.report.parts.chart_files import ChartOf, chart_figures, write_pictures
from sim.report.parts.files import write_file
from sim.report.parts.html import Banner, page
from sim.report.parts.plots_panels import Panel, draw_panels
from sim.report.parts.plots_roofline import draw_roofline
from sim.report.parts.workloads import Workload, length_label
from sim.report.reproduction.plots_designs import draw_designs
from sim.report.reproduction.results_read import Results
from sim.simulation.result import SimulationResult
from sim.simulation.roofline import roof_of

PAGE = "charts.html"


class DesignAt(NamedTuple):
    """A design of a kernel at one workload, as shown in a roofline."""

    kernel: str
    design: str
    experiment: str
    workload: Workload


Simulated = Mapping[DesignAt, SimulationResult]


def wanted_of(results: Results) -> tuple[DesignAt, ...]:
    """The designs for which charts need more than the results hold, if the folder records what was run."""
    return tuple(
        DesignAt(kernel, design, experiment, _middle(results, kernel)[1])
        for kernel in results.kernels
        for design in results.designs
        if (experiment := results.experiment(kernel, design)) is not None
    )


def write_reproduction_charts(
    folder: Path, results: Results, simulated: Simulated, tell: Callable[[str], None]
) -> Path:
    """Write charts and their page next to the results; returns the page's path. InputError if there is nothing to draw.

    `simulated`: results of those designs of `wanted_of` that run.
    """
    found = (make(results, kernel, simulated) for kernel in results.kernels for make in CHARTS)
    charts = [chart for chart in found if chart is not None]
    if not charts:
        message = "holds no time, energy or utilization that every design has: nothing to draw"
        raise InputError([InputProblem(str(folder), None, "", message)])
    svg_by_chart = write_pictures(folder, charts, tell)
    title = str(results.names.get("title", folder.resolve().name))
    banner = Banner(f"{title}: charts", '<p class="quiet">From <code>results.csv</code>.</p>')
    return write_file(folder / PAGE, page(title, banner, "\n".join(chart_figures(charts, svg_by_chart))).encode())


def _labels(results: Results) -> tuple[str, ...]:
    return tuple(results.label("designs", design) for design in results.designs)


def _first(results: Results, kernel: str, unit: str) -> np.ndarray | None:
    """f8[workload, design] of the first metric in a unit."""
    metric = next(iter(results.metrics(kernel, unit)), None)
    return None if metric is None else results.table(kernel, metric)


def _compare(results: Results, kernel: str, simulated: Simulated) -> ChartOf | None:
    time, energy, area = (_first(results, kernel, unit) for unit in ("s", "pJ", "um2"))
    if time is None or energy is None or len(results.designs) < 2:
        return None
    labels, name = _labels(results), results.label("kernels", kernel)
    panels = (Panel("Speedup", time[:, :1] / time), Panel("Energy, relative", energy / energy[:, :1]))
    seen = f"Relative to {labels[0]}; above 1 is faster, below 1 takes less energy. Means are geometric."
    if area is not None:
        seen += f" Chips of {area.min() * 1e-8:.3g} to {area.max() * 1e-8:.3g} cm²."
    workloads = results.workloads(kernel)
    return ChartOf(
        f"speedup-energy-{kernel}", f"{name}: speedup and energy", seen, lambda: draw_panels(labels, workloads, panels)
    )


def _utilization(results: Results, kernel: str, simulated: Simulated) -> ChartOf | None:
    metrics = results.metrics(kernel, "fraction")
    tables = [table for metric in metrics if (table := results.table(kernel, metric)) is not None]
    if not tables:
        return None
    panels = tuple(
        Panel(results.label("metrics", metric).replace(" of the ", "\nof the "), table, is_share=True)
        for metric, table in zip(metrics, tables, strict=True)
    )
    name, workloads = results.label("kernels", kernel), results.workloads(kernel)
    seen = "Share of the time in which elements of an array are busy. Means are arithmetic."
    return ChartOf(
        f"utilization-{kernel}",
        f"{name}: utilization",
        seen,
        lambda: draw_panels(_labels(results), workloads, panels),
    )


def _middle(results: Results, kernel: str) -> tuple[int, Workload]:
    """The middle length of the middle model: its index among the workloads, and the workload."""
    workloads = results.workloads(kernel)
    models = tuple(dict.fromkeys(model for model, _ in workloads))
    own = [i for i, (model, _) in enumerate(workloads) if model == models[len(models) // 2]]
    place = own[len(own) // 2]
    return place, workloads[place]


def _pareto(results: Results, kernel: str, simulated: Simulated) -> ChartOf | None:
    time, energy = (_first(results, kernel, unit) for unit in ("s", "pJ"))
    if time is None or energy is None or len(results.designs) < 2:
        return None
    place, (model, length) = _middle(results, kernel)
    x, y = time[place], energy[place] * 1e-12
    front = front_of(np.stack([x, y], axis=1))
    seen = f"Every design and their front, at {model}, {length_label(length)}, the middle workload."
    name = results.label("kernels", kernel)
    return ChartOf(
        f"pareto-{kernel}", f"{name}: time against energy", seen, lambda: draw_designs(_labels(results), x, y, front)
    )


def _roof(results: Results, kernel: str, simulated: Simulated) -> ChartOf | None:
    _, (model, length) = _middle(results, kernel)
    found = [
        roof_of(results.label("designs", place.design), result)
        for place, result in simulated.items()
        if place.kernel == kernel
    ]
    roofs = tuple(roof for roof in found if roof is not None)
    if not roofs:
        return None
    seen = (
        f"At {model}, {length_label(length)}, the middle workload. Slope: bandwidth of the outermost memory; "
        "flat: every element of the largest array busy."
    )
    name = results.label("kernels", kernel)
    return ChartOf(f"roofline-{kernel}", f"{name}: roofline", seen, lambda: draw_roofline(roofs))


# In the order of the page; each gives a chart of a kernel if its results allow it.
CHARTS: tuple[Callable[[Results, str, Simulated], ChartOf | None], ...] = (_compare, _utilization, _pareto, _roof)
