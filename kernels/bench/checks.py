"""Is a measurement plausible, and may it be committed? Rates stay below the machine's peaks, times rise with length.

Each rule is a function from a measurement to complaints; a file that breaks none is fit for kernels/measurements.
Standard library only.
"""

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

from kernels.bench.schema import SCHEMA, WRONG, Case, Measurement, Result, name_of
from kernels.bench.structure import Complaint

COMMIT = re.compile(r"[0-9a-f]{40}")
LENGTH = re.compile(r"-n(\d+)\b")
HBM_SLACK = 1.02  # a memory clock may slightly exceed that of the data sheet
RISE_SLACK = 0.97  # the shortest cases hardly differ, because launches dominate
MORE_WORK = 1.5
RATIO_SLACK = 1e-6
MOST_SPREAD = 0.25
MOST_DRIFT = 0.10


class Peaks(NamedTuple):
    """Dense 16-bit product rate and memory bandwidth from the data sheet."""

    name: str  # as the driver names the card
    flops_per_s: float
    hbm_bytes_per_s: float


# Sources: NVIDIA data sheets of H100 (SXM 80 GB: 989 TFLOP/s, 3.35 TB/s; PCIe: 756, 2.0), H200 (989, 4.8; its memory
# clock gives 4.917), H20 (148, 4.0) and A100 SXM 80 GB (312, 2.039). The first that fits is taken.
PEAKS = (
    Peaks("H200", 989.4e12, 4917e9),
    Peaks("H20", 148e12, 4023e9),
    Peaks("H100 PCIe", 756e12, 2039e9),
    Peaks("H100", 989.4e12, 3352e9),
    Peaks("A100", 311.9e12, 2039e9),
)


def peaks_of(name: str) -> Peaks | None:
    return next((peaks for peaks in PEAKS if peaks.name in name), None)


Finding = tuple[str, str]  # path, message


def check_machine(measurement: Measurement) -> Iterator[Finding]:
    machine = measurement.machine
    if machine.kind != "gpu":
        yield "$.machine.kind", f"measured on a '{machine.kind}', expected 'gpu': a trial is no measurement"
    elif peaks_of(machine.name) is None:
        known = ", ".join(peaks.name for peaks in PEAKS)
        yield "$.machine.name", f"no peaks are known of '{machine.name}' (known: {known})"


def check_origin(measurement: Measurement) -> Iterator[Finding]:
    run = measurement.run
    if not COMMIT.fullmatch(run.commit):
        yield "$.run.commit", f"expected a commit of 40 hexadecimal digits, got '{run.commit}'"
    if not run.is_clean:
        yield "$.run.is_clean", "the checkout held changes that no commit holds"
    if run.drift is None:
        yield "$.run.drift", "the first case was not repeated, so clocks may have drifted unseen"
    elif abs(run.drift) > MOST_DRIFT:
        yield "$.run.drift", f"the first case took {run.drift:+.1%} at the end, at most {MOST_DRIFT:.0%} is accepted"


def check_identifiers(measurement: Measurement) -> Iterator[Finding]:
    seen: set[str] = set()
    for at, case in enumerate(measurement.cases):
        if case.id in seen:
            yield f"$.cases[{at}].id", f"'{case.id}' stands twice"
        seen.add(case.id)


def check_correctness(measurement: Measurement) -> Iterator[Finding]:
    for path, _, result in iter_results(measurement):
        if not result.is_own:
            continue
        if not result.errors:
            yield f"{path}.errors", f"{result.implementation} was timed without a check of its numbers"
        for i, error in enumerate(result.errors):
            if not error.relative <= error.limit:
                yield f"{path}.errors[{i}]", f"relative error {error.relative:.3g}, at most {error.limit:.3g}"
    for at, case in enumerate(measurement.cases):
        for i, absence in enumerate(case.absent):
            if absence.reason.startswith(WRONG):
                yield f"$.cases[{at}].absent[{i}]", f"{absence.implementation} is {absence.reason}"


