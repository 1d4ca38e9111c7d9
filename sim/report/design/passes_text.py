"""Pass analyses as sentences and as one JSON document."""

from pathlib import Path
from typing import Any

from einsums import Cascade, ForcedPass, PassAnalysis, analyse_passes
from sim.load.problems import InputError, InputProblem


def analyses_of(cascade: Cascade, rank: str | None) -> tuple[PassAnalysis, ...]:
    """The analysis of one rank, or of every rank, batch ranks last. InputError for a rank that does not exist."""
    try:
        ranks = [rank] if rank is not None else [*(item.name for item in cascade.ranks), *cascade.batch]
        return tuple(analyse_passes(cascade, name) for name in ranks)
    except ValueError as error:
        raise InputError([InputProblem("--rank", None, "", str(error))]) from None


SCHEMA = "einfuse-passes-1"


def passes_document(cascade: Cascade, rank: str | None) -> dict[str, Any]:
    """The output of `--json`: the analysis of one rank, or `ranks` with one for each."""
    documents = [_document(analysis) for analysis in analyses_of(cascade, rank)]
    return {"schema": SCHEMA} | (documents[0] if rank is not None else {"cascade": cascade.name, "ranks": documents})


def _document(analysis: PassAnalysis) -> dict[str, Any]:
    return {
        "cascade": analysis.cascade,
        "rank": analysis.rank,
        "passes": analysis.passes,
        "pass_of_einsum": {item.einsum: item.number for item in analysis.pass_of_einsum},
        "forced_by": [
            {
                "pass": forced.number,
                "chain": list(forced.chain),
                "barrier": forced.barrier,
                "revisits": list(forced.revisits),
                "reason": forced.reason,
            }
            for forced in analysis.forced_by
        ],
        "revisited": list(analysis.revisited),
        "live_footprint": {item.tensor: item.words for item in analysis.live_footprint},
    }


def passes_text(cascade: Cascade, rank: str | None) -> str:
    """The analysis as sentences."""
    analyses = analyses_of(cascade, rank)
    if rank is not None:
        return "\n".join(_sentences(analyses[0]))
    interesting = [analysis for analysis in analyses if analysis.passes > 1]
    counts = ", ".join(f"{analysis.rank} {analysis.passes}" for analysis in analyses)
    lines = [f"{cascade.name}: passes over each rank: {counts}."]
    for analysis in interesting:
        lines += ["", *_sentences(analysis)]
    return "\n".join(lines)


def _sentences(analysis: PassAnalysis) -> list[str]:
    times = "once" if analysis.passes == 1 else f"{analysis.passes} times"
    if analysis.passes == 0:
        return [f"{analysis.cascade} has no tensor with all of rank {analysis.rank}, so nothing traverses it."]
    lines = [f"{analysis.cascade} must traverse rank {analysis.rank} {times}, whatever the mapping."]
    for number in range(1, analysis.passes + 1):
        lines += _pass_lines(analysis, number)
    lines += _footprint_lines(analysis)
    return lines


def _pass_lines(analysis: PassAnalysis, number: int) -> list[str]:
    mine = [item for item in analysis.pass_of_einsum if item.number == number]
    visiting = ", ".join(item.einsum for item in mine if item.visits)
    beside = ", ".join(item.einsum for item in mine if not item.visits)
    lines = [f"  Pass {number}: {visiting}"]
    if beside:
        lines[0] += f"; beside it, on results of it without traversing {analysis.rank}: {beside}"
    forced = next((item for item in analysis.forced_by if item.number == number), None)
    return lines + (_forced_lines(forced) if forced else [])


def _forced_lines(forced: ForcedPass) -> list[str]:
    lines = [f"    because {' -> '.join(forced.chain)}:", f"    {forced.reason}."]
    if forced.revisits:
        again = _listed(forced.revisits)
        lines.append(f"    {again} {'is' if len(forced.revisits) == 1 else 'are'} traversed again.")
    return lines


def _footprint_lines(analysis: PassAnalysis) -> list[str]:
    if analysis.revisited:
        whole = [f"{name} ({analysis.footprint_of(name)} words)" for name in analysis.revisited]
        lines = [f"  Held between passes, or fetched or made again: {_listed(whole)}."]
    elif analysis.passes > 1:
        lines = ["  No tensor is traversed in two passes: each pass has tensors of its own."]
    else:
        nothing = f"  No tensor is needed again after all of {analysis.rank} has been seen"
        lines = [f"{nothing}; everything can be fused on it."]
    others = [i for i in analysis.live_footprint if i.tensor not in analysis.revisited and i.words != "1"]
    if others:
        held = ", ".join(f"{item.tensor} {item.words}" for item in others)
        lines.append(f"  Live at once of the other tensors, in words: {held}; one word of each not named.")
    lines.append("  Footprints are for one element of every batch rank.")
    return lines


def _listed(names: tuple[str, ...] | list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def plot_passes(cascade: Cascade, rank: str | None, path: Path) -> str:
    """Draw the passes over a rank, by default the one with the most; returns it. InputError for a wrong file."""
    from sim.report.design.plots_cascade import write_plot  # loads matplotlib

    drawn = max(analyses_of(cascade, rank), key=lambda analysis: analysis.passes).rank
    try:
        write_plot(cascade, drawn, path)
    except OSError as error:
        message = f"cannot write '{path}' ({error.strerror or error})"
        raise InputError([InputProblem("--plot", None, "", message)]) from None
    except ValueError as error:
        raise InputError([InputProblem("--plot", None, "", str(error))]) from None
    return drawn
