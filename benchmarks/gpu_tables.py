"""The tables of docs/gpu.md: published kernels against ours, case by case and by family. Prints Markdown.

Run it after a change of the model or of its constants and paste its output over the old tables; a test compares them.
"""

from collections.abc import Iterator
from dataclasses import replace

from sim.gpu.compare import ComparedCase
from sim.gpu.comparison import PUBLISHED, GpuComparison, compare_source
from sim.gpu.fit import FITTED, scaled
from sim.gpu.predict import predict, total_s

WITHOUT_LENGTHS = ("attention_decode", "gemm", "stream_copy")
LENGTHS = ("512", "1k", "2k", "4k", "8k", "16k")


def family_rows(comparison: GpuComparison) -> Iterator[str]:
    """Mean and largest error of time: ours, then each baseline's."""
    names = [name for name, _ in comparison.families[0].baselines]
    yield "| family | cases | mean | max | Pearson | Kendall | " + " | ".join(names) + " |"
    yield "| --- | " + " | ".join(["---:"] * (5 + len(names))) + " |"
    for one in comparison.families:
        numbers = [f"{one.ours.mean_error:.1%}", f"{one.ours.max_error:.1%}"]
        numbers += ["" if x is None else f"{x:.3f}" for x in (one.ours.pearson, one.ours.kendall)]
        numbers += [f"{found.mean_error:.0%} / {found.max_error:.0%}" for _, found in one.baselines]
        yield f"| {one.family}, {one.role} | {one.ours.cases} | " + " | ".join(numbers) + " |"


def case_rows(comparison: GpuComparison) -> Iterator[str]:
    """A line for every kernel and shape, a column for every length: published / ours, and the error of time."""
    yield "| source / kernel / shape | " + " | ".join(LENGTHS) + " |"
    yield "| --- | " + " | ".join(["---:"] * len(LENGTHS)) + " |"
    lines: dict[str, dict[str, str]] = {}
    for one in comparison.compared:
        if one.case.family not in WITHOUT_LENGTHS:
            line, _, length = one.case.name.rpartition("-")
            lines.setdefault(line, {})[length] = cell(one)
    for line, cells in lines.items():
        yield f"| {line} | " + " | ".join(cells.get(length, "") for length in LENGTHS) + " |"


def cell(one: ComparedCase) -> str:
    """TFLOP/s as published and as predicted; calibration cases in italics."""
    published, ours = (one.case.useful_flops / time / 1e12 for time in (one.case.measured_s, one.predicted_s))
    text = f"{published:.0f} / {ours:.0f} ({one.error:+.0%})"
    return f"*{text}*" if one.case.role == "calibration" else text


def other_rows(comparison: GpuComparison) -> Iterator[str]:
    """What is no attention of many queries."""
    yield "| case | measured us | predicted us | error |"
    yield "| --- | ---: | ---: | ---: |"
    for one in comparison.compared:
        if one.case.family in WITHOUT_LENGTHS:
            mark = "*" if one.case.role == "calibration" else ""
            times = f"{one.case.measured_s * 1e6:.1f} | {one.predicted_s * 1e6:.1f}"
            yield f"| {mark}{one.case.name}{mark} | {times} | {one.error:+.1%} |"


def sensitivity_rows(comparison: GpuComparison) -> Iterator[str]:
    """Mean error of held-out attention forward when one constant is a fifth smaller or a quarter larger."""
    cases = [
        one.case for one in comparison.compared if (one.case.family, one.case.role) == ("attention_fwd", "held-out")
    ]
    devices = {device.name: device for device in comparison.devices}
    yield "| constant | value | x 0.8 | x 1.25 |"
    yield "| --- | ---: | ---: | ---: |"
    for i, name in enumerate(FITTED):
        errors = []
        for factor in (0.8, 1.25):
            factors = [factor if j == i else 1.0 for j in range(len(FITTED))]
            moved = {
                key: replace(device, calibration=scaled(device.calibration, factors)) for key, device in devices.items()
            }
            wrong = [abs(total_s(predict(case, moved[case.machine])) / case.measured_s - 1) for case in cases]
            errors.append(f"{sum(wrong) / len(wrong):.1%}")
        value = getattr(comparison.devices[0].calibration, name)
        yield f"| {name} | {value:.4g} | " + " | ".join(errors) + " |"


def tables(comparison: GpuComparison) -> tuple[str, ...]:
    return tuple("\n".join(rows(comparison)) for rows in (family_rows, other_rows, case_rows, sensitivity_rows))


if __name__ == "__main__":
    print("\n\n".join(tables(compare_source(PUBLISHED, None))))
