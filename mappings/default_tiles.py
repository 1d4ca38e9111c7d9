"""Tiles as large as a memory takes, as formulas of a mapping: they grow one rank after the other.

With all other ranks fixed, the words of a tile are linear in one of them: a + b t. So a rank that may fill the memory
up to a share of its words w takes t = (share w - a) / b, in whole steps of the smallest tile. The first of n ranks may
fill it up to 1/n, the last one all of it.
"""

from collections.abc import Iterator
from typing import NamedTuple


class GrowingRank(NamedTuple):
    """A rank variable whose tile grows: from `least` in multiples of it, up to `most`; all texts of formulas."""

    variable: str
    symbol: str
    least: str
    most: str


class KeptTile(NamedTuple):
    """A tensor of which the memory keeps a tile: the growing variables that run over it."""

    tensor: str
    variables: frozenset[str]


def grown(growths: tuple[GrowingRank, ...], operands: tuple[KeptTile, ...], words: str) -> Iterator[tuple[str, str]]:
    """(symbol, formula) of every tile, in an order in which each reads only earlier ones."""
    now = {growth.variable: growth.least for growth in growths}
    for place, growth in enumerate(growths, start=1):
        share = words if place == len(growths) else f"{words}*{place}/{len(growths)}"
        beside = [_words(operand, now, "") for operand in operands if growth.variable not in operand.variables]
        across = [_words(operand, now, growth.variable) for operand in operands if growth.variable in operand.variables]
        if across:
            left, each = " - ".join([share, *beside]), " + ".join(across)
            if growth.least == "1":
                yield growth.symbol, f"min({growth.most}, max(1, floor(({left})/({each}))))"
            else:
                steps = f"floor(({left})/({growth.least}*({each})))"
                yield growth.symbol, f"min({growth.most}, {growth.least}*max(1, {steps}))"
        else:
            yield growth.symbol, growth.most
        now[growth.variable] = growth.symbol


def _words(operand: KeptTile, now: dict[str, str], without: str) -> str:
    """Words of a tile, or for each coordinate of the variable left out."""
    return "*".join(now[v] for v in now if v in operand.variables and v != without and now[v] != "1") or "1"
