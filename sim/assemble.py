"""From an experiment's file and overrides to a design point with every choice made.

An experiment names a model (or gives its dimensions), a sequence length and a batch, a machine and a mapping. The documents
behind those names become part of it, so that an override may reach any value: `architecture.components.GLB.size=8 MiB`.
"""

import json
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from arch.expression import SCALAR_FUNCTIONS, check_names, evaluate, parse_expression
from arch.names import nearest
from arch.types import Architecture
from einsums.model import Model
from einsums.types import Cascade
from mappings.types import Mapping
from sim.document import Document, Place
from sim.experiment import Experiment
from sim.load import CATALOGS, build, build_architecture, read, read_document_once, read_table, resolved
from sim.overrides import override
from sim.problems import InputError, InputProblem

PARTS = ("model", "architecture", "mapping", "cascade")


class Workpoint(BaseModel):
    """What an experiment says itself, beside the documents it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    source: str = ""
    seq_len: int = Field(ge=1, strict=True)
    batch: int = Field(ge=1, strict=True)
    ranks: dict[str, int] = {}  # sizes of ranks that do not follow the cascade's own rules
    parameters: dict[str, str] = {}  # of the mapping, instead of its stored choices and defaults

    @field_validator("ranks", mode="before")
    @classmethod
    def _whole_sizes(cls, value: Any) -> Any:
        for rank, size in value.items() if isinstance(value, dict) else ():
            if isinstance(size, bool) or not isinstance(size, int) or size < 1:
                raise ValueError(f"rank '{rank}': expected a whole number of at least 1, got {size!r}")
        return value

    @field_validator("parameters", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return {name: str(item) for name, item in value.items()} if isinstance(value, dict) else value


def load_experiment(name_or_path: str, overrides: MappingOf[str, Any] | None = None, **more: Any) -> Experiment:
    """A design point by catalog name or path, with values replaced by dotted path; InputError for anything wrong.

    `load_experiment("flat", model="XLM", seq_len=65536)`; deeper paths through `overrides`.
    """
    changes = {**(overrides or {}), **more}
    return assemble(changed(read_experiment(name_or_path), changes, "--set"))


def read_experiment(name_or_path: str) -> Document:
    """The experiment's document with everything it names laid into it."""
    try:
        path = CATALOGS["experiment"].find(name_or_path)
    except ValueError as error:
        raise InputError([InputProblem("einfuse", None, "", str(error))]) from None
    document = read_document_once(path)
    if "base" not in document.data:
        return expanded(document)
    # The base is laid out before this file's changes, which may reach into what it names.
    own = {key: value for key, value in document.data.items() if key not in ("base", "set")}
    base = changed(read_experiment(_base_path(document, path)), own, document.file)
    changes = document.data.get("set") or {}
    if not isinstance(changes, dict):
        raise InputError([document.problem(("set",), "expected paths and values such as 'seq_len: 4096'")])
    return replace(_placed(changed(base, changes, document.file), document, changes), file=document.file)


def _base_path(document: Document, path: Path) -> str:
    name = document.data["base"]
    try:
        base = CATALOGS["experiment"].find(str(name), path.parent)
    except ValueError as error:
        raise InputError([document.problem(("base",), str(error))]) from None
    if base.resolve() == path.resolve():
        raise InputError([document.problem(("base",), "an experiment cannot be its own base")])
    return str(base)


def _placed(changed_document: Document, written: Document, changes: MappingOf[str, Any]) -> Document:
    """Top-level values that `written` sets keep the line where it sets them."""
    children = dict(changed_document.places.children)
    for key in changes:
        place = written.place(("set", key))
        children[key] = replace(children.get(key, place), file=place.file, line=place.line)
    return replace(changed_document, places=replace(changed_document.places, children=children))


def changed(document: Document, changes: MappingOf[str, Any], origin: str) -> Document:
    """The document with values replaced; whole documents are exchanged first, then single values inside them."""
    whole = {key: value for key, value in changes.items() if key in PARTS}
    document = expanded(override(document, whole, origin))
    return expanded(override(document, {k: v for k, v in changes.items() if k not in PARTS}, origin))


def expanded(document: Document) -> Document:
    """The document with every part that is a name replaced by the document of that name."""
    data, children = dict(document.data), dict(document.places.children)
    mapping = data.get("mapping")
    if "cascade" not in data and isinstance(mapping, dict) and isinstance(mapping.get("cascade"), str):
        data["cascade"] = mapping["cascade"]
    for part in PARTS:
        name = data.get(part)
        if isinstance(name, str):
            try:
                path = CATALOGS[part].find(name, _folder(document.place((part,)).file))
            except ValueError as error:
                raise InputError([document.problem((part,), str(error))]) from None
            inner = resolved(part, read_document_once(path))
            data[part] = inner.data
            children[part] = replace(inner.places, file=inner.file)
    full = replace(document, data=data, places=replace(document.places, children=children))
    return expanded(full) if "cascade" not in data and isinstance(data.get("mapping"), dict) and (
        "cascade" in data["mapping"]) else full


def _folder(file: str) -> Path | None:
    return Path(file).parent if Path(file).is_file() else None


