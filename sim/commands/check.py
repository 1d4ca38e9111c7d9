"""`einfuse check`: determines the kind of a file (cascade, machine, mapping, ...) and validates its contents.

A mapping is tried on its cascade and on a machine that has its arrays and memories; an experiment is simulated, because
only numbers show whether tiles fit.
"""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from arch.numbers import numbers_of
from arch.types import Architecture
from einsums.types import Cascade
from mappings.check import Problem, check_mapping
from mappings.tree import resolve_tree, undecided_tiles
from mappings.types import Mapping
from sim.commands.answering import BAD_INPUT, DONE, NO, answers
from sim.commands.kinds import COMMON, NOUNS, kind_of
from sim.commands.options import expecting
from sim.design.assemble import assemble, lay_out
from sim.design.diagnosis import Origin, expression_problems, placed, rules_of, solve, units_among
from sim.design.experiment import Experiment
from sim.design.parameters import read_choices
from sim.explore.load_sweep import make_plan
from sim.explore.sweep import Sweep
from sim.load.document import Document
from sim.load.files import is_file
from sim.load.nouns import (
    CATALOGS,
    build,
    build_architecture,
    load_architecture,
    read,
    read_document_once,
    resolved,
)
from sim.load.problems import InputError, InputProblem
from sim.load.taxonomy import build_taxonomy
from sim.lower.lowering import parsed
from sim.reproduction.run import run_reproduction
from sim.simulation.flow import IllegalMapping, simulate

# The size of every rank when a mapping is tried: any size will do to make its choices.
NOMINAL_SIZE = 4096
# The names that every machine defines, in addition to the numbers of its components, which have a dot in their names.
MACHINE_WORDS = tuple(name for number in numbers_of(Architecture) for name, _ in number.symbols)


class Checked(NamedTuple):
    """The findings for one file: its kind (empty if unknown) and its problems."""

    file: str
    kind: str
    name: str
    problems: tuple[InputProblem, ...]
    is_readable: bool


def check_file(path: Path, machine: Architecture | None = None) -> Checked:
    """All problems of one file; mappings are tried on `machine`, by default on the shipped machines."""
    file = str(path)
    try:
        document = read_document_once(path)
    except InputError as error:
        return Checked(file, "", "", error.problems, is_file(path))
    kind = kind_of(document)
    if not kind:
        keys = ", ".join(sorted(set(document.data) - COMMON)) or "none of its own"
        message = f"cannot tell what this describes: expected the keys of one of {', '.join(NOUNS)}, got {keys}"
        return Checked(file, "", "", (InputProblem(file, None, "", message),), True)
    try:
        problems = tuple(_check(kind, document, path, machine))
    except InputError as error:
        problems = error.problems
    return Checked(file, kind, str(document.data.get("name", path.stem)), problems, True)


def _check(kind: str, document: Document, path: Path, machine: Architecture | None) -> Iterable[InputProblem]:
    match kind:
        case "experiment":
            return _located(lambda: simulate(assemble(lay_out(document))))
        case "mapping":
            return mapping_problems(resolved(kind, document), machine)
        case "architecture":
            build_architecture(resolved(kind, document))
        case "taxonomy":
            build_taxonomy(resolved(kind, document))
        case "reproduction":
            return _located(lambda: run_reproduction(f"./{path}" if path.name == str(path) else str(path)))
        case "sweep":
            whole = resolved(kind, document)
            make_plan(whole, build(whole, Sweep))
        case _:
            build(resolved(kind, document), NOUNS[kind])
    return ()


# --- kinds with further checks ------------------------------------------------------------------------------
def _located(simulate_it: Callable[[], Any]) -> tuple[InputProblem, ...]:
    """Why the run of `simulate_it` is illegal; exceeded capacities show only in a run."""
    try:
        simulate_it()
    except IllegalMapping as error:
        return error.located()
    return ()


