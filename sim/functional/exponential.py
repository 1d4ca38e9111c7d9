"""The exponential as arrays compute it: exact, or the polynomial that a machine's multiply-adds can evaluate.

A machine declares what its exponential is made of (`exp: {made_of: {macc: 6}}`). Of N multiply-adds, one scales the
argument and N-1 evaluate a polynomial of degree d = N-1:

    t = x * log2(e),  n = round(t),  r = t - n in [-1/2, 1/2],  e^x = 2^n * (c0 + r (c1 + r (c2 + ... + r cd)))

Splitting t into n and r and putting n into the exponent move bits, and cost no multiply-add. The coefficients
interpolate 2^r at the d+1 Chebyshev nodes of [-1/2, 1/2], so that the relative error of the polynomial is at most

    2 (ln 2 / 2)^(d+1) / (2^d (d+1)!)

(remainder of Chebyshev interpolation, Trefethen, Approximation Theory and Approximation Practice; 2^r varies by a
factor of 2). Each multiply-add rounds its product and its sum. Results below the smallest normal number become 0.
"""

import math
from collections.abc import Callable
from decimal import Decimal, localcontext
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from arch.components import Array
from arch.types import Architecture
from sim.functional.precision import Precision

Values = NDArray[np.floating]
MULTIPLY_ADD = ("add", "mul")
MOST_MULTIPLY_ADDS = 24  # a polynomial of more terms no longer gains in fp64


class Exponential(NamedTuple):
    """How an exponential is computed: by `multiply_adds` of them, 0: exactly (rounded once)."""

    multiply_adds: int = 0

    def function(self, precision: Precision) -> Callable[[Values], Values]:
        """Values to values, in accumulators."""
        if not self.multiply_adds:
            return lambda x: np.exp(x.astype(np.float64)).astype(precision.wide)  # inf where it overflows
        coefficients = tuple(chebyshev_coefficients(self.multiply_adds - 1).astype(precision.wide))
        return lambda x: evaluate_polynomial(x, coefficients)

    def relative_error(self, argument: Values, precision: Precision) -> Values:
        """A bound on the relative error at arguments in accumulators, where the result is a normal number.

        Polynomial: its own error, 2u|x| for the scaled argument (log2(e) and the product are rounded), and the rounding
        of Horner's rule. Exact: half a unit for the rounding; in fp64 numpy's own error, below 2 units.
        """
        unit = precision.wide_unit
        if not self.multiply_adds:
            return np.full_like(argument, unit if precision.wide is np.float32 else 4 * unit, dtype=np.float64)
        degree = self.multiply_adds - 1
        scaled = 2.0 * unit * np.abs(np.where(np.isfinite(argument), argument, 0.0))
        return np.expm1(scaled) + polynomial_error(degree) + horner_units(degree) * unit


EXACT = Exponential()


def exponential_of(array: Array) -> Exponential | None:
    """The exponential of an array; None if it has none, or if it is not declared to be made of multiply-adds."""
    found = next((o for o in array.operations if any("exp" in covered for covered in o.coverages)), None)
    if found is None:
        return None
    count = _multiply_adds(array, found.name)
    return Exponential(min(count, MOST_MULTIPLY_ADDS)) if count >= 2 else None


def _multiply_adds(array: Array, name: str) -> int:
    operation = array.operation(name)
    if not operation.made_of:
        return int(tuple(sorted(operation.operators)) == MULTIPLY_ADD)
    return sum(part.count * _multiply_adds(array, part.operation) for part in operation.made_of)


def exponentials_of(architecture: Architecture) -> dict[str, Exponential]:
    """The exponentials by array, for those made of multiply-adds."""
    found = {array.name: exponential_of(array) for array in architecture.arrays}
    return {name: exponential for name, exponential in found.items() if exponential is not None}


@lru_cache(maxsize=64)
def chebyshev_coefficients(degree: int) -> NDArray[np.float64]:
    """c0 .. cd of the polynomial in r that interpolates 2^r at the Chebyshev nodes of [-1/2, 1/2].

    By Newton's divided differences in 50 decimal digits, so that each coefficient is the nearest number.
    """
    with localcontext() as context:
        context.prec = 50
        angles = (math.pi * (2 * k + 1) / (2 * (degree + 1)) for k in range(degree + 1))
        nodes = [Decimal(0.5 * math.cos(angle)) for angle in angles]
        differences = [Decimal(2) ** node for node in nodes]
        for level in range(1, degree + 1):
            for k in range(degree, level - 1, -1):
                differences[k] = (differences[k] - differences[k - 1]) / (nodes[k] - nodes[k - level])
        coefficients = [Decimal(0)] * (degree + 1)
        for difference, node in zip(reversed(differences), reversed(nodes), strict=True):
            shifted = [Decimal(0), *coefficients[:-1]]  # times r
            coefficients = [s - node * c for s, c in zip(shifted, coefficients, strict=True)]
            coefficients[0] += difference
    return np.array([float(coefficient) for coefficient in coefficients])


def polynomial_error(degree: int) -> float:
    """Bound on the relative error of the polynomial itself on [-1/2, 1/2]."""
    return 2.0 * (math.log(2.0) / 2.0) ** (degree + 1) / (2.0**degree * math.factorial(degree + 1))


@lru_cache(maxsize=64)
def horner_units(degree: int) -> float:
    """Units of roundoff that Horner's rule adds, relative to the least value of 2^r.

    The term ck r^k passes through its own rounding, k products and k+1 sums at most (Higham, Accuracy and Stability
    of Numerical Algorithms, section 5.1).
    """
    terms = np.abs(chebyshev_coefficients(degree)) * 0.5 ** np.arange(degree + 1)
    roundings = 2 * np.arange(degree + 1) + 2
    return float((terms * roundings).sum() * math.sqrt(2.0)) * 1.001  # allowance for second-order terms


def evaluate_polynomial(x: Values, coefficients: tuple[np.floating, ...]) -> Values:
    """e^x by the multiply-adds of the module's docstring, every product and sum rounded in the type of x."""
    wide = x.dtype.type
    finite = np.where(np.isfinite(x), x, wide(0))
    scaled = np.clip(finite * wide(math.log2(math.e)), wide(-1e6), wide(1e6))
    exponent = np.rint(scaled)
    rest = scaled - exponent  # exact
    value = np.full_like(rest, coefficients[-1])
    for coefficient in reversed(coefficients[:-1]):
        value = value * rest + coefficient
    value = np.ldexp(value, exponent.astype(np.int32))
    value = np.where(value < np.finfo(wide).smallest_normal, wide(0), value)
    value = np.where(x == -np.inf, wide(0), np.where(x == np.inf, wide(np.inf), value))
    return np.where(np.isnan(x), wide(np.nan), value)
