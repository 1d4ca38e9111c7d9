"""Evaluates points of a sweep in bulk: columns in, columns out, and a reason for every illegal point.

A chunk is split by group and by the outcome of the mapping's conditions, lowered, and evaluated in one call each. Every
number is identical to that of `simulate` for the same point, to the last bit; points are refused with the same
messages.
"""

from collections.abc import Iterable
from hashlib import blake2b
from typing import Any, NamedTuple

import numpy as np

from mappings.check import Problem
from mappings.tree import ResolvedTree
from sim.design.diagnosis import number_problems
from sim.design.experiment import conditions_of, problems_of, shape_of, structure_of, tree_of, undecided_of
from sim.engine.analytical import evaluate
from sim.engine.tables import Tables
from sim.explore.designs import Designs, RefusedPoints
from sim.explore.equal_area import absorbed
from sim.explore.metrics import ENGINE, define_metrics
from sim.explore.names import Names
from sim.explore.plan import Group, Plan
from sim.explore.sweep import Constraint
from sim.lower.fit import size_problems
from sim.lower.lowering import Columns, Structure, column, inner_parts, lower, parsed, tiles_in_order
from sim.lower.machine import leaves_of
from sim.lower.same import Same
from sim.simulation.measures import Labels, measures_of

LEGAL = 0


class Reason(NamedTuple):
    """Why a point is out: a kind to count by ("mapping", "capacity", "constraint power", ...) and a sentence."""

    kind: str
    text: str


class Chunk(NamedTuple):
    """Finished points, in the requested order."""

    points: np.ndarray  # i8[point]
    hashes: list[str]  # of each point's inputs
    settled: np.ndarray  # f8[point, settled path], stored units; nan: unavailable
    values: np.ndarray  # f8[point, value]: metrics and objectives; nan for a point that is out
    bound_by: list[str]  # the resource that sets most of the time; empty for a point that is out
    extrapolated: list[str]  # memories whose energy or area lies outside its table
    reason: np.ndarray  # i8[point], LEGAL or 1 + index into `reasons`
    reasons: list[Reason]


def value_names(plan: Plan) -> tuple[str, ...]:
    """The columns of `Chunk.values`: recorded metrics, then objectives that are not among them."""
    return tuple(dict.fromkeys((*plan.metrics, *(objective.label for objective in plan.sweep.objectives))))


def evaluate_points(plan: Plan, points: np.ndarray) -> Chunk:
    """Every number and reason of these points."""
    return _Evaluation(plan, points).run()


