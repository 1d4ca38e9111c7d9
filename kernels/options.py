"""The options of softmax attention, checked once, and their encoding in an operator's schema."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from kernels.arguments import bind_ranks, require_groups, require_one_dtype, whole_numbers
from kernels.plans.problems import UNLIMITED, require

MOST_KEYS = 1 << 30  # of a window side: positions have 32 bits


@dataclass(frozen=True, eq=False)
class AttentionOptions:
    """Options of softmax attention, aligned bottom-right: the last query sees the last key.

    causal: query i sees keys j <= i + keys - queries. window: (left, right) keys on either side of the diagonal, -1 for
    no limit; causal sets right to 0. softcap c > 0: logits become c tanh(logit / c). scale: of the logits, by default
    1/sqrt(head size). sinks: one logit per query head that only contributes to the denominator. lengths: (queries,
    keys) of each sequence of a packed ragged batch.
    """

    causal: bool = False
    window: tuple[int, int] = (UNLIMITED, UNLIMITED)
    softcap: float = 0.0
    scale: float | None = None
    sinks: Tensor | None = None
    lengths: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if not (len(self.window) == 2 and all(isinstance(side, int) for side in self.window)):
            raise TypeError(f"window must be two whole numbers, (left, right), got {self.window}")
        if min(self.window) < UNLIMITED or max(self.window) > MOST_KEYS:
            raise ValueError(f"window sides must be -1 (no limit) or from 0 to 2^30, got {self.window}")
        if self.softcap < 0 or not math.isfinite(self.softcap):
            raise ValueError(f"softcap must be 0 (none) or a positive number, got {self.softcap}")
        if self.scale is not None and not (self.scale > 0 and math.isfinite(self.scale)):
            raise ValueError(f"scale must be a positive number, got {self.scale}")
        if isinstance(self.lengths, Tensor) or not all(len(pair) == 2 for pair in self.lengths):
            raise TypeError(f"lengths must be a pair (queries, keys) for each sequence, got {self.lengths}")
        lengths = tuple(whole_numbers("lengths", tuple(pair)) for pair in self.lengths)
        object.__setattr__(self, "lengths", lengths)

    @property
    def bounds(self) -> tuple[int, int]:
        """(left, right) of the band of visible keys."""
        return (self.window[0], 0 if self.causal else self.window[1])

    def scale_for(self, head_size: int) -> float:
        return 1.0 / math.sqrt(head_size) if self.scale is None else self.scale

    def pack(self, head_size: int) -> list[float]:
        """As numbers, for the schema of a custom operator: scale, softcap, left, right, then the lengths."""
        left, right = self.bounds
        flat = [float(n) for pair in self.lengths for n in pair]
        return [self.scale_for(head_size), self.softcap, float(left), float(right), *flat]

    @staticmethod
    def unpack(numbers: Sequence[float], sinks: Tensor | None = None) -> "AttentionOptions":
        scale, softcap, left, right, *flat = numbers
        pairs = tuple((int(q), int(k)) for q, k in zip(flat[::2], flat[1::2], strict=True))
        return AttentionOptions(False, (int(left), int(right)), softcap, scale, sinks, pairs)

    def without_lengths(self) -> "AttentionOptions":
        return replace(self, lengths=())


PLAIN = AttentionOptions()


def check_attention(q: Tensor, k: Tensor, v: Tensor, options: AttentionOptions) -> None:
    """Check tensors [batch, heads, length, size]: TypeError or ValueError if they do not fit together."""
    sizes = bind_ranks("q[B,H,Nq,D] k[B,Hkv,Nk,D] v[B,Hkv,Nk,Dv] sinks[H]", q, k, v, options.sinks)
    require_one_dtype("q k v", q, k, v)
    require_groups(sizes["H"], sizes["Hkv"])
    require_head_sizes(sizes["D"], sizes["Dv"])
    if options.lengths:
        totals = tuple(sum(column) for column in zip(*options.lengths, strict=True))
        require(
            sizes["B"] == 1 and totals == (sizes["Nq"], sizes["Nk"]),
            f"a packed batch has batch 1 and lengths that add up to its {sizes['Nq']} queries and {sizes['Nk']} keys"
            f", got batch {sizes['B']} and lengths that add up to {totals}",
        )


def require_head_sizes(head_size: int, value_size: int) -> None:
    require(head_size > 0 and value_size > 0, f"head sizes must be at least 1, got {head_size} and {value_size}")