def mapping_problems(document: Document, machine: Architecture | None) -> tuple[InputProblem, ...]:
    """Why a mapping is illegal for its cascade, on the machine named or on every suitable shipped machine.

    If no shipped machine has all its arrays and memories, it is checked against the cascade alone.
    """
    mapping = build(document, Mapping)
    origin = Origin(document)
    try:
        cascade = build(read("cascade", mapping.cascade, Path(document.place(("cascade",)).file).parent), Cascade)
    except InputError as error:
        if any(problem.file == "einfuse" for problem in error.problems):
            raise InputError(origin.locate(Problem("cascade", p.message)) for p in error.problems) from None
        raise
    if mapping.table is not None:
        read_choices(mapping, origin)
    machines = [machine] if machine else _machines_for(mapping)
    tries = [_tried(partial(problems_on, mapping, cascade, one)) for one in machines]
    tries = tries or [_tried(partial(problems_alone, mapping, cascade))]
    return tuple(origin.locate(problem) for problem in min(tries, key=len))


def _tried(check: Callable[[], tuple[Problem, ...]]) -> tuple[Problem, ...]:
    try:
        return check()
    except ValueError as error:
        return (placed(error),)


def problems_on(mapping: Mapping, cascade: Cascade, machine: Architecture) -> tuple[Problem, ...]:
    """Problems with the default choices, then those caused by changing a single choice."""
    sizes = tuple(dict.fromkeys((cascade.root_of(rank), NOMINAL_SIZE) for rank in cascade.leaf_ranks()))
    defaults = {parameter.name: parameter.default for parameter in mapping.parameters}

    def problems(choices: dict[str, str]) -> tuple[Problem, ...]:
        return Experiment(mapping.name, cascade, machine, mapping, sizes, tuple(choices.items())).problems

    found = dict.fromkeys(problems(defaults))
    for parameter in mapping.parameters:
        for value in parameter.values:
            chosen = f" (where {parameter.name} is '{value}')"
            for problem in _tried(partial(problems, defaults | {parameter.name: value})):
                if problem not in found:
                    found.setdefault(Problem(problem.path, problem.message + chosen))
    return tuple(found)


def problems_alone(mapping: Mapping, cascade: Cascade) -> tuple[Problem, ...]:
    """Problems that can be found without a machine, with the default choices and every condition met."""
    defaults = {parameter.name: parameter.default for parameter in mapping.parameters}
    # Without sizes and a machine some tiles have a value all the same.
    known, _ = solve(rules_of(mapping, [(p.name, p.default) for p in mapping.parameters if not p.values]), {})
    units = units_among(undecided_tiles(mapping, cascade), known)
    tree = resolve_tree(mapping, lambda name: defaults.get(name, ""), lambda condition: True, units)
    texts = [loop.tile for loop in tree.loops] + [rule.expression for rule in mapping.tiles]
    of_machine = {name for text in texts for name in parsed(text).names if "." in name} | set(MACHINE_WORDS)
    return check_mapping(mapping, tree, cascade, None) + expression_problems(mapping, tree, cascade, of_machine)


def _machines_for(mapping: Mapping) -> list[Architecture]:
    """The shipped machines that have every array and memory of the mapping."""
    defaults = {parameter.name: parameter.default for parameter in mapping.parameters}
    try:
        tree = resolve_tree(mapping, lambda name: defaults.get(name, ""), lambda condition: True)
    except ValueError:  # the trials report it
        return [load_architecture(name) for name in CATALOGS["architecture"].names()]
    wanted = {leaf.array for leaf in tree.leaves} | {keep.memory for keep in tree.keeps}
    machines = (load_architecture(name) for name in CATALOGS["architecture"].names())
    return [m for m in machines if wanted <= {component.name for component in m.components}]


@answers
def check_command(
    files: Annotated[list[Path], typer.Argument(help="YAML files of any kind.")],
    architecture: Annotated[
        str | None, typer.Option(help="The machine that mappings are tried on; a shipped one that fits by default.")
    ] = None,
) -> int:
    """Check files of any kind; all problems of all files at once."""
    with expecting(architecture, "architecture"):
        machine = load_architecture(architecture) if architecture else None
    checked = [check_file(path, machine) for path in files]
    said: set[InputProblem] = set()
    for one in checked:
        state = "has problems that are said above" if one.problems else "is fine"
        new = [problem for problem in one.problems if problem not in said]
        print("\n".join(map(str, new)) or f"{one.file}: {one.kind} '{one.name}' {state}")
        said.update(new)
    if not all(one.is_readable for one in checked):
        return BAD_INPUT
    return NO if any(one.problems for one in checked) else DONE