class _Evaluation:
    """One chunk in progress."""

    def __init__(self, plan: Plan, points: np.ndarray) -> None:
        self.plan, self.points = plan, points
        self.hashes = [""] * points.size
        self.settled = np.full((points.size, len(plan.settled)), np.nan)
        self.values = np.full((points.size, len(value_names(plan))), np.nan)
        self.bound_by = [""] * points.size
        self.extrapolated = [""] * points.size
        self.reason = np.zeros(points.size, np.int64)
        self.numbers: dict[Reason, int] = {}

    def run(self) -> Chunk:
        for group, members in self.plan.split(self.points):
            self._hash(group, members)
            self._evaluate_group(group, members)
        return Chunk(
            self.points,
            self.hashes,
            self.settled,
            self.values,
            self.bound_by,
            self.extrapolated,
            self.reason,
            list(self.numbers),
        )

    def _hash(self, group: Group, members: np.ndarray) -> None:
        """Hash of a point: its group and the numbers that it sets, without those that follow from them."""
        indices = self.plan.axis_indices(self.points[members])
        columns = sorted(self.plan.columns, key=lambda column: column.name)
        told = [values[indices[c.name]] for c in columns for _, values in c.numbers]
        free = [c for c in columns if not c.numbers and c.values is not None and not c.is_structural]
        told += [np.asarray(c.values)[indices[c.name]] for c in free]
        start = blake2b(group.digest + bytes.fromhex(self.plan.rules_hash), digest_size=16)
        rows = np.ascontiguousarray(np.stack(told, axis=1)) if told else np.zeros((members.size, 0))
        for position, row in zip(members.tolist(), rows, strict=True):
            digest = start.copy()
            digest.update(row.tobytes())
            self.hashes[position] = digest.hexdigest()

    def _refuse(self, members: np.ndarray, kind: str, texts: list[str]) -> None:
        for position, text in zip(members.tolist(), texts, strict=True):
            self.reason[position] = 1 + self.numbers.setdefault(Reason(kind, text), len(self.numbers))

    def _evaluate_group(self, group: Group, members: np.ndarray) -> None:
        while members.size:
            with Designs(self.plan, group, self.points[members], absorbed) as designs:
                refusal = designs.refusals()
                self._keep_settled(designs, members)
                refusal = refusal or self._constraint_refusal(designs.names, members.size)
            if refusal is None:
                break
            self._refuse(members[refusal.mask], refusal.kind, refusal.texts)
            members = members[~refusal.mask]
        for tree, own in self._split_by_tree(group, members):
            self._evaluate_tree(group, tree, own)

    def _keep_settled(self, designs: Designs, members: np.ndarray) -> None:
        """The values that follow from the axes, also for points that they rule out."""
        for i, path in enumerate(self.plan.settled):
            try:
                self.settled[members, i] = designs.column_at(path)
            except (ValueError, LookupError):  # it reads a value that a refused component lacks
                continue

    def _constraint_refusal(self, names: Names, size: int) -> RefusedPoints | None:
        """The first constraint, among those that need no engine, that some points do not meet."""
        for constraint in self.plan.sweep.constraints:
            if not _is_early(constraint):
                continue
            met = _spread(names.evaluate(constraint.condition), size) != 0
            if not met.all():
                texts = [f"does not meet '{constraint.condition}'"] * int((~met).sum())
                return RefusedPoints(~met, f"constraint {constraint.name}", texts)
        return None

    def _split_by_tree(self, group: Group, members: np.ndarray) -> list[tuple[ResolvedTree, np.ndarray]]:
        """Designs grouped by the outcome of the mapping's conditions; in most mappings none depends on numbers."""
        experiment = group.experiment
        conditions = conditions_of(Same(experiment.mapping))
        numeric = [text for _, text in conditions if not set(parsed(text).names) <= experiment.choices.keys()]
        tiles = undecided_of(Same(experiment.mapping), Same(experiment.cascade))
        if not (numeric or tiles) or not members.size:
            return [(experiment.tree, members)] if members.size else []
        with Designs(self.plan, group, self.points[members], absorbed) as designs:
            names = designs.expression_names()
            decided = [_spread(names.evaluate(parsed(text)), members.size) != 0 for text in numeric]
            decided += [_is_one(names, text, members.size) for text in tiles]
            names.clear()
        rows, which = np.unique(np.stack(decided, axis=1), axis=0, return_inverse=True)
        which = which.reshape(-1)
        found: list[tuple[ResolvedTree, np.ndarray]] = []
        for i, row in enumerate(rows.tolist()):
            holds = dict(zip(numeric, row, strict=False))
            told = tuple((t, holds[t] if t in holds else experiment.holds(path, t)) for path, t in conditions)
            units = frozenset(text for text, is_one in zip(tiles, row[len(numeric) :], strict=True) if is_one)
            tree = tree_of(Same(experiment.mapping), tuple(experiment.choices.items()), told, units)
            found.append((tree, members[which == i]))
        return found

    def _evaluate_tree(self, group: Group, tree: ResolvedTree, members: np.ndarray) -> None:
        experiment = group.experiment
        nouns = Same(experiment.mapping), Same(tree), Same(experiment.cascade), Same(experiment.architecture)
        problems = problems_of(*nouns)
        if problems:
            self._refuse(members, "mapping", [_sentence(problems)] * members.size)
            return
        structure = structure_of(nouns[2], nouns[0], nouns[1], shape_of(nouns[3]))
        leaves = leaves_of(experiment.cascade, tree)
        with Designs(self.plan, group, self.points[members], absorbed) as designs:
            columns = designs.columns(leaves)
            tables = lowered(structure, columns)
            if tables is not None:
                self._measure(designs, structure, tables, members)
                return
        members = self._refuse_unusable(group, structure, columns, members)
        if not members.size:
            return
        with Designs(self.plan, group, self.points[members], absorbed) as designs:
            self._measure(designs, structure, lower(structure, designs.columns(leaves)), members)

    def _refuse_unusable(self, group: Group, structure: Structure, columns: Columns, members: np.ndarray) -> np.ndarray:
        """The members whose expressions give usable numbers; the others are refused as a single design would be."""
        mask = unusable(structure, columns)
        assert mask.any(), "refused by lowering, but every number is usable"
        texts = []
        numeric = [(n, t) for n, t in group.experiment.parameters if n not in group.experiment.choices]
        for d in np.flatnonzero(mask).tolist():
            known = {name: _scalar(values, d) for name, values in columns.symbols.items()} | group.experiment.choices
            own = [(name, str(known.pop(name, text))) for name, text in numeric]
            mapping, tree, cascade = structure.mapping, structure.tree, structure.cascade
            found = number_problems(mapping, tree, cascade, own, known)
            texts.append(_sentence(found) or "an expression of the mapping has no usable value here")
        self._refuse(members[mask], "numbers", texts)
        return members[~mask]

    def _measure(self, designs: Designs, structure: Structure, tables: Tables, members: np.ndarray) -> None:
        found = evaluate(tables)
        alive = np.ones(members.size, bool)
        for d, problems in size_problems(structure, tables, found).items():
            self._refuse(members[d : d + 1], "capacity", [_sentence(problems)])
            alive[d] = False
        labels = Labels.of(structure.machine, structure.cascade, structure.tree, tables.shape.flows)
        define_metrics(designs.names, labels, measures_of(tables, found))
        for constraint in self.plan.sweep.constraints:
            if _is_early(constraint):
                continue
            failing = alive & (_spread(designs.names.evaluate(constraint.condition), members.size) == 0)
            texts = [f"does not meet '{constraint.condition}'"] * int(failing.sum())
            self._refuse(members[failing], f"constraint {constraint.name}", texts)
            alive &= ~failing
        bound_by = [labels.resources[i] for i in found.resource_cycles.argmax(axis=1).tolist()]
        self._keep(designs, bound_by, members, alive)

    def _keep(self, designs: Designs, bound_by: list[str], members: np.ndarray, alive: np.ndarray) -> None:
        """The values of the legal points."""
        formulas = {objective.label: objective.formula for objective in self.plan.sweep.objectives}
        values = {
            name: _spread(
                designs.names.evaluate(formulas[name]) if name in formulas else designs.names[name], alive.size
            )
            for name in value_names(self.plan)
        }
        for name in formulas:
            failing = alive & np.isinf(values[name])
            self._refuse(members[failing], f"objective {name}", [f"'{name}' is infinite"] * int(failing.sum()))
            alive = alive & ~failing
        for i, value in enumerate(values.values()):
            self.values[members[alive], i] = value[alive]
        architecture = designs.experiment.architecture
        extrapolated = designs.extrapolated
        memories = [memory.name for memory in architecture.memories]
        has_some: list[bool] = np.any(extrapolated, axis=1).tolist()
        positions = members.tolist()
        for d in np.flatnonzero(alive).tolist():
            position = positions[d]
            self.bound_by[position] = bound_by[d]
            if has_some[d]:
                own = [memory for memory, is_out in zip(memories, extrapolated[d], strict=True) if is_out]
                self.extrapolated[position] = " ".join(own)


