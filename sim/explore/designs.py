"""A batch of designs of one group as columns: sizes, machine, parameters, area, and why some are impossible.

Values are computed on demand and kept. An impossible design (a component that is refused, a size that is not a whole
number) shows up in `refusals`; the batch is then rebuilt without it.
"""

from collections.abc import Callable
from functools import cached_property, partial
from typing import Any, NamedTuple, Self

import numpy as np

from arch.numbers import number_values
from arch.types import Architecture
from sim.design.assemble import rank_sizes
from sim.design.experiment import shape_of
from sim.explore.names import Names
from sim.explore.parts import distinct_rows
from sim.explore.plan import AxisColumn, Group, Plan
from sim.explore.varied import VariedNumber, varied_numbers
from sim.load.document import plain_document
from sim.load.problems import InputError
from sim.lower.lowering import Columns, parsed
from sim.lower.machine import CORES, Leaves, Machines, symbol_names
from sim.lower.parts import Parts
from sim.lower.same import Same


class RefusedPoints(NamedTuple):
    """Excluded designs (mask over the batch), a kind to count them by, and the sentence for each of them."""

    mask: np.ndarray
    kind: str
    texts: list[str]  # for the designs of the mask, in order


Absorb = Callable[["Designs"], np.ndarray]


class Designs:
    """Points of one group; `points: i8[design]` are their numbers in the sweep.

    `absorb` finds the number that takes up the rest of a held area, if the sweep holds one.
    """

    def __init__(self, plan: Plan, group: Group, points: np.ndarray, absorb: Absorb) -> None:
        self.plan, self.group, self.points, self._absorb = plan, group, points, absorb
        self.size = points.size
        self.experiment = group.experiment
        self.axis_index = plan.axis_indices(points)
        self.names = Names()
        self._define_names()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.names.clear()  # otherwise only the garbage collector would free the columns

    # --- names ----------------------------------------------------------------------------------------------
    def _define_names(self) -> None:
        names, experiment = self.names, self.experiment
        for column in self.plan.columns:
            names.define(column.name, partial(self._axis_values, column))
        for key in ("seq_len", "batch"):
            names.define(key, partial(self._workload_value, key))
        for rank, _ in experiment.sizes:
            names.define(rank, partial(self._size_of, rank))
        for setting in self.plan.sweep.where:
            names.define(setting.path, partial(names.evaluate, setting.expression))
        for name in symbol_names(experiment.architecture):
            names.define(name, partial(self.machines.symbol, name))
        names.define("area_um2", lambda: self.area_um2)
        for component in experiment.architecture.components:
            names.define(f"area_um2.{component.name}", partial(self.machines.area_um2, component.name))

    def _axis_values(self, column: AxisColumn) -> Any:
        index = self.axis_index[column.name]
        if column.values is None:
            return str(column.written[int(index[0])])
        values = column.values[index]
        is_held = self.plan.held is not None and column.name == self.plan.held.axis
        return np.where(np.isnan(values), self.group.area_um2, values) if is_held else values

    def _size_of(self, rank: str) -> np.ndarray:
        return self.sizes[rank]

    def column(self, number: VariedNumber) -> np.ndarray | None:
        """A varied number in stored units: f8[design]; None if it is not varied."""
        for column in self.plan.columns:
            for own, values in column.numbers:
                if own == number:
                    return values[self.axis_index[column.name]]
        for setting, derived in zip(self.plan.sweep.derive, self.plan.derived, strict=True):
            if derived.number == number:
                value = np.asarray(self.names.evaluate(setting.expression), float) * derived.factor
                return np.broadcast_to(value, (self.size,))
        if self.plan.held is not None and self.plan.held.number == number:
            return self.absorbed
        return None

    def varied_column(self, number: VariedNumber) -> np.ndarray:
        """As `column`, for a number that is varied."""
        found = self.column(number)
        assert found is not None
        return found

    def _varied(self, owner: str, key: str) -> np.ndarray | None:
        number = next((n for n in self.plan.numbers if n.owner == owner and n.key == key), None)
        return None if number is None else self.column(number)

    def column_at(self, path: str) -> np.ndarray:
        """As `column`, for the number at a varied path."""
        return self.varied_column(next(number for number in self.plan.numbers if number.path == path))

    # --- workload -------------------------------------------------------------------------------------------
    def _workload_value(self, key: str) -> np.ndarray:
        varied = self._varied("workload", key)
        return np.full(self.size, float(getattr(self.group.point, key))) if varied is None else varied

    @cached_property
    def _sized(self) -> tuple[dict[str, np.ndarray], RefusedPoints | None]:
        """Root ranks' sizes, by the rules of the cascade, computed once per distinct workload."""
        own = [number for number in self.plan.numbers if number.owner == "workload"]
        roots = [rank for rank, _ in self.experiment.sizes]
        if not own:
            return {rank: np.full(self.size, float(n)) for rank, n in self.experiment.sizes}, None
        values = np.stack([self.varied_column(number) for number in own], axis=1)
        firsts, which = distinct_rows(values)
        rows, said = [], []
        for i in firsts:
            sizes, refusal = self._sizes_at(own, values[i])
            rows.append([sizes.get(rank, 1) for rank in roots])
            said.append(refusal)
        columns = np.array(rows, float)[which]
        return {rank: columns[:, i] for i, rank in enumerate(roots)}, _refusal("input", said, which)

    def _sizes_at(self, own: list[VariedNumber], values: np.ndarray) -> tuple[dict[str, int], str]:
        given = {number.key: number.written(value) for number, value in zip(own, values.tolist(), strict=True)}
        ranks = dict(self.group.point.ranks)
        ranks |= {key.partition(".")[2]: value for key, value in given.items() if key.startswith("ranks.")}
        wrong = [key for key, value in given.items() if not isinstance(value, int) or value < 1]
        if wrong:
            return {}, f"$.{wrong[0]}: expected a whole number of at least 1, got {given[wrong[0]]}"
        update = {key: value for key, value in given.items() if not key.startswith("ranks.")} | {"ranks": ranks}
        point = self.group.point.model_copy(update=update)  # the values were checked above
        document = plain_document({"cascade": {}}, "")
        try:
            return dict(rank_sizes(document, self.experiment.cascade, self.group.model, point)), ""
        except InputError as error:
            return {}, "; ".join(f"{problem.path}: {problem.message}" for problem in error.problems)

    @property
    def sizes(self) -> dict[str, np.ndarray]:
        return self._sized[0]

    # --- machine --------------------------------------------------------------------------------------------
    def parts(self, component: str) -> Parts:
        """The component of every design."""
        if component not in self._parts:
            own = [number for number in self.plan.numbers if number.component == component]
            if own:
                values = np.stack([self.varied_column(number) for number in own], axis=1)
                self._parts[component] = self.plan.blueprint(self.group, component).parts(values)
            else:
                part = self.plan.base_part(self.group, component)
                self._parts[component] = Parts([part], np.zeros(self.size, np.int64))
        return self._parts[component]

    @cached_property
    def _parts(self) -> dict[str, Parts]:
        return {}

    @cached_property
    def machines(self) -> Machines:
        """The machines of the designs; components are made on demand."""
        return Machines(shape_of(Same(self.experiment.architecture)), self.parts, self.machine_number)

    def machine_number(self, key: str) -> np.ndarray:
        """A number of the machine itself in stored units, or its number of cores: f8[design]."""
        architecture = self.experiment.architecture
        if key == CORES:
            return np.full(self.size, float(1 if architecture.cores is None else architecture.cores.count))
        varied = self._varied("machine", key)
        return np.full(self.size, number_values(architecture)[key]) if varied is None else varied

    @cached_property
    def area_um2(self) -> np.ndarray:
        return self.machines.total_area_um2

    @cached_property
    def absorbed(self) -> np.ndarray:
        """The number that takes up the rest of a held area, in stored units; nan if nothing is left."""
        return self._absorb(self)

    # --- impossible designs -----------------------------------------------------------------------------------
    def refusals(self) -> RefusedPoints | None:
        """The first reason that excludes any design."""
        return self._sized[1] or self._machine_refusal() or self._held_refusal() or self._component_refusal()

    def _machine_refusal(self) -> RefusedPoints | None:
        """Invalid numbers of the machine itself, with the messages with which its file would be refused."""
        for number in self.plan.numbers:
            if number.owner == "machine":
                values, which = np.unique(self.varied_column(number), return_inverse=True)
                said = [_refused(number, value) for value in values.tolist()]
                if any(said):
                    return _refusal("input", said, which)
        return None

    def _held_refusal(self) -> RefusedPoints | None:
        held = self.plan.held
        if held is None:
            return None
        others = self.refused_parts(except_for=held.number.component)
        if others is not None:
            return others
        mask = ~np.isfinite(self.absorbed)
        if not mask.any():
            return None
        target = np.broadcast_to(np.asarray(self.names[held.axis], float), (self.size,))
        text = "area is held at {:.6g} um2, which leaves no room for one step of '{}'"
        return RefusedPoints(mask, "area", [text.format(area, held.number.path) for area in target[mask]])

    def _component_refusal(self) -> RefusedPoints | None:
        return self.refused_parts() or self._instance_refusal()

    def refused_parts(self, except_for: str = "") -> RefusedPoints | None:
        """Designs with an invalid component, and everything that is wrong with each."""
        varied = {number.component for number in self.plan.numbers if number.owner == "component"} - {except_for}
        names = [c.name for c in self.experiment.architecture.components if c.name in varied]
        refused = [self.parts(name) for name in names if any(part.refusal for part in self.parts(name).parts)]
        if not refused:
            return None
        sentences = [[parts.parts[i].refusal for i in parts.which] for parts in refused]
        texts = ["; ".join(filter(None, said)) for said in zip(*sentences, strict=True)]
        return _refusal("input", texts, np.arange(self.size))

    def _instance_refusal(self) -> RefusedPoints | None:
        """Memories charged for more instances than they have."""
        for memory in self.experiment.architecture.memories:
            if memory.energy_instances == "all":
                continue
            most = self.machines.instances(memory.name)
            mask = memory.energy_instances > most
            if mask.any():
                place = f"$.architecture.components.{memory.name}.energy_instances"
                text = "{}: expected 'all' or at most {:g}, got {}"
                return RefusedPoints(
                    mask, "input", [text.format(place, n, memory.energy_instances) for n in most[mask]]
                )
        return None

    # --- what engines read ------------------------------------------------------------------------------------
    @property
    def symbols(self) -> dict[str, np.ndarray]:
        """Every name that the mapping's expressions may read, tiles not included."""
        symbols = self._machine_and_sizes()
        numeric = [name for name, _ in self.experiment.parameters if name not in self.experiment.choices]
        names = self._with_tiles(symbols) if numeric else Names()
        found = symbols | {name: np.asarray(names[name], float) for name in numeric}
        names.clear()
        return found

    def _machine_and_sizes(self) -> dict[str, np.ndarray]:
        symbols = dict(self.sizes)
        for name in symbol_names(self.experiment.architecture):
            symbols[name] = self.names[name]
        for component in {n.component for n in self.plan.numbers if n.owner == "component"}:
            for key in self.parts(component).parts[0].symbols:
                symbols.setdefault(f"{component}.{key}", self.machines.symbol(f"{component}.{key}"))
        return symbols

    def expression_names(self) -> Names:
        """The names that expressions of the mapping read: sizes, the machine, parameters and tiles."""
        return self._with_tiles(self._machine_and_sizes())

    def _with_tiles(self, symbols: dict[str, np.ndarray]) -> Names:
        """Parameters are varied or taken from the experiment; those that are formulas may read tiles."""
        names = Names()
        for name, value in self.experiment.choices.items():
            names.define(name, partial(str, value))
        for name, values in symbols.items():
            names.define(name, partial(np.asarray, values))
        for name, text in self.experiment.parameters:
            varied = self._varied("parameter", name)
            if varied is not None:
                names.define(name, partial(np.asarray, varied))
            else:
                names.define(name, partial(names.evaluate, parsed(text)))
        for rule in self.experiment.mapping.tiles:
            names.define(rule.symbol, partial(names.evaluate, parsed(rule.expression)))
        return names

    def columns(self, leaves: Leaves) -> Columns:
        """The input of `lower`."""
        return Columns(self.symbols, self.machines.columns(leaves))

    @property
    def extrapolated(self) -> np.ndarray:
        """bool[design, memory]: whether energy or area lies outside the table."""
        memories = self.experiment.architecture.memories
        return np.stack([self.parts(m.name).number("extrapolated") > 0 for m in memories], axis=1)


def _refused(number: VariedNumber, value: float) -> str:
    """Why a machine file may not hold that value; empty if it may."""
    quantity = varied_numbers(Architecture)[number.key].quantity
    assert quantity is not None, "numbers of a machine itself have units"
    try:
        quantity.validate(number.written(value))
    except ValueError as error:
        return f"$.architecture.{number.key}: {error}"
    return ""


def _refusal(kind: str, said: list[str], which: np.ndarray) -> RefusedPoints | None:
    """The designs whose sentence is not empty."""
    if not any(said):
        return None
    refused = np.array([bool(text) for text in said])
    mask = refused[which]
    return RefusedPoints(mask, kind, [said[i] for i in which[mask]])
