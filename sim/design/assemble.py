"""From an experiment's file and overrides to a design point with every choice made.

An experiment names a model (or gives its dimensions), a sequence length and a batch, a machine and a mapping. The
documents behind those names become part of it, so that an override may reach any value:
`architecture.components.GLB.size=8 MiB`.
"""

import json
import re
from collections.abc import Callable
from collections.abc import Mapping as MappingOf
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from arch.expression import SCALAR_FUNCTIONS, check_names, evaluate, parse_expression
from arch.quantity import clipped
from arch.types import Architecture
from einsums.model import Model
from einsums.names import near_or_all, nearest_name
from einsums.types import Cascade
from mappings.default import default_mapping
from mappings.types import Mapping
from sim.design.diagnosis import Origin, placed
from sim.design.experiment import Experiment
from sim.design.parameters import Given, parameter_values
from sim.load.document import Document, DocumentPlace, plain_document
from sim.load.files import is_file, stamp_of
from sim.load.nouns import (
    CATALOGS,
    DEFAULT,
    NAMED_BY_COMPONENTS,
    build,
    build_architecture,
    read_document_once,
    resolved,
    technology_stamps,
    with_tables,
)
from sim.load.overrides import override_from
from sim.load.problems import InputError, InputProblem
from sim.load.wording import show_value
from sim.lower.machine import symbol_names

PARTS = ("model", "architecture", "mapping", "cascade")
FROM_OUTSIDE = "--set"  # the source of values that are not in a file
# Keeps products of two sizes far below 2^63 and a search for the largest divisor under a second.
LARGEST_SIZE = 2**40
# Values inside parts that may be names of documents, into which later values reach.
NAMING = ("mapping.cascade", *(f".{key}" for key in NAMED_BY_COMPONENTS))
# Mappings that a document may leave out, at the top and in its parts.
OPTIONAL = (
    (None, "ranks"),
    (None, "parameters"),
    ("mapping", "capacity"),
    ("mapping", "parameters"),
    ("mapping", "tiles"),
)


class Workpoint(BaseModel):
    """The fields of an experiment itself, apart from the documents it names."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    description: str = ""
    source: str = ""
    seq_len: int = Field(ge=1, le=LARGEST_SIZE, strict=True)
    batch: int = Field(ge=1, le=LARGEST_SIZE, strict=True)
    ranks: dict[str, Any] = {}  # sizes of ranks that do not follow the cascade's own rules
    parameters: dict[str, str] = {}  # of the mapping, instead of its stored choices and defaults

    @field_validator("parameters", mode="before")
    @classmethod
    def _texts(cls, value: Any) -> Any:
        return {name: str(item) for name, item in value.items()} if isinstance(value, dict) else value


def load_experiment(name_or_path: str, overrides: MappingOf[str, Any] | None = None, **more: Any) -> Experiment:
    """A design point by catalog name or path, with values replaced by dotted path; InputError for anything wrong.

    `load_experiment(name, model="XLM", seq_len=65536)`; deeper paths through `overrides`.
    """
    if not isinstance(overrides or {}, MappingOf) or not all(isinstance(path, str) for path in overrides or {}):
        message = f"expected paths and values such as {{'seq_len': 4096}}, got {clipped(repr(overrides), 60)}"
        raise InputError([InputProblem(FROM_OUTSIDE, None, "", message)])
    changes = {**(overrides or {}), **more}
    return assemble(changed(read_experiment(name_or_path), plain_document(changes, FROM_OUTSIDE)))


def read_experiment(name_or_path: str) -> Document:
    """The experiment's document with everything it names inlined."""
    try:
        path = CATALOGS["experiment"].find(name_or_path)
    except ValueError as error:
        raise InputError([InputProblem("einfuse", None, "", str(error))]) from None
    return lay_out(read_document_once(path))