def assemble(document: Document) -> Experiment:
    """The design point of a full document."""
    missing = [part for part in PARTS if part not in document.data]
    if missing:
        raise InputError([document.problem((), f"missing key '{part}'") for part in missing])
    cascade = _noun(document, "cascade", Cascade)
    model = _noun(document, "model", Model)
    architecture = _noun(document, "architecture", Architecture)
    mapping = _noun(document, "mapping", Mapping)
    own = {key: value for key, value in document.data.items() if key not in PARTS}
    point = build(replace(document, data=own), Workpoint)
    sizes = rank_sizes(document, cascade, model, point)
    labels = (("model", model.name), ("seq_len", point.seq_len), ("batch", point.batch))
    parameters = parameter_values(document, mapping, dict(labels), point)
    experiment = Experiment(point.name, cascade, architecture, mapping, sizes, parameters, labels)
    try:
        experiment.tree  # noqa: B018 (makes the choices, so that what is wrong with them is said with its place)
    except ValueError as error:
        raise InputError([_part(document, "mapping").problem((), str(error))]) from None
    return experiment


def _part(document: Document, part: str) -> Document:
    place = document.places.children.get(part, Place(document.file))
    return Document(document.data[part], place.file, place)


def _noun(document: Document, part: str, noun: type[Any]) -> Any:
    """The noun of one part, kept while its data stay the same."""
    inner = _part(document, part)
    if not isinstance(inner.data, dict):
        raise InputError([document.problem((part,), f"expected a name or a mapping, got {inner.data!r}")])
    return _build_kept(json.dumps(inner.data, sort_keys=False, default=str), noun, _Uncompared(inner))


class _Uncompared:
    """Carries a document past the cache's key: equal data make equal nouns, wherever they were written."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Uncompared)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=512)
def _build_kept(_text: str, noun: type[Any], carried: _Uncompared) -> Any:
    return build_architecture(carried.document) if noun is Architecture else build(carried.document, noun)


def rank_sizes(document: Document, cascade: Cascade, model: Model, point: Workpoint) -> tuple[tuple[str, int], ...]:
    """The size of every root rank: as given, or by the cascade's rule over the model's dimensions."""
    dimensions = {"batch": point.batch, "seq_len": point.seq_len} | {
        name: value for name, value in model.model_dump().items() if isinstance(value, int)
    }
    rules = {rule.rank: rule.expression for rule in cascade.sizes}
    roots = tuple(dict.fromkeys(cascade.root_of(rank) for rank in cascade.leaf_ranks()))
    problems = [
        document.problem(("ranks", rank), f"'{cascade.name}' has no rank '{rank}'{nearest(rank, roots)}")
        for rank in point.ranks
        if rank not in roots
    ]
    sizes: dict[str, int] = {}
    for rank in roots:
        if rank in point.ranks:
            sizes[rank] = point.ranks[rank]
            continue
        if rank not in rules:
            message = f"no size for rank '{rank}' of '{cascade.name}': give it under 'ranks'"
            problems.append(document.problem(("ranks",), message))
            continue
        try:
            expression = parse_expression(rules[rank])
            check_names(expression, dimensions)
            sizes[rank] = _whole(rank, evaluate(expression, dimensions.__getitem__, SCALAR_FUNCTIONS))
        except ValueError as error:
            problems.append(_part(document, "cascade").problem(("sizes", rank), str(error)))
    if problems:
        raise InputError(problems)
    return tuple(sizes.items())


def _whole(rank: str, value: Any) -> int:
    if value != int(value) or value < 1:
        raise ValueError(f"the size of rank '{rank}' is {value}, expected a whole number of at least 1")
    return int(value)


def parameter_values(
    document: Document, mapping: Mapping, labels: dict[str, Any], point: Workpoint
) -> tuple[tuple[str, str], ...]:
    """The value of every parameter of the mapping: as given, as stored for this workload, or the default."""
    known = [parameter.name for parameter in mapping.parameters]
    stored = stored_choices(document, mapping, labels)
    problems = [
        document.problem(("parameters", name), f"mapping '{mapping.name}' has no parameter '{name}'{nearest(name, known)}")
        for name in point.parameters
        if name not in known
    ]
    values = []
    for parameter in mapping.parameters:
        value = point.parameters.get(parameter.name, stored.get(parameter.name, parameter.default))
        if parameter.values and value not in parameter.values:
            message = f"parameter '{parameter.name}' is '{value}', expected one of {', '.join(parameter.values)}"
            problems.append(document.problem(("parameters", parameter.name), message))
        values.append((parameter.name, value))
    if problems:
        raise InputError(problems)
    return tuple(values)


def stored_choices(document: Document, mapping: Mapping, labels: dict[str, Any]) -> dict[str, str]:
    """The row of the mapping's table for this workload, empty if it has none."""
    if mapping.table is None:
        return {}
    part = _part(document, "mapping")
    path = Path(part.place(("table", "file")).file).parent / mapping.table.file
    rows = read_table_once(path)
    for key in mapping.table.key:
        if key not in labels or (rows and key not in rows[0]):
            columns = nearest(key, rows[0] if rows else labels)
            raise InputError([part.problem(("table", "key"), f"no column and label is called '{key}'{columns}")])
    for row in rows:
        if all(row[key] == str(labels[key]) for key in mapping.table.key):
            return row
    return {}


@lru_cache(maxsize=32)
def read_table_once(path: Path) -> list[dict[str, str]]:
    """As `read_table`; tables ship with their mapping and are read once."""
    return read_table(path)
