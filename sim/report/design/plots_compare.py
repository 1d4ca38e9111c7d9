"""Predicted against measured times: a log-log cloud with bands, and rates over length for each implementation."""

import io
from collections.abc import Sequence

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

from kernels.plans import AttentionProblem
from sim.gpu.compare import ComparedCase
from sim.report.parts.plots_style import PNG_DPI, STYLE

BANDS = ((0.25, "#f0f0f0"), (0.10, "#dcdcdc"))  # widest first
# Okabe and Ito (2008), in the order in which families and implementations come.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999")
MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
MOST_CURVES = 6


def render_comparison(compared: Sequence[ComparedCase], suffix: str) -> bytes:
    """An SVG or PNG of both."""
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "compare"}):
        canvas = Canvas(figsize=(7.2, 5.6), layout="constrained")
        grid = canvas.add_gridspec(2, 2, height_ratios=(1.25, 1))
        draw_cloud(canvas.add_subplot(grid[0, :]), compared)
        for column, mask in enumerate(("full", "causal")):
            draw_rates(canvas.add_subplot(grid[1, column]), compared, mask)
        drawn = io.BytesIO()
        date = {"Date": None} if suffix == "svg" else {}
        canvas.savefig(drawn, format=suffix, dpi=PNG_DPI, metadata={"Title": "Predicted and measured time", **date})
    return drawn.getvalue()


def draw_cloud(axes: Axes, compared: Sequence[ComparedCase]) -> None:
    """One mark per case; filled: held-out, hollow: calibration. Bands: within 10 and 25 percent."""
    low = min(min(one.case.measured_s, one.predicted_s) for one in compared) * 1e3 / 1.5
    high = max(max(one.case.measured_s, one.predicted_s) for one in compared) * 1e3 * 1.5
    for width, colour in BANDS:
        axes.fill_between(
            [low, high], [low * (1 - width), high * (1 - width)], [low * (1 + width), high * (1 + width)],
            color=colour, linewidth=0, label=f"within {width:.0%}",
        )  # fmt: skip
    axes.plot([low, high], [low, high], color="#666666", linewidth=0.6)
    for i, family in enumerate(dict.fromkeys(one.case.family for one in compared)):
        members = [one for one in compared if one.case.family == family]
        colour = COLOURS[i % len(COLOURS)]
        for is_held_out in (True, False):
            part = [one for one in members if (one.case.role == "held-out") is is_held_out]
            axes.plot(
                [one.case.measured_s * 1e3 for one in part], [one.predicted_s * 1e3 for one in part], linestyle="none",
                marker=MARKERS[i % len(MARKERS)], markersize=3.2, markeredgewidth=0.7,
                markeredgecolor=colour, markerfacecolor=colour if is_held_out else "white",
                label=family.replace("_", " ") if is_held_out else None,
            )  # fmt: skip
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(low, high)
    axes.set_ylim(low, high)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
    axes.grid(axis="both")
    axes.set_xlabel("measured, ms (hollow: calibration)")
    axes.set_ylabel("predicted, ms")
    axes.legend(loc="upper left", ncols=2)


def draw_rates(axes: Axes, compared: Sequence[ComparedCase], mask: str) -> None:
    """TFLOP/s over length of 16-bit attention forward at head size 128; dots measured, lines predicted."""
    curves: dict[tuple[str, str], list[tuple[int, float, float]]] = {}
    for one in compared:
        problem, case = one.case.problem, one.case
        if case.family != "attention_fwd" or not isinstance(problem, AttentionProblem) or problem.head_size != 128:
            continue
        if (problem.right >= 0) != (mask == "causal"):
            continue
        point = (problem.keys, case.useful_flops / case.measured_s / 1e12, case.useful_flops / one.predicted_s / 1e12)
        curves.setdefault((case.name.split("/")[0], case.implementation), []).append(point)
    longest = sorted((c for c in curves.items() if len(c[1]) > 1), key=lambda item: -len(item[1]))[:MOST_CURVES]
    names = [implementation for (_, implementation), _ in longest]
    for i, ((source, implementation), points) in enumerate(longest):
        lengths, measured, predicted = zip(*sorted(points), strict=True)
        label = f"{implementation}, {source}" if names.count(implementation) > 1 else implementation
        axes.plot(lengths, predicted, color=COLOURS[i], linewidth=1, label=label)
        axes.plot(lengths, measured, color=COLOURS[i], linestyle="none", marker=MARKERS[i], markersize=3)
    axes.set_xscale("log", base=2)
    ticks = sorted({point[0] for _, points in longest for point in points})
    axes.set_xticks(ticks, [f"{n >> 10}K" if n % 1024 == 0 else str(n) for n in ticks])
    axes.set_ylim(bottom=0)
    axes.set_title(f"Attention forward, head size 128, {mask} (line: predicted)")
    axes.set_xlabel("length")
    axes.set_ylabel("TFLOP/s")
    axes.legend(loc="lower right", ncols=2)
