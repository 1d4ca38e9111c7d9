"""One design point: a workload on a machine under a mapping, with every choice made."""

import hashlib
import json
import math
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from typing import Any

import numpy as np

from arch.components import RESOLVED
from arch.expression import SCALAR_FUNCTIONS, check_names, evaluate
from arch.types import Architecture
from einsums.means import lowered
from einsums.names import near_or_all
from einsums.types import Cascade
from mappings.check import Problem, check_mapping
from mappings.expressions import iter_conditions
from mappings.tree import ResolvedTree, resolve_tree, undecided_tiles
from mappings.types import Mapping
from sim.design.diagnosis import (
    Origin,
    expression_problems,
    number_problems,
    rules_of,
    solve,
    units_among,
)
from sim.lower.lowering import Columns, Structure, parsed
from sim.lower.machine import Machines, MachineShape, leaves_of, machine_symbols
from sim.lower.same import Same


@dataclass(frozen=True)
class Experiment:
    """A cascade with sizes, a machine, a mapping and the values of its parameters. `sizes` are those of root ranks.

    The cascade is as machines carry it out: a mean is a sum and a scale (`einsums.means`).
    """

    name: str
    cascade: Cascade
    architecture: Architecture
    mapping: Mapping
    sizes: tuple[tuple[str, int], ...]
    parameters: tuple[tuple[str, str], ...]  # all parameters of the mapping
    labels: tuple[tuple[str, Any], ...] = ()  # model, seq_len, batch, for reports
    origin: Origin | None = field(default=None, compare=False, repr=False)  # where its mapping was written

    def __post_init__(self) -> None:
        object.__setattr__(self, "cascade", lowered(self.cascade))

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The full inputs that a result depends on, as plain data."""
        return {
            "name": self.name,
            **dict(self.labels),
            "ranks": dict(self.sizes),
            "parameters": dict(self.parameters),
            "cascade": _dumped(Same(self.cascade)),
            "architecture": _dumped(Same(self.architecture)),
            "mapping": _dumped(Same(self.mapping)),
        }

    @cached_property
    def hash(self) -> str:
        """Hash of the full inputs: equal for equal designs, whatever file they came from."""
        text = json.dumps(self.resolved, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def choices(self) -> dict[str, str]:
        """Values of the categorical parameters."""
        categorical = {p.name for p in self.mapping.parameters if p.values}
        return {name: value for name, value in self.parameters if name in categorical}

    @cached_property
    def given_symbols(self) -> dict[str, float]:
        """The numbers that expressions start from: rank sizes, the machine, parameters."""
        given = dict(self.sizes) | dict(machine_symbols(Same(self.architecture)))
        numeric = [(name, text) for name, text in self.parameters if name not in self.choices]
        if all(_is_number(text) for _, text in numeric):
            return given | {name: float(text) for name, text in numeric}
        return given | {name: self.symbols[name] for name, _ in numeric}

    @cached_property
    def symbols(self) -> dict[str, Any]:
        """Every name that the mapping's expressions may read, tiles included. ValueError for one without a value."""
        symbols, problems = solve(rules_of(self.mapping, self._numeric), self._known)
        if problems:
            raise ValueError(f"$.{problems[0].path}: {problems[0].message}")
        return symbols

    @property
    def _known(self) -> dict[str, Any]:
        return dict(self.sizes) | dict(machine_symbols(Same(self.architecture))) | self.choices

    @property
    def _numeric(self) -> list[tuple[str, str]]:
        return [(name, text) for name, text in self.parameters if name not in self.choices]

    @cached_property
    def tree(self) -> ResolvedTree:
        """The fusion tree with its choices made; ValueError for an invalid choice."""
        conditions = tuple((text, self.holds(path, text)) for path, text in conditions_of(Same(self.mapping)))
        return tree_of(Same(self.mapping), tuple(self.choices.items()), conditions, self._units)

    @property
    def _units(self) -> frozenset[str]:
        """Tiles that are 1, of those of which legality asks. What has no value is refused for that."""
        texts = undecided_of(Same(self.mapping), Same(self.cascade))
        read = {name for text in texts for name in parsed(text).names}
        known = self._known | {name: int(text) for name, text in self._numeric if _is_number(text)} if texts else {}
        if not read <= known.keys():
            known = solve(rules_of(self.mapping, self._numeric), self._known)[0]
        return units_among(texts, known)

    def holds(self, path: str, condition: str) -> bool:
        expression = parsed(condition)
        known = self.choices if set(expression.names) <= self.choices.keys() else self.symbols
        try:
            check_names(expression, known)
            return bool(evaluate(expression, known.__getitem__, SCALAR_FUNCTIONS))
        except ValueError as error:
            raise ValueError(f"$.{path}: {error}") from None

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Why the mapping is illegal here, as far as its structure shows."""
        return problems_of(Same(self.mapping), Same(self.tree), Same(self.cascade), Same(self.architecture))

    def number_problems(self) -> tuple[Problem, ...]:
        """Expressions of the mapping whose value no engine can use; called after an engine has refused one."""
        return number_problems(self.mapping, self.tree, self.cascade, self._numeric, self._known)

    @cached_property
    def structure(self) -> Structure:
        """The structure shared with designs that can be evaluated in the same call; one object for all of them."""
        shape = shape_of(Same(self.architecture))
        return structure_of(Same(self.cascade), Same(self.mapping), Same(self.tree), shape)


def _is_number(text: str) -> bool:
    return text.isdecimal()


@lru_cache(maxsize=1024)
def _dumped(noun: Same[Any]) -> Any:
    return _finite(noun.noun.model_dump(mode="json", context=RESOLVED))


def _finite(data: Any) -> Any:
    """Plain data that JSON can represent: an infinite number (the initial value of a maximum) becomes text."""
    match data:
        case dict():
            return {key: _finite(value) for key, value in data.items()}
        case list():
            return [_finite(value) for value in data]
        case float() if not math.isfinite(data):
            return str(data)
        case _:
            return data


@lru_cache(maxsize=4096)
def shape_of(architecture: Same[Architecture]) -> MachineShape:
    return MachineShape.of(architecture.noun)


@lru_cache(maxsize=1024)
def structure_of(
    cascade: Same[Cascade], mapping: Same[Mapping], tree: Same[ResolvedTree], machine: MachineShape
) -> Structure:
    return Structure(cascade.noun, mapping.noun, tree.noun, machine)


@lru_cache(maxsize=1024)
def conditions_of(mapping: Same[Mapping]) -> tuple[tuple[str, str], ...]:
    """Every distinct condition that the mapping depends on, with the path of its first occurrence."""
    paths = {text: path for path, text in reversed([*iter_conditions(mapping.noun)])}
    return tuple((path, text) for text, path in paths.items())


@lru_cache(maxsize=1024)
def undecided_of(mapping: Same[Mapping], cascade: Same[Cascade]) -> tuple[str, ...]:
    return undecided_tiles(mapping.noun, cascade.noun)


@lru_cache(maxsize=4096)
def tree_of(
    mapping: Same[Mapping],
    choices: tuple[tuple[str, str], ...],
    conditions: tuple[tuple[str, bool], ...],
    units: frozenset[str],
) -> ResolvedTree:
    """The mapping's tree under these choices, with these tiles 1; the same object for the same choices."""
    values, holds = dict(choices), dict(conditions)

    def choice(parameter: str) -> str:
        if parameter not in values:
            raise ValueError(f"no parameter with values is called '{parameter}'{near_or_all(parameter, values)}")
        return values[parameter]

    return resolve_tree(mapping.noun, choice, lambda condition: condition is None or holds[condition], units)


@lru_cache(maxsize=4096)
def problems_of(
    mapping: Same[Mapping], tree: Same[ResolvedTree], cascade: Same[Cascade], architecture: Same[Architecture]
) -> tuple[Problem, ...]:
    """Structural problems, and names in the mapping's expressions that cannot be read."""
    found = check_mapping(mapping.noun, tree.noun, cascade.noun, architecture.noun)
    names = [name for name, _ in machine_symbols(architecture)]
    return found + expression_problems(mapping.noun, tree.noun, cascade.noun, names)


def stack(experiments: list[Experiment]) -> Columns:
    """Columns over designs of one structure."""
    given = [experiment.given_symbols for experiment in experiments]
    symbols = {name: np.array([values[name] for values in given], float) for name in given[0]}
    machines = Machines.of([experiment.architecture for experiment in experiments])
    return Columns(symbols, machines.columns(leaves_of(experiments[0].cascade, experiments[0].tree)))
