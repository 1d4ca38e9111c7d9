"""A sweep as data: an experiment, axes over anything in it, derived values, constraints and objectives.

    points = product of the axes, those of a pair advancing together
    each point = the experiment with every axis' value at its path, then the derived values at theirs

An axis may hold the total area instead: its values are areas, and the component at `absorb` takes up the remainder.
Constraints and objectives are formulas over axes, ranks, numbers of the machine and metrics (`latency_s`,
`energy_pj.GLB`, ...).
"""

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter, model_validator

from arch.fields import Count, Formula, Identifier, refuse_at, validated_by_name
from arch.quantity import quoted
from einsums.names import near_or_all
from sim.design.settings import Settings, Text

FROZEN = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)
MOST_VALUES = 100_000  # of one axis
LARGEST = 1e30  # of a value; as for quantities (arch/quantity.py)
LARGEST_GRID = 2**62  # points are numbered by signed 64-bit integers
BASE = "base"  # the area of the unchanged experiment
WORKLOAD = ("model", "seq_len", "batch", "ranks")
Value = str | int | float | bool
Location = tuple[str | int, ...]


class Range(BaseModel):
    """from, from + step, ... up to and including `to`."""

    model_config = FROZEN

    first: float = Field(alias="from", ge=-LARGEST, le=LARGEST)
    last: float = Field(alias="to", ge=-LARGEST, le=LARGEST)
    step: float = Field(ge=1 / LARGEST, le=LARGEST)

    @property
    def count(self) -> int:
        """Values; 0 if `to` lies before `from`."""
        return max(0, math.floor((self.last - self.first) / self.step + 1e-9) + 1)

    @model_validator(mode="after")
    def _is_countable(self) -> Self:
        if self.count > MOST_VALUES:
            shown = f"{self.count:,}" if self.count < LARGEST else "endlessly many"
            raise ValueError(f"the range has {shown} values, at most {MOST_VALUES:,} are possible")
        return self

    def values(self) -> tuple[float, ...]:
        """Empty if `to` lies before `from`."""
        return tuple(_plain(self.first + i * self.step) for i in range(self.count))


class LogRange(BaseModel):
    """`points` values in equal ratios from `from` to `to`, both included; `whole` rounds each to a whole number."""

    model_config = FROZEN

    first: float = Field(alias="from", ge=1 / LARGEST, le=LARGEST)
    last: float = Field(alias="to", ge=1 / LARGEST, le=LARGEST)
    points: int = Field(ge=1, le=MOST_VALUES)
    whole: bool = False

    def values(self) -> tuple[float, ...]:
        """Duplicates caused by rounding are dropped."""
        steps = max(1, self.points - 1)
        ratio = self.last / self.first
        # Powers of two and the like become whole: twelve digits are significant, the rest is rounding.
        found = [float(f"{self.first * ratio ** (i / steps):.12g}") for i in range(self.points)]
        found[-1] = self.last if self.points > 1 else self.first
        return tuple(dict.fromkeys(_plain(round(value) if self.whole else value) for value in found))


def _plain(value: float) -> float:
    return int(value) if float(value).is_integer() else float(value)


def _paths(value: Any) -> Any:
    return [value] if isinstance(value, str) else value


