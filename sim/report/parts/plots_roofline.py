"""The figure of the roofline: designs under the roofs of their machines."""

from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from sim.report.parts.plots_style import BLACK, MARKS, WIDTH_INCHES, colour_of
from sim.simulation.roofline import Roof

MOST_FOR_FINE_TICKS = 2000  # a wider range has ticks only at powers of ten


def draw_roofline(roofs: tuple[Roof, ...]) -> Canvas:
    """Each design under the two roofs of its machine: the outermost memory's slope and the array's peak."""
    canvas = Canvas(figsize=(WIDTH_INCHES * 0.7, 3.0), layout="constrained")
    axes = canvas.subplots()
    roofs = _merged(roofs)
    ridges = [roof.peak / roof.bandwidth_bytes_per_s for roof in roofs]
    reach = [*ridges, *(roof.intensity for roof in roofs)]
    # Each corner of a roof is a separate point.
    x = np.sort(np.append(np.geomspace(min(reach) / 4, max(reach) * 4, 50), ridges))
    machines = dict.fromkeys((roof.peak, roof.bandwidth_bytes_per_s) for roof in roofs)
    for peak, bandwidth in machines:
        own = next(i for i, roof in enumerate(roofs) if (roof.peak, roof.bandwidth_bytes_per_s) == (peak, bandwidth))
        colour = BLACK if len(machines) == 1 else colour_of(own)
        axes.plot(x, np.minimum(peak, x * bandwidth) * 1e-12, color=colour, linewidth=0.9, zorder=1)
    for i, roof in enumerate(roofs):
        axes.plot(
            [roof.intensity], [roof.reached * 1e-12], linestyle="none", marker=MARKS[i % len(MARKS)], markersize=6,
            color=colour_of(i), label=roof.label,
        )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    for axis, (least, most) in ((axes.xaxis, axes.get_xlim()), (axes.yaxis, axes.get_ylim())):
        axis.set_major_locator(LogLocator(10, subs=(1.0, 2.0, 5.0) if most / least < MOST_FOR_FINE_TICKS else (1.0,)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.9g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.grid(visible=True, axis="both")
    axes.set_xlabel("Element-cycles for each byte of the outermost memory")
    axes.set_ylabel("Element-cycles (10¹² a second)")
    axes.legend(loc="lower right")
    return canvas


def _merged(roofs: tuple[Roof, ...]) -> tuple[Roof, ...]:
    """Designs that differ only in name, merged into one."""
    labels: dict[Roof, list[str]] = {}
    for roof in roofs:
        labels.setdefault(replace(roof, label=""), []).append(roof.label)
    return tuple(replace(roof, label=", ".join(own)) for roof, own in labels.items())
