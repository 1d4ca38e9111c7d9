"""A verification as text: what was run, a table for each precision and reference, and the verdict in sentences."""

from sim.functional.compare import TensorComparison
from sim.functional.comparisons import VerifiedDesign
from sim.functional.exponential import polynomial_error
from sim.functional.precision import PRECISIONS
from sim.functional.verification import Verification
from sim.report.design.simulation_table import TextTable

MOST_FAILURES = 6


def verification_heading(found: Verification) -> str:
    """What was run, at which sizes, how."""
    design = found.design
    lines = [f"{design.name}: {design.title}"]
    lines += [f"  sizes        {sizes_text(design)}"]
    exponential = exponential_text(design)
    lines += [f"  exponential  {exponential}"] if exponential else []
    inputs = dict.fromkeys(row.subject.inputs for _, rows in found.comparisons for row in rows)
    drawn = f" (seed {found.options.seed})" if found.options.inputs is None else ""
    lines += [f"  inputs       {', '.join(inputs)}{drawn}"]
    lines += [f"  precision    {'; '.join(precision_text(name) for name, _ in found.comparisons)}"]
    if found.options.backend != "numpy":
        nothing = f"no operator of the kernels computes '{design.cascade.name}'"
        lines += [f"  operators    {nothing if found.one_by_one else found.backend}"]
        lines += [f"  Einsums      each by itself by {found.backend}"] if found.one_by_one else []
    return "\n".join(lines)


def sizes_text(design: VerifiedDesign) -> str:
    """The sizes that were run, with the given sizes of shortened ranks: `B 1 of 64, E 64`."""
    given = dict(design.given)
    parts = [
        f"{rank} {size}" + (f" of {given[rank]:,}" if given.get(rank, size) != size else "")
        for rank, size in design.sizes.items()
    ]
    return ", ".join(parts)


def exponential_text(design: VerifiedDesign) -> str:
    """How each array that runs one computes its exponential."""
    by_kind: dict[int, list[str]] = {}
    for array, exponential in design.exponentials.items():
        by_kind.setdefault(exponential.multiply_adds, []).append(array)
    parts = []
    for count, arrays in by_kind.items():
        where = ", ".join(arrays)
        if count:
            error = polynomial_error(count - 1)
            parts.append(f"{count} multiply-adds: 2^r to degree {count - 1}, off by at most {error:.2g} ({where})")
        else:
            parts.append(f"exact ({where})")
    return "; ".join(parts)


def precision_text(name: str) -> str:
    """`bf16 (words; sums and running values in fp32)`."""
    precision = PRECISIONS[name]
    if not precision.is_narrow:
        return name
    return f"{name} ({'running values too; sums' if precision.rounds_running else 'sums and running values'} in fp32)"


def verification_tables(found: Verification) -> tuple[TextTable, ...]:
    """For each precision, implementation and reference: every tensor on the inputs with its largest error."""
    tables = []
    for precision, rows in found.comparisons:
        kinds = dict.fromkeys((row.subject.made_by, row.subject.against) for row in rows)
        for made_by, against in kinds:
            chosen = [row for row in rows if (row.subject.made_by, row.subject.against) == (made_by, against)]
            title = f"{precision}: {made_by} against {against}"
            tables.append(TextTable(title, HEADER, tuple(map(_cells, worst_by_tensor(chosen)))))
    return tuple(tables)


HEADER = ("tensor", "worst on", "error", "bound", "largest", "of bound", "worst element", "found", "expected")


def is_unbounded(row: TensorComparison) -> bool:
    """Whether most of a tensor has no finite bound."""
    return row.unbounded > row.elements / 2


def worst_by_tensor(rows: list[TensorComparison]) -> list[TensorComparison]:
    """For each tensor the comparison with the largest error or, beyond the bound, the largest ratio to it."""

    def badness(row: TensorComparison) -> tuple[bool, float, float]:
        return (not row.passes, 0.0 if row.passes else row.share_of_bound, row.relative_error)

    worst: dict[str, TensorComparison] = {}
    for row in rows:
        name = row.subject.tensor
        worst[name] = max(worst.get(name, row), row, key=badness)
    return list(worst.values())


def _cells(row: TensorComparison) -> tuple[str, ...]:
    return (
        row.subject.tensor,
        row.subject.inputs,
        f"{row.relative_error:.2g}",
        "none" if is_unbounded(row) else f"{row.relative_bound:.2g}",
        f"{row.largest_error:.2g}",
        f"{row.share_of_bound:.1%}",
        row.place,
        f"{row.found:.6g}",
        f"{row.expected:.6g}",
    )


def verdict(found: Verification) -> str:
    """Pass or fail, in sentences, including what cannot be judged."""
    rows = [(precision, row) for precision, of in found.comparisons for row in of]
    lines = []
    if found.passes:
        precision, worst = max(rows, key=lambda item: item[1].share_of_bound)
        share = f"the largest share of a bound is {worst.share_of_bound:.1%} ({worst.subject.tensor} in {precision})"
        lines.append(f"pass: {len(rows):,} comparisons, {share}")
    else:
        failures = found.failures
        lines += [f"FAIL: {len(failures)} of {len(rows)} comparisons are beyond their bound"] if failures else []
        lines += [
            f"FAIL: {name} is 0 or does not exist on all inputs, which shows nothing" for name in found.empty_outputs
        ]
        first: dict[tuple[str, str], str] = {}
        for row in failures:
            precision = next(name for name, of in found.comparisons if row in of)
            first.setdefault((row.subject.tensor, row.subject.against), f"  {precision}: {row}")
        lines += list(first.values())[:MOST_FAILURES]
        lines += [f"  and {len(first) - MOST_FAILURES} more tensors"] if len(first) > MOST_FAILURES else []
    lines += [f"no bound: {text}" for text in _unbounded(found)]
    return "\n".join(lines)


def _unbounded(found: Verification) -> list[str]:
    """Outputs most of whose elements have no finite bound, because an intermediate value may overflow or vanish."""
    said: dict[tuple[str, str], list[str]] = {}
    for precision, rows in found.comparisons:
        for row in rows:
            if row.subject.is_output and is_unbounded(row):
                inputs = said.setdefault((precision, row.subject.tensor), [])
                inputs += [row.subject.inputs] if row.subject.inputs not in inputs else []
    return [
        f"{tensor} in {precision} on {', '.join(inputs)} inputs (rounding alone may change them by any amount)"
        for (precision, tensor), inputs in said.items()
    ]
