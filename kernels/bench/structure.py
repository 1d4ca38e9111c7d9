"""Frozen records to JSON documents and back; every difference between a document and the record is named.

A record is a dataclass or a NamedTuple whose annotations are numbers, texts, booleans, literals, tuples, other records,
unions of dataclasses (distinguished by a `kind`), or one of these or None. Standard library only.
"""

import json
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from difflib import get_close_matches
from types import UnionType
from typing import Any, Literal, NamedTuple, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")

LARGEST = 1e30  # of any number; products of several stay finite
KIND = "kind"  # the name of the dataclass, where several are possible


class Complaint(NamedTuple):
    """What is wrong in a document, and where."""

    file: str
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.file}: {self.path}: {self.message}"


class DocumentError(ValueError):
    """A document that cannot be read: one sentence per complaint."""

    def __init__(self, complaints: tuple[Complaint, ...]) -> None:
        super().__init__("\n".join(map(str, complaints)))
        self.complaints = complaints


class _Reader:
    """Collects complaints while it builds records; a part with a complaint becomes None."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.complaints: list[Complaint] = []

    def complain(self, path: str, message: str) -> None:
        self.complaints.append(Complaint(self.file, path, message))

    def read(self, kind: Any, value: Any, path: str) -> Any:
        origin = get_origin(kind)
        if origin is tuple:
            return self.read_tuple(get_args(kind), value, path)
        if origin is Literal:
            return self.read_choice(get_args(kind), value, path)
        if origin in (Union, UnionType):
            return self.read_union(get_args(kind), value, path)
        if _is_record(kind):
            return self.read_record(kind, value, path)
        return self.read_scalar(kind, value, path)

    def read_scalar(self, kind: type, value: Any, path: str) -> Any:
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        match kind.__name__:
            case "bool" if isinstance(value, bool):
                return value
            case "str" if isinstance(value, str):
                return value
            case "int" if is_number and isinstance(value, int) and abs(value) <= LARGEST:
                return value
            case "float" if is_number and abs(value) <= LARGEST:
                return float(value)
        expected = {"bool": "true or false", "str": "a text", "int": "a whole number", "float": "a finite number"}
        self.complain(path, f"expected {expected[kind.__name__]}, got {shown(value)}")
        return None

    def read_choice(self, choices: tuple[Any, ...], value: Any, path: str) -> Any:
        if value in choices and not isinstance(value, bool):
            return value
        self.complain(path, f"expected {_one_of(choices)}, got {shown(value)}{_near(value, choices)}")
        return None

    def read_tuple(self, parts: tuple[Any, ...], value: Any, path: str) -> tuple[Any, ...] | None:
        if not isinstance(value, list):
            self.complain(path, f"expected a list, got {shown(value)}")
            return None
        is_uniform = len(parts) == 2 and parts[1] is Ellipsis
        if not is_uniform and len(value) != len(parts):
            self.complain(path, f"expected a list of {len(parts)}, got {len(value)}")
            return None
        kinds = parts[:1] * len(value) if is_uniform else parts
        return tuple(self.read(k, v, f"{path}[{i}]") for i, (k, v) in enumerate(zip(kinds, value, strict=True)))

    def read_union(self, kinds: tuple[Any, ...], value: Any, path: str) -> Any:
        if type(None) in kinds and value is None:
            return None
        wanted = tuple(kind for kind in kinds if kind is not type(None))
        if len(wanted) == 1:
            return self.read(wanted[0], value, path)
        if not isinstance(value, dict):
            self.complain(path, f"expected an object with a {KIND}, got {shown(value)}")
            return None
        names = {kind.__name__: kind for kind in wanted}
        name = self.read_choice(tuple(names), value.get(KIND), f"{path}.{KIND}")
        if name is None:
            return None
        return self.read_record(names[name], {key: part for key, part in value.items() if key != KIND}, path)

    def read_record(self, kind: Any, value: Any, path: str) -> Any:
        if not isinstance(value, dict):
            self.complain(path, f"expected an object, got {shown(value)}")
            return None
        hints, before = _fields(kind), len(self.complaints)
        for name in value:
            if name not in hints:
                self.complain(f"{path}.{name}", f"unknown field{_near(name, tuple(hints))}")
        optional = _optional(kind)
        for name in hints:
            if name not in value and name not in optional:
                self.complain(f"{path}.{name}", "missing")
        parts = {name: self.read(hints[name], value[name], f"{path}.{name}") for name in hints if name in value}
        if len(self.complaints) > before:
            return None
        try:
            return kind(**parts)
        except ValueError as error:  # the record's own invariants
            self.complain(path, str(error))
            return None


def from_document(kind: type[T], document: Any, file: str) -> T:
    """The record that a JSON document means; DocumentError with every complaint."""
    reader = _Reader(file)
    record: T = reader.read(kind, document, "$")
    if reader.complaints:
        raise DocumentError(tuple(reader.complaints))
    return record


def parse_json(text: str, file: str) -> Any:
    """Parse strict JSON; DocumentError for anything else."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError((Complaint(f"{file}:{error.lineno}", "$", f"not JSON ({error.msg})"),)) from None
    except RecursionError:
        raise DocumentError((Complaint(file, "$", "the values are nested too deeply"),)) from None
    except ValueError:  # Python reads no whole number of more than 4300 digits
        raise DocumentError((Complaint(file, "$", "a number has too many digits"),)) from None


