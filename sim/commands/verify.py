"""`einfuse verify`: resolves the subject, runs it, shows the errors, and gives the verdict."""

import json
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from arch.quantity import clipped
from einsums.names import near_or_all
from einsums.types import Cascade
from sim.commands.answering import DONE, NO, answers, draw, tell
from sim.commands.kinds import is_cascade
from sim.commands.options import JsonForTables, expecting, parse_changes, refused
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.functional.archive import read_inputs
from sim.functional.given import UnfitInputsError
from sim.functional.verification import Verification, VerifyOptions, verify
from sim.load.nouns import load_cascade
from sim.load.problems import InputError, InputProblem
from sim.report.design.simulation_table import TextTable
from sim.report.design.verify_table import verdict, verification_heading, verification_tables

LARGEST = 1 << 20


class VerifyCommandOptions(NamedTuple):
    """The options of the command line, as written."""

    precisions: tuple[str, ...]
    exponential: str | None
    backend: str
    inputs: str
    against: str | None


def run_verification(name: str, changes: dict[str, Any], wishes: VerifyCommandOptions) -> Verification:
    """Load and verify. InputError for invalid input, IllegalMapping for a mapping that cannot run."""
    subject, sizes = load_subject(name, changes)
    try:
        options = VerifyOptions(
            precisions=wishes.precisions,
            exponential=wishes.exponential,
            backend=wishes.backend,
            seed=int(wishes.inputs) if wishes.inputs.isdecimal() else 0,
            against=wishes.against,
            sizes=sizes,
            inputs=None if wishes.inputs.isdecimal() else read_inputs(Path(wishes.inputs)),
        )
        return verify(subject, options, tell)
    except InputError:
        raise
    except UnfitInputsError as error:
        raise InputError([InputProblem(wishes.inputs, None, f"$.{clipped(error.name, 60)}", str(error))]) from None
    except (ValueError, RuntimeError) as error:  # RuntimeError: torch or triton failed
        raise refused("einfuse", str(error)) from None


def show_verification(found: Verification) -> list[tuple[str, tuple[TextTable, ...]]]:
    """Titled tables: the run, its errors, the verdict."""
    return [(verification_heading(found) + "\n", verification_tables(found)), (verdict(found), ())]


def load_subject(name: str, changes: dict[str, Any]) -> tuple[Experiment | Cascade, tuple[tuple[str, int], ...]]:
    """The experiment or cascade of a name or path, and the rank sizes that are given and not cut."""
    if is_cascade(name):
        cascade = load_cascade(name)
        return cascade, cascade_sizes(cascade, changes)
    experiment = load_experiment(name, changes)
    given = [path.removeprefix("$.").removeprefix("ranks.") for path in changes if "ranks." in path]
    return experiment, tuple((rank, size) for rank, size in experiment.sizes if rank in given)


def cascade_sizes(cascade: Cascade, changes: dict[str, Any]) -> tuple[tuple[str, int], ...]:
    """`--set` of a bare cascade: sizes of its ranks and of inner parts."""
    known = [cascade.root_of(rank) for rank in cascade.leaf_ranks()]
    known += [part for partition in cascade.partitions for part in partition.inner]
    problems = []
    for rank, size in changes.items():
        if rank not in known:
            message = f"'{cascade.name}' has no rank '{rank}' to set{near_or_all(rank, dict.fromkeys(known))}"
            problems.append(InputProblem("--set", None, f"$.{rank}", message))
        elif isinstance(size, bool) or not isinstance(size, int) or not 1 <= size <= LARGEST:
            message = f"expected a whole number from 1 to {LARGEST}, got '{size}'"
            problems.append(InputProblem("--set", None, f"$.{rank}", message))
    if problems:
        raise InputError(problems)
    return tuple(changes.items())


@answers
def verify_command(
    name: Annotated[str, typer.Argument(metavar="EXPERIMENT|CASCADE", help="A shipped one, or the path of one.")],
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="Replace a value, such as ranks.M=300; may be repeated."),
    ] = None,
    backend: Annotated[str, typer.Option(help="What it is also compared with: numpy, torch or triton.")] = "numpy",
    precision: Annotated[list[str] | None, typer.Option(help="Of words, such as fp32; may be repeated.")] = None,
    exponential: Annotated[str | None, typer.Option("--exp", help="exact or polynomial; else as the machine.")] = None,
    inputs: Annotated[
        str, typer.Option("--inputs", "--seed", help="Arrays by input (npz) to run on, or the seed of those drawn.")
    ] = "0",
    against: Annotated[str | None, typer.Option(help="A cascade that defines the same outputs.")] = None,
    as_json: JsonForTables = False,
) -> int:
    """Run a design on numbers, in mapped order and precision, and compare with what its cascade means."""
    wishes = VerifyCommandOptions(tuple(precision or ()), exponential, backend, inputs, against)
    with expecting(name, "experiment", "cascade"), expecting(against, "cascade"):
        found = run_verification(name, parse_changes(changes), wishes)
    if as_json:
        print(json.dumps(found.to_json(), indent=2, allow_nan=False))
    for title, tables in () if as_json else show_verification(found):
        draw(title, tables)
    return DONE if found.passes else NO