def _spread(values: Any, size: int) -> np.ndarray:
    """f8[design], also from one value for all."""
    return np.broadcast_to(np.asarray(values, float), (size,))


def _is_one(names: Names, text: str, size: int) -> np.ndarray:
    """bool[design]: whether a tile is 1; what has no value is refused for that later."""
    try:
        return _spread(names.evaluate(parsed(text)), size) == 1
    except ValueError:
        return np.zeros(size, bool)


def _sentence(problems: Iterable[Problem]) -> str:
    return "; ".join(f"$.{problem.path}: {problem.message}" for problem in problems)


def _is_early(constraint: Constraint) -> bool:
    return not any(name.partition(".")[0] in ENGINE for name in constraint.condition.names)


def _scalar(values: Any, design: int) -> Any:
    """A design's value as in a single design, with whole numbers as integers, for messages."""
    found = float(values) if np.ndim(values) == 0 else float(values[design])
    return int(found) if found.is_integer() else found


def lowered(structure: Structure, columns: Columns) -> Tables | None:
    """As `lower`; None if some design has numbers that no engine can use."""
    try:
        tables = lower(structure, columns)
    except (ValueError, OverflowError):
        return None
    return tables if (np.isfinite(tables.reserved_bytes) & (tables.reserved_bytes >= 0)).all() else None


def unusable(structure: Structure, columns: Columns) -> np.ndarray:
    """bool[design]: some tile is not a whole number of at least 1, or reserved room is not a number of at least 0."""
    designs = columns.machine.clock_hz.size
    symbols = dict(columns.symbols)
    for rule in tiles_in_order(structure):
        symbols[rule.symbol] = column(rule.expression, symbols, designs)
    space = structure.lowered.space
    wholes = [symbols[name] for name in (*space.roots, *inner_parts(space))]
    wholes += [column(loop.tile, symbols, designs) for loop in structure.tree.loops]
    mask = np.zeros(designs, bool)
    for values in wholes:
        values = np.broadcast_to(np.asarray(values, float), (designs,))
        mask |= ~(np.isfinite(values) & (values >= 1) & (values == np.floor(values)) & (values < 2.0**62))
    for reservation in structure.tree.reservations:
        words = column(reservation.words, symbols, designs)
        mask |= ~(np.isfinite(words) & (words >= 0))
    return mask
