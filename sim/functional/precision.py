"""Number formats of words and accumulators, and the rounding from one to the other.

A *word* is a finished element as memories and registers hold it; an *accumulator* is the format of arithmetic and
running sums. Both are fp64 or fp32 in those precisions; words of 16 bits are summed in fp32. Rounding is to nearest,
ties to even.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.floating]


class Precision(NamedTuple):
    """A format of words with the format of accumulators. `digits`: bits of a word's significand, the hidden one too.

    `base` is the name of the bare format, for use in other libraries.
    """

    name: str
    digits: int
    largest: float  # finite word
    smallest: float  # positive word, subnormal
    wide: type[np.floating]  # of accumulators
    rounds_running: bool = False  # whether running values are words too

    @property
    def base(self) -> str:
        return self.name.removesuffix("-running")

    @property
    def unit(self) -> float:
        """Unit roundoff of a word: half the distance from 1 to the next."""
        return 2.0**-self.digits

    @property
    def wide_unit(self) -> float:
        """Unit roundoff of an accumulator."""
        return float(np.finfo(self.wide).eps) / 2

    @property
    def wide_smallest(self) -> float:
        """The smallest positive accumulator, subnormal."""
        return float(np.finfo(self.wide).smallest_subnormal)

    @property
    def wide_smallest_normal(self) -> float:
        return float(np.finfo(self.wide).smallest_normal)

    @property
    def is_narrow(self) -> bool:
        """Whether a word holds less than an accumulator."""
        return self.unit > self.wide_unit

    def start(self, value: float) -> float:
        """An initial value in this precision, a word if running values are words: finite ones stay finite, at the end
        of its range if beyond it."""
        if not np.isfinite(value):
            return value
        largest = self.largest if self.rounds_running else float(np.finfo(self.wide).max)
        held = np.asarray(np.clip(value, -largest, largest), dtype=self.wide)
        return float(self.word(held)) if self.rounds_running else float(held)

    def word(self, values: Values) -> Values:
        """Accumulators rounded to words; still held in arrays of the accumulators' type, which loses nothing."""
        if not self.is_narrow:
            return np.asarray(values, dtype=self.wide)
        if self.digits == 8:
            return round_to_bf16(np.asarray(values, dtype=np.float32))
        with np.errstate(over="ignore"):
            return np.asarray(values, dtype=np.float16).astype(np.float32)


def round_to_bf16(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """fp32 to the nearest bf16, ties to even, by bits: add 0x7FFF plus bit 16, drop the low half. NaN stays NaN."""
    bits = values.view(np.uint32)
    rounded = (bits + np.uint32(0x7FFF) + ((bits >> np.uint32(16)) & np.uint32(1))) & np.uint32(0xFFFF0000)
    return np.where(np.isnan(values), values, rounded.view(np.float32))


_FP16 = Precision("fp16", 11, 65504.0, 2.0**-24, np.float32)
_BF16 = Precision("bf16", 8, (2 - 2.0**-7) * 2.0**127, 2.0**-133, np.float32)
PRECISIONS = {
    "fp64": Precision("fp64", 53, float(np.finfo(np.float64).max), 2.0**-1074, np.float64),
    "fp32": Precision("fp32", 24, float(np.finfo(np.float32).max), 2.0**-149, np.float32),
    "fp16": _FP16,
    "bf16": _BF16,
    "fp16-running": _FP16._replace(name="fp16-running", rounds_running=True),
    "bf16-running": _BF16._replace(name="bf16-running", rounds_running=True),
}
