"""Shared by all kernels: operands and rounding that are right on a GPU and in the interpreter, bands, tiles of rows.

In the interpreter, bf16 arithmetic is wrong (it multiplies bit patterns) and fp32 -> bf16 truncates. Every operand is
therefore widened right after its load, and rounding to bf16 is done on the bits: add 0x7FFF plus bit 16, drop the low
half. On a GPU both helpers are plain casts.
"""

# Kernel parameters are device tensors and scalars, which have no Python type.
# mypy: allow-untyped-defs

import triton
import triton.language as tl

from kernels.plans.attention import Ranges
from kernels.records import Rows

INTERPRET = tl.constexpr(bool(triton.knobs.runtime.interpret))
LOG2_E = tl.constexpr(1.4426950408889634)
LN_2 = tl.constexpr(0.6931471805599453)


@triton.jit
def wide(x):
    """A scalar as int64: offsets of whole tensors overflow int32, and loop variables are plain integers when
    interpreted."""
    return tl.full([], 0, tl.int64) + x


@triton.jit
def round_to_bf16(x):
    """fp32 rounded to the nearest bf16, ties to even, still as fp32; NaN stays NaN."""
    bits = x.to(tl.uint32, bitcast=True)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return tl.where(x != x, x, rounded.to(tl.float32, bitcast=True))


@triton.jit
def narrow(x, DTYPE: tl.constexpr):
    """fp32 rounded to DTYPE, as an operand of tl.dot."""
    if INTERPRET and tl.bfloat16 == DTYPE:
        result = round_to_bf16(x)
    else:
        result = x.to(DTYPE)
    return result


@triton.jit
def stored(x, DTYPE: tl.constexpr):
    """fp32 rounded to DTYPE, for a store."""
    if INTERPRET and tl.bfloat16 == DTYPE:
        result = round_to_bf16(x).to(tl.bfloat16)
    else:
        result = x.to(DTYPE)
    return result


@triton.jit
def operand(x):
    """A loaded tile as an operand of tl.dot."""
    if INTERPRET and x.dtype == tl.bfloat16:
        result = x.to(tl.float32)
    else:
        result = x
    return result


@triton.jit
def tanh(x):
    """From exp2, without cancellation: series below 0.3, 1 - 2 / (1 + e^2|x|) above; libdevice is not interpreted."""
    size = tl.abs(x)
    square = x * x
    series = x * (
        1 + square * (-0.333333333 + square * (0.133333333 + square * (-0.0539682540 + square * 0.0218694885)))
    )
    exact = 1 - 2 / (1 + tl.exp2(size * (2 * LOG2_E)))
    return tl.where(size < 0.3, series, tl.where(x < 0, -exact, exact))


@triton.jit
def sigmoid(x):
    return 1 / (1 + tl.exp2(-x * LOG2_E))


@triton.jit
def ranges_of(first_row, last_row, band, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr, BLOCK: tl.constexpr):
    """The ranges that rows first_row..last_row visit, as `ranges_of` of the plans; band: that of the plans.

    Values are clamped to 0 before they are divided: division truncates on a GPU and floors in the interpreter.
    """
    first = 0
    last = band.limit
    inner_last = band.limit
    if HAS_LEFT:
        first = tl.maximum(first_row + band.offset - band.left, 0) // BLOCK * BLOCK
    if HAS_RIGHT:
        last = tl.minimum(band.limit, tl.maximum(last_row + band.offset + band.right + 1, 0))
        inner_last = tl.minimum(band.limit, tl.maximum(first_row + band.offset + band.right + 1, 0))
    inner_last = tl.maximum(inner_last // BLOCK * BLOCK, first)
    inner_first = first
    if HAS_LEFT:
        seen_by_all = (tl.maximum(last_row + band.offset - band.left, 0) + BLOCK - 1) // BLOCK * BLOCK
        inner_first = tl.minimum(tl.maximum(seen_by_all, first), inner_last)
    return Ranges(first, inner_first, inner_last, tl.maximum(last, first))


@triton.jit
def is_visible(rows, columns, band, HAS_LEFT: tl.constexpr, HAS_RIGHT: tl.constexpr):
    """[rows, columns]: whether each row sees each column."""
    visible = (columns < band.limit)[None, :] & (rows >= 0)[:, None]
    if HAS_LEFT:
        visible = visible & (columns[None, :] >= rows[:, None] + (band.offset - band.left))
    if HAS_RIGHT:
        visible = visible & (columns[None, :] <= rows[:, None] + (band.offset + band.right))
    return visible


@triton.jit
def rows_of(view, batch, head, start):
    """The rows of one head, from `start` on."""
    base = view.base + wide(batch) * view.batch + wide(head) * view.head + wide(start) * view.row
    return Rows(base, view.row, view.column)


@triton.jit
def described(rows, limit, SIZE: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    """The same rows through a tensor descriptor made on the device, in tiles of BLOCK."""
    source = tl.make_tensor_descriptor(rows.source, [limit, SIZE], [rows.row, 1], [BLOCK, WIDTH])
    return Rows(source, rows.row, rows.column)


@triton.jit
def pointers_of(rows, start, BLOCK: tl.constexpr, WIDTH: tl.constexpr, OFFSET: tl.constexpr):
    """Pointers to a tile of rows start..start + BLOCK. OFFSET: the type of offsets within the tile; 32 bits take fewer
    registers and suffice if `launching.require_reach` holds."""
    down, across = tl.arange(0, BLOCK).to(OFFSET), tl.arange(0, WIDTH).to(OFFSET)
    base = rows.source + wide(start) * rows.row
    return base + down[:, None] * rows.row + across[None, :] * rows.column


@triton.jit
def load_rows(rows, start, limit, SIZE: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr,
              CHECKED: tl.constexpr, USES_TMA: tl.constexpr):  # fmt: skip
    """Rows start..start + BLOCK of [limit, SIZE], zero beyond; start is at least 0."""
    if USES_TMA:
        tile = rows.source.load([start, 0])
    else:
        pointers = pointers_of(rows, start, BLOCK, WIDTH, tl.int32)
        if CHECKED or SIZE != WIDTH:
            mask = (tl.arange(0, BLOCK) < limit - start)[:, None] & (tl.arange(0, WIDTH) < SIZE)[None, :]
            tile = tl.load(pointers, mask=mask, other=0.0)
        else:
            tile = tl.load(pointers)
    return operand(tile)


@triton.jit
def store_rows(rows, start, limit, tile, SIZE: tl.constexpr, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    """The counterpart of load_rows: fp32 in, rounded to the element type of the target."""
    mask = (tl.arange(0, BLOCK) < limit - start)[:, None] & (tl.arange(0, WIDTH) < SIZE)[None, :]
    tl.store(pointers_of(rows, start, BLOCK, WIDTH, tl.int32), stored(tile, rows.source.dtype.element_ty), mask=mask)
