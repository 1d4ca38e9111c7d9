"""Records that kernels take, so that they read names instead of positions; the launchers fill them.

Triton accepts a NamedTuple wherever it accepts a tuple, nested or not, and kernels can create and return one. Fields
hold tensors and numbers on the launcher's side, pointers and scalars on the kernel's side. A nested record must be
taken out before the kernel's first loop: inside a loop, Triton 3.6 loses its strides of 1.
"""

from typing import Any, NamedTuple

from torch import Tensor


class QKV(NamedTuple):
    """Queries, keys and values."""

    q: Tensor
    k: Tensor
    v: Tensor


class Gates(NamedTuple):
    """Log gates and write strengths of each token, fp32; without strengths there is no delta rule."""

    gate: Tensor
    beta: Tensor | None


class View(NamedTuple):
    """A view of a tensor [batch, head, row, column]: its start, and its strides in elements."""

    base: Any
    batch: int
    head: int
    row: int
    column: int


def view_of(x: Tensor) -> View:
    batch, head, row, column = x.stride()
    return View(x, batch, head, row, column)


class Line(NamedTuple):
    """Rows of contiguous columns: the first row, and the stride in elements."""

    base: Any
    stride: int


def line_of(x: Tensor) -> Line:
    return Line(x, x.stride(0))


class Rows(NamedTuple):
    """Rows of one head: a pointer or descriptor to the first, and the stride in elements."""

    source: Any
    row: int
    column: int


class BlockRange(NamedTuple):
    """Rows first..last of the other side, visited block by block."""

    first: Any
    last: Any


class ScoreFactors(NamedTuple):
    """From products q k to logits in the domain of base 2: `outer` times the product, or with a softcap times
    tanh(`inner` times the product)."""

    outer: float
    inner: float
