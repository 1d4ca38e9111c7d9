"""The checked-in table of tile configurations, keyed by machine, operator, dtype, mask and head size.

There is no autotuner, because it needs a driver and makes runs irreproducible. The first row that fits is taken. Rows
for sm90 and sm80 compile without spilling (tests/test_kernels_compile.py); `registers` are those of that compilation.
They follow published practice for stock Triton on Hopper: warp specialisation only with on-device descriptors, one loop
and four warps; masked attention takes two loops and no specialisation.
"""

from typing import NamedTuple

from kernels.plans.types import Architecture, Configuration


class TunedRow(NamedTuple):
    """A configuration and the keys it applies to; `head_size` is the largest padded size."""

    architecture: Architecture
    operator: str
    dtypes: tuple[str, ...]
    head_size: int
    is_masked: bool | None  # None: either
    configuration: Configuration


HALF = ("fp16", "bf16")
FULL = ("fp32",)
ANY = ("fp16", "bf16", "fp32")

TABLE: tuple[TunedRow, ...] = (
    # Attention forward: block_m queries x block_n keys.
    TunedRow("sm90", "attention_fwd", HALF, 128, False, Configuration(128, 128, 0, 4, 2, True, True, 168)),
    TunedRow(
        "sm90",
        "attention_fwd",
        HALF,
        64,
        True,
        Configuration(128, 128, 0, 8, 2, True, False, 156, has_masked_loop=True),
    ),
    TunedRow(
        "sm90",
        "attention_fwd",
        HALF,
        128,
        True,
        Configuration(128, 128, 0, 8, 2, True, False, 193, has_masked_loop=True),
    ),
    TunedRow(
        "sm90",
        "attention_fwd",
        HALF,
        256,
        None,
        Configuration(128, 64, 0, 8, 2, True, False, 217, has_masked_loop=True),
    ),
    TunedRow(
        "sm80",
        "attention_fwd",
        HALF,
        64,
        None,
        Configuration(128, 64, 0, 8, 2, False, False, 179, has_masked_loop=True),
    ),
    TunedRow(
        "sm80",
        "attention_fwd",
        HALF,
        128,
        None,
        Configuration(128, 32, 0, 8, 3, False, False, 192, has_masked_loop=True),
    ),
    TunedRow(
        "sm80",
        "attention_fwd",
        HALF,
        256,
        None,
        Configuration(64, 32, 0, 8, 2, False, False, 223, has_masked_loop=True),
    ),
    TunedRow("sm90", "attention_fwd", FULL, 128, None, Configuration(32, 32, 0, 8)),
    TunedRow("sm90", "attention_fwd", FULL, 256, None, Configuration(16, 32, 0, 8)),
    TunedRow("sm80", "attention_fwd", FULL, 128, None, Configuration(32, 32, 0, 8)),
    TunedRow("sm80", "attention_fwd", FULL, 256, None, Configuration(16, 32, 0, 8)),
    TunedRow("interpreter", "attention_fwd", ANY, 64, None, Configuration(64, 64)),
    TunedRow("interpreter", "attention_fwd", ANY, 256, None, Configuration(64, 32)),
    # Attention backward: block_m rows of the operand that stays, block_n of the one that streams.
    TunedRow("sm90", "attention_bwd_dkv", HALF, 64, None, Configuration(128, 32, 0, 8, 2, True, False, 205)),
    TunedRow("sm90", "attention_bwd_dkv", HALF, 128, None, Configuration(64, 32, 0, 8, 2, True, False, 242)),
    TunedRow("sm90", "attention_bwd_dkv", HALF, 256, None, Configuration(32, 32, 0, 8, 1, False, False, 218)),
    TunedRow("sm80", "attention_bwd_dkv", HALF, 64, None, Configuration(64, 32, 0, 8, 2, False, False, 255)),
    TunedRow("sm80", "attention_bwd_dkv", HALF, 128, None, Configuration(64, 32, 0, 8, 1, False, False, 178)),
    TunedRow("sm80", "attention_bwd_dkv", HALF, 256, None, Configuration(32, 32, 0, 8, 1, False, False, 226)),
    TunedRow("sm90", "attention_bwd_dkv", FULL, 256, None, Configuration(32, 32, 0, 8)),
    TunedRow("sm80", "attention_bwd_dkv", FULL, 256, None, Configuration(32, 32, 0, 8)),
    TunedRow("interpreter", "attention_bwd_dkv", ANY, 256, None, Configuration(64, 64)),
    TunedRow("sm90", "attention_bwd_dq", HALF, 64, None, Configuration(128, 64, 0, 8, 2, False, False, 177)),
    TunedRow("sm90", "attention_bwd_dq", HALF, 128, None, Configuration(64, 64, 0, 8, 2, False, False, 198)),
    TunedRow("sm90", "attention_bwd_dq", HALF, 256, None, Configuration(32, 32, 0, 8, 1, False, False, 171)),
    TunedRow("sm80", "attention_bwd_dq", HALF, 128, None, Configuration(64, 64, 0, 8, 2, False, False, 187)),
    TunedRow("sm80", "attention_bwd_dq", HALF, 256, None, Configuration(32, 32, 0, 8, 1, False, False, 171)),
    TunedRow("sm90", "attention_bwd_dq", FULL, 256, None, Configuration(32, 32, 0, 8)),
    TunedRow("sm80", "attention_bwd_dq", FULL, 256, None, Configuration(32, 32, 0, 8)),
    TunedRow("interpreter", "attention_bwd_dq", ANY, 256, None, Configuration(64, 64)),
    # Decode: block_n keys of the cache at a time; block_m follows from the packed rows.
    TunedRow(
        "sm90",
        "attention_decode",
        HALF,
        128,
        None,
        Configuration(16, 128, 0, 4, 3, False, False, 168, is_synchronous=True),
    ),
    TunedRow(
        "sm90",
        "attention_decode",
        HALF,
        256,
        None,
        Configuration(16, 64, 0, 4, 3, False, False, 187, is_synchronous=True),
    ),
    TunedRow("sm80", "attention_decode", HALF, 128, None, Configuration(16, 64, 0, 4, 3)),
    TunedRow("sm80", "attention_decode", HALF, 256, None, Configuration(16, 32, 0, 4, 3)),
    TunedRow("sm90", "attention_decode", FULL, 256, None, Configuration(16, 32, 0, 4, 2)),
    TunedRow("sm80", "attention_decode", FULL, 256, None, Configuration(16, 32, 0, 4, 2)),
    TunedRow("interpreter", "attention_decode", ANY, 256, None, Configuration(16, 32)),
    # Matrix product.
    TunedRow("sm90", "gemm", HALF, 256, None, Configuration(128, 256, 64, 8, 3, True, False, 236)),
    TunedRow("sm80", "gemm", HALF, 256, None, Configuration(128, 128, 32, 8, 4)),
    TunedRow("sm90", "gemm", FULL, 256, None, Configuration(64, 64, 16, 8, 2)),
    TunedRow("sm80", "gemm", FULL, 256, None, Configuration(64, 64, 16, 8, 2)),
    TunedRow("interpreter", "gemm", ANY, 256, None, Configuration(64, 64, 32)),
    # Block-sparse attention: both blocks are those of the index list.
    TunedRow("sm90", "block_sparse", HALF, 128, None, Configuration(0, 0, 0, 4, 2)),
    TunedRow("sm90", "block_sparse", HALF, 256, None, Configuration(0, 0, 0, 8)),
    TunedRow("sm80", "block_sparse", HALF, 128, None, Configuration(0, 0, 0, 4, 2)),
    TunedRow("sm80", "block_sparse", HALF, 256, None, Configuration(0, 0, 0, 8)),
    TunedRow("sm90", "block_sparse", FULL, 256, None, Configuration(0, 0, 0, 8)),
    TunedRow("sm80", "block_sparse", FULL, 256, None, Configuration(0, 0, 0, 8)),
    TunedRow("interpreter", "block_sparse", ANY, 256, None, Configuration(0, 0)),
    # Gated linear attention: block_m tokens of a chunk, block_n value channels, block_k tokens of a sub-chunk.
    TunedRow("sm90", "gla", ANY, 64, None, Configuration(64, 32, 16, 8)),
    TunedRow("sm90", "gla", ANY, 256, None, Configuration(64, 16, 16, 8)),
    TunedRow("sm80", "gla", ANY, 64, None, Configuration(64, 32, 16, 8)),
    TunedRow("sm80", "gla", ANY, 256, None, Configuration(64, 16, 16, 8)),
    TunedRow("interpreter", "gla", ANY, 256, None, Configuration(64, 64, 16)),
    # Gated delta rule: block_m tokens of a chunk, block_n value channels.
    TunedRow("sm90", "delta", HALF, 64, None, Configuration(64, 32)),
    TunedRow("sm90", "delta", HALF, 256, None, Configuration(64, 16)),
    TunedRow("sm80", "delta", HALF, 64, None, Configuration(32, 16)),
    TunedRow("sm80", "delta", HALF, 256, None, Configuration(32, 16, 0, 8)),
    TunedRow("sm90", "delta", FULL, 256, None, Configuration(16, 16, 0, 8)),
    TunedRow("sm80", "delta", FULL, 256, None, Configuration(16, 16, 0, 8)),
    TunedRow("interpreter", "delta", ANY, 256, None, Configuration(32, 64)),
    # Token by token: block_n value channels of a state that stays in registers.
    TunedRow("sm90", "recurrent", ANY, 256, None, Configuration(1, 32)),
    TunedRow("sm80", "recurrent", ANY, 256, None, Configuration(1, 32)),
    TunedRow("interpreter", "recurrent", ANY, 256, None, Configuration(1, 64)),
    # Streams and rows: block_n elements at a time.
    TunedRow("sm90", "stream", ANY, 256, None, Configuration(1, 4096, 0, 8)),
    TunedRow("sm80", "stream", ANY, 256, None, Configuration(1, 4096, 0, 8)),
    TunedRow("interpreter", "stream", ANY, 256, None, Configuration(1, 1024)),
    TunedRow("sm90", "rows", ANY, 256, None, Configuration(1, 8192, 0, 8)),
    TunedRow("sm80", "rows", ANY, 256, None, Configuration(1, 8192, 0, 8)),
    TunedRow("interpreter", "rows", ANY, 256, None, Configuration(1, 128)),
    TunedRow("sm90", "rational", ANY, 256, None, Configuration(64, 128, 0, 8)),
    TunedRow("sm80", "rational", ANY, 256, None, Configuration(64, 128, 0, 8)),
    TunedRow("interpreter", "rational", ANY, 256, None, Configuration(32, 64)),
)


def configuration_of(
    architecture: Architecture, operator: str, dtype: str, head_size: int = 1, is_masked: bool = False
) -> Configuration:
    """The first row of the table that fits; `head_size` is padded to a power of two by the caller."""
    for row in TABLE:
        if (
            row.architecture == architecture
            and row.operator == operator
            and dtype in row.dtypes
            and head_size <= row.head_size
            and row.is_masked in (None, is_masked)
        ):
            return row.configuration
    raise ValueError(
        f"no configuration of {operator} for {architecture}, {dtype} and head size {head_size}; the table has "
        f"{operator} for {sorted({row.architecture for row in TABLE if row.operator == operator}) or 'no machine'}"
    )
