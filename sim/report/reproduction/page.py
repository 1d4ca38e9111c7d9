"""The page of a reproduction: headline numbers, figures with their numbers, ours against published, what was run.

One self-contained file: drawings are embedded, and it works offline, in light and in dark mode.
"""

from collections.abc import Iterator, Mapping, Sequence
from html import escape

from sim.report.parts.html import Banner, Cell, folded, inline_svg, page, percent, table
from sim.report.parts.workloads import length_label
from sim.report.reproduction.accountings import Growth, growths
from sim.report.reproduction.comparison import ComparedPoint, compare
from sim.report.reproduction.figure_data import bar_data, curve_data, stack_data
from sim.report.reproduction.headline import (
    HeadlineRow,
    headline_rows,
    iter_subsets,
    shown,
    shown_difference,
    shown_published,
)
from sim.reproduction.parts import Bars, Curve, Figure, Stacks
from sim.reproduction.points import ReproductionRun


def reproduction_page(run: ReproductionRun, svg_by_figure: Mapping[str, str]) -> str:
    """The whole page as text."""
    reproduction = run.reproduction
    sections = [
        ("headline", "Headline numbers", _headline(run)),
        ("figures", "Figures", "\n".join(_figure(run, f, svg_by_figure[f.name]) for f in reproduction.figures)),
        ("points", "Ours against published, point by point", _points(run)),
        *((f"sweep-{s.name}", f"Sweep: {s.label}", _sweep(run, s.name)) for s in reproduction.sweeps),
        ("accountings", "What other accountings change", _accountings(run)),
        ("runs", "What was run", _runs(run)),
    ]
    present = [(name, title, content) for name, title, content in sections if content]
    below = f'<p class="quiet">{escape(reproduction.source)}</p>\n<p>{escape(reproduction.description)}</p>'
    links = [(name, title.partition(":")[0]) for name, title, _ in present]
    body = [f'<h2 id="{name}">{escape(title)}</h2>\n{content}' for name, title, content in present]
    banner = Banner(reproduction.title, below, links)
    return page(f"Reproduction of {reproduction.name}", banner, "\n".join(body))


def _headline(run: ReproductionRun) -> str:
    rows = headline_rows(run)
    if not rows:
        return ""
    others = run.reproduction.accountings[1:]
    header = ["Number", "Published", "Ours", "Difference", "Rounds to published", *(a.label for a in others)]
    cells = [_headline_cells(row) for row in rows]
    agreeing = sum(row.agrees for row in rows)
    count = len(run.workloads)
    lead = (
        f"<p>Arithmetic means of per-point ratios over {count} points ({len(run.reproduction.models)} models, "
        f"{len(run.reproduction.lengths)} lengths) unless a row says otherwise. {agreeing} of {len(rows)} round to the "
        "published number.</p>"
    )
    noted = [row.headline for row in rows if row.headline.note]
    notes = [f'<p class="quiet"><b>{escape(row.label)}.</b> {escape(row.note)}</p>' for row in noted]
    classes = ["" if row.agrees else "differs" for row in rows]
    return "\n".join([lead, table(header, cells, 1, classes), *notes, _subsets(run)])


def _subsets(run: ReproductionRun) -> str:
    """If single points were published, the same numbers over only these."""
    rows: list[list[Cell]] = [
        [s.headline.label, s.count, *(shown(s.headline, value, more_digits=2) for value in (s.published, s.ours))]
        for s in iter_subsets(run)
    ]
    if not rows:
        return ""
    lead = "<p>The same numbers over only those points whose own values were published:</p>"
    return lead + table(["Number", "Points", "From published points", "Ours, same points"], rows, 1)


def _headline_cells(row: HeadlineRow) -> list[Cell]:
    ours, *others = (shown(row.headline, value, more_digits=1) for value in row.values)
    verdict = "yes" if row.agrees else "no"
    return [row.headline.label, shown_published(row.headline), ours, shown_difference(row), verdict, *others]


def _figure(run: ReproductionRun, figure: Figure, svg: str) -> str:
    narrow = ' class="narrow"' if isinstance(figure, Curve) else ""
    name = escape(figure.name)
    drawing = inline_svg(svg, figure.name, figure.title)
    numbers = folded("Numbers", _numbers(run, figure))
    caption = f"<figcaption><b>Figure {name}.</b> {escape(figure.title)}.\n{numbers}</figcaption>"
    return f'<figure{narrow} id="figure-{name}">\n<div class="drawing">{drawing}</div>\n{caption}\n</figure>'


def _numbers(run: ReproductionRun, figure: Figure) -> str:
    """The values as drawn, one table for each accounting in which they differ."""
    seen: dict[str, str] = {}
    for accounting in run.reproduction.accountings:
        content = _number_table(run, figure, accounting.name)
        seen[content] = f"{seen[content]}, {accounting.label.lower()}" if content in seen else accounting.label
    return "\n".join(f"<h3>{escape(label)}</h3>\n{content}" for content, label in seen.items())


