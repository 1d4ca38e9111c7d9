"""Tables for a terminal."""

import io

from rich.console import Console
from rich.table import Table

from sim.report.reproduction.headline import headline_rows, shown, shown_difference, shown_published
from sim.reproduction.points import ReproductionRun


def headline_table(run: ReproductionRun, width: int = 110) -> str:
    """The headline numbers as text: published, ours, the difference, and ours under every other accounting."""
    table = Table(title=run.reproduction.title, title_justify="left", title_style="bold", box=None, pad_edge=False)
    table.add_column("")
    for name in ("published", "ours", "difference", *(a.label.lower() for a in run.reproduction.accountings[1:])):
        table.add_column(name, justify="right")
    for row in headline_rows(run):
        ours, *others = (shown(row.headline, value, more_digits=1) for value in row.values)
        mark = "" if row.agrees else " *"
        table.add_row(row.headline.label + mark, shown_published(row.headline), ours, shown_difference(row), *others)
    if any(not row.agrees for row in headline_rows(run)):
        table.caption = "* does not round to the published number; the page says why"
        table.caption_justify = "left"
    text = io.StringIO()
    Console(file=text, width=width, color_system=None, highlight=False).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().splitlines()) + "\n"
