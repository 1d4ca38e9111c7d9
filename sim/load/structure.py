"""Plain data to a frozen noun: pydantic validates, and every error is reported with its place, in our words.

pydantic identifies the place of an error by a tuple that follows the noun. The file may differ from the noun in three
ways, which are undone here: the label of a union member is not a key of the file, an item of a tuple may be an entry of
a mapping (named items), and a noun may be given as text (a block of Einsums).
"""

from dataclasses import dataclass, replace
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from einsums.names import near_or_all, nearest, nearest_name
from sim.load.document import Document
from sim.load.fields import Member, field_names, narrow, step_into
from sim.load.problems import InputError, InputProblem, format_path
from sim.load.wording import describe

Noun = TypeVar("Noun", bound=BaseModel)


def structure(document: Document, noun: type[Noun]) -> Noun:
    """The noun that the document describes; InputError with all of its problems, in the order of the file."""
    try:
        return noun.model_validate(document.data)
    except ValidationError as error:
        findings = [_Finding.of(document, noun, detail) for detail in error.errors(include_url=False)]
    problems = [problem for finding in _merge(findings) for problem in finding.problems(document)]
    # The document's own file first: a problem there may cause one in its base.
    raise InputError(sorted(problems, key=lambda p: (p.file != document.file, p.file, p.line or 0))) from None


@dataclass(frozen=True, slots=True)
class _Finding:
    """One pydantic error, placed in the document."""

    path: tuple[str | int, ...]
    kind: str
    message: str
    key: str = ""  # the missing key, or the likely intended key in place of an unknown one
    cause: Exception | None = None

    @classmethod
    def of(cls, document: Document, noun: type[BaseModel], detail: Any) -> "_Finding":
        kind, loc = detail["type"], detail["loc"]
        if kind == "missing":
            path, _ = _locate(document, noun, loc[:-1])
            return cls(path, kind, f"missing key '{loc[-1]}'", str(loc[-1]))
        if kind == "extra_forbidden":
            return cls._unknown_key(document, noun, loc)
        path, _ = _locate(document, noun, loc)
        if kind in ("union_tag_invalid", "union_tag_not_found"):
            return cls._wrong_tag(document, path, detail)
        return cls(path, kind, describe(detail), cause=detail.get("ctx", {}).get("error"))

    @classmethod
    def _unknown_key(cls, document: Document, noun: type[BaseModel], loc: tuple[Any, ...]) -> "_Finding":
        path, members = _locate(document, noun, loc[:-1])
        key = str(loc[-1])
        present = _value_at(document.data, path)
        used = present if isinstance(present, dict) else {}
        names = field_names(members)
        known = [name for name in names if name not in used]
        # An override may have meant a key that already exists; a key written next to it cannot have.
        is_override = document.place((*path, key)).file != document.place(path).file
        near = nearest(key, known) or (nearest(key, names) if is_override else "")
        message = f"unknown key '{key}'{near or near_or_all(key, names if is_override else known)}"
        return cls((*path, key), "extra_forbidden", message, nearest_name(key, known) or "")

    @classmethod
    def _wrong_tag(cls, document: Document, path: tuple[str | int, ...], detail: Any) -> "_Finding":
        key = detail["ctx"]["discriminator"].strip("'")
        present = _value_at(document.data, path)
        if isinstance(present, dict) and key in present:
            return cls((*path, key), "literal_error", describe(detail))
        return cls(path, "missing", f"missing key '{key}'", key)

    def problems(self, document: Document) -> list[InputProblem]:
        """One problem per sentence, at its own line if it concerns a line of a text."""
        found = []
        for sentence, line_of_text in _sentences(self.message, self.cause):
            path, line = self.path, document.place(self.path).line
            if line_of_text:
                path, line = _line_of_text(document, path, line_of_text)
            found.append(InputProblem(document.place(path).file, line, format_path(path), sentence))
        return found


