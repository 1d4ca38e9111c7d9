"""`python -m kernels.bench`: measure the kernels on this machine's GPU and write the results.

Exit status: 0 done; 1 one of our kernels gave wrong numbers, or a file that is shown is not fit to be committed; 2 the
request cannot be run. Progress goes to stderr, the table to stdout.
"""

import argparse
import os
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from kernels.bench.cases import CaseSpec, select_cases
from kernels.bench.checks import check_measurement
from kernels.bench.harness import Outcome, Surroundings, ceilings_of, run_cases
from kernels.bench.journal import SUFFIX, Journal
from kernels.bench.machine import Checkout, has_gpu, read_checkout, read_gpu, read_interpreter
from kernels.bench.nvml import Telemetry, open_driver
from kernels.bench.report import measurement_lines, spec_lines
from kernels.bench.schema import SCHEMA, WRONG, Measurement, Run, measurement_text, name_of, read_measurement
from kernels.bench.structure import Complaint

if TYPE_CHECKING:
    from kernels.bench.workbench import Bench

DONE, WRONG_NUMBERS, NOT_FIT, CANNOT, INTERRUPTED = 0, 1, 1, 2, 130
BUDGET_S = 540.0
FOLDER = Path("out/bench")
SETTLE_S = 0.5  # of readings before the first case


class BenchOptions(NamedTuple):
    """The parsed command line."""

    specs: tuple[CaseSpec, ...]
    budget_s: float
    out: Path | None
    is_resumed: bool
    is_interpreted: bool
    is_dry: bool
    is_json: bool
    shown: Path | None
    without: tuple[str, ...]
    commit: str | None
    command: tuple[str, ...]


def parse(arguments: list[str]) -> BenchOptions:
    parser = argparse.ArgumentParser("python -m kernels.bench", description="Measure the kernels on this GPU.")
    parser.add_argument(
        "--cases",
        action="append",
        default=[],
        metavar="PATTERN",
        help="a family, or a pattern over the names of cases such as '*-d128-*'; may be repeated",
    )
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="SECONDS", help="begin no case beyond")
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help=f"the JSON file; {FOLDER}/<gpu>-<date>-<commit>.json by default"
    )
    parser.add_argument("--resume", action="store_true", help="go on where a run ended or was killed")
    parser.add_argument("--without", action="append", default=[], metavar="NAME", help="leave an implementation out")
    parser.add_argument("--json", dest="is_json", action="store_true", help="print the measurement, not the table")
    parser.add_argument("--commit", metavar="SHA", help="of a copy without its history: the commit that it is")
    parser.add_argument(
        "--list",
        "--dry-run",
        dest="is_dry",
        action="store_true",
        help="show the cases and what they need; measure nothing",
    )
    parser.add_argument(
        "--show", type=Path, metavar="FILE", help="the table of a measurement, and what speaks against it"
    )
    parser.add_argument("--interpreter", action="store_true",
                        help="try the whole run without a GPU, every problem reduced: no measurement")  # fmt: skip
    read = parser.parse_args(arguments)
    if read.budget < 0:
        raise ValueError(f"--budget: expected seconds from 0, got {read.budget:g}")
    try:
        specs = select_cases(tuple(read.cases))
    except ValueError as error:
        raise ValueError(f"--cases: {error}") from None
    return BenchOptions(
        specs, read.budget, read.out, read.resume, read.interpreter, read.is_dry, read.is_json, read.show,
        tuple(read.without), read.commit, ("python", "-m", "kernels.bench", *arguments),
    )  # fmt: skip


def main(arguments: list[str]) -> int:
    try:
        wishes = parse(arguments)
    except ValueError as error:
        return refuse(str(error))
    if wishes.shown is not None:
        return show(wishes.shown, wishes.is_json)
    if wishes.is_dry:
        print("\n".join(spec_lines(wishes.specs, wishes.budget_s)))
        return DONE
    try:
        device = open_device(wishes)
    except ValueError as error:
        return refuse(str(error))
    return measure(wishes, device, read_checkout(wishes.commit))