def check_arithmetic(measurement: Measurement) -> Iterator[Finding]:
    """Rates and ratios follow from times, operations and bytes."""
    for path, case, result in iter_results(measurement):
        seconds = result.timing.median_s
        for name, found, expected in (
            ("tflop_per_s", result.tflop_per_s, case.flops / seconds / 1e12),
            ("gb_per_s", result.gb_per_s, case.bytes / seconds / 1e9),
        ):
            if abs(found - expected) > RATIO_SLACK * expected:
                yield f"{path}.{name}", f"{found:.6g} does not follow from the time, which gives {expected:.6g}"
        for i, ratio in enumerate(result.ratios):
            baseline = case.result_of(ratio.baseline)
            if baseline is None:
                yield f"{path}.ratios[{i}]", f"the case has no result of '{ratio.baseline}'"
            elif abs(ratio.value - baseline.timing.median_s / seconds) > RATIO_SLACK * ratio.value:
                expected = baseline.timing.median_s / seconds
                yield f"{path}.ratios[{i}]", f"{ratio.value:.6g} does not follow from the times, which give {expected:.6g}"  # fmt: skip # noqa: E501


def check_spread(measurement: Measurement) -> Iterator[Finding]:
    for path, _, result in iter_results(measurement):
        if result.is_own and result.passes and result.spread > MOST_SPREAD:
            yield (
                f"{path}.passes",
                f"the passes of {result.implementation} differ by {result.spread:.0%}, at most {MOST_SPREAD:.0%} is "
                "accepted",
            )


def check_peaks(measurement: Measurement) -> Iterator[Finding]:
    """No more operations than the tensor cores can do, no more bytes than HBM can move (unless L2 may hold them)."""
    peaks = peaks_of(measurement.machine.name)
    if peaks is None:
        return
    for path, case, result in iter_results(measurement):
        flops_per_s = case.flops / result.timing.median_s
        if flops_per_s > peaks.flops_per_s:
            yield (
                f"{path}.tflop_per_s",
                f"{result.implementation} reaches {flops_per_s / 1e12:.1f} TFLOP/s, the machine's peak is "
                f"{peaks.flops_per_s / 1e12:.1f}",
            )
        bytes_per_s = case.bytes / result.timing.median_s
        may_stay = case.is_warm or case.bytes <= measurement.machine.l2_bytes
        if bytes_per_s > HBM_SLACK * peaks.hbm_bytes_per_s and not may_stay:
            yield (
                f"{path}.gb_per_s",
                f"{result.implementation} reaches {bytes_per_s / 1e9:.0f} GB/s, the machine's memory gives "
                f"{peaks.hbm_bytes_per_s / 1e9:.0f}",
            )


def check_monotony(measurement: Measurement) -> Iterator[Finding]:
    """In a series that differs only in length, a case with more work takes longer."""
    series: dict[tuple[str, str], list[tuple[int, int, float]]] = {}
    for at, case in enumerate(measurement.cases):
        length = LENGTH.search(case.id)
        if length is None:
            continue
        for result in case.results:
            key = (LENGTH.sub("", case.id), result.implementation)
            series.setdefault(key, []).append((int(length[1]), at, result.timing.median_s))
    for (_, implementation), points in series.items():
        ordered = sorted(points)
        for (shorter, earlier, before), (longer, at, after) in pairwise(ordered):
            has_more_work = measurement.cases[at].flops > MORE_WORK * measurement.cases[earlier].flops
            if has_more_work and after < RISE_SLACK * before:
                yield (
                    f"$.cases[{at}]",
                    f"{implementation} takes {after * 1e6:.1f} us at length {longer}, less than the "
                    f"{before * 1e6:.1f} us at {shorter}",
                )


def iter_results(measurement: Measurement) -> Iterator[tuple[str, Case, Result]]:
    for at, case in enumerate(measurement.cases):
        for i, result in enumerate(case.results):
            yield f"$.cases[{at}].results[{i}]", case, result


RULES: dict[str, Callable[[Measurement], Iterator[Finding]]] = {
    "machine": check_machine,
    "origin": check_origin,
    "identifiers": check_identifiers,
    "correctness": check_correctness,
    "arithmetic": check_arithmetic,
    "spread": check_spread,
    "peaks": check_peaks,
    "monotony": check_monotony,
}


def check_measurement(measurement: Measurement, file: str) -> tuple[Complaint, ...]:
    """All objections to committing a file under this name."""
    found = [Complaint(file, path, message) for rule in RULES.values() for path, message in rule(measurement)]
    expected = name_of(measurement)
    if file.rpartition("/")[2] != expected:
        found.append(Complaint(file, "$", f"expected the name '{expected}'"))
    assert measurement.schema == SCHEMA
    return tuple(found)
