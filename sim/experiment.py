"""One design point: a workload on a machine under a mapping, with every choice made."""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from arch.expression import SCALAR_FUNCTIONS, check_names, evaluate, parse_expression
from arch.names import nearest
from arch.types import Architecture
from einsums.types import Cascade
from mappings.check import Problem, check_mapping
from mappings.tree import ResolvedTree, resolve_tree
from mappings.types import Mapping
from sim.lower import Columns, Structure
from sim.machine import MachineShape, machine_row, stack_machines


@dataclass(frozen=True)
class Experiment:
    """A cascade with sizes, a machine, a mapping and the values of its parameters. `sizes` are those of root ranks."""

    name: str
    cascade: Cascade
    architecture: Architecture
    mapping: Mapping
    sizes: tuple[tuple[str, int], ...]
    parameters: tuple[tuple[str, str], ...]  # all of the mapping's
    labels: tuple[tuple[str, Any], ...] = ()  # model, seq_len, batch, for reports

    @cached_property
    def resolved(self) -> dict[str, Any]:
        """The inputs in full, as plain data: what a result depends on."""
        return {
            "name": self.name,
            **dict(self.labels),
            "ranks": dict(self.sizes),
            "parameters": dict(self.parameters),
            "cascade": self.cascade.model_dump(mode="json"),
            "architecture": self.architecture.model_dump(mode="json"),
            "mapping": self.mapping.model_dump(mode="json"),
        }

    @cached_property
    def hash(self) -> str:
        """Of the inputs in full: equal for equal designs, whatever file they came from."""
        text = json.dumps(self.resolved, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def choices(self) -> dict[str, str]:
        """Values of the categorical parameters."""
        categorical = {p.name for p in self.mapping.parameters if p.values}
        return {name: value for name, value in self.parameters if name in categorical}

    @cached_property
    def symbols(self) -> dict[str, Any]:
        """Every name that the mapping's expressions may read, tiles included."""
        symbols: dict[str, Any] = dict(self.sizes) | dict(self.architecture.symbols()) | self.choices
        numeric = [(name, text) for name, text in self.parameters if name not in self.choices]
        pending = numeric + [(rule.symbol, rule.expression) for rule in self.mapping.tiles]
        # A parameter may read tiles and a tile parameters: each waits until what it reads is there.
        while pending:
            ready = [(n, t) for n, t in pending if all(name in symbols for name in parse_expression(t).names)]
            if not ready:
                self._refuse_names(pending, symbols)
            for name, text in ready:
                symbols[name] = evaluate(parse_expression(text), symbols.__getitem__, SCALAR_FUNCTIONS)
            pending = [item for item in pending if item not in ready]
        return symbols

    def _refuse_names(self, pending: list[tuple[str, str]], symbols: dict[str, Any]) -> None:
        name, text = pending[0]
        known = [*symbols, *(other for other, _ in pending)]
        try:
            check_names(parse_expression(text), known)
        except ValueError as error:
            raise ValueError(f"tiles.{name}: {error}") from None
        raise ValueError(f"tiles.{name}: '{text}' depends on itself")

    @cached_property
    def tree(self) -> ResolvedTree:
        """The fusion tree with its choices made."""
        return resolve_tree(self.mapping, self._choice, self._holds)

    def _choice(self, parameter: str) -> str:
        if parameter not in self.choices:
            raise ValueError(f"no parameter with values is called '{parameter}'{nearest(parameter, self.choices)}")
        return self.choices[parameter]

    def _holds(self, condition: str | None) -> bool:
        if condition is None:
            return True
        expression = parse_expression(condition)
        check_names(expression, self.symbols)
        return bool(evaluate(expression, self.symbols.__getitem__, SCALAR_FUNCTIONS))

    @cached_property
    def problems(self) -> tuple[Problem, ...]:
        """Why the mapping is illegal here, as far as structure tells."""
        found = check_mapping(self.mapping, self.tree, self.cascade, self.architecture)
        missing = [
            Problem("tiles", f"no size for rank '{part}' of '{self.cascade.name}': give it under 'tiles'")
            for partition in self.cascade.partitions
            for part in partition.inner
            if part not in self.symbols
        ]
        return found + tuple(missing) + tuple(self._iter_name_problems())

    def _iter_name_problems(self) -> Any:
        expressions = [(loop.path, loop.tile) for loop in self.tree.loops]
        expressions += [("reserve", reservation.words) for reservation in self.tree.reservations]
        for path, text in expressions:
            try:
                check_names(parse_expression(text), self.symbols)
            except ValueError as error:
                yield Problem(path, str(error))

    @cached_property
    def structure(self) -> Structure:
        """What this design shares with others that can be evaluated in one call."""
        return Structure(self.cascade, self.mapping, self.tree, MachineShape.of(self.architecture))


def stack(experiments: list[Experiment]) -> Columns:
    """Columns over designs of one structure."""
    numeric = [{n: v for n, v in e.symbols.items() if not isinstance(v, str)} for e in experiments]
    names = numeric[0].keys()
    symbols = {name: np.array([values[name] for values in numeric], float) for name in names}
    rows = [machine_row(e.architecture, e.cascade, e.tree) for e in experiments]
    return Columns(symbols, stack_machines(rows))