def _number_table(run: ReproductionRun, figure: Figure, accounting: str) -> str:
    labels = {design.name: design.label for design in run.reproduction.designs}
    match figure:
        case Bars():
            data = bar_data(run, figure, accounting)
            rows: list[list[Cell]] = [
                [model, length_label(length), *values]
                for (model, length), values in zip(data.workloads, data.values, strict=True)
            ]
            header = ["Model", "Length", *(labels[design] for design in data.designs)]
            return table(header, [*rows, ["Mean", "", *data.means]], 2)
        case Stacks():
            return _stack_table(run, figure, accounting, labels)
        case Curve():
            curve = curve_data(run, figure, accounting)
            x = [value / figure.over_scale for value in curve.x]
            header = [curve.axis_label, figure.over_label, figure.axis_label]
            return table(header, list(zip(curve.points, x, curve.y, strict=True)), 1)


def _stack_table(run: ReproductionRun, figure: Stacks, accounting: str, labels: Mapping[str, str]) -> str:
    stacks = stack_data(run, figure, accounting)
    names = [(model, length_label(length)) for model, length in stacks.workloads]
    rows: list[list[Cell]] = []
    for d, design in enumerate(stacks.designs):
        for name, values in zip([*names, ("Mean", "")], [*stacks.values, stacks.means], strict=True):
            rows.append([labels[design], *name, *values[d], sum(values[d])])
    return table(["Design", "Model", "Length", *stacks.parts, "Sum"], rows, 3)


def _points(run: ReproductionRun) -> str:
    compared = [c for c in compare(run) if not c.published.sweep]
    if not compared:
        return ""
    groups: dict[tuple[str, str], list[ComparedPoint]] = {}
    for item in compared:
        groups.setdefault((item.published.kernel, item.published.metric), []).append(item)
    verdicts = [item.verdict for item in compared]
    lead = (
        f"<p>{len(compared)} published values: {verdicts.count('equal')} equal within the tolerance of their metric, "
        f"{verdicts.count('explained')} differ for a known reason, "
        f"{verdicts.count('unexplained')} differ without one.</p>"
    )
    summary = table(
        ["Kernel", "Metric", "Values", "Tolerance", "Within", "Largest difference there", "Explained", "Unexplained"],
        [_summary(run, key, items) for key, items in groups.items()],
        2,
    )
    details = [_point_table(run, key, items) for key, items in groups.items()]
    return "\n".join([lead, summary, *details])


def _summary(run: ReproductionRun, key: tuple[str, str], items: Sequence[ComparedPoint]) -> list[Cell]:
    kernel, metric = run.reproduction.kernel(key[0]), run.reproduction.metric(key[1])
    equal = [abs(item.difference) for item in items if item.verdict == "equal"]
    counts = [sum(item.verdict == verdict for item in items) for verdict in ("explained", "unexplained")]
    largest = float(f"{max(equal, default=0.0):.1e}")
    return [kernel.label, metric.label, len(items), metric.tolerance, len(equal), largest, *counts]


def _point_table(run: ReproductionRun, key: tuple[str, str], items: Sequence[ComparedPoint]) -> str:
    metric, kernel = run.reproduction.metric(key[1]), run.reproduction.kernel(key[0])
    rows: list[list[Cell]] = []
    classes = []
    for item in items:
        found = item.published
        design = run.reproduction.design(found.design).label
        place: list[Cell] = [design, found.model, length_label(found.seq_len), found.einsum]
        rows.append([*place, found.value, item.ours, percent(item.difference), item.reason])
        classes.append("" if item.verdict == "equal" else "differs")
    ours, theirs = (f"{whose} ({metric.unit})" for whose in ("Ours", "Published"))
    header = ["Design", "Model", "Length", "Einsum", theirs, ours, "Difference", "Why"]
    return folded(f"{kernel.label}: {metric.label} ({len(rows)} values)", table(header, rows, 4, classes))


def _sweep(run: ReproductionRun, name: str) -> str:
    """Every metric along the axis, with its published values."""
    sweep = run.reproduction.sweep(name)
    published = {(c.published.axis_value, c.published.metric): c for c in compare(run) if c.published.sweep == name}
    rows: list[list[Cell]] = []
    compared = {metric for _, metric in published}
    for metric in run.reproduction.metrics:
        if compared and metric.name not in compared:
            continue
        for point in run.sweep_points(run.reproduction.accountings[0].name, name):
            found = published.get((point.axis_value, metric.name))
            theirs: list[Cell] = [found.published.value, percent(found.difference)] if found else ["", ""]
            size = sweep.axis.shown.replace("{}", str(point.axis_value))
            rows.append([f"{metric.label} ({metric.unit})", size, point.value(metric.name), *theirs])
    where = f"{run.reproduction.design(sweep.design).label}, {sweep.model} at {length_label(sweep.seq_len)}. "
    header = ["Metric", sweep.axis.label, "Ours", "Published", "Difference"]
    return f"<p>{escape(where)}</p>\n{table(header, rows, 2)}"


