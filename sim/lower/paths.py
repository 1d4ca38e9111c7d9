"""The loops that bring the tiles of a place: to which cores, as how many at once, and in which pieces."""

from typing import NamedTuple

from einsums.conditions import EVERYWHERE
from sim.engine.counting import (
    ADVANCES,
    DEALT_ADVANCES,
    DEALT_FIRST_ONLY,
    DEALT_STAYS,
    FIRST_ONLY,
    PIECES,
    ROUNDS,
    STAYS,
)
from sim.lower.chains import Chains
from sim.lower.rows import Path, RowTable

IN_CORES = {STAYS: DEALT_STAYS, FIRST_ONLY: DEALT_FIRST_ONLY, ADVANCES: DEALT_ADVANCES}
AS_ONE = {DEALT_STAYS: ROUNDS, DEALT_ADVANCES: ADVANCES, DEALT_FIRST_ONLY: FIRST_ONLY}


class MovedTiles(NamedTuple):
    """Tiles over parts `dims` that the loops of `path` bring."""

    path: Path
    dims: frozenset[int]


class Paths(NamedTuple):
    """Paths to places of a mapped cascade, for rows of a region."""

    chains: Chains
    rows: RowTable

    def in_pieces(self, tiles: MovedTiles, loops: tuple[int, ...]) -> Path:
        """The path of tiles, of which only those pieces count that further loops bring and that exist."""
        if self.rows.region == EVERYWHERE:
            return tiles.path
        inner = [
            (loop, PIECES if self.rows.part(loop) in tiles.dims else FIRST_ONLY) for loop in loops[len(tiles.path) :]
        ]
        within = max((n + 1 for n, (_, mode) in enumerate(inner) if mode == PIECES), default=0)
        # Inside the last that brings pieces, the first iteration that exists stands for all.
        inner[within:] = [(loop, STAYS) for loop, _ in inner[within:]]
        if not within:
            return (*tiles.path, *inner)
        changing = [n for n, (_, mode) in enumerate(tiles.path) if mode in (ADVANCES, DEALT_ADVANCES)]
        last = changing[-1] if changing else -1
        staying = {STAYS: FIRST_ONLY}  # what some later iteration brings counts as well
        outer = ((loop, staying.get(mode, mode) if n > last else mode) for n, (loop, mode) in enumerate(tiles.path))
        return (*outer, *inner)

    def is_dealt(self, memory: str) -> bool:
        """Whether cores that share out iterations have such a memory each."""
        return bool(self.chains.dealt) and self.chains.machine.is_in_core(memory)

    def inside(self, memory: str, loops: tuple[int, ...], relevant: frozenset[int], otherwise: int = STAYS) -> Path:
        """As `RowTable.path`, for tiles in a memory: where every core has one, each has what its iterations need, also
        of a tile that is kept outside some of the dealt loops.
        """
        if not self.is_dealt(memory):
            return self.rows.path(loops, relevant, otherwise)
        path = self.rows.path(loops + self.chains.dealt[len(loops) :], relevant, otherwise)
        return _replaced(path, self.chains.dealt, IN_CORES)

    def together(self, memory: str, tiles: MovedTiles) -> MovedTiles:
        """Sums that leave cores for a memory: to one that they share they come as one for all cores of a round."""
        if self.chains.machine.is_in_core(memory):
            return tiles
        return tiles._replace(path=_replaced(tiles.path, self.chains.dealt, AS_ONE))

    def in_rounds(self, memory: str, path: Path) -> Path:
        """The path of a result's tiles: in a memory that cores share, a round of them goes through the same at once."""
        return path if self.chains.machine.is_in_core(memory) else _replaced(path, self.chains.dealt, {STAYS: ROUNDS})


def _replaced(path: Path, dealt: tuple[int, ...], modes: dict[int, int]) -> Path:
    """A path in which the loops that are dealt to cores do something else to the tile."""
    return tuple((loop, modes.get(mode, mode) if loop in dealt else mode) for loop, mode in path)
