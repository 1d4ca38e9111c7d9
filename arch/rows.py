"""How words lie in rows of a memory: as many whole words as a row holds, or a word over as many rows as it takes."""

from typing import Any


def moved_bits(row_bits: Any, word_bits: Any) -> Any:
    """Bits of words that the access of one row moves; numbers, or arrays of them.

    Three words of 20 bit lie in a row of 64, so it moves 60; a word of 24 bit takes two rows of 16, so one moves 12.
    """
    words, rows = row_bits // word_bits, -(-word_bits // row_bits)
    return (words + (words == 0)) * word_bits / rows
