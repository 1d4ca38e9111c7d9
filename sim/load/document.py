"""YAML text to plain data that remembers where each value was written.

A document is composed once into YAML nodes; one traversal builds the data and a parallel tree of places, and refuses
text that YAML 1.1 silently misreads (`1e9` as text, `010` as 8, `no` as false, `12:30` as 750, the last of two equal
keys). This module is independent of nouns: `sim.load.structure` turns data into one.
"""

import difflib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from arch.quantity import quoted
from sim.load.files import LARGEST_DOCUMENT, decoded, is_folder, read_bytes
from sim.load.foreign import foreign_kind
from sim.load.problems import InputError, InputProblem, format_path
from sim.load.scalars import MERGE_TAG, NUMBER_TAGS, PLAIN_TAGS, as_in_json, short_tag, trap_in_key, trap_in_value

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
# More than any sensible input has, but less than nested aliases can expand to.
_MOST_VALUES = 200_000
_DEEPEST = 1_000
_LONGEST_NUMBER = 60
TOO_DEEP = "the values are nested too deeply"
TABLES = (".csv", ".tsv")  # whose text YAML would read as one word


@dataclass(frozen=True, slots=True)
class DocumentPlace:
    """Where a value was written: file, line (of its key if it has one), and the places of the values inside it."""

    file: str
    line: int | None = None
    text_line: int | None = None  # of a block of text (`|`): the line of its first line
    children: Mapping[str | int, "DocumentPlace"] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain data (mappings, lists, scalars) from `file`, and the place of every value in it."""

    data: Any
    file: str
    places: DocumentPlace

    def place(self, path: Iterable[str | int]) -> DocumentPlace:
        """The place of the value at `path`, or of the innermost enclosing value that has one."""
        place = self.places
        for part in path:
            if part not in place.children:
                break
            place = place.children[part]
        return place

    def problem(self, path: tuple[str | int, ...], message: str) -> InputProblem:
        """A problem with the value at `path`."""
        place = self.place(path)
        return InputProblem(place.file, place.line, format_path(path), message)


def plain_document(data: Any, file: str) -> Document:
    """Data that was never text, with a name such as `--set` for messages."""
    return Document(data, file, DocumentPlace(file))


def read_document(path: Path) -> Document:
    """The YAML file at `path`; InputError with every problem of its text."""
    file, text = str(path), _read_text(path)
    if program := foreign_kind(text):
        raise InputError([InputProblem(file, None, "", f"is {program}, expected an input of einfuse")])
    if path.suffix.lower() in TABLES:
        raise InputError([InputProblem(file, None, "", "is a table, expected a YAML file")])
    document = parse_document(text, file)
    if document.data is None:
        raise InputError([InputProblem(file, None, "", "the file is empty")])
    if not isinstance(document.data, dict):
        found = "a list" if isinstance(document.data, list) else quoted(str(document.data))
        message = f"expected keys and values at the top level, got {found}"
        raise InputError([InputProblem(file, document.places.line, "$", message)])
    return document


def parse_document(text: str, file: str) -> Document:
    """YAML text, with the name of its file for messages; InputError with every problem."""
    try:
        if _is_nested_beyond_reason(text):
            raise RecursionError
        root = yaml.compose(text, Loader=_Loader)
        if root is None:
            raise InputError([InputProblem(file, None, "", "the file is empty")])
        walk = _Walk(file, _is_json(text))
        data, place = walk.visit(root, (), root.start_mark.line + 1)
    except yaml.YAMLError as error:
        if "maximum nesting depth" in str(error):  # PyYAML's own limit, from 6.0.4 on
            raise InputError([InputProblem(file, None, "", TOO_DEEP)]) from None
        raise InputError([_syntax_problem(error, text, file)]) from None
    except RecursionError:
        raise InputError([InputProblem(file, None, "", TOO_DEEP)]) from None
    if walk.problems:
        raise InputError(walk.problems)
    return Document(data, file, place)


def _is_nested_beyond_reason(text: str) -> bool:
    """Whether composing the text would overflow the stack of the YAML library, which would crash the program."""
    if sum(text.count(opening) for opening in ("[", "{", "- ", "? ")) < _DEEPEST:
        return False
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            return True
    return False


def parse_set(text: str) -> tuple[str, Any]:
    """The path and the value of `a.b=8 MiB`; the value is read as in a file."""
    path, equals, value = text.partition("=")
    path = path.strip()
    if not equals or not path:
        raise InputError([InputProblem("--set", None, "", f"expected key=value, got '{text}'")])
    if not value.strip():
        message = f"expected a value after '{path}=' (write null for none)"
        raise InputError([InputProblem("--set", None, "", message)])
    try:
        return path, parse_document(value, "--set").data
    except InputError as error:
        found = (InputProblem("--set", None, f"$.{path}{p.path[1:]}", p.message) for p in error.problems)
        raise InputError(found) from None


def _read_text(path: Path) -> str:
    """The text of a file; a failure to read it is reported in one sentence."""
    try:
        return decoded(path, read_bytes(path, "a YAML file", LARGEST_DOCUMENT))
    except FileNotFoundError:
        raise InputError([InputProblem(str(path), None, "", f"no such file{_near_file(path)}")]) from None


def _near_file(path: Path) -> str:
    if not is_folder(path.parent):
        return f" (there is no folder '{path.parent}')"
    try:
        names = [entry.name for entry in path.parent.iterdir() if entry.is_file()]
    except OSError:
        return ""
    # The common extension would make every name look similar.
    matches = difflib.get_close_matches(path.stem, {Path(name).stem for name in names}, n=1)
    near = next((name for name in sorted(names) if matches and Path(name).stem == matches[0]), None)
    return f" (did you mean '{path.parent / near}'?)" if near else ""


def _syntax_problem(error: yaml.YAMLError, text: str, file: str) -> InputProblem:
    """PyYAML's complaint in one line, with the likely remedy; that of JSON about a file that is called so."""
    if file.lower().endswith(".json") and (wrong := _json_problem(text)) is not None:
        return InputProblem(file, wrong.lineno, "", f"not valid JSON: {wrong.msg} (column {wrong.colno})")
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or str(error)
    context = getattr(error, "context", None)
    message = f"not valid YAML: {context + ', ' if context else ''}{problem}"
    if mark is None:
        return InputProblem(file, None, "", message)
    lines = text.splitlines() or [""]
    line = lines[min(mark.line, len(lines) - 1)]
    if "\t" in line[: len(line) - len(line.lstrip())]:
        message = "not valid YAML: indent with spaces, not tabs"
    elif "cannot start any token" in problem:
        seen = line[mark.column : mark.column + 1]
        message = f"not valid YAML: put text that begins with '{seen}' in quotes"
    elif "mapping values are not allowed" in problem:
        message = "not valid YAML: put text that contains ': ' in quotes"
    return InputProblem(file, min(mark.line + 1, len(lines)), "", f"{message} (column {mark.column + 1})")


