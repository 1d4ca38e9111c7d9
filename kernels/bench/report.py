"""Measurements as text: the list of cases, the table of a run, and the targets.

Targets are primarily ratios to other implementations in the same run, because hosts differ in speed by a quarter.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from kernels.bench.cases import CaseSpec
from kernels.bench.schema import Case, Measurement

GIB = 1 << 30
LARGE_CACHE_BYTES = 256 << 20
LONG = 4096


class Aim(NamedTuple):
    """A quantity of the cases that it applies to, which must be at least `least`."""

    text: str
    least: float
    applies: Callable[[Case], bool]
    value: Callable[[Case], float | None]


def speedup(case: Case, baselines: tuple[str, ...]) -> float | None:
    """Speed of our fastest relative to the fastest of these."""
    best = case.best_own
    times = [result.timing.median_s for name in baselines if (result := case.result_of(name)) is not None]
    return min(times) / best.timing.median_s if best is not None and times else None


def over(*baselines: str) -> Callable[[Case], float | None]:
    return lambda case: speedup(case, baselines)


def own_rate(amount: str, unit: float) -> Callable[[Case], float | None]:
    def rate(case: Case) -> float | None:
        best = case.best_own
        return getattr(case, amount) / best.timing.median_s / unit if best is not None else None

    return rate


def is_forward(mask: str) -> Callable[[Case], bool]:
    """Head size 128, one length of at least LONG, and as many key-value heads as query heads."""

    def applies(case: Case) -> bool:
        name, _, length = case.id.rpartition("-n")
        return name == f"attention_fwd-d128-{mask}" and int(length) >= LONG

    return applies


BACKENDS = ("sdpa-flash", "sdpa-cudnn", "sdpa-efficient")

AIMS = (
    Aim("forward, full, over FlashAttention-2", 1.2, is_forward("full"), over("sdpa-flash")),
    Aim("forward, causal, over FlashAttention-2", 1.1, is_forward("causal"), over("sdpa-flash")),
    Aim("forward, full, over torch's best backend", 0.75, is_forward("full"), over(*BACKENDS)),
    Aim("forward, causal, over torch's best backend", 0.7, is_forward("causal"), over(*BACKENDS)),
    Aim("forward, full, length 16384, TFLOP/s", 480, lambda case: case.id == "attention_fwd-d128-full-n16384",
        own_rate("flops", 1e12)),
    Aim("decode, caches from 256 MiB, TB/s", 2.7, lambda case: case.family == "decode"
        and case.bytes >= LARGE_CACHE_BYTES, own_rate("bytes", 1e12)),
    Aim("backward, head size 128, over FlashAttention-2", 1.0,
        lambda case: case.family == "attention_bwd" and "-d128-" in case.id, over("sdpa-flash")),
    Aim("products over cuBLAS", 0.9, lambda case: case.id.startswith(("gemm-", "ceilings-gemm")), over("cublas")),
    Aim("copy over torch's", 0.95, lambda case: case.id == "ceilings-copy", over("torch-copy")),
    Aim("linear attention over flash-linear-attention", 0.9, lambda case: case.family == "linear", over("fla")),
)  # fmt: skip


def aim_lines(cases: tuple[Case, ...]) -> Iterator[str]:
    """For each target the worst case that it applies to; targets without a case are left out."""
    for aim in AIMS:
        found = [(value, case.id) for case in cases if aim.applies(case) and (value := aim.value(case)) is not None]
        if found:
            worst, identifier = min(found)
            verdict = "reached" if worst >= aim.least else "missed"
            yield f"{verdict:8} {aim.text}: {worst:.2f} at worst ({identifier}), aim {aim.least:g}, {len(found)} cases"


def rows_of(case: Case) -> tuple[str, ...]:
    """Case, our fastest, time, rates, spread, and its speed over each other implementation."""
    best = case.best_own
    if best is None:
        reasons = [f"{absence.implementation}: {absence.reason}" for absence in case.absent]
        return (case.id, "-", "", "", "", "", "; ".join(reasons))
    ratios = " ".join(f"{ratio.baseline} {ratio.value:.2f}x" for ratio in best.ratios)
    timing = best.timing
    return (
        case.id,
        best.implementation,
        f"{timing.median_s * 1e6:.1f}",
        f"{best.tflop_per_s:.1f}",
        f"{best.gb_per_s:.0f}",
        f"{best.spread:.1%}" if best.passes else "",
        ratios,
    )


HEADER = ("case", "ours", "us", "TFLOP/s", "GB/s", "spread", "faster than")


def aligned(rows: Iterable[tuple[str, ...]]) -> list[str]:
    """Columns side by side: texts to the left, the numbers between them to the right."""
    listed = list(rows)
    widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
    is_text = {0, 1, len(widths) - 1}
    return [
        "  ".join(
            cell.ljust(width) if i in is_text else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in listed
    ]


def measurement_lines(measurement: Measurement) -> list[str]:
    """The table of a run, short enough to read at its end."""
    machine, run = measurement.machine, measurement.run
    lines = [
        f"{machine.name} ({machine.kind}), driver {machine.driver}, CUDA {machine.cuda}, torch {machine.torch}, "
        f"triton {machine.triton}; commit {run.commit[:7]}{'' if run.is_clean else ' with changes'}"
    ]
    if measurement.cases:
        lines += ["", *aligned([HEADER, *map(rows_of, measurement.cases)]), ""]
    if machine.kind == "gpu":
        lines += aim_lines(measurement.cases)
    drift = "not measured" if run.drift is None else f"{run.drift:+.2%}"
    lines.append(
        f"{len(measurement.cases)} cases in {run.duration_s:.0f} s, {len(run.not_run)} not reached, drift {drift}"
    )
    return lines


def spec_lines(specs: tuple[CaseSpec, ...], budget_s: float) -> list[str]:
    """What would be measured: operations, minimum bytes, and the memory that inputs and outputs take."""
    rows = [("case", "family", "GFLOP", "MB", "")]
    rows += [(spec.id, spec.family, f"{spec.flops / 1e9:.4g}", f"{spec.bytes / 1e6:.4g}", "") for spec in specs]
    largest = max((spec.bytes for spec in specs), default=0)
    return [
        *aligned(rows),
        "",
        f"{len(specs)} cases, at most {largest / GIB:.1f} GiB of inputs and outputs, "
        f"within {budget_s:.0f} s; what does not fit in time is named in the result",
    ]
