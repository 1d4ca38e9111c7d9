"""Checks of a plan: names that formulas read, components that numbers belong to, areas that can be held.

Formulas are tried on the first point, which reveals circular definitions; all points read the same names.
"""

from collections.abc import Iterator

import numpy as np

from arch.components import Memory
from arch.expression import Expression, check_names
from arch.quantity import clipped
from arch.words import is_word, iter_word_problems
from einsums.names import near_or_all
from sim.design.experiment import Experiment
from sim.explore.absorb import depends_on_size
from sim.explore.designs import Designs
from sim.explore.equal_area import absorbed
from sim.explore.metrics import ENGINE, metric_names
from sim.explore.plan import Group, Plan
from sim.explore.varied import VariedNumber
from sim.load.document import Document
from sim.load.problems import InputProblem
from sim.lower.machine import symbol_names

Location = tuple[str | int, ...]
# Columns that every row of results has (`sim/explore/store.py`, `export.py`).
ROW = ("point", "hash", "version", "reason", "reason_kind", "bound_by", "extrapolated")


def iter_problems(plan: Plan, document: Document) -> Iterator[InputProblem]:
    """Problems of a plan, located in its document."""
    found = [*_iter_taken(plan), *_iter_absent(plan), *_iter_names(plan)]
    found = found or [*_iter_held(plan), *_iter_circles(plan)]
    return (document.problem(place, message) for place, message in found)


def readable_of(experiment: Experiment) -> tuple[str, ...]:
    """The names that formulas may read of an experiment before it is simulated."""
    return (*(rank for rank, _ in experiment.sizes), *symbol_names(experiment.architecture))


def _iter_taken(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Names of axes and formulas that already have another meaning."""
    ranks = {rank for group in plan.groups.values() for rank, _ in group.experiment.sizes}
    metrics = {name for group in plan.groups.values() for name in metric_names(group.experiment)}
    own: list[tuple[Location, str]] = [(("axes", axis.name), axis.name) for axis in plan.sweep.axes]
    own += [(("where", setting.path), setting.path) for setting in plan.sweep.where]
    seen: dict[str, str] = {}
    for place, name in own:
        what = "a metric" if name in metrics else "a column of results" if name in ROW else ""
        what = what or ("a rank" if name in ranks and not _sets_rank(plan, name) else "")
        earlier = seen.setdefault(name.casefold(), name)
        if what:
            yield place, f"'{name}' is the name of {what} already"
        elif earlier != name:
            yield place, f"'{name}' differs from '{earlier}' in letter case only"
        elif place[0] == "where" and name in [axis.name for axis in plan.sweep.axes]:
            yield place, f"'{name}' is the name of an axis already"


def _sets_rank(plan: Plan, name: str) -> bool:
    """Whether it is the axis of that very rank."""
    return any(column.name == name and column.axis.path == (f"ranks.{name}",) for column in plan.columns)


def _iter_absent(plan: Plan) -> Iterator[tuple[Location, str]]:
    """The owner of a number must exist in every group: components, ranks, parameters of the mapping."""
    for number in plan.numbers:
        for group in plan.groups.values():
            message = _absence(number, group)
            if message:
                yield _place_of(plan, number), message
                break


def _absence(number: VariedNumber, group: Group) -> str:
    """Why a group has no such number; empty if it has."""
    experiment = group.experiment
    if number.owner == "component" and number.component not in group.bodies:
        near = near_or_all(number.component, group.bodies)
        return f"'{experiment.architecture.name}' has no component '{number.component}'{near}"
    ranks, parameters = dict(experiment.sizes), dict(experiment.parameters)
    _, _, rank = number.key.partition("ranks.")
    if number.owner == "workload" and rank and rank not in ranks:
        return f"'{experiment.cascade.name}' has no rank '{rank}'{near_or_all(rank, ranks)}"
    if number.owner == "parameter" and number.key not in parameters:
        near = near_or_all(number.key, parameters)
        return f"mapping '{experiment.mapping.name}' has no parameter '{number.key}'{near}"
    return ""


def _place_of(plan: Plan, number: VariedNumber) -> Location:
    for column in plan.columns:
        if number in [own for own, _ in column.numbers]:
            return ("axes", column.name, "path")
    return ("derive", number.path) if number.path in [s.path for s in plan.sweep.derive] else ("axes",)


def _iter_names(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Every name that a formula reads."""
    before = {*(column.name for column in plan.columns), "seq_len", "batch", *(s.path for s in plan.sweep.where)}
    measured: set[str] = set()
    for group in plan.groups.values():
        before |= set(readable_of(group.experiment))
        measured |= set(metric_names(group.experiment))
    early = before | {name for name in measured if name.partition(".")[0] not in ENGINE}
    formulas: list[tuple[Location, Expression, set[str]]] = []
    for key, settings in (("where", plan.sweep.where), ("derive", plan.sweep.derive)):
        formulas += [((key, setting.path), setting.expression, early) for setting in settings]
    for constraint in plan.sweep.constraints:
        formulas.append((("constraints", constraint.name), constraint.condition, before | measured))
    for i, objective in enumerate(plan.sweep.objectives):
        formulas.append((("objectives", i), objective.formula, before | measured))
    for place, formula, known in formulas:
        try:
            check_names(formula, sorted(known))
        except ValueError as error:
            yield place, str(error)
            continue
        words = dict.fromkeys(known, ()) | _words_of_axes(plan)
        if is_word(formula, words):
            yield place, f"expected a number, got '{clipped(formula.text)}', whose value is a word"
        yield from ((place, message) for message in iter_word_problems(formula, words))


def _words_of_axes(plan: Plan) -> dict[str, tuple[str, ...]]:
    """The values of every axis that formulas read as words."""
    return {column.name: tuple(map(str, column.written)) for column in plan.columns if column.values is None}


def _iter_held(plan: Plan) -> Iterator[tuple[Location, str]]:
    """A memory can absorb the remaining area only if its area grows with its size."""
    held = plan.held
    if held is None:
        return
    for group in plan.groups.values():
        noun = group.experiment.architecture.component(held.number.component)
        tables = {technology.name: technology for technology in group.technologies}
        has_own = "area" in group.bodies[noun.name]
        if isinstance(noun, Memory) and not depends_on_size(noun, tables, has_own):
            message = f"'{held.number.path}' cannot absorb area: the area of '{noun.name}' does not depend on it"
            yield ("axes", held.axis, "absorb"), message
            return


def _iter_circles(plan: Plan) -> Iterator[tuple[Location, str]]:
    """Formulas that depend on themselves or use a text as a number."""
    group = next(iter(plan.groups.values()))
    for key, settings in (("where", plan.sweep.where), ("derive", plan.sweep.derive)):
        for setting in settings:
            with Designs(plan, group, np.zeros(1, np.int64), absorbed) as designs:
                try:
                    _ = designs.names[setting.path] if key == "where" else designs.column_at(setting.path)
                except LookupError:  # it reads a refused component, which is reported for the point
                    continue
                except ValueError as error:
                    yield (key, setting.path), str(error)
                    return
