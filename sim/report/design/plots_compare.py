"""Predicted against measured times: a log-log cloud with bands, and rates over length for each implementation."""

import io
from collections.abc import Sequence
from typing import NamedTuple

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
MOST_PANELS = 2


def render_comparison(compared: Sequence[ComparedCase], suffix: str) -> bytes:
    """An SVG or PNG: the cloud, and below it the two shapes of attention of which most lengths were measured."""
    panels = panels_of(compared)
    with matplotlib.rc_context(STYLE | {"svg.hashsalt": "compare"}):
        canvas = Canvas(figsize=(7.2, 5.6 if panels else 3.4), layout="constrained")
        grid = canvas.add_gridspec(2 if panels else 1, max(len(panels), 1), height_ratios=(1.25, 1) if panels else (1,))
        draw_cloud(canvas.add_subplot(grid[0, :]), compared)
        for column, panel in enumerate(panels):
            draw_rates(canvas.add_subplot(grid[1, column]), panel)
        drawn = io.BytesIO()
        date = {"Date": None} if suffix == "svg" else {}
        canvas.savefig(drawn, format=suffix, dpi=PNG_DPI, metadata={"Title": "Predicted and measured time", **date})
    return drawn.getvalue()


class RatePanel(NamedTuple):
    """One shape of attention: its cases by kernel."""

    title: str
    curves: dict[str, list[ComparedCase]]


def panels_of(compared: Sequence[ComparedCase]) -> tuple[RatePanel, ...]:
    """Shapes measured at several lengths, those with most cases, at most two; none if nothing was measured so."""
    shapes: dict[tuple[str, int, bool], dict[tuple[str, str], list[ComparedCase]]] = {}
    for one in compared:
        problem = one.case.problem
        if not isinstance(problem, AttentionProblem) or problem.lengths or problem.left >= 0:
            continue
        shape = (one.case.family, problem.head_size, problem.right >= 0)
        groups = problem.heads // problem.kv_heads
        kernel = one.case.series + (f", {groups}:1 heads" if groups > 1 else "")
        shapes.setdefault(shape, {}).setdefault((one.case.source, kernel), []).append(one)
    several = [(shape, curves) for shape, curves in shapes.items() if any(_lengths(c) > 1 for c in curves.values())]
    most = sorted(several, key=lambda item: -sum(map(len, item[1].values())))[:MOST_PANELS]
    return tuple(
        RatePanel(_title(*shape), _longest(curves))
        for shape, curves in sorted(most, key=lambda item: several.index(item))
    )


def _lengths(curve: list[ComparedCase]) -> int:
    return len({_keys(one) for one in curve})


def _keys(one: ComparedCase) -> int:
    assert isinstance(one.case.problem, AttentionProblem)
    return one.case.problem.keys


def _title(family: str, head_size: int, is_causal: bool) -> str:
    words = {"attention_fwd": "Attention forward", "attention_bwd": "Attention backward"}
    name = words.get(family, family.replace("_", " ").capitalize())
    return f"{name}, head size {head_size}, {'causal' if is_causal else 'full'} (line: predicted)"


def _longest(curves: dict[tuple[str, str], list[ComparedCase]]) -> dict[str, list[ComparedCase]]:
    """The kernels of most lengths; the source stands beside a name that several sources have."""
    chosen = sorted(curves.items(), key=lambda item: -_lengths(item[1]))[:MOST_CURVES]
    names = [kernel for (_, kernel), _ in chosen]
    return {
        kernel if names.count(kernel) == 1 else f"{kernel}, {members[0].case.name.split('/')[0]}": members
        for (_, kernel), members in chosen
    }


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
    has_calibration = any(one.case.role == "calibration" for one in compared)
    axes.set_xlabel("measured, ms (hollow: calibration)" if has_calibration else "measured, ms")
    axes.set_ylabel("predicted, ms")
    axes.legend(loc="upper left", ncols=2)


def draw_rates(axes: Axes, panel: RatePanel) -> None:
    """TFLOP/s over length; dots measured, lines predicted."""
    for i, (label, members) in enumerate(panel.curves.items()):
        ordered = sorted(members, key=_keys)
        rates = [
            (one.case.useful_flops / one.case.measured_s, one.case.useful_flops / one.predicted_s) for one in ordered
        ]
        lengths = [_keys(one) for one in ordered]
        measured, predicted = ([rate / 1e12 for rate in side] for side in zip(*rates, strict=True))
        # The marker is drawn by the legend alone.
        axes.plot(
            lengths,
            predicted,
            color=COLOURS[i],
            linewidth=1,
            marker=MARKERS[i],
            markersize=3,
            markevery=[],
            label=label,
        )
        axes.plot(lengths, measured, color=COLOURS[i], linestyle="none", marker=MARKERS[i], markersize=3)
    axes.set_xscale("log", base=2)
    ticks = sorted({_keys(one) for members in panel.curves.values() for one in members})
    axes.set_xticks(ticks, [f"{n >> 10}K" if n % 1024 == 0 else str(n) for n in ticks])
    axes.minorticks_off()
    axes.set_ylim(bottom=0)
    axes.set_title(panel.title)
    axes.set_xlabel("length")
    axes.set_ylabel("TFLOP/s")
    axes.legend(loc="lower right", ncols=2)
