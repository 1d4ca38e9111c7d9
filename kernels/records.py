"""Records that kernels take, so that they read names and not positions; the launchers fill them.

Triton takes a NamedTuple where it takes a tuple, nested or not, and inside a kernel one can be made and returned.
Fields hold tensors and numbers on the side of the launcher, pointers and scalars on that of the kernel. A record within
a record is taken out of it before the kernel's first loop: in Triton 3.6 it loses its strides of 1 in there.
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
    """A tensor [batch, head, row, column] where it lies: its start, and the elements between neighbours of a rank."""

    base: Any
    batch: int
    head: int
    row: int
    column: int


def view_of(x: Tensor) -> View:
    batch, head, row, column = x.stride()
    return View(x, batch, head, row, column)


class Line(NamedTuple):
    """Rows of contiguous columns: the first, and the elements between neighbours."""

    base: Any
    stride: int


def line_of(x: Tensor) -> Line:
    return Line(x, x.stride(0))


class Rows(NamedTuple):
    """Rows of one head: a pointer, or a descriptor, to the first, and the elements between neighbours."""

    source: Any
    row: int
    column: int


class BlockRange(NamedTuple):
    """Rows first..last of the other side, which a walk visits block by block."""

    first: Any
    last: Any


class ScoreFactors(NamedTuple):
    """From products q k to logits in the domain of base 2: `outer` times the product, or with a softcap times
    tanh(`inner` times the product)."""

    outer: float
    inner: float