def lay_out(document: Document, chain: tuple[str, ...] = ()) -> Document:
    """The experiment's document with its base and everything it names inlined; `chain`: the files it is a base of."""
    if "base" not in document.data:
        if "set" in document.data:
            raise InputError([document.problem(("set",), "'set' changes a base, but there is no key 'base'")])
        return expanded(document)
    # The base is expanded before this file's changes, which may reach into what it names.
    base = lay_out(_base_of(document, (*chain, document.file)), (*chain, document.file))
    own = {key: value for key, value in document.data.items() if key not in ("base", "set")}
    changes = document.data.get("set") or {}
    if not isinstance(changes, dict):
        raise InputError([document.problem(("set",), "expected paths and values such as 'seq_len: 4096'")])
    full = changed(base, replace(document, data=own))
    return replace(changed(full, Document(changes, document.file, document.place(("set",)))), file=document.file)


def _base_of(document: Document, chain: tuple[str, ...]) -> Document:
    try:
        path = CATALOGS["experiment"].find(str(document.data["base"]), Path(document.file).parent)
    except ValueError as error:
        raise InputError([document.problem(("base",), str(error))]) from None
    if any(path.resolve() == Path(file).resolve() for file in chain):
        loop = " -> ".join((*chain, str(path)))
        raise InputError([document.problem(("base",), f"the bases lead back to where they began: {loop}")])
    return _read_for(document, "base", path)


def _read_for(document: Document, key: str, path: Path) -> Document:
    """The document at `path`; if there is none, the error is reported where `key` names it."""
    try:
        return read_document_once(path)
    except InputError as error:
        if stamp_of(path) is not None:
            raise
        messages = (f"'{document.data[key]}': {problem.message}" for problem in error.problems)
        raise InputError(document.problem((key,), message) for message in messages) from None


def changed(document: Document, written: Document) -> Document:
    """The document with the paths and values of another; whole parts are replaced first, then values inside them."""
    known = (*Workpoint.model_fields, *PARTS)
    unknown = [key for key in written.data if re.split(r"[.\[]", key.removeprefix("$."))[0] not in known]
    if unknown:
        raise InputError([written.problem((key,), f"unknown key '{key}'{near_or_all(key, known)}") for key in unknown])
    stages: tuple[dict[str, Any], ...] = ({}, {}, {})
    for key, value in written.data.items():
        stages[0 if key in PARTS else 1 if key.endswith(NAMING) else 2][key] = value
    for stage in stages:
        document = override_from(_opened(document, stage), replace(written, data=stage))
        brings = stage.keys() & {"mapping", "mapping.cascade"} and stage.get("mapping") != DEFAULT
        if brings and "cascade" not in stage:
            # A new mapping brings its own cascade, unless a cascade is also given.
            document = replace(document, data={k: v for k, v in document.data.items() if k != "cascade"})
        document = expanded(document)
    return document


def _opened(document: Document, changes: MappingOf[str, Any]) -> Document:
    """The document with an empty mapping added where an optional one is missing and a change reaches into it."""
    data = dict(document.data)
    for part, key in OPTIONAL:
        inside = data if part is None else data.get(part)
        start = f"{key}." if part is None else f"{part}.{key}."
        is_reached = any(change.startswith(start) for change in changes)
        if is_reached and isinstance(inside, dict) and key not in inside:
            data |= {key: {}} if part is None else {part: {**inside, key: {}}}
    return replace(document, data=data)


def expanded(document: Document) -> Document:
    """The document with every part that is a name replaced by the document of that name."""
    is_named_by_mapping = "cascade" not in document.data
    document = _named_by_mapping(document)
    data, children = dict(document.data), dict(document.places.children)
    for part in PARTS:
        name = data.get(part)
        if isinstance(name, str) and not (part == "mapping" and name == DEFAULT):
            try:
                path = CATALOGS[part].find(name, _folder(document.place((part,)).file))
            except ValueError as error:
                problem = document.problem((part,), str(error))
                is_inside = part == "cascade" and is_named_by_mapping and problem.file in own_files(document)
                raise InputError([_under("mapping", problem) if is_inside else problem]) from None
            inner = resolved(part, _read_for(document, part, path))
            data[part] = inner.data
            children[part] = replace(inner.places, file=inner.file)
    full = replace(document, data=data, places=replace(document.places, children=children))
    full = with_tables(full, ("architecture",))
    return full if _named_by_mapping(full) is full else expanded(full)


