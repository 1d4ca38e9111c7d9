"""How a memory serves an array: the one place that says what slots of issue ask of its ports and links.

A memory reads and writes whole rows: a tile takes at least one, however few its words are. All that a slot asks for is
asked for at once, and the slot lasts until it has been served.
"""

from math import ceil
from typing import Any

from sim.engine.jit import shared


@shared
def row_accesses(fetches: Any, words: Any, row_words: Any) -> Any:
    """Rows that these words take which come in so many tiles."""
    return max(fetches, ceil(words / row_words))


@shared
def of_a_slot(asked: Any, slots: Any) -> Any:
    """What one of equal slots asks for, in whole units, of what all of them do."""
    return ceil(asked / slots)


@shared
def served_cycles(cycles: Any, asked: Any, at_once: Any) -> Any:
    """Cycles of a slot that would take `cycles` by itself, where so many units are served at once."""
    return max(cycles, ceil(asked / at_once))
