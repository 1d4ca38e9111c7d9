"""Pieces of a self-contained page: tables with aligned numbers, embedded drawings, style and script files."""

import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from string import Template
from typing import NamedTuple

Cell = str | float | int


def number(value: float) -> str:
    """Six significant digits, exponents only where they help."""
    text = f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def percent(fraction: float) -> str:
    """A relative difference; mere rounding is shown as 0."""
    if abs(fraction) < 1e-9:
        return "0"
    return f"{100 * fraction:+.3g}%"


def text_of(cell: Cell) -> str:
    return escape(cell if isinstance(cell, str) else str(cell) if isinstance(cell, int) else number(cell))


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], texts: int, classes: Sequence[str] = ()) -> str:
    """A table whose first `texts` columns are words and whose others are numbers; `classes` are those of the rows.

    A column called `Why` holds words at any position. What does not fit the page scrolls, also by keyboard.
    """
    kinds = ["why" if name == "Why" else "" if i < texts else "number" for i, name in enumerate(header)]
    head = "".join(f'<th scope="col"{_class(k)}>{escape(name)}</th>' for name, k in zip(header, kinds, strict=True))
    body = []
    for i, row in enumerate(rows):
        cells = "".join(f"<td{_class(k)}>{text_of(cell)}</td>" for cell, k in zip(row, kinds, strict=True))
        body.append(f"<tr{_class(classes[i] if classes else '')}>{cells}</tr>")
    lines = "\n".join(body)
    label = escape(f"Table of {', '.join(name for name in header if name)}", quote=True)
    scrolled = f'<div class="wide" role="group" tabindex="0" aria-label="{label}">'
    return f"{scrolled}<table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>"


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def folded(summary: str, content: str) -> str:
    """Collapsible content behind a summary line."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def inline_svg(svg: str, name: str, label: str) -> str:
    """A drawing as part of a page: without prologue, sized by the page, with names distinct from other drawings."""
    start = svg.index("<svg")
    body = svg[start:]
    prefix = re.sub(r"\W", "-", f"fig-{name}-")
    body = re.sub(r'\bid="([^"]+)"', rf'id="{prefix}\1"', body)
    body = re.sub(r'href="#([^"]+)"', rf'href="#{prefix}\1"', body)
    body = re.sub(r"url\(#([^)]+)\)", rf"url(#{prefix}\1)", body)
    body = re.sub(r"<metadata>.*?</metadata>", "", body, count=1, flags=re.DOTALL)
    head, rest = body.split(">", 1)
    head = re.sub(r'\s(?:width|height)="[^"]*"', "", head)
    return f'{head} role="img" aria-label="{escape(label, quote=True)}">{rest.strip()}'


def asset(module_file: str, name: str) -> Template:
    """A file of the folder `assets` next to a module, without its last line break; `$name` in it may be replaced."""
    return Template((Path(module_file).parent / "assets" / name).read_text("utf-8").removesuffix("\n"))


class Banner(NamedTuple):
    """The top of a page: its heading, what stands below it in HTML, and links to its sections by their id."""

    heading: str
    below: str = ""
    links: Sequence[tuple[str, str]] = ()

    def html(self) -> str:
        links = "".join(f'<a href="#{name}">{escape(title)}</a>' for name, title in self.links)
        nav = f'\n<nav aria-label="Sections">{links}</nav>' if links else ""
        return f"<h1>{escape(self.heading)}</h1>\n{self.below}{nav}"


def page(title: str, banner: Banner, body: str, style: str = "") -> str:
    """The whole document; `style` is added to that of every page."""
    styles = "\n".join([asset(__file__, "page.css").template, *([style] if style else [])])
    document = asset(__file__, "page.html")
    return document.substitute(title=escape(title), style=styles, banner=banner.html(), body=body) + "\n"