def _accountings(run: ReproductionRun) -> str:
    return "\n".join(_iter_accountings(run)) if len(run.reproduction.accountings) > 1 else ""


def _iter_accountings(run: ReproductionRun) -> Iterator[str]:
    found = growths(run)
    for index, accounting in enumerate(run.reproduction.accountings):
        yield f"<p><b>{escape(accounting.label)}.</b> {escape(accounting.description)}</p>"
        if index == 0:
            continue
        own = [growth for growth in found if growth.accounting == accounting.name]
        moving = sorted({growth.metric for growth in own if growth.changes})
        still = [m.label for m in run.reproduction.metrics if m.operation is None and m.name not in moving]
        yield f"<p>Unchanged at every point: {escape('; '.join(still))}.</p>" if still else ""
        yield from _iter_sentences(run, [growth for growth in own if growth.changes])
        for row in headline_rows(run):
            before, after = row.values[0], row.values[index]
            if abs(after - before) > 1e-9:
                numbers = [shown(row.headline, value, more_digits=1) for value in (before, after)]
                yield f"<p>{escape(row.headline.label)}: {numbers[0]} becomes <b>{numbers[1]}</b>.</p>"
        header = ["Kernel", "Metric", "Design", "Mean factor", "Least", "Largest"]
        yield table(header, [_growth_cells(run, g) for g in own if g.metric in moving], 3)


def _iter_sentences(run: ReproductionRun, moved: Sequence[Growth]) -> Iterator[str]:
    """For each metric and kernel that changes, the designs that change least and most."""
    for kernel, metric in dict.fromkeys((growth.kernel, growth.metric) for growth in moved):
        own = sorted((g for g in moved if (g.kernel, g.metric) == (kernel, metric)), key=lambda growth: growth.mean)
        ends = (f"by {g.mean:.2f} for {run.reproduction.design(g.design).label}" for g in (own[0], own[-1]))
        what = f"{run.reproduction.kernel(kernel).label}: {run.reproduction.metric(metric).label.lower()}"
        yield f"<p>{escape(what)} is multiplied on average {escape(' and '.join(ends))}.</p>"


def _growth_cells(run: ReproductionRun, growth: Growth) -> list[Cell]:
    reproduction = run.reproduction
    names = [reproduction.kernel(growth.kernel).label, reproduction.metric(growth.metric).label]
    factors = (f"{value:.3f}" for value in (growth.mean, growth.least, growth.largest))
    return [*names, reproduction.design(growth.design).label, *factors]


def _runs(run: ReproductionRun) -> str:
    reproduction = run.reproduction
    simulated = [point for point in run.points if point.experiment]
    parts = [f"<p>{len(simulated)} points, each an experiment that <code>einfuse simulate</code> runs alone.</p>"]
    kernels = [kernel for kernel in reproduction.kernels if kernel.experiments]
    rows = [
        [kernel.label, reproduction.design(pair.name).label, pair.value]
        for kernel in kernels
        for pair in kernel.experiments
    ]
    parts.append(table(["Kernel", "Design", "Experiment"], rows, 3))
    for accounting in reproduction.accountings:
        if accounting.architectures:
            exchanged = [[pair.name, pair.value] for pair in accounting.architectures]
            parts.append(f"<p>{escape(accounting.label)}: machines exchanged.</p>")
            parts.append(table(["Machine", "Runs on"], exchanged, 2))
    header = ["Accounting", "Kernel", "Design", "Model", "Length", "Experiment", "Hash of the inputs"]
    hashes: list[list[Cell]] = [
        [p.accounting, p.kernel, f"{p.design}{'' if p.axis_value is None else f'-{p.axis_value}'}", p.model,
         length_label(p.seq_len), p.experiment, p.hash[:16]]
        for p in simulated
    ]  # fmt: skip
    parts.append(folded(f"All {len(simulated)} points", table(header, hashes, 7)))
    warnings: dict[str, int] = {}
    for point in simulated:
        for warning in point.warnings:
            warnings[warning] = warnings.get(warning, 0) + 1
    if warnings:
        listed: list[list[Cell]] = [[text, count] for text, count in warnings.items()]
        parts.append(folded(f"{len(warnings)} remarks of the simulator", table(["Remark", "Points"], listed, 1)))
    return "\n".join(parts)
