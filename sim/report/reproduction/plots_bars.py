"""Figures of bars over models and lengths: side by side for each design, or stacked by Einsum."""

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import MaxNLocator, MultipleLocator, PercentFormatter

from sim.report.parts.collecting import collected
from sim.report.parts.plots_bars import MODEL_GAP, Layout, lay_out
from sim.report.parts.plots_style import BLACK, DESIGN_COLOURS, GREY, PART_COLOURS, WIDTH_INCHES
from sim.report.parts.workloads import Workload, length_label
from sim.report.reproduction.figure_data import BarData, StackData
from sim.reproduction.parts import Bars, Stacks

PUBLISHED = "published"


def draw_bars(figure: Bars, data: BarData, labels: Mapping[str, str]) -> Canvas:
    """A cluster of bars for every workload, a bar for every design; dots mark published values."""
    canvas = Canvas(figsize=(WIDTH_INCHES, 2.2), layout="constrained")
    axes = canvas.subplots()
    layout = lay_out(data.workloads)
    rows = (*data.values, data.means)
    for d, design in enumerate(data.designs):
        bars = [layout.bar(c, len(data.designs), d) for c in range(len(rows))]
        lefts, widths = zip(*bars, strict=True)
        heights = [row[d] for row in rows]
        axes.bar(
            lefts, heights, widths, align="edge", color=_colour(DESIGN_COLOURS, d), label=labels[design], linewidth=0
        )
    _scale(axes, max(max(row) for row in rows), is_share=figure.relative_to is None)
    if figure.relative_to is not None:
        axes.axhline(1.0, color=BLACK, linewidth=0.6, linestyle=(0, (4, 2)), zorder=1.5)
    _mark_published(axes, layout, data)
    _label_means(axes, layout, data.means, is_share=figure.relative_to is None)
    _label_workloads(axes, layout, data.workloads)
    axes.set_ylabel(figure.axis_label)
    _legend(canvas, axes)
    return canvas


def _mark_published(axes: Axes, layout: Layout, data: BarData) -> None:
    dots = []
    for c, row in enumerate(data.published):
        for d, value in enumerate(row):
            if value is not None:
                left, width = layout.bar(c, len(data.designs), d)
                dots.append((left + width / 2, value))
    if dots:
        across, up = zip(*dots, strict=True)
        axes.plot(
            across, up, linestyle="none", marker="o", markersize=1.8, color=BLACK, markeredgecolor="white",
            markeredgewidth=0.3, clip_on=False, label=PUBLISHED, zorder=4,
        )  # fmt: skip


def draw_stacks(figure: Stacks, data: StackData, labels: Mapping[str, str]) -> Canvas:
    """A panel for every design, a bar for every workload, stacked by Einsum."""
    count = len(data.designs)
    canvas = Canvas(figsize=(WIDTH_INCHES, 0.75 + 1.05 * count), layout="constrained")
    layout = lay_out(data.workloads)
    panels = canvas.subplots(count, 1, sharex=True, sharey=True, squeeze=False)[:, 0]
    rows = (*data.values, data.means)
    named = [dict(zip(data.parts, parts, strict=True)) for row in rows for parts in row]
    shown = collected(named)
    names = list(dict.fromkeys(name for one in shown for name in one))
    for d, (design, axes) in enumerate(zip(data.designs, panels, strict=True)):
        own = shown[d :: len(data.designs)]
        _draw_parts(axes, layout, [[one.get(name, 0.0) for name in names] for one in own], names)
        _label_means(axes, layout, (sum(data.means[d]),), is_share=True)
        axes.set_title(labels[design], loc="left", fontweight="bold", pad=2)
        axes.tick_params(axis="x", length=0, labelbottom=d == count - 1)
        _rule_models(axes, layout)
    _scale(panels[0], max(sum(parts) for row in rows for parts in row), is_share=True)
    _label_workloads(panels[-1], layout, data.workloads)
    canvas.supylabel(figure.axis_label, fontsize=7)
    _legend(canvas, panels[0])
    return canvas


def _legend(canvas: Canvas, axes: Axes) -> None:
    """One row above the axes, in the order of drawing."""
    entries = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    if PUBLISHED in entries:
        entries[PUBLISHED] = entries.pop(PUBLISHED)
    canvas.legend(
        entries.values(),
        entries.keys(),
        loc="outside upper center",
        ncols=len(entries),
        handlelength=1.0,
        columnspacing=1.6,
    )


def _draw_parts(axes: Axes, layout: Layout, clusters: Sequence[Sequence[float]], parts: Sequence[str]) -> None:
    bottoms = [0.0] * len(clusters)
    lefts, widths = zip(*(layout.bar(c, 1, 0) for c in range(len(clusters))), strict=True)
    for p, part in enumerate(parts):
        heights = [values[p] for values in clusters]
        colour = _colour(PART_COLOURS, p)
        axes.bar(lefts, heights, widths, bottoms, align="edge", color=colour, label=part, linewidth=0)
        bottoms = [bottom + height for bottom, height in zip(bottoms, heights, strict=True)]


def _colour(colours: Sequence[str], index: int) -> str:
    return colours[index % len(colours)]


def _scale(axes: Axes, largest: float, is_share: bool) -> None:
    if is_share:
        axes.set_ylim(0, max(1.0, largest))
        axes.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes.yaxis.set_major_locator(MultipleLocator(0.25))
    else:
        axes.set_ylim(0, largest * 1.08)
        axes.yaxis.set_major_locator(MaxNLocator(7, steps=[1, 2, 5, 10]))


def _label_means(axes: Axes, layout: Layout, means: Sequence[float], is_share: bool) -> None:
    """The values of the mean above its bars."""
    for d, mean in enumerate(means):
        left, width = layout.bar(len(layout.centres) - 1, len(means), d)
        text = f"{100 * mean:.0f}%" if is_share else f"{mean:.2f}" if mean < 9.95 else f"{mean:.1f}"
        upright = len(means) == 1
        axes.annotate(
            text, (left + width / 2, mean), (0, 2), textcoords="offset points", ha="center", va="bottom",
            rotation=0 if upright else 90, fontsize=6.5 if upright else 5.5, annotation_clip=False,
            bbox={"facecolor": "white", "edgecolor": "none", "pad": 0.4}, zorder=5,
        )  # fmt: skip


def _label_workloads(axes: Axes, layout: Layout, workloads: Sequence[Workload]) -> None:
    """Lengths below the clusters, models below the lengths, a rule between models."""
    axes.set_xlim(-0.25, layout.right + 0.25)
    axes.set_xticks(layout.centres[:-1], [length_label(length) for _, length in workloads], fontsize=6)
    axes.tick_params(axis="x", length=0, pad=2)
    for model, left, right in layout.models:
        axes.annotate(
            model, ((left + right) / 2, 0), (0, -12.5), xycoords=("data", "axes fraction"),
            textcoords="offset points", ha="center", va="top", fontweight="bold", fontsize=7,
        )  # fmt: skip
    _rule_models(axes, layout)


def _rule_models(axes: Axes, layout: Layout) -> None:
    for _, _, right in layout.models[:-1]:
        axes.axvline(right + MODEL_GAP / 2, color=GREY, linewidth=0.5, zorder=0)
