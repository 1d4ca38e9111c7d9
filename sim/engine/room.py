"""How much each memory must hold at once: the tiles that lie in it together, and how many of each are in flight.

A tile is there in the phases of its spans. A span may depend on numbers: loops that run several times bring a tile's
next use after Einsums that stand behind the last one. In a pipeline a tile is made in one step and last read some steps
later, so that several of its kind are there at once:

tiles in flight = ceil((steps of a tile - 1 + reach) / steps of a tile)

with the reach of its users in steps (1: all of them work on the same tile) and as many steps as a tile stays at the
least; one, if there never is another. Those that are passed on piece by piece take each other's place, so one less is
held. Of a tile inside a step all pieces of the steps between are held.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from sim.engine.columns import KeepColumn, SpanColumn
from sim.engine.counting import FIRST_ONLY, count_words, first_tile_words
from sim.engine.extents import cut, trips
from sim.engine.skipping import count_banded
from sim.engine.tables import RowTables, Tables


class Room(NamedTuple):
    """What a batch of designs keeps."""

    tile_bytes: np.ndarray  # f8[design, keep], one tile; beside the elements of an array: of the fullest element
    kept_bytes: np.ndarray  # f8[design, keep], all that is there at once of a tensor's tiles
    present: np.ndarray  # bool[design, moment, keep]; moments at which the same may be there stand once
    held_bytes: np.ndarray  # f8[design, moment, memory], tiles that take turns in one place counted once

    def footprints(self, reserved_bytes: np.ndarray) -> np.ndarray:
        """f8[design, memory]: the most that is there at a moment, and what is reserved."""
        return self.held_bytes.max(axis=1) + reserved_bytes


def count_rows(tables: Tables, rows: RowTables) -> np.ndarray:
    """f8[design, row]: words, tiles or iterations that these rows ask for; exact up to 2^53."""
    counts = np.empty((tables.extents.shape[0], rows.paths.shape[0]))
    if tables.shape.bands is None or tables.lines is None or (rows.region < 0).all():
        count_words(
            tables.extents,
            tables.loop_tiles,
            tables.sizes,
            rows.paths,
            rows.relevant,
            rows.runs,
            rows.loop_rank,
            counts,
        )
        return counts
    plain, banded = np.flatnonzero(rows.region < 0), np.flatnonzero(rows.region >= 0)
    counts[:, plain] = count_rows(tables, some_rows(rows, plain))
    found = np.empty((counts.shape[0], banded.size))
    count_banded(tables, some_rows(rows, banded), found)
    counts[:, banded] = found
    return counts


def some_rows(rows: RowTables, numbers: np.ndarray) -> RowTables:
    """The rows of these numbers."""
    return RowTables(
        rows.paths[numbers], rows.relevant[numbers], rows.runs[numbers], rows.loop_rank, rows.region[numbers]
    )


def count_tiles(tables: Tables) -> np.ndarray:
    """f8[design, row of `tiles`]: as `count_rows`; rows that take the first of every tile need no walk."""
    rows = tables.shape.tiles
    counts = np.empty((tables.extents.shape[0], rows.paths.shape[0]))
    first_tile_words(tables.extents, tables.loop_tiles, tables.sizes, rows.paths, rows.runs, rows.loop_rank, counts)
    walked = np.flatnonzero(((rows.relevant != FIRST_ONLY) & (rows.paths >= 0)).any(axis=1))
    if walked.size:
        counts[:, walked] = count_rows(tables, some_rows(rows, walked))
    return counts


def room_of(tables: Tables) -> Room:
    """The room of every kept tile, and when it takes it."""
    counts = count_tiles(tables)
    word_bytes = tables.machine.word_bytes[:, None]
    tile_bytes = counts[:, tables.shape.keeps[:, KeepColumn.ROW]] * word_bytes
    kept_bytes, present = kept_words(tables, counts) * word_bytes, present_tiles(tables, counts)
    moments = [held_bytes(tables, kept_bytes * present[:, moment]) for moment in range(present.shape[1])]
    return Room(tile_bytes, kept_bytes, present, np.stack(moments, axis=1))


def held_bytes(tables: Tables, kept_bytes: np.ndarray) -> np.ndarray:
    """f8[design, memory], bytes of what is there, from `kept_bytes: f8[design, keep]`, 0 for what is not."""
    held = np.zeros_like(tables.reserved_bytes)
    shared: dict[tuple[int, int], np.ndarray] = {}
    for number, keep in enumerate(tables.shape.keeps):
        memory, group = int(keep[KeepColumn.MEMORY]), int(keep[KeepColumn.GROUP])
        if group < 0:
            held[:, memory] += kept_bytes[:, number]
        else:
            shared[memory, group] = np.maximum(shared.get((memory, group), 0.0), kept_bytes[:, number])
    for (memory, _), size in shared.items():
        held[:, memory] += size
    return held


def present_tiles(tables: Tables, counts: np.ndarray) -> np.ndarray:
    """bool[design, moment, keep]: which tiles are there; `counts: f8[design, row of the tiles]`."""
    spans, keeps = tables.shape.spans, tables.shape.keeps.shape[0]
    phases = np.arange(tables.shape.drains.shape[0])[:, None]
    covers = (spans[:, SpanColumn.FIRST] <= phases) & (phases <= spans[:, SpanColumn.LAST])
    moments = covers[np.sort(np.unique(covers, axis=0, return_index=True)[1])]
    present = np.zeros((counts.shape[0], moments.shape[0], keeps), bool)
    for number, span in enumerate(spans):
        holds = np.ones(counts.shape[0], bool)
        if span[SpanColumn.MORE] >= 0:
            holds = counts[:, span[SpanColumn.MORE]] > counts[:, span[SpanColumn.THAN]]
        present[:, moments[:, number], span[SpanColumn.KEEP]] |= holds[:, None]
    return present


def kept_words(tables: Tables, counts: np.ndarray) -> np.ndarray:
    """f8[design, keep], words of all the tiles of a kept tensor that are there at once."""
    words = np.empty((counts.shape[0], tables.shape.keeps.shape[0]))
    flight = tiles_in_flight(tables)
    for number, keep in enumerate(tables.shape.keeps):
        tile, between = counts[:, keep[KeepColumn.ROW]], counts[:, keep[KeepColumn.STEP_ROW]]
        held = tile + (flight[:, number] - 1) * between
        if keep[KeepColumn.IN_PIECES]:
            held -= np.where(flight[:, number] > 1, tile, 0.0)
        words[:, number] = np.maximum(held, tile * keep[KeepColumn.COPIES])
    return words


def tiles_in_flight(tables: Tables) -> np.ndarray:
    """i8[design, keep]: tiles (of a tile inside a step: steps) of which something is needed at once."""
    shape = tables.shape
    flight = np.ones((tables.extents.shape[0], shape.keeps.shape[0]), np.int64)
    for number, keep in enumerate(shape.keeps):
        if keep[KeepColumn.REACH] > 1:
            flight[:, number] = _passing(tables, shape.stays[number], int(keep[KeepColumn.REACH]))
    return flight


def _passing(tables: Tables, stays: np.ndarray, reach: int) -> np.ndarray:
    """i8[design]: tiles in flight of one whose users are `reach` steps apart.

    stays: i8[position, (loop, whether it runs over a rank of the tensor)], the loops of a step outside the tile,
    outermost first, -1 ends; none for a tile inside a step.
    """
    stays = stays[stays[:, 0] >= 0]
    steps, is_only = np.ones(tables.extents.shape[0], np.int64), np.full(tables.extents.shape[0], stays.size > 0)
    for (_, changes), (least, most) in zip(stays, iter_trips(tables, stays[:, 0].tolist()), strict=True):
        brings = changes & (most > 1)
        steps, is_only = np.where(brings, 1, steps * least), is_only & ~brings
    return np.where(is_only, 1, -(-(steps - 1 + reach) // steps))


def iter_trips(tables: Tables, loops: Sequence[int]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """(least, most) iterations of loops inside each other, outermost first, in full and in ragged tiles: i8[design]."""
    extents: dict[int, list[Any]] = {}
    for loop in loops:
        root, tile = int(tables.shape.tiles.loop_rank[loop]), cast(Any, tables.loop_tiles[:, loop])
        cases = extents.get(root, [tables.extents[:, root]])  # full tiles and ragged ones; 0 where there is none
        times = np.array([trips(case, tile) for case in cases])
        yield np.where(times > 0, times, times.max(axis=0)).min(axis=0), times.max(axis=0)
        extents[root] = [np.minimum(case, tile) for case in cases] + [cut(case, tile)[1] for case in cases]