def _sentences(message: str, cause: Exception | None) -> list[tuple[str, int]]:
    """The sentences of an error, each with the line of the text that it concerns (from 1; 0: none).

    An error about text has a `line`; one of several has `problems`, each with a `message` and a `line`.
    """
    problems = getattr(cause, "problems", None)
    if problems:
        return [(problem.message, problem.line) for problem in problems]
    sentences = [sentence for sentence in message.splitlines() if sentence.strip()]
    return [(sentence, getattr(cause, "line", 0)) for sentence in sentences]


def _merge(findings: list[_Finding]) -> list[_Finding]:
    """One finding per mistake: alternatives of a union are joined, and a misspelt key is not also missing."""
    misspelt = {(f.path[:-1], f.key) for f in findings if f.kind == "extra_forbidden" and f.key}
    merged: dict[tuple[Any, ...], _Finding] = {}
    for finding in findings:
        if finding.kind == "missing" and (finding.path, finding.key) in misspelt:
            continue
        expects = finding.message.startswith("expected ")
        identity = (finding.path, "expected") if expects else (finding.path, finding.message)
        earlier = merged.get(identity)
        merged[identity] = _join(earlier, finding) if expects and earlier else finding
    return list(merged.values())


def _join(first: _Finding, second: _Finding) -> _Finding:
    """`expected an integer, got 'x'` and `expected a list, got 'x'` as one sentence."""
    wanted, comma, got = first.message.partition(", got ")
    other = second.message.removeprefix("expected ").partition(", got ")[0]
    if other in wanted.removeprefix("expected ").split(" or "):
        return first
    return replace(first, message=f"{wanted} or {other}{comma}{got}")


def _locate(
    document: Document, noun: type[BaseModel], loc: tuple[Any, ...]
) -> tuple[tuple[str | int, ...], tuple[Member, ...]]:
    """The path in the document of pydantic's `loc`, and the nouns that are possible there."""
    data = document.data
    path: tuple[str | int, ...] = ()
    members: tuple[Member, ...] = (Member(noun),)
    for part in loc:
        if isinstance(part, str) and len(members) > 1 and (chosen := narrow(members, part)):
            members = chosen  # the label of a union member, not a key of the file
            continue
        if isinstance(part, str) and (inner := step_into(members, part)) is not None:
            members = inner
        step = _step(data, part)
        if step is not None:
            data, path = data[step], (*path, step)
    return path, members


def _step(data: Any, part: str | int) -> str | int | None:
    """The key or index of `data` that `part` of an error's location denotes."""
    if isinstance(data, dict):
        if part in data:
            return part
        return list(data)[part] if isinstance(part, int) and part < len(data) else None
    if isinstance(data, list) and isinstance(part, int) and part < len(data):
        return part
    return None


def _value_at(data: Any, path: tuple[str | int, ...]) -> Any:
    for part in path:
        data = data[part]
    return data


def _line_of_text(
    document: Document, path: tuple[str | int, ...], line: int
) -> tuple[tuple[str | int, ...], int | None]:
    """Path and file line of line `line` (from 1) of the text at `path`, or of the only text inside it."""
    place = document.place(path)
    if place.text_line is None and not _lists_lines(document, path):
        inside = [key for key in place.children if _holds_lines(document, (*path, key))]
        if len(inside) != 1:
            return path, place.line
        path, place = (*path, inside[0]), place.children[inside[0]]
    if place.text_line is not None:
        return path, place.text_line + line - 1
    item = place.children.get(line - 1)
    return ((*path, line - 1), item.line) if item else (path, place.line)


def _holds_lines(document: Document, path: tuple[str | int, ...]) -> bool:
    return document.place(path).text_line is not None or _lists_lines(document, path)


def _lists_lines(document: Document, path: tuple[str | int, ...]) -> bool:
    value = _value_at(document.data, path)
    return isinstance(value, list) and bool(value) and all(isinstance(item, str) for item in value)
