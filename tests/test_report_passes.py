"""`einfuse passes`: what it prints, what it draws, and what the documents say of it."""

import json
import re
from itertools import pairwise
from pathlib import Path

import pytest
from typer.testing import CliRunner

from einsums import analyse_passes, count_passes, edges_of
from sim.__main__ import app
from sim.load.nouns import load_cascade
from sim.load.taxonomy import load_taxonomy
from sim.report.design.cascade_places import place_nodes
from sim.report.design.passes_text import passes_text

DOCS = Path(__file__).parents[1] / "docs" / "passes.md"


def run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["passes", *arguments])
    return result.exit_code, result.stdout, result.stderr


def test_json_of_one_rank() -> None:
    status, out, _ = run("attention-3pass", "--rank", "M", "--json")
    found = json.loads(out)
    assert status == 0
    assert list(found) == [
        "schema", "cascade", "rank", "passes", "pass_of_einsum", "forced_by", "revisited", "live_footprint",
    ]  # fmt: skip
    assert (found["cascade"], found["rank"], found["passes"]) == ("attention-3pass", "M", 3)
    assert found["pass_of_einsum"] == {"QK": 1, "GM": 1, "SN": 2, "SD": 2, "A": 3, "AV": 3}
    assert [step["chain"] for step in found["forced_by"]] == [["QK", "GM", "SN"], ["SN", "SD", "A"]]
    assert found["live_footprint"]["QK"] == "M"


def test_json_of_all_ranks() -> None:
    status, out, _ = run("attention-2pass", "--json")
    found = json.loads(out)
    assert status == 0
    assert found["cascade"] == "attention-2pass"
    passes = {one["rank"]: one["passes"] for one in found["ranks"]}
    assert passes == {"E": 1, "F": 1, "M": 2, "P": 1, "B": 1, "H": 1}


def test_text() -> None:
    status, out, _ = run("pedagogical-1")
    assert (status, out) == (
        0,
        """\
pedagogical-1: passes over each rank: K 2.

pedagogical-1 must traverse rank K 2 times, whatever the mapping.
  Pass 1: Y
  Pass 2: Z
    because Y -> Z:
    Y reduces over k and is complete only after all of K has been visited; Z needs it at every element when it traverses A.
    A is traversed again.
  Held between passes, or fetched or made again: A (K words).
  Footprints are for one element of every batch rank.
""",
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("attention-3pass", "--rank", "MM"),
            "--rank: no rank in attention-3pass is called 'MM' (did you mean 'M'?)\n",
        ),
        (("pedagogical-1", "--plot", "x.pdf"), "--plot: a drawing is a .svg or .png file, found 'x.pdf'\n"),
        (("pedagogical-1", "--plot", "no/x.svg"), "--plot: cannot write 'no/x.svg' (No such file or directory)\n"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert run(*arguments) == (2, "", message)


def test_drawings_are_the_same_each_time(tmp_path: Path) -> None:
    files = [tmp_path / "a.svg", tmp_path / "b.svg", tmp_path / "c.png"]
    for file in files:
        assert run("attention-1pass", "--plot", str(file))[0] == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    assert files[0].read_text().startswith("<?xml")
    assert files[2].read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "name", ["attention-3pass", "attention-2pass", "attention-1pass", "layernorm", "encoder-layer"]
)
def test_nodes_do_not_overlap_and_edges_run_forward(name: str) -> None:
    cascade = load_cascade(name)
    analysis = analyse_passes(cascade, "D" if name in ("layernorm", "encoder-layer") else "M")
    places = place_nodes(cascade, analysis)
    for edge in edges_of(cascade):
        assert edge.is_carried or places[edge.source].layer < places[edge.reader].layer
    for layer in {place.layer for place in places.values()}:
        heights = sorted(place.y for place in places.values() if place.layer == layer)
        assert all(above - below > 0.25 for below, above in pairwise(heights))
    last = {
        n: max(places[i.einsum].layer for i in analysis.pass_of_einsum if i.number == n)
        for n in range(1, analysis.passes + 1)
    }
    first = {n: min(places[i.einsum].layer for i in analysis.pass_of_einsum if i.number == n) for n in last}
    assert all(last[n] < first[n + 1] for n in list(last)[:-1])


# --- documents ----------------------------------------------------------------------------------------------
def taxonomy_table() -> str:
    """Published systems by pass, most passes first, as a Markdown table: classes are counted, not quoted."""
    taxonomy = load_taxonomy("attention")
    rows = []
    for system in taxonomy.systems:
        passes = count_passes(load_cascade(system.cascade), taxonomy.rank)
        rows.append((passes, f"| {passes} | {system.name} | `{system.cascade}` | {system.source} |"))
    lines = [f"| passes over {taxonomy.rank} | system | cascade | source |", "|---|---|---|---|"]
    return "\n".join([*lines, *(line for _, line in sorted(rows, key=lambda row: -row[0]))])


def test_documented_taxonomy_is_the_generated_one() -> None:
    table = re.search(r"^\| passes over M .*?(?=\n\n|\Z)", DOCS.read_text(), re.M | re.S)
    assert table is not None
    assert table[0].rstrip() == taxonomy_table()


def test_taxonomy_is_the_published_one() -> None:
    rows = [line.split(" | ") for line in taxonomy_table().splitlines()[2:]]
    by_pass: dict[str, list[str]] = {}
    for passes, system, *_ in rows:
        by_pass.setdefault(passes.strip("| "), []).append(system)
    assert by_pass == {
        "3": ["PyTorch", "TensorFlow", "FLAT", "E.T."],
        "2": ["TileFlow", "softmax recomposition"],
        "1": ["Rabe and Staats", "FlashAttention", "FlashAttention-2", "FuseMax"],
    }


def test_documented_output_is_the_printed_one() -> None:
    assert (
        f"$ einfuse passes attention-3pass --rank M\n{passes_text(load_cascade('attention-3pass'), 'M')}\n```"
        in DOCS.read_text()
    )
