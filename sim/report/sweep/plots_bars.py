"""Figures of a sweep's best designs: bars by model and length, stacks of energy and time."""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, PercentFormatter

from sim.report.parts.collecting import OTHERS, collected
from sim.report.parts.plots_panels import Panel, draw_panels
from sim.report.parts.plots_style import PART_COLOURS, WIDTH_INCHES
from sim.report.parts.units import fitted
from sim.report.sweep.breakdown import CompareData, ShownDesign

OTHERS_COLOUR = "#dddddd"
HATCHES = ("", "///", "...", "xxx")


def draw_compare(data: CompareData) -> Canvas:
    """Speedup above, energy below: a cluster for each workload, a bar for each series, the mean at the end."""
    panels = (Panel("Speedup", data.speedup), Panel("Energy, relative", data.energy))
    return draw_panels(data.series, data.workloads, panels)


def draw_breakdown(designs: tuple[ShownDesign, ...]) -> Canvas:
    """Energy by component on the left, the busy share of each array by Einsum on the right."""
    canvas = Canvas(figsize=(WIDTH_INCHES, 0.9 + 0.62 * len(designs)), layout="constrained")
    left, right = canvas.subplots(1, 2)
    labels = [design.label for design in designs]
    energies = [design.result.energy_by_component_pj for design in designs]
    label, factor = fitted("Energy (J)", max(sum(one.values()) for one in energies) * 1e-12)
    _stack(
        left, labels, [{part: value * 1e-12 * factor for part, value in one.items() if value > 0} for one in energies]
    )
    left.set_xlabel(label)
    left.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
    names, shares = [], []
    for design in designs:
        for array, by_einsum in design.result.utilization_by_einsum.items():
            names.append(f"{design.label}\n{array}")
            shares.append({part: value for part, value in by_einsum.items() if value > 0})
    _stack(right, names, shares)
    right.set_xlim(0, 1)
    right.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    right.set_xlabel("Utilization, by Einsum")
    return canvas


def _stack(axes: Axes, labels: list[str], rows: list[dict[str, float]]) -> None:
    """Horizontal stacks, first row on top; parts beyond the colours differ by hatching, the smallest are together."""
    rows = collected(rows)
    places = np.arange(len(labels))[::-1]
    lefts = np.zeros(len(labels))
    for p, part in enumerate(dict.fromkeys(name for row in rows for name in row)):
        widths = np.array([row.get(part, 0.0) for row in rows])
        axes.barh(
            places, widths, 0.7, lefts, color=OTHERS_COLOUR if part == OTHERS else PART_COLOURS[p % len(PART_COLOURS)],
            label=part, linewidth=0, hatch=HATCHES[p // len(PART_COLOURS) % len(HATCHES)], edgecolor="white",
        )  # fmt: skip
        lefts += widths
    axes.set_yticks(places, labels, fontsize=6)
    axes.tick_params(axis="y", length=0)
    axes.grid(visible=False, axis="y")
    axes.grid(visible=True, axis="x")
    count = len(axes.get_legend_handles_labels()[1])
    columns = -(-count // -(-count // 6))  # even rows of at most six
    axes.legend(
        loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=columns, handlelength=0.9, columnspacing=0.9, fontsize=6
    )
