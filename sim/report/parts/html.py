"""Pieces of a self-contained page: tables with aligned numbers, drawings set into the page, the style sheet."""

import re
from collections.abc import Iterable, Sequence
from html import escape

STYLE = """
:root { color-scheme: light dark;
  --text: #1c1c1e; --quiet: #63636b; --line: #d8d8de; --ground: #ffffff; --raised: #f6f6f8; --link: #0a5ea8; }
@media (prefers-color-scheme: dark) { :root { --text: #e8e8ea; --quiet: #a2a2ab; --line: #3a3a41; --ground: #17171a;
  --raised: #222226; --link: #7cc0f5; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2.5rem 1.25rem 5rem; max-width: 62rem; background: var(--ground); color: var(--text);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.25; margin: 0 0 .4rem; }
h2 { font-size: 1.25rem; margin: 3rem 0 .6rem; padding-top: .6rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 1.8rem 0 .4rem; }
p { max-width: 46rem; margin: .5rem 0; }
.quiet { color: var(--quiet); font-size: .9rem; }
nav { margin: 1.2rem 0 0; font-size: .92rem; }
nav a { color: var(--link); text-decoration: none; margin-right: 1.1rem; white-space: nowrap; }
nav a:hover { text-decoration: underline; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .88rem; margin: .6rem 0; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--quiet); vertical-align: bottom; }
th, td { padding: .26rem .8rem .26rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td { white-space: nowrap; } th.number, td.number { text-align: right; }
td.why { min-width: 16rem; color: var(--quiet); white-space: normal; }
tr.differs td { background: var(--raised); }
figure { margin: 1.6rem 0 2.2rem; }
figure .drawing { background: #ffffff; border: 1px solid var(--line); border-radius: 6px; padding: .7rem; }
figure svg { display: block; width: 100%; height: auto; }
figure.narrow .drawing { max-width: 32rem; }
figcaption { margin: .5rem 0 .2rem; }
details { margin: .4rem 0; } summary { cursor: pointer; color: var(--link); font-size: .9rem; }
code { font: .86em ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
""".strip()

Cell = str | float | int


def number(value: float) -> str:
    """Six significant digits, exponents only where they help."""
    text = f"{value:.6g}"
    mantissa, e, exponent = text.partition("e")
    return f"{mantissa}e{int(exponent)}" if e else text


def percent(fraction: float) -> str:
    """A relative difference; what is only rounding is 0."""
    if abs(fraction) < 1e-9:
        return "0"
    return f"{100 * fraction:+.3g}%"


def text_of(cell: Cell) -> str:
    return escape(cell if isinstance(cell, str) else str(cell) if isinstance(cell, int) else number(cell))


def table(header: Sequence[str], rows: Iterable[Sequence[Cell]], texts: int, classes: Sequence[str] = ()) -> str:
    """A table whose first `texts` columns are words and whose others are numbers; `classes` are those of the rows.

    A column called `Why` holds words wherever it stands.
    """
    kinds = ["why" if name == "Why" else "" if i < texts else "number" for i, name in enumerate(header)]
    head = "".join(f"<th{_class(k)}>{escape(name)}</th>" for name, k in zip(header, kinds, strict=True))
    body = []
    for i, row in enumerate(rows):
        cells = "".join(f"<td{_class(k)}>{text_of(cell)}</td>" for cell, k in zip(row, kinds, strict=True))
        body.append(f"<tr{_class(classes[i] if classes else '')}>{cells}</tr>")
    lines = "\n".join(body)
    return f'<div class="wide"><table>\n<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>\n</table></div>'


def _class(name: str) -> str:
    return f' class="{name}"' if name else ""


def folded(summary: str, content: str) -> str:
    """Content behind a line that opens it."""
    return f"<details><summary>{escape(summary)}</summary>\n{content}\n</details>"


def inline_svg(svg: str, name: str, label: str) -> str:
    """A drawing as part of a page: without prologue, sized by the page, its names unlike those of other drawings."""
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


def page(title: str, body: str) -> str:
    """The whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n{body}\n</body>\n</html>\n"
    )
