"""Why a mapping's expressions cannot be evaluated, and where in its file: the source of error messages about tiles.

The engines evaluate expressions for many designs at once and only notice that a number is unusable. Here a single
design is evaluated name by name, in plain numbers, to identify the expression.
"""

import re
from collections.abc import Iterable, Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from typing import Any, NamedTuple

from arch.expression import SCALAR_FUNCTIONS, check_names, evaluate
from arch.words import iter_word_problems
from einsums.types import Cascade
from mappings.check import Problem
from mappings.expressions import iter_conditions, iter_formulas
from mappings.tree import ResolvedTree
from mappings.types import Mapping
from sim.load.document import Document
from sim.load.problems import InputProblem
from sim.lower.lowering import parsed

_PART = re.compile(r"\[(\d+)\]|([^.\[\]]+)")
LARGEST = 2.0**62  # the limit of the engines' numbers
_PLACED = re.compile(r"\$\.(\S+): (.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a mapping was written, so that problems are reported with file and line."""

    document: Document
    outer: frozenset[str] = frozenset()  # files (and `--set`) that hold it, or parts of it, under the key `mapping`

    def locate(self, problem: Problem) -> InputProblem:
        """The problem with its location in the file."""
        place = self.document.place(int(index) if index else name for index, name in _PART.findall(problem.path))
        steps = [
            "$",
            *(["mapping"] if place.file in self.outer else []),
            *([problem.path] if problem.path else []),
        ]
        return InputProblem(place.file, place.line, ".".join(steps), problem.message)


def placed(error: ValueError) -> Problem:
    """The problem in an error's text, which may begin with its path (`$.tiles.P1: ...`)."""
    found = _PLACED.fullmatch(str(error))
    return Problem(found[1], found[2]) if found else Problem("", str(error))


class Rule(NamedTuple):
    """A name that an expression of a mapping defines, and its location."""

    symbol: str
    text: str
    path: str


def rules_of(mapping: Mapping, parameters: Iterable[tuple[str, str]]) -> tuple[Rule, ...]:
    """The numeric parameters with their values, then the tiles."""
    given = [Rule(name, text, f"parameters.{name}") for name, text in parameters]
    return (*given, *(Rule(tile.symbol, tile.expression, f"tiles.{tile.symbol}") for tile in mapping.tiles))


def solve(rules: Iterable[Rule], known: MappingOf[str, Any]) -> tuple[dict[str, Any], tuple[Problem, ...]]:
    """The value of every name that can be evaluated, known ones included, and why the others cannot.

    A parameter may read tiles and a tile may read parameters: each waits until the values that it reads are available.
    """
    symbols: dict[str, Any] = dict(known)
    pending, problems, failed = list(rules), list[Problem](), set[str]()
    while ready := [rule for rule in pending if symbols.keys() >= set(parsed(rule.text).names)]:
        for rule in ready:
            try:
                symbols[rule.symbol] = evaluate(parsed(rule.text), symbols.__getitem__, SCALAR_FUNCTIONS)
            except ValueError as error:
                problems.append(Problem(rule.path, str(error)))
                failed.add(rule.symbol)
        pending = [rule for rule in pending if rule not in ready]
    return symbols, (*problems, *_iter_stuck(pending, symbols.keys() | failed))


def units_among(tiles: Iterable[str], known: MappingOf[str, Any]) -> frozenset[str]:
    """Tiles that are 1, as far as what is known gives them a value."""
    return frozenset(tile for tile in tiles if _is_one(tile, known))


def _is_one(tile: str, known: MappingOf[str, Any]) -> bool:
    expression = parsed(tile)
    if not set(expression.names) <= known.keys():
        return False
    try:
        return bool(evaluate(expression, known.__getitem__, SCALAR_FUNCTIONS) == 1)
    except ValueError:
        return False


def _iter_stuck(pending: list[Rule], known: set[str]) -> Iterator[Problem]:
    """What blocks the remaining rules: unknown names, or otherwise each other."""
    names = {*known, *(rule.symbol for rule in pending)}
    unknown = [Problem(rule.path, message) for rule in pending if (message := _name_problem(rule.text, names))]
    yield from unknown
    waiting = {rule.symbol: [name for name in parsed(rule.text).names if name not in known] for rule in pending}
    for rule in () if unknown else pending:
        cycle = _cycle_from(rule.symbol, waiting)
        if cycle:
            yield Problem(rule.path, f"'{rule.text}' depends on itself ({' -> '.join(cycle)})")
            return


def _cycle_from(symbol: str, waiting: dict[str, list[str]]) -> list[str]:
    """The cycle of names from `symbol` back to itself; empty if there is none."""
    path = [symbol]
    while len(path) <= len(waiting):
        following = [name for name in waiting.get(path[-1], ()) if name in waiting]
        if not following:
            return []
        path.append(symbol if symbol in following else following[0])
        if path[-1] == symbol:
            return path
    return []


def _name_problem(text: str, known: Iterable[str]) -> str:
    try:
        check_names(parsed(text), known)
    except ValueError as error:
        return str(error)
    return ""


def expression_problems(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, machine_names: Iterable[str]
) -> tuple[Problem, ...]:
    """Problems with the names in a mapping's expressions, whatever the numbers are."""
    roots = {cascade.root_of(rank) for rank in cascade.leaf_ranks()}
    given = roots | set(machine_names)
    own = [(f"parameters.{p.name}", p.name) for p in mapping.parameters]
    own += [(f"tiles.{rule.symbol}", rule.symbol) for rule in mapping.tiles]
    problems = [
        *_iter_taken(own, roots, set(machine_names)),
        *_iter_missing(cascade, {name for _, name in own}),
    ]
    # With every given name at 1, only the order of the rules is checked, not their numbers.
    known = dict.fromkeys(given | {p.name for p in mapping.parameters}, 1)
    pending = [rule for rule in rules_of(mapping, ()) if rule.symbol not in roots]
    while ready := [rule for rule in pending if known.keys() >= set(parsed(rule.text).names)]:
        known |= dict.fromkeys((rule.symbol for rule in ready), 1)
        pending = [rule for rule in pending if rule not in ready]
    problems += _iter_stuck(pending, set(known))
    readable = [*known, *(rule.symbol for rule in pending)]
    expressions = [(loop.path, loop.tile) for loop in tree.loops]
    expressions += [(f"{leaf.path}.spatial", count) for leaf, _, count in tree.counted_sides]
    expressions += [(f"reserve[{mapping.reserve.index(r)}].words", r.words) for r in tree.reservations]
    expressions += iter_conditions(mapping)
    problems += [Problem(path, message) for path, text in expressions if (message := _name_problem(text, readable))]
    numbers: dict[str, tuple[str, ...]] = dict.fromkeys(given, ())
    for path, text in iter_formulas(mapping):
        problems += [Problem(path, message) for message in iter_word_problems(parsed(text), numbers)]
    return tuple(problems)


def _iter_taken(own: list[tuple[str, str]], roots: set[str], machine_names: set[str]) -> Iterator[Problem]:
    seen: set[str] = set()
    for path, name in own:
        what = "a rank of the cascade" if name in roots else "a number of the machine" if name in machine_names else ""
        what = what or ("another parameter or tile" if name in seen else "")
        seen.add(name)
        if what:
            yield Problem(path, f"'{name}' is the name of {what} already")


def _iter_missing(cascade: Cascade, given: set[str]) -> Iterator[Problem]:
    for partition in cascade.partitions:
        for part in partition.inner:
            if part not in given:
                yield Problem("tiles", f"no size for rank '{part}' of '{cascade.name}': give it under 'tiles'")


def number_problems(
    mapping: Mapping, tree: ResolvedTree, cascade: Cascade, given: Iterable[tuple[str, str]], known: MappingOf[str, Any]
) -> tuple[Problem, ...]:
    """Expressions with unusable values: tiles that are not a whole number of at least 1, reserved words below 0.

    `given`: the numeric parameters with their values; `known`: what expressions may read besides.
    """
    rules = rules_of(mapping, given)
    symbols, problems = solve(rules, known)
    if problems:
        return problems
    inner = {part for partition in cascade.partitions for part in partition.inner}
    found = [
        Problem(rule.path, _not_whole(rule.text, f"the size of rank '{rule.symbol}'", symbols[rule.symbol]))
        for rule in rules
        if rule.symbol in inner
    ]
    for loop in tree.loops:
        found.append(Problem(loop.path, _checked(loop.tile, f"the tile of the loop over '{loop.variable}'", symbols)))
    for leaf, side, count in tree.counted_sides:
        what = f"the count of '{side.variable}' on the {side.side}"
        found.append(Problem(f"{leaf.path}.spatial", _checked(count, what, symbols)))
    for reservation in tree.reservations:
        path = f"reserve[{mapping.reserve.index(reservation)}].words"
        found.append(Problem(path, _reserved(reservation.words, reservation.label, symbols)))
    return tuple(problem for problem in found if problem.message)


def _checked(text: str, what: str, symbols: MappingOf[str, Any]) -> str:
    try:
        return _not_whole(text, what, evaluate(parsed(text), symbols.__getitem__, SCALAR_FUNCTIONS))
    except ValueError as error:
        return str(error)


def _not_whole(text: str, what: str, value: Any) -> str:
    """Why a value is not a valid size; empty if it is."""
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if is_number and 1 <= value < LARGEST and value == int(value):
        return ""
    by = "" if text == _shown(value) else f" ('{text}')"
    wanted = "below 2^62" if is_number and value >= LARGEST else "of at least 1"
    return f"{what} is {_shown(value)}{by}, expected a whole number {wanted}"


def _shown(value: Any) -> str:
    if isinstance(value, (int, float)) and value >= LARGEST:
        return "2^62 or more"
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _reserved(text: str, label: str, symbols: MappingOf[str, Any]) -> str:
    try:
        value = evaluate(parsed(text), symbols.__getitem__, SCALAR_FUNCTIONS)
    except ValueError as error:
        return str(error)
    if isinstance(value, (int, float)) and 0 <= value < LARGEST:
        return ""
    return f"the room for {label} is {_shown(value)} words ('{text}'), expected a number of at least 0"
