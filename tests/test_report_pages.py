"""Pages a keyboard can use and a validator has nothing against: landmarks, scopes, sorting, scrolling, contrast."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from sim.explore.run import SweepOptions, sweep
from sim.report.parts.chart_files import ChartOf, chart_figures
from sim.report.parts.html import Banner, asset, page, table
from sim.report.reproduction.page import reproduction_page
from sim.report.sweep.data import Study
from sim.report.sweep.page import sweep_page
from sim.reproduction.run import run_reproduction
from tests.html_rules import PageRules
from tests.small_design import HANGS_S
from tests.small_sweep import write_sweep

SVG = '<?xml version="1.0"?>\n<svg width="300pt"><g id="a"/><path d="" clip-path="url(#a)"/><use href="#a"/></svg>'
PARTS = Path(__file__).resolve().parent.parent / "sim" / "report" / "parts" / "html.py"
SCRIPT = Path(__file__).resolve().parent.parent / "sim" / "report" / "sweep" / "assets" / "points.js"


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Study:
    folder = tmp_path_factory.mktemp("pages")
    changes = {"fixed": {"model": "BERT", "seq_len": 1024}, "constraints": {"small": "rows <= 100"}, "derive": None}
    axes = {"rows": {"path": "architecture.components.PE2D.rows", "values": [64, 100, 128]}}
    return Study(
        sweep(str(write_sweep(folder, axes=axes, **changes)), folder / "out", SweepOptions(workers=1)).points()
    )


def charts() -> list[ChartOf]:
    return [ChartOf(name, "Time <s>", "Seen & held", lambda: None) for name in ("one", "two")]


def sweep_text(study: Study) -> str:
    return sweep_page(study, charts(), {"one": SVG, "two": SVG}, {})


def test_a_page_of_a_sweep_breaks_no_rule(study: Study) -> None:
    assert PageRules(sweep_text(study)).objections == []


def test_a_page_of_a_reproduction_breaks_no_rule() -> None:
    run = run_reproduction("fusemax")
    text = reproduction_page(run, {figure.name: SVG for figure in run.reproduction.figures})
    assert PageRules(text).objections == []
    assert text.count("<th ") == text.count('<th scope="col"') > 100


def test_a_page_of_charts_breaks_no_rule() -> None:
    text = page("x", Banner("Charts & more"), "\n".join(chart_figures(charts(), {"one": SVG, "two": SVG})))
    assert PageRules(text).objections == []


@pytest.mark.parametrize(
    ("broken", "objection"),
    [
        ("<style></style>", "<style> outside the head"),
        ("<p><div></div></p>", "<div> in <p>"),
        ("<table><thead><tr><th>a</th></tr></thead></table>", "<th> without a scope"),
        ('<div class="wide"></div>', "what scrolls cannot be reached by keyboard, or has no label"),
        ("<figure><figcaption></figcaption><p></p></figure>", "<p> after <figcaption>"),
        ("<button>a</button>", "<button> without a type"),
        ('<a href="#gone">a</a>', "links that lead nowhere: ['gone']"),
        ('<i id="a"></i><i id="a"></i>', "ids that stand twice: ['a']"),
        ("<h3>a</h3>", "a level of headings is left out: [1, 3]"),
        ("<nav></nav>", "<nav> without a label"),
        ("<svg></svg>", "<svg> without a role or a label"),
        ("<input>", "<input> without a label"),
        ("<main></main>", "landmarks: ['header', 'main', 'main']"),
        ("<i>", "</main> closes [('i', {})]"),
    ],
)
def test_the_rules_find_what_breaks_them(broken: str, objection: str) -> None:
    objections = PageRules(page("x", Banner("x"), broken)).objections
    assert any(one.endswith(objection) for one in objections), objections


def test_a_table_that_scrolls_is_reached_by_keyboard_and_named() -> None:
    assert table(["Model", "Time <s>"], [["a", 1.0]], 1).startswith(
        '<div class="wide" role="group" tabindex="0" aria-label="Table of Model, Time &lt;s&gt;"><table>\n'
        '<thead><tr><th scope="col">Model</th><th scope="col" class="number">Time &lt;s&gt;</th></tr></thead>'
    )


def luminance(colour: str) -> float:
    """WCAG 2.2, relative luminance."""
    shares = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(shares <= 0.04045, shares / 12.92, ((shares + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_stands_out_from_its_ground(mode: int) -> None:
    """4.5 : 1 at least (WCAG 1.4.3), in both modes."""
    blocks = re.findall(r":root \{(.*?)\}", asset(str(PARTS), "page.css").template, re.DOTALL)
    colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", blocks[mode]))
    for text in ("text", "quiet", "link"):
        for ground in ("ground", "raised"):
            light, dark = sorted((luminance(colours[text]), luminance(colours[ground])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (text, ground)


NODE = shutil.which("node")
# Enough of a document for the script of the page: elements with children, listeners and focus.
DOCUMENT = r"""
const fs = require("fs"), page = fs.readFileSync(process.argv[2], "utf8");
class Node_ { constructor(tag) { Object.assign(this, { tag, children: [], attributes: {}, listeners: {}, style: {}, own: "",
    hidden: false, value: "", checked: false, disabled: false }); }
  append(...all) { this.children.push(...all); } replaceChildren(...all) { this.children = all; }
  get firstChild() { return this.children[0]; } get cells() { return this.children; } get rows() { return this.children; }
  set textContent(v) { this.own = v; this.children = []; }
  get textContent() { return this.own + this.children.map(c => c.textContent).join(" "); }
  insertRow() { const made = new Node_("tr"); this.append(made); return made; }
  insertCell() { const made = new Node_("td"); this.append(made); return made; }
  setAttribute(k, v) { this.attributes[k] = v; } addEventListener(k, f) { this.listeners[k] = f; }
  focus() { document.active = this; } }
