"""How the folds of an array follow each other: the one place that says what its links cost.

A fold takes `slots` cycles of issue; `train` more in which words that differ in every element are shifted in or out, a
word for each row; and the `skew`, rows + columns - 2 cycles, until what its first element began has left at the last.

- Trains take turns with the slots, or run beside them where a link down the columns is free and elements have a shadow
  register: the next fold's words come, or the last one's leave, meanwhile.
- Folds that overlap hide the skew behind the next fold; else each waits until the one before has left.

n equal folds so take n times `fold_cycles` and once what `tail_cycles` says. One fold alone takes train + slots + skew
in every case: 2 rows + columns + slots - 2 of one that fills the array, as published (Samajdar et al., ISPASS 2020).
"""

from sim.engine.jit import shared


@shared
def has_free_link(links_down: int, rides: int, has_shadow: bool) -> bool:
    """Whether trains run beside the slots, of which each takes `rides` links down a column."""
    return has_shadow and links_down > rides


@shared
def slot_cycles(cycles: int, rides: int, links: int) -> int:
    """Cycles from slot to slot, where operators take `cycles` and `rides` words ride along in each."""
    return max(cycles, (rides + links - 1) // links)


@shared
def fold_cycles(slots: int, train: int, skew: int, beside: bool, overlap: bool) -> int:
    """Cycles from the beginning of a fold to that of the next."""
    own = slots if overlap else slots + skew
    return max(own, train) if beside else own + train


@shared
def tail_cycles(slots: int, train: int, skew: int, beside: bool, overlap: bool) -> int:
    """Cycles that one fold takes longer than `fold_cycles`."""
    own = slots if overlap else slots + skew
    return (min(own, train) if beside else 0) + (skew if overlap else 0)
