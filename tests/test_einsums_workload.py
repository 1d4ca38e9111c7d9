"""Counts against enumeration of every point, and the refusals of sizes."""

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from einsums import (
    Cascade,
    OperationCount,
    Workload,
    compulsory_traffic_words,
    intensity,
    operation_counts,
    points,
    tensor_words,
)
from einsums.workload import count_coordinates

CATALOG = Path(__file__).parent.parent / "einsums" / "catalog"
# Cascades whose points all exist; those of the others are counted in test_existence.py.
NAMES = sorted(
    path.stem
    for path in CATALOG.glob("*.yaml")
    if Cascade.model_validate(yaml.safe_load(path.read_text("utf-8"))).existence.is_plain
)
SIZES = {
    "N": 3,
    "V": 11,
    "V0": 4,
    "B": 2,
    "H": 3,
    "E": 2,
    "F": 3,
    "M": 7,
    "P": 2,
    "M0": 3,
    "K": 5,
    "T": 3,
    "D": 4,
    "A": 2,
    "S": 5,
}
THREE_LEVELS: dict[str, Any] = {
    "name": "levels",
    "ranks": {"M": "", "P": ""},
    "partition": {"M": ["M2", "M1", "M0"]},
    "inputs": {"A": ["M", "P"]},
    "outputs": ["Y"],
    "einsums": "X[m2,m1,p] = A[m2*M1*M0+m1*M0+m0, p]; Y[p] = X[m2,m1,p]",
}


def shipped(name: str) -> Cascade:
    return Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))


def workload_of(cascade: Cascade, sizes: dict[str, int] | None = None, bits: int = 16) -> Workload:
    known = SIZES | (sizes or {})
    needed = [*cascade.scope.roots, *(part for partition in cascade.partitions for part in partition.inner)]
    chosen = {rank: known.get(rank, 3) for rank in needed if rank not in cascade.scope.first_name}
    return Workload.model_validate({"cascade": cascade, "sizes": chosen, "bits": bits})


def enumerated(workload: Workload, variables: tuple[str, ...]) -> int:
    """Points counted one by one: a point exists if some whole coordinate has these digits."""
    cascade = workload.cascade
    ranks = [cascade.rank_of_variable(name) for name in variables]
    free = [rank for rank in ranks if cascade.root_of(rank) == rank]
    count = 1
    for rank in free:
        count *= workload.size(rank)
    for partition in cascade.partitions:
        chosen = [part for part in partition.parts if part in ranks]
        seen = set()
        for coordinate in range(workload.size(partition.rank)):
            digits = {}
            rest = coordinate
            for part in reversed(partition.parts):
                rest, digits[part] = divmod(rest, workload.size(part))
            seen.add(tuple(digits[part] for part in chosen))
        count *= len(seen)
    return count


@pytest.mark.parametrize("tile", [1, 2, 3, 7, 9])
@pytest.mark.parametrize("name", NAMES)
def test_points_and_operations_equal_enumeration(name: str, tile: int) -> None:
    cascade = shipped(name)
    workload = workload_of(cascade, {"M0": tile})
    expected = []
    for einsum in cascade.einsums:
        size = enumerated(workload, cascade.variables_of(einsum.name))
        assert points(workload, einsum.name) == size
        operators = list(einsum.map_operators)
        if einsum.reduction:
            operators.append(einsum.reduction.operator)
        for operator in dict.fromkeys(operators):
            expected.append(OperationCount(einsum.name, operator, size * operators.count(operator)))
    assert operation_counts(workload) == tuple(expected)


