"""`einfuse rewrite`: from a shipped cascade or a file to a derived cascade as YAML and a report in sentences.

The derivation and its checks are in `einsums.rewriting`; this module handles files, text and JSON.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import typer

from einsums.export import cascade_data
from einsums.names import near_or_all
from einsums.rewriting import OperatorChange, ReferenceSize, RewriteOptions, Rewriting, rewrite
from einsums.types import Cascade
from sim.commands.answering import DONE, NO, answers
from sim.commands.options import expect_writable, expecting, refused, write_output
from sim.load.nouns import load_cascade

FORMS = ("running", "stepwise", "partition")


def rewrite_cascade(name_or_path: str, passes: int, rank: str | None, choices: Mapping[str, Any]) -> Rewriting:
    """Derive a cascade with at most `passes` passes; `choices` are fields of `Options`. InputError for bad input."""
    cascade = load_cascade(name_or_path)
    form = choices.get("form", FORMS[0])
    if form not in FORMS:
        raise refused("--form", f"unknown form '{form}'{near_or_all(form, FORMS)}")
    try:
        return rewrite(cascade, passes, rank, RewriteOptions(**choices))
    except ValueError as error:
        raise refused("--rank" if "rank" in str(error) else "--passes", str(error)) from None


def write_cascade(cascade: Cascade, path: Path) -> None:
    """Write a cascade as YAML; InputError if the file cannot be written."""
    write_output("--output", path, cascade_yaml(cascade).encode())


# --- YAML ---------------------------------------------------------------------------------------------------
def cascade_yaml(cascade: Cascade) -> str:
    """A cascade as YAML text that reads back as the same cascade."""
    lines = []
    for key, value in cascade_data(cascade).items():
        if key == "einsums":
            lines += ["einsums: |", *(f"  {line}" for line in value.splitlines())]
        else:
            lines.append(f"{key}: {_flow(value)}")
    return "\n".join(lines) + "\n"


def _flow(value: Any) -> str:
    """One line of YAML; JSON's quoting is YAML's."""
    match value:
        case dict():
            return "{" + ", ".join(f"{key}: {_flow(item)}" for key, item in value.items()) + "}"
        case list():
            return "[" + ", ".join(map(str, value)) + "]"
        case str() if value in ("inf", "-inf"):
            return value
        case str():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return f"{value:.17e}" if float(f"{value:e}") != value else f"{value:.1e}"
    return str(value)


# --- report -------------------------------------------------------------------------------------------------
def rewriting_text(found: Rewriting) -> str:
    """The report: passes, each step with its identity, caveat and operations, refusals, and the derived cascade."""
    lines = [
        f"{found.original.name}: {_passes(found.passes_before)} over {found.rank}, "
        f"{'now ' if found.steps else 'still '}{_passes(found.passes)} (wanted: at most {found.wanted})"
    ]
    for number, step in enumerate(found.steps, start=1):
        lines += [
            "",
            f"{number}. {step.identity}",
            f"   passes      {step.passes_before} -> {step.passes_after}",
            f"   Einsums     {', '.join(step.einsums)}",
            f"   caveat      {step.caveat}",
            f"   operations  {_changes(step.operations)}",
            f"   checked     {_checked(step.comparison)}",
        ]
    for refusal in found.refusals:
        lines += ["", f"refused: {refusal.identity}", f"   {refusal.reason}"]
    if found.reason:
        lines += ["", found.reason]
    if found.steps:
        lines += ["", f"operations in all at {_sizes(found.reference)}:", f"   {_changes(found.operations)}"]
        lines += ["", cascade_yaml(found.cascade).rstrip()]
    return "\n".join(lines)


def _passes(count: int) -> str:
    return f"{count} pass" if count == 1 else f"{count} passes"


def _changes(operations: tuple[OperatorChange, ...]) -> str:
    changed = [f"{row.operator} {row.before:,} -> {row.after:,}" for row in operations if row.before != row.after]
    return ", ".join(changed) or "the same"


def _checked(comparison: Any) -> str:
    outside = f", {comparison.outside} runs outside its condition left out" if comparison.outside else ""
    return (
        f"{comparison.runs} runs, {comparison.values} values, largest difference {comparison.largest:.1%} "
        f"of what rounding allows{outside}"
    )


def _sizes(sizes: tuple[ReferenceSize, ...]) -> str:
    return ", ".join(f"{item.rank} = {item.size}" for item in sizes)


def rewriting_json(found: Rewriting) -> dict[str, Any]:
    """The same as one JSON document; `derived` is the cascade as a user writes it."""
    return {
        "schema": "einfuse-rewrite-1",
        "cascade": found.original.name,
        "rank": found.rank,
        "wanted": found.wanted,
        "passes_before": found.passes_before,
        "passes": found.passes,
        "reached": found.is_reached,
        "steps": [step.model_dump(mode="json") for step in found.steps],
        "refusals": [refusal.model_dump(mode="json") for refusal in found.refusals],
        "reason": found.reason,
        "reference": {item.rank: item.size for item in found.reference},
        "operations": [row.model_dump(mode="json") for row in found.operations],
        "comparison": found.comparison.model_dump(mode="json") if found.comparison else None,
        "derived": cascade_data(found.cascade),
    }


@answers
def rewrite_command(
    cascade: Annotated[str, typer.Argument(help="A shipped cascade, or the path of one.")],
    passes: Annotated[int, typer.Option(help="How many passes the derived cascade may make.")],
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write the derived cascade here.")] = None,
    rank: Annotated[str | None, typer.Option(help="The rank; the one with the most passes by default.")] = None,
    form: Annotated[str, typer.Option(help="What iteration gives: running, stepwise or partition.")] = "running",
    conditional: Annotated[
        bool, typer.Option("--conditional", help="Admit identities that fail where a divisor is zero.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document instead of text.")] = False,
) -> int:
    """Derive a cascade with fewer passes, with the identities used and a numerical check."""
    expect_writable(output=output)
    with expecting(cascade, "cascade"):
        found = rewrite_cascade(cascade, passes, rank, {"form": form, "conditional": conditional})
    if output is not None:
        write_cascade(found.cascade, output)
    print(json.dumps(rewriting_json(found), indent=2, allow_nan=False) if as_json else rewriting_text(found))
    return DONE if found.is_reached else NO
