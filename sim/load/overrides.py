"""One document as a change of another: single values by dotted path, and `base` with `set`.

`base: NAME` takes every value of another document; `set: {components.GLB.size: 8 MiB}` changes some of them. Values
keep the place where they were written: an error names the file and line of the override, not of what it replaced.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from einsums.names import near_or_all
from sim.load.document import Document, DocumentPlace, plain_document
from sim.load.problems import InputError, InputProblem

_INDEX = re.compile(r"\[(\d+)\]")


def set_path(data: Any, dotted: str, value: Any) -> Any:
    """A copy of `data` with one value replaced; ValueError for a path that leads nowhere.

    A path is keys joined by points, `components.GLB.size`. Items of lists go by index (`loops.0.tile` or
    `loops[0].tile`) or by the text under their key `name`. The last part may be a new key of a mapping.
    """
    return _replace(data, _steps(data, dotted), value)


def override(document: Document, changes: Mapping[str, Any], origin: str) -> Document:
    """The document with values from outside any file, such as `--set`; InputError with all bad paths."""
    return override_from(document, plain_document(dict(changes), origin))


def override_from(document: Document, written: Document) -> Document:
    """As `override`, with paths and values from another document, whose places they keep."""
    return _apply(document, written, ())


def lay_in(document: Document, steps: tuple[str | int, ...], inner: Document) -> Document:
    """The document with the value at these keys replaced by another document, which keeps its places."""
    data = _replace(document.data, steps, inner.data)
    return replace(
        document, data=data, places=_replace_place(document.places, steps, replace(inner.places, file=inner.file))
    )


def resolve_base(document: Document, find: Callable[[str], Document]) -> Document:
    """The document itself or, if it has a `base`, that document with the changes under `set`.

    `find` gives the document of a name (ValueError for an unknown one). Keys other than `base` and `set` replace those
    of the base, or add to them.
    """
    return _resolve(document, find, (document.file,))


def _resolve(document: Document, find: Callable[[str], Document], chain: tuple[str, ...]) -> Document:
    if "base" not in document.data:
        if "set" in document.data:
            raise InputError([document.problem(("set",), "'set' changes a base, but there is no key 'base'")])
        return document
    base = _find_base(document, find, chain)
    resolved = _resolve(base, find, (*chain, base.file))
    changes = document.data.get("set") or {}
    if not isinstance(changes, dict):
        message = "expected paths and values such as 'components.GLB.size: 8 MiB'"
        raise InputError([document.problem(("set",), message)])
    resolved = _replace_keys(resolved, document)
    return replace(_apply(resolved, document, ("set",)), file=document.file)


def _find_base(document: Document, find: Callable[[str], Document], chain: tuple[str, ...]) -> Document:
    name = document.data["base"]
    if not isinstance(name, str):
        raise InputError([document.problem(("base",), f"expected the name of a document, got '{name}'")])
    try:
        base = find(name)
    except InputError:
        raise
    except ValueError as error:
        raise InputError([document.problem(("base",), str(error))]) from None
    if base.file in chain:
        loop = " -> ".join((*chain, base.file))
        raise InputError([document.problem(("base",), f"the bases lead back to where they began: {loop}")])
    return base


def _replace_keys(base: Document, document: Document) -> Document:
    """The base with the other top-level keys of the document."""
    own = {key: value for key, value in document.data.items() if key not in ("base", "set")}
    merged = [key for key in own if isinstance(own[key], dict) and isinstance(base.data.get(key), dict)]
    if merged:
        message = "the base has keys here too: change single ones with 'set', as in 'set: {{{}.KEY: VALUE}}'"
        raise InputError([document.problem((key,), message.format(key)) for key in merged])
    places = {key: document.place((key,)) for key in own}
    children = {**base.places.children, **places}
    top = DocumentPlace(document.file, document.places.line, None, children)
    return replace(base, data={**base.data, **own}, places=top)


def _apply(document: Document, written: Document, inside: tuple[str, ...]) -> Document:
    """The document with every path and value that `written` holds under the keys `inside`."""
    changes = written.data
    for key in inside:
        changes = changes.get(key) or {}
    problems = []
    for dotted, value in changes.items():
        place = written.place((*inside, dotted))
        try:
            steps = _steps(document.data, dotted)
        except ValueError as error:
            path = ".".join(("$", *inside, dotted))
            problems.append(InputProblem(place.file, place.line, path, str(error)))
            continue
        data = _replace(document.data, steps, value)
        document = replace(document, data=data, places=_replace_place(document.places, steps, place))
    if problems:
        raise InputError(problems)
    return document


def _steps(data: Any, dotted: str) -> tuple[str | int, ...]:
    """The keys and indices that a dotted path denotes in `data`."""
    parts = _INDEX.sub(r".\1", dotted.removeprefix("$.")).split(".")
    if not all(parts):
        raise ValueError(f"expected keys joined by single points, got '{dotted}'")
    steps: list[str | int] = []
    for position, part in enumerate(parts):
        step = _step(data, part, ".".join(parts[:position]), is_last=position == len(parts) - 1)
        steps.append(step)
        data = data.get(step) if isinstance(data, dict) else data[step]
    return tuple(steps)


def _step(data: Any, part: str, above: str, is_last: bool) -> str | int:
    if isinstance(data, dict):
        if part in data or is_last:
            return part
        raise ValueError(f"unknown key '{part}'{near_or_all(part, data)}")
    if not isinstance(data, list):
        raise ValueError(f"'{above}' is a single value and has no key '{part}'")
    names = [str(item["name"]) for item in data if isinstance(item, dict) and "name" in item]
    if part.isdecimal() and int(part) < len(data):
        return int(part)
    if part.isdecimal():
        raise ValueError(f"'{above}' has no item {part}: it has {len(data)}, counted from 0")
    if part not in names:
        raise ValueError(f"unknown item '{part}'{near_or_all(part, names)}")
    return next(i for i, item in enumerate(data) if isinstance(item, dict) and str(item.get("name")) == part)


def _replace(data: Any, steps: tuple[str | int, ...], value: Any) -> Any:
    if not steps:
        return value
    step, inner = steps[0], steps[1:]
    copy = data.copy()
    copy[step] = _replace(data[step], inner, value) if inner else value
    return copy


def _replace_place(place: DocumentPlace, steps: tuple[str | int, ...], new: DocumentPlace) -> DocumentPlace:
    if not steps:
        return new
    step, inner = steps[0], steps[1:]
    child = place.children.get(step, DocumentPlace(place.file, place.line))
    return replace(place, children={**place.children, step: _replace_place(child, inner, new)})
