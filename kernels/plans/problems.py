"""The shapes that can be planned: one frozen record per operator, validated when made, hashable as a cache key."""

from dataclasses import dataclass

from kernels.plans.types import ITEM_BYTES, Dtype

UNLIMITED = -1  # a window side without limit


STREAMS = ("stream_copy", "exp2_throughput")
ROW_OPERATORS = ("softmax", "masked_softmax", "layernorm", "rmsnorm", "layernorm_bwd", "rmsnorm_bwd")


def require(is_met: bool, message: str) -> None:
    if not is_met:
        raise ValueError(message)


def require_operator(name: str, known: tuple[str, ...]) -> None:
    require(name in known, f"unknown operator '{name[:60]}' (known: {', '.join(known)})")


@dataclass(frozen=True, slots=True)
class AttentionProblem:
    """Softmax attention: query row i sees keys j with i + offset - left <= j <= i + offset + right.

    offset = keys - queries, so that the last query sees the last key (bottom-right alignment); -1 means no limit on
    that side; causal is right = 0. With `lengths` = ((queries, keys), ...) the batch is packed and ragged; `queries`
    and `keys` are then the totals, and batch is 1.
    """

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    head_size: int
    value_size: int
    dtype: Dtype
    left: int = UNLIMITED
    right: int = UNLIMITED
    lengths: tuple[tuple[int, int], ...] = ()
    has_softcap: bool = False
    has_tma_layout: bool = True  # last stride one, other strides multiples of 16 bytes

    def __post_init__(self) -> None:
        require(
            self.kv_heads > 0 and self.heads % self.kv_heads == 0,
            f"query heads must be a multiple of key-value heads, got {self.heads} and {self.kv_heads}",
        )
        require(
            0 < self.head_size <= 256 and 0 < self.value_size <= 256,
            f"head sizes from 1 to 256 are supported, got {self.head_size} and {self.value_size}",
        )
        if self.lengths:
            totals = tuple(sum(column) for column in zip(*self.lengths, strict=True))
            require(
                totals == (self.queries, self.keys),
                f"lengths add up to {totals[0]} queries and {totals[1]} keys, the tensors hold "
                f"{self.queries} and {self.keys}",
            )

    @property
    def segments(self) -> tuple[tuple[int, int], ...]:
        """(queries, keys) of each sequence."""
        return self.lengths or ((self.queries, self.keys),) * self.batch

    @property
    def item_bytes(self) -> int:
        return ITEM_BYTES[self.dtype]


@dataclass(frozen=True, slots=True)
class UnfusedAttentionProblem:
    """The same attention as three launches: scores, softmax over rows, weighted values."""

    attention: AttentionProblem


