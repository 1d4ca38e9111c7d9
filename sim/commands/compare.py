"""`einfuse compare`: predict measured cases, report the errors, draw the comparison, or fit constants."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sim.commands.answering import answers, draw, tell
from sim.commands.options import JsonForTables, refused, write_output
from sim.gpu.cases import GpuCase, load_published, load_table
from sim.gpu.compare import ComparedCase, FamilyAgreement, by_family, compare
from sim.gpu.device import GpuDevice, device_of
from sim.gpu.fit import Fit, fit
from sim.gpu.measurement import load_measurement
from sim.gpu.statistics import Agreement
from sim.load.nouns import load_architecture
from sim.report.design.simulation_table import TextTable

PUBLISHED = "published"
DEFAULT_MACHINE = "h100-sxm"
TABLE_SUFFIX = ".csv"
SCHEMA = "einfuse-compare-1"


class GpuComparison(NamedTuple):
    """The full result of a comparison."""

    source: str
    devices: tuple[GpuDevice, ...]
    compared: tuple[ComparedCase, ...]
    families: tuple[FamilyAgreement, ...]


def compare_source(source: str, machine: str | None) -> GpuComparison:
    """`published`, a table of cases in the same format, or a measurement file. A named machine replaces the default."""
    if source == PUBLISHED or source.endswith(TABLE_SUFFIX):
        cases = load_published() if source == PUBLISHED else load_table(Path(source))
        cases = tuple(_on(case, machine) for case in cases) if machine else cases
    else:
        cases = load_measurement(Path(source), machine or DEFAULT_MACHINE)
    devices = {name: load_device(name) for name in dict.fromkeys(case.machine for case in cases)}
    compared = compare(cases, devices)
    return GpuComparison(source, tuple(devices.values()), compared, by_family(compared))


def _on(case: GpuCase, machine: str) -> GpuCase:
    return replace(case, machine=machine) if case.machine == DEFAULT_MACHINE else case


def load_device(name: str) -> GpuDevice:
    """A machine that kernels can be timed on; InputError for any other."""
    machine = load_architecture(name)
    try:
        return device_of(machine)
    except ValueError as error:
        raise refused("--machine", str(error)) from None


def comparison_tables(comparison: GpuComparison) -> tuple[TextTable, ...]:
    return (family_table(comparison), row_table(comparison))


def heading(comparison: GpuComparison) -> str:
    machines = ", ".join(device.name for device in comparison.devices)
    return f"{len(comparison.compared)} cases ({comparison.source}) on {machines}; errors are of time"


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
    rows = tuple(
        (
            one.case.name + (" *" if one.case.role == "calibration" else ""),
            f"{one.case.measured_s * 1e6:,.1f}",
            f"{one.predicted_s * 1e6:,.1f}",
            f"{one.error:+.1%}",
            one.bound_by,
        )
        for one in comparison.compared
    )
    return TextTable("Cases (* calibration)", ("case", "measured us", "predicted us", "error", "bound by"), rows)


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
    """Draw the comparison; InputError for an unsupported file type or a file that cannot be written."""
    if path.suffix.lower() not in (".svg", ".png"):
        raise refused("--plot", f"a drawing is a .svg or .png file, got '{path.name}'")
    from sim.report.design.plots_compare import render_comparison  # loads matplotlib

    write_output("--plot", path, render_comparison(comparison.compared, path.suffix.lower().removeprefix(".")))
    return f"drawn: {len(comparison.compared)} cases in {path}"


def write_fit(machine: str, path: Path) -> str:
    """Fit the constants of a machine to its published calibration cases and write a machine that has them."""
    device = load_device(machine)
    try:
        found = fit(load_published(), device)
    except ValueError as error:
        raise refused("--fit", str(error)) from None
    write_output("--fit", path, fit_text(machine, path.stem, found).encode())
    return f"written: {path}, root mean square of log(predicted / measured) {found.error:.4f}"


def fit_text(base: str, name: str, found: Fit) -> str:
    """A machine file: its base with the fitted constants, to four digits."""
    constants = found.calibration
    return (
        f"name: {name}\n"
        f"base: {base}\n"
        "source: Constants fitted by `einfuse compare --fit` to the cases of role calibration in kernels/published\n"
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
    machine: Annotated[str | None, typer.Option(help="Predict for this machine in place of h100-sxm.")] = None,
    as_json: JsonForTables = False,
    plot: Annotated[Path | None, typer.Option(help="Draw predicted against measured into an .svg or .png.")] = None,
    fit: Annotated[Path | None, typer.Option(help="Fit the machine's constants; write them as a machine here.")] = None,
) -> None:
    """Predicted against measured time of GPU kernels, beside simpler models."""
    if fit is not None:
        tell(write_fit(machine or DEFAULT_MACHINE, fit))
        return
    comparison = compare_source(source, machine)
    if plot is not None:
        tell(write_plot(comparison, plot))
    if as_json:
        print(json.dumps(comparison_json(comparison), indent=2, allow_nan=False))
        return
    draw(heading(comparison), comparison_tables(comparison))
