"""Changes by dotted path, `base` with `set`, and catalogues: results and whole messages."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from einsums.names import near_or_all, nearest
from sim.load.catalogs import Catalog
from sim.load.document import Document, parse_document, read_document
from sim.load.overrides import override, resolve_base, set_path
from sim.load.problems import InputError
from sim.load.structure import structure

DATA = {
    "components": {"GLB": {"size": 1, "row": 2}},
    "loops": [{"name": "outer", "tile": 4}, {"tile": 8}],
    "n": 3,
}
BASE = "name: base\nn: 3\ncomponents:\n  GLB: {size: 1, row: 2}\n  DRAM: {size: 9}\n"


def finder(**texts: str) -> Any:
    def find(name: str) -> Document:
        if name not in texts:
            raise ValueError(f"no machine called '{name}'{nearest(name, texts)}")
        return parse_document(texts[name], f"{name}.yaml")

    return find


def resolve(text: str, **texts: str) -> Document:
    return resolve_base(parse_document(text, "own.yaml"), finder(**{"base": BASE, **texts}))


def resolve_error(text: str, **texts: str) -> str:
    with pytest.raises(InputError) as caught:
        resolve(text, **texts)
    return str(caught.value)


@pytest.mark.parametrize(
    ("path", "reached"),
    [
        ("components.GLB.size", lambda data: data["components"]["GLB"]["size"]),
        ("$.components.GLB.size", lambda data: data["components"]["GLB"]["size"]),
        ("components.GLB.banks", lambda data: data["components"]["GLB"]["banks"]),
        ("components.STAGE", lambda data: data["components"]["STAGE"]),
        ("loops.1.tile", lambda data: data["loops"][1]["tile"]),
        ("loops[1].tile", lambda data: data["loops"][1]["tile"]),
        ("loops.outer.tile", lambda data: data["loops"][0]["tile"]),
        ("loops.0", lambda data: data["loops"][0]),
        ("n", lambda data: data["n"]),
    ],
)
def test_set_path(path: str, reached: Any) -> None:
    before = repr(DATA)
    assert reached(set_path(DATA, path, "new")) == "new"
    assert repr(DATA) == before  # the data itself is left alone


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("components.GLBB.size", "unknown key 'GLBB' (did you mean 'GLB'?)"),
        ("zzz.size", "unknown key 'zzz' (known: components, loops, n)"),
        ("n.size", "'n' is a single value and has no key 'size'"),
        ("loops.2.tile", "'loops' has no item 2: it has 2, counted from 0"),
        ("loops.2", "'loops' has no item 2: it has 2, counted from 0"),
        ("loops.outre.tile", "unknown item 'outre' (did you mean 'outer'?)"),
        ("components..size", "expected keys joined by single points, got 'components..size'"),
        ("", "expected keys joined by single points, got ''"),
    ],
)
def test_set_path_refuses(path: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        set_path(DATA, path, 0)
    assert str(caught.value) == message


def test_document_without_base_is_itself() -> None:
    document = parse_document("a: 1", "own.yaml")
    assert resolve_base(document, finder()) is document


def test_base_with_changes_keeps_places() -> None:
    document = resolve("name: own\nbase: base\nset:\n  components.GLB.size: 8\n  components.NEW: {size: 5}\nextra: 1\n")
    assert document.data == {
        "name": "own",
        "n": 3,
        "components": {"GLB": {"size": 8, "row": 2}, "DRAM": {"size": 9}, "NEW": {"size": 5}},
        "extra": 1,
    }
    expected = {
        ("name",): ("own.yaml", 1),
        ("n",): ("base.yaml", 2),
        ("components", "GLB", "size"): ("own.yaml", 4),
        ("components", "GLB", "row"): ("base.yaml", 4),
        ("components", "NEW", "size"): ("own.yaml", 5),
        ("extra",): ("own.yaml", 6),
    }
    places = {path: document.place(path) for path in expected}
    assert {path: (place.file, place.line) for path, place in places.items()} == expected


def test_base_of_a_base() -> None:
    document = resolve("base: middle\nset: {n: 5}\n", middle="base: base\nset: {n: 4, components.GLB.row: 7}\n")
    assert document.data["n"] == 5
    assert document.data["components"]["GLB"] == {"size": 1, "row": 7}
    assert document.place(("n",)).file == "own.yaml"
    assert document.place(("components", "GLB", "row")).file == "middle.yaml"
    assert document.file == "own.yaml"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "base: base\nset:\n  components.GLBB.size: 8\n  n.x: 1",
            "own.yaml:3: $.set.components.GLBB.size: unknown key 'GLBB' (did you mean 'GLB'?)\n"
            "own.yaml:4: $.set.n.x: 'n' is a single value and has no key 'x'",
        ),
        ("base: bsae", "own.yaml:1: $.base: no machine called 'bsae' (did you mean 'base'?)"),
        ("base: 3", "own.yaml:1: $.base: expected the name of a document, got '3'"),
        ("set: {n: 3}", "own.yaml:1: $.set: 'set' changes a base, but there is no key 'base'"),
        (
            "base: base\nset: [n]",
            "own.yaml:2: $.set: expected paths and values such as 'components.GLB.size: 8 MiB'",
        ),
        (
            "base: base\ncomponents: {GLB: {size: 3}}",
            "own.yaml:2: $.components: the base has keys here too: change single ones with 'set', "
            "as in 'set: {components.KEY: VALUE}'",
        ),
        (
            "base: loop",
            "loop.yaml:1: $.base: the bases lead back to where they began: own.yaml -> loop.yaml -> loop.yaml",
        ),
        (
            "base: broken",
            "broken.yaml:1: $.a: YAML reads on as true: write true, or 'on' in quotes for the text",
        ),
    ],
)
def test_resolve_base_refuses(text: str, message: str) -> None:
    assert resolve_error(text, loop="base: loop", broken="a: on") == message


class Sized(BaseModel):
    model_config = ConfigDict(extra="forbid")
    size: int
    row: int = 0


class Machine(BaseModel):
    model_config = ConfigDict(extra="forbid")
    name: str
    n: int
    components: dict[str, Sized]


def test_mistake_in_a_change_names_the_change_and_one_in_the_base_names_the_base() -> None:
    document = resolve("base: broken\nset:\n  components.GLB.size: big\n", broken=BASE.replace("n: 3", "n: three"))
    with pytest.raises(InputError) as caught:
        structure(document, Machine)
    assert str(caught.value).splitlines() == [
        "own.yaml:3: $.components.GLB.size: expected an integer, got 'big'",
        "broken.yaml:2: $.n: expected an integer, got 'three'",
    ]


def test_override_from_the_command_line() -> None:
    document = parse_document(BASE, "base.yaml")
    changed = override(document, {"components.GLB.size": "big", "n": 4}, "--set")
    assert changed.data["n"] == 4
    with pytest.raises(InputError) as caught:
        structure(changed, Machine)
    assert str(caught.value) == "--set: $.components.GLB.size: expected an integer, got 'big'"
    with pytest.raises(InputError) as caught:
        override(document, {"componets.GLB.size": 1}, "--set")
    assert str(caught.value) == ("--set: $.componets.GLB.size: unknown key 'componets' (did you mean 'components'?)")


def test_catalog(tmp_path: Path) -> None:
    for name in ("attention-1pass.yaml", "attention-3pass.yaml", "note.txt"):
        (tmp_path / name).write_text("a: 1")
    (tmp_path / "models").mkdir()
    catalog = Catalog(tmp_path, "cascade")
    assert catalog.names() == ("attention-1pass", "attention-3pass")
    assert read_document(catalog.find("attention-1pass")).data == {"a": 1}
    with pytest.raises(ValueError) as caught:
        catalog.find("atention-1pass")
    assert str(caught.value) == (
        "no cascade called 'atention-1pass' (did you mean 'attention-1pass'?); "
        "shipped: attention-1pass, attention-3pass"
    )
    with pytest.raises(ValueError) as caught:
        Catalog(tmp_path / "models", "model").find("BERT")
    assert str(caught.value) == "no model called 'BERT'; shipped: none"


def test_catalog_leaves_paths_where_they_point(tmp_path: Path) -> None:
    catalog = Catalog(tmp_path, "cascade")
    assert catalog.find("mine.yaml") == Path("mine.yaml")
    assert catalog.find("../up/mine") == Path("../up/mine")
    assert catalog.find("mine.yaml", beside=Path("study")) == Path("study/mine.yaml")
    assert catalog.find("/abs/mine.yaml", beside=Path("study")) == Path("/abs/mine.yaml")


def test_near_names() -> None:
    assert nearest("xlm", ["BERT", "XLM"]) == " (did you mean 'XLM'?)"
    assert nearest("sise", ["size", "rows"]) == " (did you mean 'size'?)"
    assert nearest("qqq", ["size", "rows"]) == ""
    assert near_or_all("qqq", ["size", "rows"]) == " (known: size, rows)"
    assert near_or_all("qqq", []) == ""