def to_document(record: Any, declared: Any = None) -> Any:
    """A record as JSON values; `declared`: the annotation of its field, which decides whether it needs a kind."""
    if _is_record(type(record)):
        hints = _fields(type(record))
        parts = {name: to_document(getattr(record, name), hints[name]) for name in hints}
        return {KIND: type(record).__name__, **parts} if _is_choice_of_records(declared) else parts
    if isinstance(record, tuple):
        kinds = get_args(declared) if get_origin(declared) is tuple else ()
        inner = kinds[0] if len(kinds) == 2 and kinds[1] is Ellipsis else None
        return [to_document(part, inner) for part in record]
    return record


def iter_differences(found: Any, expected: Any, path: str = "$") -> Iterator[str]:
    """Paths at which two documents differ."""
    if isinstance(found, dict) and isinstance(expected, dict):
        for name in sorted({*found, *expected}):
            yield from iter_differences(found.get(name), expected.get(name), f"{path}.{name}")
    elif found != expected:
        yield path


def shown(value: Any) -> str:
    """A value for a message, cut to a readable length."""
    text = json.dumps(value, default=str)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and (is_dataclass(kind) or hasattr(kind, "_fields"))


def _is_choice_of_records(declared: Any) -> bool:
    kinds = [kind for kind in get_args(declared) if kind is not type(None)]
    return get_origin(declared) in (Union, UnionType) and len(kinds) > 1


def _fields(kind: Any) -> dict[str, Any]:
    hints = get_type_hints(kind)
    names = [field.name for field in fields(kind)] if is_dataclass(kind) else list(kind._fields)
    return {name: hints[name] for name in names}


def _optional(kind: Any) -> set[str]:
    if is_dataclass(kind):
        return {f.name for f in fields(kind) if f.default is not MISSING or f.default_factory is not MISSING}
    return set(kind._field_defaults)


def _one_of(choices: tuple[Any, ...]) -> str:
    texts = [shown(choice) for choice in choices]
    return f"{', '.join(texts[:-1])} or {texts[-1]}" if len(texts) > 1 else texts[0]


def _near(name: Any, candidates: tuple[Any, ...]) -> str:
    near = get_close_matches(str(name), [str(candidate) for candidate in candidates], n=1)
    return f" (did you mean '{near[0]}'?)" if near and near[0] != name else ""