@dataclass(frozen=True, slots=True)
class DecodeProblem:
    """Attention of few queries per sequence over a long cache of keys and values.

    `lengths`: keys of each sequence. `splits`: 0 lets the plan choose. Stream-K gives every program an equal number of
    key tiles, whatever sequence they belong to.
    """

    lengths: tuple[int, ...]
    heads: int
    kv_heads: int
    queries: int
    head_size: int
    value_size: int
    dtype: Dtype
    left: int = UNLIMITED
    right: int = UNLIMITED
    splits: int = 0
    is_stream_k: bool = False
    page_size: int = 0
    has_softcap: bool = False

    def __post_init__(self) -> None:
        require(
            self.kv_heads > 0 and self.heads % self.kv_heads == 0,
            f"query heads must be a multiple of key-value heads, got {self.heads} and {self.kv_heads}",
        )
        require(
            0 < self.head_size <= 256 and 0 < self.value_size <= 256,
            f"head sizes from 1 to 256 are supported, got {self.head_size} and {self.value_size}",
        )
        rows = self.queries * (self.heads // self.kv_heads)
        require(
            0 < rows <= 128,
            f"decode packs queries x heads per key-value head into one tile of at most 128 rows, got {rows}",
        )
        require(self.splits >= 0, f"splits must be 0 (chosen by the plan) or positive, got {self.splits}")

    @property
    def rows(self) -> int:
        return self.queries * (self.heads // self.kv_heads)


@dataclass(frozen=True, slots=True)
class GemmProblem:
    """C[rows, columns] = A[rows, depth] B[depth, columns], `batch` times; A and B of `dtype`, sums in fp32."""

    rows: int
    columns: int
    depth: int
    dtype: Dtype
    batch: int = 1
    output: Dtype | None = None
    has_tma_layout: bool = True

    @property
    def output_dtype(self) -> Dtype:
        return self.output or self.dtype


@dataclass(frozen=True, slots=True)
class StreamProblem:
    """One pass over a vector: `stream_copy`, or `exp2_throughput`: exp2 repeated `repeats` times on each element."""

    operator: str
    size: int
    dtype: Dtype
    repeats: int = 0

    def __post_init__(self) -> None:
        require_operator(self.operator, STREAMS)


@dataclass(frozen=True, slots=True)
class RowProblem:
    """One operator along the last rank: softmax, layernorm or rmsnorm of [rows, columns]."""

    operator: str
    rows: int
    columns: int
    dtype: Dtype

    def __post_init__(self) -> None:
        require_operator(self.operator, ROW_OPERATORS)


@dataclass(frozen=True, slots=True)
class RationalProblem:
    """Group rational of [rows, columns]: each group of columns has its own coefficients."""

    rows: int
    columns: int
    groups: int
    dtype: Dtype
    is_backward: bool = False

    def __post_init__(self) -> None:
        require(
            self.groups > 0 and self.columns % self.groups == 0,
            f"columns must be a multiple of groups, got {self.columns} and {self.groups}",
        )


@dataclass(frozen=True, slots=True)
class BlockSparseProblem:
    """Attention of 64x64 blocks by index list: `counts[b, h, block]` key blocks for each block of queries,
    flattened."""

    batch: int
    heads: int
    kv_heads: int
    queries: int
    keys: int
    head_size: int
    dtype: Dtype
    block_size: int
    is_causal: bool
    counts: tuple[int, ...]

    def __post_init__(self) -> None:
        require(
            self.kv_heads > 0 and self.heads % self.kv_heads == 0,
            f"query heads must be a multiple of key-value heads, got {self.heads} and {self.kv_heads}",
        )
        require(0 < self.head_size <= 256, f"head sizes from 1 to 256 are supported, got {self.head_size}")
        require(
            self.block_size in (16, 32, 64, 128), f"blocks of 16, 32, 64 or 128 are supported, got {self.block_size}"
        )
        blocks = self.batch * self.heads * -(-self.queries // self.block_size)
        require(
            len(self.counts) == blocks,
            f"{blocks} blocks of queries of all heads need as many counts, got {len(self.counts)}",
        )
        most = -(-self.keys // self.block_size)
        require(
            all(0 <= count <= most for count in self.counts),
            f"a block of queries visits 0 to {most} blocks of keys, got a count beyond that",
        )


@dataclass(frozen=True, slots=True)
class LinearAttentionProblem:
    """Gated linear attention over chunks: a gate per key channel, or one per head."""

    batch: int
    heads: int
    length: int
    key_size: int
    value_size: int
    dtype: Dtype
    is_gate_per_channel: bool


@dataclass(frozen=True, slots=True)
class RecurrentAttentionProblem:
    """Gated linear attention token by token, for few tokens; with the delta rule where `has_delta`."""

    batch: int
    heads: int
    length: int
    key_size: int
    value_size: int
    dtype: Dtype
    is_gate_per_channel: bool
    has_delta: bool = False


@dataclass(frozen=True, slots=True)
class DeltaRuleProblem:
    """The gated delta rule over chunks, with one gate per head."""

    batch: int
    heads: int
    length: int
    key_size: int
    value_size: int
    dtype: Dtype


Problem = (
    AttentionProblem
    | UnfusedAttentionProblem
    | DecodeProblem
    | GemmProblem
    | StreamProblem
    | RowProblem
    | RationalProblem
    | BlockSparseProblem
    | LinearAttentionProblem
    | RecurrentAttentionProblem
    | DeltaRuleProblem
)