class Axis(BaseModel):
    """One varied quantity: its path (or several, or none, in which case only formulas read it) and its values."""

    model_config = FROZEN

    name: Identifier
    label: str = ""
    path: Annotated[tuple[Text, ...], BeforeValidator(_paths)] = ()
    values: tuple[Value, ...] | None = None
    range: Range | None = None
    log_range: LogRange | None = None
    unit: str | None = None
    absorb: str | None = None  # hold the total area at each value; the component at this path takes the difference
    step: str | int | None = None  # what the absorbing value is a multiple of

    @model_validator(mode="after")
    def _one_kind_of_values(self) -> Self:
        given = [key for key in ("values", "range", "log_range") if getattr(self, key) is not None]
        if len(given) != 1:
            found = " and ".join(f"'{key}'" for key in given) or "none"
            raise ValueError(f"axis '{self.name}': expected one of 'values', 'range' and 'log_range', got {found}")
        points = self.points()
        if not points:
            raise ValueError(f"axis '{self.name}' is empty: expected at least one value")
        numbers = [value for value in points if isinstance(value, (int, float))]
        if wrong := [value for value in numbers if not abs(value) <= LARGEST]:
            raise ValueError(f"axis '{self.name}': expected numbers of at most {LARGEST:g}, got {quoted(wrong[0])}")
        if len(set(points)) < len(points):
            twice = next(value for value in points if points.count(value) > 1)
            raise ValueError(f"axis '{self.name}' has the value {twice} twice")
        if self.absorb is not None and self.path:
            raise ValueError(f"axis '{self.name}' holds the area with 'absorb': expected no 'path'")
        if self.step is not None and self.absorb is None:
            raise ValueError(f"axis '{self.name}' has a 'step', which belongs to 'absorb'")
        return self

    def points(self) -> tuple[Value, ...]:
        """The values as written, in order."""
        return self._points

    @cached_property
    def _points(self) -> tuple[Value, ...]:
        if self.values is not None:
            return self.values
        chosen = self.range or self.log_range
        assert chosen is not None, "validated"
        return chosen.values()


class Constraint(BaseModel):
    """A condition that every legal point meets."""

    model_config = FROZEN

    name: Identifier
    condition: Formula


def _constraints(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [{"name": name, "condition": condition} for name, condition in value.items()]


class Objective(BaseModel):
    """A quantity to be minimized or maximized."""

    model_config = FROZEN

    minimize: Formula | None = None
    maximize: Formula | None = None
    name: str = ""
    reference: float | None = Field(None, allow_inf_nan=False)  # of the hypervolume; the worst value found by default

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.minimize is None) == (self.maximize is None):
            raise ValueError("expected either 'minimize' or 'maximize'")
        return self

    @property
    def formula(self) -> Any:
        return self.maximize if self.minimize is None else self.minimize

    @property
    def label(self) -> str:
        return self.name or str(self.formula)

    @property
    def sign(self) -> int:
        """1 if less is better, -1 if more is."""
        return 1 if self.maximize is None else -1


class Search(BaseModel):
    """How points are chosen: all of them, or `trials` by a sampler that learns from `batch` points at a time."""

    model_config = FROZEN

    method: Literal["exhaustive", "random", "nsga2", "tpe"] = "exhaustive"
    trials: Count | None = None
    batch: Count = 64
    seed: int = Field(0, ge=0, lt=2**32)
    second_stage: str | None = None  # an engine that re-evaluates the front

    @model_validator(mode="after")
    def _trials_where_needed(self) -> Self:
        if (self.trials is None) != (self.method == "exhaustive"):
            needed = "takes every point: expected no" if self.trials is not None else "chooses points: expected"
            raise ValueError(f"the search '{self.method}' {needed} 'trials'")
        return self


