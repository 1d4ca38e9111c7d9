"""`einfuse compare`: predict measured cases, report the errors, draw the comparison, or fit constants."""

import json
import os
from pathlib import Path
from typing import Annotated, Any

import typer

from sim.commands.answering import answers, at_work, draw, tell
from sim.commands.options import JsonForTables, expect_writable, expecting, refused, write_output
from sim.gpu.comparison import PUBLISHED, GpuComparison, cases_to_fit, compare_source
from sim.gpu.fit import Fit, fit
from sim.gpu.statistics import Agreement
from sim.load.nouns import CATALOGS
from sim.report.design.simulation_table import TextTable

SCHEMA = "einfuse-compare-1"


def comparison_tables(comparison: GpuComparison) -> tuple[TextTable, ...]:
    """By family where anything was measured on the machine that it is predicted for, and by case."""
    rows = row_table(comparison)
    return (family_table(comparison), rows) if comparison.families else (rows,)


def heading(comparison: GpuComparison) -> str:
    machines = ", ".join(device.name for device in comparison.devices)
    cases = f"{len(comparison.compared)} cases ({comparison.source})"
    elsewhere = [one for one in comparison.compared if not one.is_measured_on]
    if not elsewhere:
        return f"{cases} on {machines}; errors are of time"
    others = ", ".join(dict.fromkeys(one.case.machine for one in elsewhere))
    count = len(elsewhere) if comparison.measured else "all"
    return f"{cases} predicted for {machines}; {count} of them measured on {others}, so without an error"


def family_table(comparison: GpuComparison) -> TextTable:
    """Mean and largest error of ours, correlations, and the mean error of each baseline."""
    names = [name for name, _ in comparison.families[0].baselines]
    rows = [
        (
            f"{one.family}, {one.role}",
            str(one.ours.cases),
            _percent(one.ours.mean_error),
            _percent(one.ours.max_error),
            _two(one.ours.pearson),
            _two(one.ours.kendall),
            *(f"{_percent(found.mean_error)} / {_percent(found.max_error)}" for _, found in one.baselines),
        )
        for one in comparison.families
    ]
    header = ("family", "cases", "mean", "max", "Pearson", "Kendall", *names)
    return TextTable("Error by family (baselines: mean / max)", header, tuple(rows))


def row_table(comparison: GpuComparison) -> TextTable:
    """Every case. Which machine was measured stands beside it where some were measured on another than predicted."""
    is_mixed, has_errors = len(comparison.measured) < len(comparison.compared), bool(comparison.measured)
    rows = tuple(
        (
            one.case.name + (" *" if one.case.role == "calibration" else ""),
            *((one.case.machine,) if is_mixed else ()),
            f"{one.case.measured_s * 1e6:,.1f}",
            f"{one.predicted_s * 1e6:,.1f}",
            *(("" if one.error is None else f"{one.error:+.1%}",) if has_errors else ()),
            one.bound_by,
        )
        for one in comparison.compared
    )
    header = (
        "case",
        *(("measured on",) if is_mixed else ()),
        "measured us",
        "predicted us",
        *(("error",) if has_errors else ()),
        "bound by",
    )
    return TextTable("Cases (* calibration)", header, rows)


def _percent(share: float) -> str:
    return f"{share:.1%}"