def _json_problem(text: str) -> json.JSONDecodeError | None:
    """Why a text is no JSON; None if it is, or nothing says where it is wrong."""
    try:
        json.loads(text)
    except json.JSONDecodeError as error:
        return error
    except (ValueError, RecursionError):
        pass
    return None


def _is_json(text: str) -> bool:
    """Whether a text is JSON, whose numbers are written in ways that YAML 1.1 reads as text."""
    if not text.lstrip().startswith("{"):
        return False
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _number_problem(node: yaml.ScalarNode) -> str | None:
    """Why a number is refused whatever reads it; None for one of a sensible length."""
    if node.tag in NUMBER_TAGS and len(node.value) > _LONGEST_NUMBER:
        return f"expected a number of at most {_LONGEST_NUMBER} characters, got {len(node.value)}"
    return None


class _Walk:
    """One pass over YAML nodes: returns data and places, and collects problems."""

    def __init__(self, file: str, is_json: bool) -> None:
        self.file, self.is_json = file, is_json
        self.problems: list[InputProblem] = []
        self.values = 0
        self.open: set[int] = set()
        self.constructor = yaml.constructor.SafeConstructor()

    def visit(self, node: yaml.Node, path: tuple[str | int, ...], line: int) -> tuple[Any, DocumentPlace]:
        """The value of a node whose key stands on `line`."""
        self.values += 1
        if self.values > _MOST_VALUES:
            message = f"there are more than {_MOST_VALUES} values, those of aliases included"
            raise InputError([InputProblem(self.file, line, "", message)])
        if id(node) in self.open:
            self._report(path, line, "an alias contains itself")
        elif node.tag not in PLAIN_TAGS:
            message = f"the tag {short_tag(node.tag)} is not allowed: files are plain data"
            self._report(path, line, trap_in_value(node) or message)
        elif isinstance(node, yaml.MappingNode):
            return self._mapping(node, path, line)
        elif isinstance(node, yaml.SequenceNode):
            return self._sequence(node, path, line)
        elif isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path, line)
        return None, DocumentPlace(self.file, line)

    def _scalar(self, node: yaml.ScalarNode, path: tuple[str | int, ...], line: int) -> tuple[Any, DocumentPlace]:
        if self.is_json:
            node = as_in_json(node)
        if (trap := trap_in_value(node)) is not None:
            self._report(path, node.start_mark.line + 1, trap)
            return None, DocumentPlace(self.file, line)
        if (message := _number_problem(node)) is not None:
            self._report(path, line, message)
            return None, DocumentPlace(self.file, line)
        try:
            value = self.constructor.construct_object(node)
        except (ValueError, KeyError, IndexError):  # an explicit tag that the text does not fit
            self._report(path, line, f"expected {short_tag(node.tag)}, got '{node.value[:_LONGEST_NUMBER]}'")
            return None, DocumentPlace(self.file, line)
        block = node.style in ("|", ">")
        return value, DocumentPlace(self.file, line, node.start_mark.line + 2 if block else None)

    def _sequence(self, node: yaml.Node, path: tuple[str | int, ...], line: int) -> tuple[Any, DocumentPlace]:
        self.open.add(id(node))
        data: list[Any] = []
        children: dict[str | int, DocumentPlace] = {}
        for index, item in enumerate(node.value):
            value, children[index] = self.visit(item, (*path, index), item.start_mark.line + 1)
            data.append(value)
        self.open.discard(id(node))
        return data, DocumentPlace(self.file, line, None, children)

    def _mapping(self, node: yaml.Node, path: tuple[str | int, ...], line: int) -> tuple[Any, DocumentPlace]:
        self.open.add(id(node))
        data: dict[str, Any] = {}
        children: dict[str | int, DocumentPlace] = {}
        merged: list[tuple[dict[str, Any], DocumentPlace]] = []
        for key_node, value_node in node.value:
            key_line = key_node.start_mark.line + 1
            if key_node.tag == MERGE_TAG:
                merged += self._merged(value_node, path, key_line)
                continue
            key = self._key(key_node, path, children)
            value, place = self.visit(value_node, (*path, key), key_line)
            data.setdefault(key, value)
            children.setdefault(key, place)
        for values, place in merged:
            data = data | {key: value for key, value in values.items() if key not in data}
            children = {**place.children, **children}
        self.open.discard(id(node))
        return data, DocumentPlace(self.file, line, None, children)

    def _key(self, node: yaml.Node, path: tuple[str | int, ...], earlier: Mapping[str | int, DocumentPlace]) -> str:
        """The text of a key; reports keys that are not text or occur twice."""
        line = node.start_mark.line + 1
        if not isinstance(node, yaml.ScalarNode):
            self._report(path, line, "expected text as a key, got a list or a mapping")
            return "?"
        key = str(node.value)
        if (trap := trap_in_key(node)) is not None:
            self._report(path, line, trap)
        elif key in earlier:
            self._report((*path, key), line, f"the key '{key}' stands already on line {earlier[key].line}")
        return key

    def _merged(
        self, node: yaml.Node, path: tuple[str | int, ...], line: int
    ) -> list[tuple[dict[str, Any], DocumentPlace]]:
        """The mappings that `<<` names, nearest first."""
        sources = node.value if isinstance(node, yaml.SequenceNode) else [node]
        if not all(isinstance(source, yaml.MappingNode) for source in sources):
            self._report(path, line, "expected a mapping, or a list of mappings, after '<<'")
            return []
        return [self.visit(source, path, line) for source in sources]

    def _report(self, path: tuple[str | int, ...], line: int, message: str) -> None:
        self.problems.append(InputProblem(self.file, line, format_path(path), message))