class Sweep(BaseModel):
    """An experiment, its axes, derived values, constraints, objectives and search."""

    model_config = FROZEN

    name: str
    title: str = ""
    description: str = ""
    source: str = ""
    experiment: Text
    fixed: dict[str, Any] = {}  # paths and values that apply to all points
    axes: Annotated[tuple[Axis, ...], BeforeValidator(validated_by_name(TypeAdapter(dict[str, Axis]), "axis"))]
    pairs: tuple[tuple[str, ...], ...] = ()
    where: Settings = ()  # names for the formulas
    derive: Settings = ()  # paths and formulas
    constraints: Annotated[tuple[Constraint, ...], BeforeValidator(_constraints)] = ()
    objectives: tuple[Objective, ...]
    per: tuple[str, ...] | None = None  # axes with a front for each value; see `front_axes`
    record: tuple[str, ...] = ()  # metrics kept in addition to the objectives; "all" for every one
    search: Search = Search()

    @model_validator(mode="after")
    def _parts_fit(self) -> Self:
        refuse_at(type(self).__name__, list(self._iter_problems()))  # type: ignore[arg-type]  # indices are numbers
        return self

    def axis(self, name: str) -> Axis:
        return next(axis for axis in self.axes if axis.name == name)

    def dimensions(self) -> tuple[tuple[Axis, ...], ...]:
        """The independent dimensions, in file order: single axes, and pairs at the position of their first axis."""
        pair_of = {name: pair for pair in self.pairs for name in pair}
        groups = dict.fromkeys(pair_of.get(axis.name, (axis.name,)) for axis in self.axes)
        return tuple(tuple(self.axis(name) for name in group) for group in groups)

    @property
    def shape(self) -> tuple[int, ...]:
        """Values along every dimension; the last one varies fastest."""
        return tuple(len(group[0].points()) for group in self.dimensions())

    @property
    def size(self) -> int:
        """Points of the whole grid."""
        return math.prod(self.shape)

    @property
    def front_axes(self) -> tuple[str, ...]:
        """Axes whose values must agree for points to be compared; by default of the workload, and of held areas."""
        if self.per is not None:
            return self.per
        heads = {axis.name: {path.removeprefix("$.").partition(".")[0] for path in axis.path} for axis in self.axes}
        return tuple(a.name for a in self.axes if heads[a.name] & set(WORKLOAD) or a.absorb is not None)

    def _iter_problems(self) -> Iterator[tuple[Location, str]]:
        for key in ("axes", "objectives"):
            if not getattr(self, key):
                yield (key,), "expected at least one"
        yield from self._iter_pair_problems()
        names = [axis.name for axis in self.axes]
        for i, name in enumerate(self.per or ()):
            if name not in names:
                yield ("per", i), f"unknown axis '{name}'{near_or_all(name, names)}"
        yield from self._iter_path_problems()
        labels = [objective.label for objective in self.objectives]
        for i, label in enumerate(labels):
            if label in labels[:i]:
                yield ("objectives", i), f"two objectives are called '{label}'"
        if sum(axis.absorb is not None for axis in self.axes) > 1:
            yield ("axes",), "expected one axis with 'absorb', got more"
        if len(list(self._iter_pair_problems())) == 0 and self.size > LARGEST_GRID:
            yield ("axes",), f"the axes have {self.size} points, at most {LARGEST_GRID} can be numbered"

    def _iter_path_problems(self) -> Iterator[tuple[Location, str]]:
        """Paths that are set twice."""
        seen: dict[str, str] = {}
        for axis in self.axes:
            for path in (*axis.path, *([axis.absorb] if axis.absorb else [])):
                if path in seen:
                    yield ("axes", axis.name), f"axis '{seen[path]}' sets '{path}' already"
                seen[path] = axis.name
        for setting in self.derive:
            if setting.path in seen:
                yield ("derive", setting.path), f"axis '{seen[setting.path]}' sets '{setting.path}' already"

    def _iter_pair_problems(self) -> Iterator[tuple[Location, str]]:
        names = [axis.name for axis in self.axes]
        paired: list[str] = []
        for i, pair in enumerate(self.pairs):
            for name in pair:
                if name not in names:
                    yield ("pairs", i), f"unknown axis '{name}'{near_or_all(name, names)}"
                elif name in paired:
                    yield ("pairs", i), f"axis '{name}' is paired already"
                paired.append(name)
            lengths = {name: len(self.axis(name).points()) for name in pair if name in names}
            if len(set(lengths.values())) > 1:
                found = " and ".join(f"'{name}' {length}" for name, length in lengths.items())
                yield ("pairs", i), f"paired axes have values one for one: {found}"