def show(path: Path, is_json: bool) -> int:
    """Show an existing file."""
    try:
        measurement = read_measurement(path)
    except OSError as error:
        return refuse(f"{path}: cannot be read ({error.strerror})")
    except ValueError as error:
        return refuse(str(error))
    complaints = present(measurement, path.name, is_json)
    return NOT_FIT if complaints else DONE


def present(measurement: Measurement, name: str, is_json: bool) -> tuple[Complaint, ...]:
    """Print the table or the document to stdout, and objections to committing it to stderr."""
    print(measurement_text(measurement).strip() if is_json else "\n".join(measurement_lines(measurement)))
    complaints = check_measurement(measurement, name)
    for complaint in complaints:
        tell(f"not fit for committing: {complaint.path}: {complaint.message}")
    return complaints


def refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return CANNOT


def tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


def open_device(wishes: BenchOptions) -> "Bench":
    """The device of the requested kind; ValueError if there is none."""
    if wishes.is_interpreted:  # before the first import of triton, which makes kernels for one or the other
        os.environ["TRITON_INTERPRET"] = "1"
    try:
        is_there = has_gpu()
        import triton
    except ModuleNotFoundError as error:
        raise ValueError(
            f"measuring needs {error.name}, which is not installed; --dry-run shows what would be measured"
        ) from None
    if wishes.is_interpreted and not triton.knobs.runtime.interpret:
        raise ValueError("--interpreter: kernels were already loaded for a GPU in this process")
    if not is_there and not wishes.is_interpreted:
        raise ValueError(
            "this machine has no GPU that torch can use, so there is nothing to measure; --dry-run shows what would be "
            "measured, --interpreter tries the run without one"
        )
    from kernels.bench.stopwatch import CudaStopwatch, WallClock
    from kernels.bench.workbench import Bench

    if wishes.is_interpreted:
        return Bench(read_interpreter(), WallClock(), wishes.without)
    return Bench(read_gpu(), CudaStopwatch(), wishes.without)


def measure(wishes: BenchOptions, device: "Bench", checkout: Checkout) -> int:
    """Runs, writes the file, prints the table."""
    telemetry = Telemetry(open_driver())
    started, date = time.monotonic(), datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    partial = (wishes.out or FOLDER / "run").with_suffix(SUFFIX)
    journal = Journal(partial, device.machine, checkout.commit)
    try:
        kept = journal.resume() if wishes.is_resumed else journal.start()
    except ValueError as error:
        return refuse(str(error))
    if wishes.is_resumed:
        tell(f"{partial}: {len(kept.cases)} cases are done, {len(kept.unfinished)} began without an end")
    telemetry.start()
    time.sleep(SETTLE_S if telemetry.driver is not None else 0)
    before = telemetry.between(started, time.monotonic())
    # Cases that did not end may have crashed the process, so they run after all others.
    order = tuple(sorted(wishes.specs, key=lambda spec: spec.id in kept.unfinished))
    around = Surroundings(time.monotonic, telemetry.between, tell, journal.keep, journal.begin)
    begun = time.monotonic()
    try:
        outcome = run_cases(order, kept.cases, device, wishes.budget_s - (begun - started), around)
    except RuntimeError as error:  # the device has failed, and this process cannot use it again
        return refuse(f"the run broke off ({' '.join(str(error).split())[:200]}); --resume goes on from {partial}")
    except KeyboardInterrupt:
        tell(f"interrupted; --resume goes on from {partial}")
        return INTERRUPTED
    finally:
        telemetry.stop()
    ended = time.monotonic()
    run = Run(
        date, checkout.commit, checkout.is_clean, wishes.command, wishes.budget_s, ended - started, before,
        telemetry.between(begun, ended), outcome.drift, outcome.not_run,
    )  # fmt: skip
    return finish(wishes, device, run, outcome)


def finish(wishes: BenchOptions, device: "Bench", run: Run, outcome: Outcome) -> int:
    measurement = Measurement(SCHEMA, run, device.machine, ceilings_of(outcome.cases), outcome.cases)
    path = wishes.out or FOLDER / name_of(measurement)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(measurement_text(measurement), "utf-8")
    present(measurement, name_of(measurement), wishes.is_json)
    tell(f"written: {path}")
    is_wrong = any(a.reason.startswith(WRONG) for case in measurement.cases for a in case.absent)
    return WRONG_NUMBERS if is_wrong else DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