const known = {}; const byName = id => known[id] ??= new Node_(id);
byName("data").textContent = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(page)[1];
byName("table").tHead = new Node_("thead"); byName("table").tBodies = [new Node_("tbody")]; byName("hover").hidden = true;
global.window = {}; global.location = { hash: "" };
global.document = { getElementById: byName, createElement: tag => new Node_(tag), listeners: {},
  addEventListener(k, f) { this.listeners[k] = f; } };
new Function(fs.readFileSync(process.argv[3], "utf8"))();
const heads = byName("table").tHead.rows[0].cells, body = byName("table").tBodies[0], told = [];
const points = () => body.rows.map(r => r.cells[0].textContent).join("");
told.push(heads.every(h => h.tag === "th" && h.scope === "col" && h.firstChild.tag === "button"), points());
heads[1].firstChild.onclick(); told.push(heads.map(h => h.attributes["aria-sort"][0]).join(""), points());
heads[1].firstChild.onclick(); told.push(heads.map(h => h.attributes["aria-sort"][0]).join(""), points());
const line = body.rows[0]; told.push(line.cells[0].firstChild.tag, line.cells[0].firstChild.href);
line.listeners.focusin(); told.push(byName("hover").hidden); line.listeners.focusout(); told.push(byName("hover").hidden);
line.listeners.focusin(); document.listeners.keydown({ key: "Escape" }); told.push(byName("hover").hidden);
location.hash = line.cells[0].firstChild.href; window.onhashchange();
told.push(document.active === byName("kept"), byName("kept").hidden, byName("kept").children[1].tabIndex);
console.log(JSON.stringify(told));
"""


@pytest.mark.skipif(NODE is None, reason="needs node to run the script of the page")
def test_the_page_is_used_by_keyboard(study: Study, tmp_path: Path) -> None:
    """Headers are buttons that say how they sort; rows have links, and show and hide their panel with the focus."""
    (tmp_path / "page.html").write_text(sweep_text(study), "utf-8")
    (tmp_path / "document.js").write_text(DOCUMENT, "utf-8")
    command = [str(NODE), "document.js", "page.html", str(SCRIPT)]
    told = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=HANGS_S, check=True).stdout
    columns = 2 + len(study.points.contents.values) + 1  # point, rows, metrics, what bounds it
    none = "n" * (columns - 2)
    assert told.strip() == (
        f'[true,"012","na{none}","012","nd{none}","210","a","#point=2",false,true,true,true,false,0]'
    )