def _named_by_mapping(document: Document) -> Document:
    """The document with the cascade that its mapping names, or unchanged if it already has one."""
    mapping = document.data.get("mapping")
    if "cascade" in document.data or not isinstance(mapping, dict) or "cascade" not in mapping:
        return document
    children = {**document.places.children, "cascade": document.place(("mapping", "cascade"))}
    data = {**document.data, "cascade": mapping["cascade"]}
    return replace(document, data=data, places=replace(document.places, children=children))


def _folder(file: str) -> Path | None:
    return Path(file).parent if is_file(Path(file)) else None


def assemble(document: Document) -> Experiment:
    """The design point of a full document; InputError lists everything wrong with its parts."""
    _check_keys(document)
    problems: list[InputProblem] = []
    cascade = _gathered(problems, lambda: _noun(document, "cascade", Cascade))
    model = _gathered(problems, lambda: _noun(document, "model", Model))
    architecture = _gathered(problems, lambda: _noun(document, "architecture", Architecture))
    is_default = document.data["mapping"] == DEFAULT
    mapping: Any = None if is_default else _gathered(problems, lambda: _noun(document, "mapping", Mapping))
    own = {key: value for key, value in document.data.items() if key not in PARTS}
    point = _gathered(problems, lambda: build(replace(document, data=own), Workpoint))
    if problems:
        raise InputError(problems)
    labels = (("model", model.name), ("seq_len", point.seq_len), ("batch", point.batch))
    sizes = _gathered(problems, lambda: rank_sizes(document, cascade, model, point))
    if is_default and not problems:
        document = with_default_mapping(document, cascade, architecture, dict(sizes))
        mapping = _noun(document, "mapping", Mapping)
    elif is_default:
        raise InputError(problems)
    readable = {cascade.root_of(rank) for rank in cascade.leaf_ranks()} | set(symbol_names(architecture))
    origin = Origin(_part(document, "mapping"), own_files(document))
    given = Given(document, origin, mapping, point.parameters, dict(labels), frozenset(readable))
    parameters = _gathered(problems, lambda: parameter_values(given))
    if problems:
        raise InputError(problems)
    experiment = Experiment(point.name, cascade, architecture, mapping, sizes, parameters, labels, origin)
    try:
        experiment.tree  # noqa: B018 (makes the choices, so that problems with them are reported with their location)
    except ValueError as error:
        raise InputError([origin.locate(placed(error))]) from None
    return experiment


def with_default_mapping(
    document: Document, cascade: Cascade, architecture: Architecture, sizes: MappingOf[str, int]
) -> Document:
    """The document with the mapping that its cascade has by default on its machine."""
    try:
        data = default_mapping(cascade, architecture, cascade.name, sizes)
    except ValueError as error:
        raise InputError([document.problem(("mapping",), str(error))]) from None
    made = plain_document(data, "the default mapping")
    children = {**document.places.children, "mapping": made.places}
    return replace(
        document, data={**document.data, "mapping": data}, places=replace(document.places, children=children)
    )


def _check_keys(document: Document) -> None:
    known = (*Workpoint.model_fields, *PARTS)
    unknown = [key for key in document.data if key not in known]
    absent = [key for key in known if key not in document.data]
    problems = [document.problem((key,), f"unknown key '{key}'{near_or_all(key, absent)}") for key in unknown]
    meant = {nearest_name(key, absent) for key in unknown}
    missing = [key for key in PARTS if key in absent and key not in meant]
    problems += [document.problem((), f"missing key '{key}'") for key in missing]
    if problems:
        raise InputError(problems)


def _gathered(problems: list[InputProblem], make: Callable[[], Any]) -> Any:
    """The result of `make`; its problems join the others, so that all parts are checked before any is refused."""
    try:
        return make()
    except InputError as error:
        problems += error.problems
        return None


