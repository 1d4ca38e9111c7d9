"""Comparison of one tensor with another, element by element, against an allowed error."""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


class Subject(NamedTuple):
    """The subject of a comparison: a tensor of a cascade, the inputs, who computed it, and the reference."""

    tensor: str
    ranks: tuple[str, ...]
    is_output: bool
    inputs: str
    made_by: str
    against: str


@dataclass(frozen=True, slots=True)
class TensorComparison:
    """The error of a tensor. The worst element has the largest error or, beyond the bound, the largest error relative
    to it.

    `relative_error` and `relative_bound` are Frobenius norms over that of the expected tensor. Elements that the
    expected tensor leaves undefined (NaN) are not compared; `unbounded` are those whose bound is infinite, because a
    word may overflow on the way, or a divisor may be anything.
    """

    subject: Subject
    elements: int
    undefined: int
    unbounded: int
    relative_error: float
    relative_bound: float
    largest_error: float
    share_of_bound: float
    worst: tuple[int, ...]
    found: float
    expected: float
    allowed: float
    is_empty: bool = False  # every expected element is 0 or does not exist: no error could show

    @property
    def passes(self) -> bool:
        return self.share_of_bound <= 1

    @property
    def place(self) -> str:
        """The worst element in readable form: AV[b=0, h=0, f=3, p=17]."""
        coordinates = zip(self.subject.ranks, self.worst, strict=True)
        return f"{self.subject.tensor}[{', '.join(f'{rank.lower()}={n}' for rank, n in coordinates)}]"

    def __str__(self) -> str:
        verdict = "within" if self.passes else "beyond"
        return (
            f"{self.subject.made_by} on {self.subject.inputs} inputs: {self.place} is {self.found:.9g}, "
            f"{self.subject.against} has {self.expected:.9g}: {abs(self.found - self.expected):.3g} off, "
            f"{verdict} the bound of {self.allowed:.3g}"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data; numbers that JSON cannot represent become text."""
        return {
            "tensor": self.subject.tensor,
            "is_output": self.subject.is_output,
            "inputs": self.subject.inputs,
            "made_by": self.subject.made_by,
            "against": self.subject.against,
            "elements": self.elements,
            "undefined": self.undefined,
            "unbounded": self.unbounded,
            "relative_error": plain(self.relative_error),
            "relative_bound": plain(self.relative_bound),
            "largest_error": plain(self.largest_error),
            "share_of_bound": plain(self.share_of_bound),
            "worst": dict(zip((rank.lower() for rank in self.subject.ranks), self.worst, strict=True)),
            "found": plain(self.found),
            "expected": plain(self.expected),
            "allowed": plain(self.allowed),
            "passes": self.passes,
            "is_empty": self.is_empty,
        }


def plain(value: float) -> float | str:
    return float(value) if np.isfinite(value) else str(float(value))


def _norm(values: Values) -> float:
    """The Frobenius norm, correct even if squares overflow."""
    largest = float(np.abs(values).max(initial=0.0))
    if not 1e150 < largest < np.inf:
        return float(np.linalg.norm(values))
    return largest * float(np.linalg.norm(values / largest))


def compare(subject: Subject, found: Values, expected: Values, allowed: Values) -> TensorComparison:
    """`found` against `expected`, both with the axes of the subject; `allowed`: how far each element may be off."""
    found, expected = np.asarray(found, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    allowed = np.broadcast_to(allowed, expected.shape)
    is_defined = ~np.isnan(expected)
    with np.errstate(all="ignore"):
        error = np.where(is_defined & (found != expected), np.abs(found - expected), 0.0)
        error = np.where(np.isnan(error), np.inf, error)
        share = np.where(error == 0, 0.0, error / allowed)
        share = np.where(np.isinf(allowed) & is_defined, 0.0, np.where(np.isnan(share), np.inf, share))
    # Within the bound the largest error is most informative; a ratio to the bound may belong to a number close to 0.
    order = share if share.max(initial=0.0) > 1 else np.where(np.isinf(allowed), 0.0, error)
    order = order if order.any() else error
    worst = tuple(int(n) for n in np.unravel_index(int(order.argmax()), order.shape)) if order.size else ()
    counted = np.isfinite(expected) & np.isfinite(found)
    norm = _norm(expected[counted]) or 1.0
    bounded = counted & np.isfinite(allowed)
    return TensorComparison(
        subject=subject,
        elements=int(is_defined.sum()),
        undefined=int((~is_defined).sum()),
        unbounded=int((np.isinf(allowed) & is_defined).sum()),
        relative_error=_norm(error[counted]) / norm,
        relative_bound=_norm(allowed[bounded]) / norm,
        largest_error=float(error[np.isfinite(error)].max(initial=0.0)),
        share_of_bound=float(share.max(initial=0.0)),
        worst=worst,
        found=float(found[worst]) if found.size else 0.0,
        expected=float(expected[worst]) if found.size else 0.0,
        allowed=float(allowed[worst]) if found.size else 0.0,
        is_empty=not (is_defined & (expected != 0)).any(),
    )