@settings(derandomize=True, deadline=None, max_examples=150)
@given(
    whole=st.integers(1, 40),
    middle=st.integers(1, 4),
    inner=st.integers(1, 5),
    chosen=st.sets(st.sampled_from(("M2", "M1", "M0", "P"))),
)
def test_ragged_partitions_of_three_levels(whole: int, middle: int, inner: int, chosen: set[str]) -> None:
    cascade = Cascade.model_validate(THREE_LEVELS)
    sizes = {"M": whole, "M1": middle, "M0": inner, "P": 3}
    workload = Workload.model_validate({"cascade": cascade, "sizes": sizes, "bits": 8})
    assert workload.size("M2") == -(-whole // (middle * inner))
    variables = tuple(rank.lower() for rank in chosen)
    assert count_coordinates(workload, tuple(chosen)) == enumerated(workload, variables)


def test_strides() -> None:
    sizes = {"M": 23, "M1": 3, "M0": 4, "P": 1}
    workload = Workload.model_validate({"cascade": THREE_LEVELS, "sizes": sizes, "bits": 8})
    assert [workload.stride(rank) for rank in ("M2", "M1", "M0", "M", "P")] == [12, 4, 1, 1, 1]


def test_operations_of_attention_by_closed_form() -> None:
    """3 passes: per head PM(E+F) multiply-accumulates, PM of max, sub, exp and divide, PM + adds of the denominator."""
    workload = workload_of(shipped("attention-3pass"), {"M": 1 << 20, "P": 1 << 20, "E": 64, "F": 64, "B": 64, "H": 12})
    heads, square = 64 * 12, 1 << 40
    totals: dict[str, int] = {}
    for row in operation_counts(workload):
        totals[row.operator] = totals.get(row.operator, 0) + row.count
    assert totals == {
        "mul": heads * square * 128,
        "add": heads * square * 129,
        "max": heads * square,
        "sub": heads * square,
        "exp": heads * square,
        "div": heads * square,
    }


def test_words_traffic_and_intensity() -> None:
    workload = workload_of(shipped("attention-1pass"))
    batch, e, f, m, p = 6, 2, 3, 7, 2
    assert tensor_words(workload, "K") == batch * e * m
    assert tensor_words(workload, "QK") == batch * m * p
    assert tensor_words(workload, "RM") == batch * 4 * p  # coordinates 0..3 of three tiles
    assert compulsory_traffic_words(workload) == batch * (e * p + e * m + f * m + f * p)
    operations = sum(row.count for row in operation_counts(workload))
    assert intensity(workload) == pytest.approx(operations / (2 * compulsory_traffic_words(workload)))


def test_unbatched_weights_are_counted_once() -> None:
    workload = workload_of(shipped("encoder-layer"))
    assert tensor_words(workload, "WQ") == 3 * 2 * 4
    assert tensor_words(workload, "X") == 2 * 4 * 2


# --- refusals ---------------------------------------------------------------------------------------------------------
def refused(sizes: dict[str, Any], cascade: dict[str, Any] | Cascade | None = None, bits: Any = 16) -> list[str]:
    chosen = cascade if cascade is not None else shipped("attention-1pass")
    with pytest.raises(ValidationError) as caught:
        Workload.model_validate({"cascade": chosen, "sizes": sizes, "bits": bits})
    return [str(item["ctx"]["error"]) for item in caught.value.errors()]


GOOD = {"B": 1, "H": 1, "E": 2, "F": 2, "M": 8, "P": 2, "M0": 3}


def test_sizes_that_do_not_fit_are_refused() -> None:
    assert refused({key: size for key, size in GOOD.items() if key not in "EP"}) == [
        "attention-1pass needs the size of E, P"
    ]
    assert refused({key: size for key, size in GOOD.items() if key != "M0"}) == ["attention-1pass needs the size of M0"]
    unknown = "size of unknown rank 'N' (known: B, H, E, F, M, P, M0)"
    assert refused(GOOD | {"N": 3}) == [unknown]
    assert refused(GOOD | {"M1": 4}) == ["M1 must be ceil(M / (M0)) = 3, found 4"]
    Workload.model_validate({"cascade": shipped("attention-1pass"), "sizes": GOOD | {"M1": 3}, "bits": 16})


@pytest.mark.parametrize("size", [0, -1, 2.5, 4.0, "8", True])
def test_sizes_are_positive_integers(size: Any) -> None:
    assert refused(GOOD | {"E": size}) == [f"the size of E must be an integer of at least 1, found {size!r}"]


def test_bits_are_a_positive_integer() -> None:
    assert refused(GOOD, bits=0) == ["bits must be an integer of at least 1, found 0"]


def test_affine_indices_must_stay_inside() -> None:
    convolution = {
        "name": "convolution",
        "ranks": {"W": "", "H": "", "R": ""},
        "inputs": {"X": ["W"], "F": ["R"]},
        "outputs": ["Y"],
        "einsums": "Y[h] = X[2*h+r] * F[r]",
    }
    sizes = {"W": 8, "H": 3, "R": 3}
    workload = Workload.model_validate({"cascade": convolution, "sizes": sizes, "bits": 8})
    assert points(workload, "Y") == 9
    assert refused(sizes | {"H": 4}, convolution) == ["Y: X[2*h+r] reads coordinates 0 to 8 of W, which has 0 to 7"]