def own_files(document: Document) -> frozenset[str]:
    """The files that hold the experiment itself, in which the values of a part are under the part's key."""
    values = (place.file for key, place in document.places.children.items() if key not in PARTS)
    return frozenset((document.file, FROM_OUTSIDE, *values))


def _part(document: Document, part: str) -> Document:
    place = document.places.children.get(part, DocumentPlace(document.file))
    return Document(document.data[part], place.file, place)


def _noun(document: Document, part: str, noun: type[BaseModel]) -> Any:
    """The noun of one part, kept while its data stay the same."""
    inner = _part(document, part)
    if not isinstance(inner.data, dict):
        message = f"expected the name of a {part}, or its keys and values, got {show_value(inner.data)}"
        raise InputError([document.problem((part,), message)])
    try:
        text = json.dumps(inner.data, sort_keys=False, default=str)
        stamps = technology_stamps() if noun is Architecture else ()
        return _build_kept((text, stamps), noun, _Uncompared(inner))
    except InputError as error:
        outer = own_files(document)
        raise InputError(
            _under(part, problem) if problem.file in outer else problem for problem in error.problems
        ) from None


def _under(part: str, problem: InputProblem) -> InputProblem:
    return replace(problem, path=f"$.{part}{problem.path.removeprefix('$')}")


class _Uncompared:
    """Keeps a document out of the cache's key: equal data make equal nouns, wherever they were written."""

    def __init__(self, document: Document) -> None:
        self.document = document

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Uncompared)

    def __hash__(self) -> int:
        return 0


@lru_cache(maxsize=512)
def _build_kept(_content: tuple[Any, ...], noun: type[BaseModel], carried: _Uncompared) -> Any:
    return build_architecture(carried.document) if noun is Architecture else build(carried.document, noun)


def rank_sizes(document: Document, cascade: Cascade, model: Model, point: Workpoint) -> tuple[tuple[str, int], ...]:
    """The size of every root rank: as given, or by the cascade's rule over the model's dimensions."""
    dimensions = {"batch": point.batch, "seq_len": point.seq_len} | {
        name: value for name, value in model.model_dump().items() if isinstance(value, int)
    }
    rules = {rule.rank: rule.expression for rule in cascade.sizes}
    aliases = cascade.scope.first_name
    roots = tuple(dict.fromkeys(cascade.root_of(rank) for rank in cascade.leaf_ranks()))
    problems = [
        document.problem(("ranks", rank), f"'{cascade.name}' has no rank '{rank}'{near_or_all(rank, roots)}")
        for rank in point.ranks
        if rank not in roots
    ]
    sizes: dict[str, int] = {}
    for rank in roots:
        if rank in point.ranks:
            try:
                sizes[rank] = _given_size(point.ranks[rank])
            except ValueError as error:
                problems.append(document.problem(("ranks", rank), str(error)))
            continue
        if rank in aliases and rank not in rules:
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
            problems.append(_cascade_problem(document, rank, str(error)))
    if problems:
        raise InputError(problems)
    return tuple((sizes | {name: sizes[first] for name, first in aliases.items() if name not in sizes}).items())


def _given_size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= LARGEST_SIZE:
        raise ValueError(f"expected a whole number from 1 to {LARGEST_SIZE}, got {show_value(value)}")
    return value


def _whole(rank: str, value: Any) -> int:
    if not isinstance(value, (int, float)) or not 1 <= value <= LARGEST_SIZE or value != int(value):
        shown = f"{value:.6g}" if isinstance(value, float) else value
        raise ValueError(f"the size of rank '{rank}' is {shown}, expected a whole number from 1 to {LARGEST_SIZE}")
    return int(value)


def _cascade_problem(document: Document, rank: str, message: str) -> InputProblem:
    problem = _part(document, "cascade").problem(("sizes", rank), message)
    return _under("cascade", problem) if problem.file in own_files(document) else problem