def _two(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


def comparison_json(comparison: GpuComparison) -> dict[str, Any]:
    """The same as one document; keys are stable."""
    return {
        "schema": SCHEMA,
        "source": comparison.source,
        "machines": [
            {"name": device.name, "calibration": device.calibration.model_dump()} for device in comparison.devices
        ],
        "families": [
            {
                "family": one.family,
                "role": one.role,
                **_agreement_json(one.ours),
                "baselines": {name: _agreement_json(found) for name, found in one.baselines},
            }
            for one in comparison.families
        ],
        "cases": [
            {
                "case": one.case.name,
                "family": one.case.family,
                "role": one.case.role,
                "machine": one.case.machine,
                "predicted_for": one.device.name,
                "implementation": one.case.implementation,
                "measured_s": one.case.measured_s,
                "predicted_s": one.predicted_s,
                "error": one.error,
                "bound_by": one.bound_by,
                "baselines_s": dict(one.baseline_s),
                "source": one.case.source,
            }
            for one in comparison.compared
        ],
    }


def _agreement_json(found: Agreement) -> dict[str, Any]:
    return found._asdict()


def write_plot(comparison: GpuComparison, path: Path) -> str:
    """Draw the cases that were measured on the machine predicted for; InputError for another file type, or no such
    case."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise refused("--plot", f"a drawing is a .svg or .png file, got '{path.name}'")
    if not comparison.measured:
        machines = ", ".join(device.name for device in comparison.devices)
        raise refused("--plot", f"nothing was measured on {machines}, so there is nothing to draw predictions against")
    from sim.report.design.plots_compare import render_comparison  # loads matplotlib

    write_output("--plot", path, render_comparison(comparison.measured, path.suffix.lower().removeprefix(".")))
    return f"drawn: {len(comparison.measured)} cases in {path}"


def write_fit(source: str, machine: str | None, path: Path) -> str:
    """Fit the constants of a machine to the cases of a source and write a machine that has them."""
    chosen = cases_to_fit(source, machine)
    try:
        found = fit(chosen.cases, chosen.device)
    except ValueError as error:
        raise refused("--fit", str(error)) from None
    write_output("--fit", path, fit_text(_base(chosen.machine, path), path.stem, source, found).encode())
    of = f"{len(chosen.cases)} cases"
    return f"written: {path}, root mean square of log(predicted / measured) {found.error:.4f} over {of}"


def _base(machine: str, path: Path) -> str:
    """A shipped name as it is; a path as one from the folder of the file that is written."""
    if machine in CATALOGS["architecture"].names():
        return machine
    return Path(os.path.relpath(Path(machine).expanduser(), path.parent)).as_posix()


def fit_text(base: str, name: str, source: str, found: Fit) -> str:
    """A machine file: its base with the fitted constants, to four digits."""
    constants = found.calibration
    cases = "the cases of role calibration in kernels/published" if source == PUBLISHED else Path(source).name
    return (
        f"name: {json.dumps(name)}\n"
        f"base: {json.dumps(base)}\n"
        f"source: {json.dumps(f'Constants fitted by `einfuse compare --fit` to {cases}')}\n"
        "set:\n"
        f"  calibration.tensor_rate: {constants.tensor_rate:.4g}\n"
        f"  calibration.synchronous_rate: {constants.synchronous_rate:.4g}\n"
        f"  calibration.step_latency: {constants.step_latency_cycles:.4g}\n"
        f"  calibration.tile_latency: {constants.tile_latency_s * 1e9:.4g} ns\n"
        f"  calibration.memory_rate: {constants.memory_rate:.4g}\n"
    )


@answers
def compare_command(
    source: Annotated[
        str, typer.Argument(metavar="FILE", help="A measurement (.json), cases (.csv), or 'published'.")
    ] = "published",
    machine: Annotated[str | None, typer.Option(help="Predict for this machine, not the measured one.")] = None,
    as_json: JsonForTables = False,
    plot: Annotated[Path | None, typer.Option(help="Draw predicted against measured into an .svg or .png.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Fit the machine's constants to FILE; write a machine.")] = None,
) -> None:
    """Predicted against measured time of GPU kernels, beside simpler models."""
    expect_writable(fit=fit, plot=plot)
    with expecting(source, "measurement", "table of cases"), expecting(machine, "architecture"):
        if fit is not None:
            with at_work("fitting constants"):
                written = write_fit(source, machine, fit)
            tell(written)
            return
        with at_work("planning kernels"):
            comparison = compare_source(source, machine)
    if plot is not None:
        tell(write_plot(comparison, plot))
    if as_json:
        print(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
        return
    draw(heading(comparison), comparison_tables(comparison))
