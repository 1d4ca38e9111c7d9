"""What memories still hold: a tensor that lives in a kept tile is lost when the tile moves on.

The *home* of a tensor is the outermost kept tile that all its Einsums share; inputs, outputs and tensors without such a
tile live in the root memory and are never lost. When the loops around a home move its tile, or when a tensor that takes
turns with it in the same place is written, its contents become NaN here, which exposes a mapping that reads them later.
Computed values are recorded separately.
"""

import numpy as np
from numpy.typing import NDArray

from einsums.types import Cascade
from mappings.tree import PlacedKeep
from sim.functional.boxes import Box

Array = NDArray[np.floating]


class Places:
    """The tensors as the machine holds them, separate from the record of all computed values."""

    def __init__(self, cascade: Cascade, homes: tuple[PlacedKeep, ...], record: dict[str, Array]) -> None:
        self.cascade, self.homes, self.record = cascade, homes, record
        at_home = {home.tensor for home in homes}
        self.held = {name: array.copy() if name in at_home else array for name, array in record.items()}
        self.tiles: dict[str, Box] = {}

    def enter(self, loops: tuple[int, ...], box: Box) -> None:
        """The loops begin an iteration: tiles inside them that moved lose their contents."""
        for home in self.homes:
            if home.loops == loops:
                tile = {variable: box[variable] for variable in self.variables_of(home.tensor)}
                if self.tiles.setdefault(home.tensor, tile) != tile:
                    self.lose(home.tensor, self.tiles[home.tensor])
                    self.tiles[home.tensor] = tile

    def variables_of(self, tensor: str) -> tuple[str, ...]:
        """Variables along which a tile of a tensor can move; a running value stays where it is from step to step."""
        ranks: list[str] = []
        for rank in self.cascade.ranks_of(tensor):
            partition = self.cascade.partition_of(rank)
            ranks += partition.parts if partition else (rank,)
        step = self.cascade.scope.iterative_rank.get(tensor)
        return tuple(rank.lower() for rank in ranks if rank != step)

    def lose(self, tensor: str, tile: Box) -> None:
        """Clear a tile, except for the initial value of a running tensor; `tile` may name only some variables."""
        ranks = self.cascade.ranks_of(tensor)
        places = tuple(slice(*tile[rank.lower()]) if rank.lower() in tile else slice(None) for rank in ranks)
        lost = self.held[tensor][(..., *places)]
        lost[...] = np.nan
        step = self.cascade.scope.iterative_rank.get(tensor)
        if step is not None:
            axis = ranks.index(step)
            np.moveaxis(lost, axis, 0)[0] = np.moveaxis(self.record[tensor][(..., *places)], axis, 0)[0]

    def written(self, tensor: str) -> None:
        """A tensor has been written: earlier ones that take turns with it are lost.

        An Einsum may overwrite an operand with the same ranks element by element, so only elements that exist in the
        new tensor are lost.
        """
        own = next((home for home in self.homes if home.tensor == tensor), None)
        for home in self.homes if own is not None and own.share_group >= 0 else ():
            if own is not None and home.share_group == own.share_group and home.tensor != tensor:
                if set(self.cascade.ranks_of(home.tensor)) != set(self.cascade.ranks_of(tensor)):
                    self.lose(home.tensor, {})
                    continue
                axes = [self.cascade.ranks_of(tensor).index(rank) for rank in self.cascade.ranks_of(home.tensor)]
                gone = ~np.isnan(self.held[tensor].transpose(axes))
                self.held[home.tensor][gone] = np.nan
