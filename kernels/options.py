"""What softmax attention may be asked for, checked once, and how it travels through an operator's schema."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

from torch import Tensor

from kernels.plans.problems import UNLIMITED


@dataclass(frozen=True, eq=False)
class AttentionOptions:
    """Options of softmax attention, aligned bottom-right: the last query sees the last key.

    causal: query i sees keys j <= i + keys - queries. window: (left, right) keys beside the diagonal, -1 for no limit;
    causal sets right to 0. softcap c > 0: logits become c tanh(logit / c). scale: of the logits, by default 1/sqrt(head
    size). sinks: one logit per query head that takes part in the denominator only. lengths: (queries, keys) of each
    sequence of a packed ragged batch.
    """

    causal: bool = False
    window: tuple[int, int] = (UNLIMITED, UNLIMITED)
    softcap: float = 0.0
    scale: float | None = None
    sinks: Tensor | None = None
    lengths: tuple[tuple[int, int], ...] = ()

    def __post_init__(self) -> None:
        if min(self.window) < UNLIMITED:
            raise ValueError(f"window sides must be -1 (no limit) or at least 0, got {self.window}")
        if self.softcap < 0 or not math.isfinite(self.softcap):
            raise ValueError(f"softcap must be 0 (none) or a positive number, got {self.softcap}")
        if self.scale is not None and not (self.scale > 0 and math.isfinite(self.scale)):
            raise ValueError(f"scale must be a positive number, got {self.scale}")

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
    """Raises ValueError where shapes, dtypes or devices of [batch, heads, length, size] tensors do not fit together."""
    if not q.dim() == k.dim() == v.dim() == 4:
        raise ValueError(
            f"attention takes tensors [batch, heads, length, size], got {q.dim()}, {k.dim()} and {v.dim()} ranks"
        )
    if not q.dtype == k.dtype == v.dtype:
        raise ValueError(f"q, k and v must have one dtype, got {q.dtype}, {k.dtype} and {v.dtype}")
    if k.shape[:3] != v.shape[:3] or q.shape[0] != k.shape[0] or q.shape[3] != k.shape[3]:
        raise ValueError(
            f"shapes of q, k and v do not fit together: {tuple(q.shape)}, {tuple(k.shape)}, {tuple(v.shape)}"
        )
    if k.shape[1] == 0 or q.shape[1] % k.shape[1]:
        raise ValueError(f"query heads must be a multiple of key-value heads, got {q.shape[1]} and {k.shape[1]}")
    if options.lengths:
        totals = tuple(sum(column) for column in zip(*options.lengths, strict=True))
        if q.shape[0] != 1 or totals != (q.shape[2], k.shape[2]):
            raise ValueError(
                f"a packed batch has batch 1 and lengths that add up to its {q.shape[2]} queries and {k.shape[2]} keys"
                f", got batch {q.shape[0]} and lengths that add up to {totals}"
            )
    sinks = options.sinks
    if sinks is not None and tuple(sinks.shape) != (q.shape[1],):
        raise ValueError(f"sinks must hold one logit per query head ({q.shape[1]}), got shape {tuple(sinks.shape)}")
