"""Do the documents tell the truth? Their commands run, print what they show, and their links lead somewhere."""

import doctest
import re
import shlex
from pathlib import Path
from typing import NamedTuple

import pytest
from typer.testing import CliRunner

from sim.__main__ import app
from tests.number_tables import NOUNS, table_of

ROOT = Path(__file__).resolve().parent.parent
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)#\s]+)\)")


class Example(NamedTuple):
    """A command of a document and the output shown below it; `...` stands for anything."""

    page: str
    command: str
    shown: str


def iter_examples(page: Path):
    for language, block in BLOCK.findall(page.read_text(encoding="utf-8")):
        if language == "console":
            for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
                command, _, shown = part.partition("\n")
                yield Example(str(page.relative_to(ROOT)), command, shown.strip("\n"))


EXAMPLES = [example for page in PAGES for example in iter_examples(page)]


def matches(shown: str, printed: str) -> bool:
    """Line by line, blanks at the ends of lines left out; a line `...` stands for any lines, `...` in one for any text."""
    lines = [re.escape(line.rstrip()).replace(r"\.\.\.", ".*") for line in shown.splitlines()]
    pattern = "\n".join(r"(?s:.*)" if line == ".*" else line for line in lines)
    clean = "\n".join(line.rstrip() for line in printed.strip("\n").splitlines())
    return re.fullmatch(pattern, clean) is not None


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: f"{e.page}: {e.command}")
def test_command_prints_what_is_shown(example, monkeypatch, tmp_path):
    monkeypatch.chdir(ROOT)
    program, *arguments = shlex.split(example.command.replace("OUT", str(tmp_path)))
    assert program == "einfuse"
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0 or "exit status" in example.shown, result.output
    if example.shown:
        assert matches(example.shown, result.stdout), result.stdout


def test_documents_have_examples():
    assert len(EXAMPLES) >= 3


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    links = [link for link in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_examples_hold(page):
    assert doctest.testfile(str(page), module_relative=False, optionflags=doctest.ELLIPSIS).failed == 0


def test_matching_can_fail():
    assert matches("a ... c\n...\nz", "a b c\n1\n2\nz")
    assert not matches("a ... c\nz", "a b d\nz")


@pytest.mark.parametrize("noun", NOUNS)
def test_tables_of_numbers_are_those_of_the_sources(noun):
    assert f"\n{table_of(noun)}\n" in (ROOT / "docs" / "formats.md").read_text("utf-8")
