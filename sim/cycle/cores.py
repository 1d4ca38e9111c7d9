"""The cores of a machine: one program for all, and of each its turns and its part in what they share.

A core has the iterations of the dealt loops that come to it in turn. A tile in a memory of its own it keeps from one to
the next where that is the same. A tile in a memory that cores share is *common* where it stays for a whole iteration:
it is brought once for all cores that need it, in the order of one core. Where it changes within an iteration, every
core has places of its own there. Of sums that cores add up, those of a round leave as one, and the first core goes on
with what comes back.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import numpy as np

from mappings.tree import PlacedKeep
from sim.cycle.choice import CycleDesign
from sim.cycle.common import crossed_parts, is_common
from sim.cycle.joint import PlacedTile
from sim.cycle.program import NamedProgram, lower_nests
from sim.cycle.state import EngineProgram
from sim.cycle.staying import own_effect_of, staying_tiles
from sim.cycle.tiles import servers_of
from sim.cycle.variants import Variants, number_variants
from sim.engine.cycle import columns as col
from sim.engine.cycle.turns import most_together
from sim.lower.walk import Extents


@dataclass(frozen=True)
class CorePrograms:
    """A program for every core and, last, for what they have in common. groups: i8[keep], cores whose sums leave as
    one; ports: i8[ported memory], of those that cores share, else -1; shared_servers: bool[server].
    """

    programs: tuple[EngineProgram, ...]
    groups: np.ndarray
    ports: np.ndarray
    shared_servers: np.ndarray


class _CoreTile(NamedTuple):
    """What iterations of the dealt loops do to a tile: each level by itself; and the loops inside, with the parts that
    bring another one.
    """

    effects: dict[int, int]
    further: tuple[int, ...]
    moving: frozenset[int]


def deal(design: CycleDesign, named: NamedProgram, start: Extents) -> CorePrograms:
    """The programs of all cores from that of one. ValueError for what cores cannot share."""
    return _Dealing(design, named, number_variants(design.walk, start, named.joint.frame)).programs()


class _Dealing:
    def __init__(self, design: CycleDesign, named: NamedProgram, variants: Variants) -> None:
        self.design, self.named, self.variants = design, named, variants
        self.machine, self.cores = design.chains.machine, design.cores
        self.depth = len(design.chains.dealt)
        self.tiles = named.joint.tiles
        self.common = [is_common(design.chains, design.walk, tile.keep.keep) for tile in self.tiles]

    def programs(self) -> CorePrograms:
        self._refuse()
        base = EngineProgram(
            self.named.program.sizes | {col.DEALT: self.depth, col.CORES: self.cores},
            self.named.program.tables | self._tables(),
        )
        groups = self._groups()
        cores = tuple(self._core(base, core, groups) for core in range(self.cores))
        hub = self._hub(base)
        ports = [
            int(self.named.program.tables["PORTS"][n]) if self._is_shared(name.split(" ")[0]) else -1
            for n, name in enumerate(self.design.machine.ported)
        ]
        shared = np.array([self._is_shared(memory) for memory in servers_of(self.design)])
        return CorePrograms((*cores, hub), groups, np.array(ports, np.int64), shared)

    def _is_shared(self, memory: str) -> bool:
        return not self.machine.is_in_core(memory)

    def _refuse(self) -> None:
        for slot in self.named.nest.slots:
            if not self.machine.is_in_core(slot.leaf.array):
                raise ValueError(
                    f"array '{slot.leaf.array}' is shared by the cores: the cycle engine runs arrays of cores alone"
                )
        dealt = self.design.chains.dealt
        if self.design.per_phase or self.named.joint.frame.loops[: self.depth] != dealt:
            raise ValueError(
                "the cycle engine runs several cores only where 'transfers' of the schedule are 'overlapped'"
            )
        for tile, is_one in zip(self.tiles, self.common, strict=True):
            keep = tile.keep.keep
            if not self._is_shared(keep.memory):
                self._refuse_cut(keep)
            if is_one or not self._is_shared(keep.memory):
                continue
            stays = [
                level
                for variant in range(len(self.variants.points))
                for level in range(self.depth)
                if self.variants.trips[variant, level] > 1
                and self.named.program.tables["FIXED"][variant, self.tiles.index(tile), level]
            ]
            if stays or any(traffic.only_again and self._is_combined(traffic.moving) for traffic in tile.keep.traffic):
                raise ValueError(
                    f"'{keep.memory}' keeps '{keep.tensor}' for some iterations of the dealt loops together and for "
                    "others apart: the cycle engine cannot tell which cores share it"
                )

    def _refuse_cut(self, keep: PlacedKeep) -> None:
        """A core fetches whole tiles."""
        parts = self.design.chains.space.parts_of_tensor(keep.tensor)
        for loop in self.design.chains.dealt[len(keep.loops) :]:
            walked = self.design.walk.loops[loop]
            if walked.part in parts:
                raise ValueError(
                    f"'{keep.memory}' keeps '{keep.tensor}' outside the loop over '{walked.variable}' that is dealt to "
                    "the cores: each needs a part of the tile, the cycle engine brings whole ones"
                )

    def _is_combined(self, moving: frozenset[int]) -> bool:
        """Whether sums over dealt iterations come back to such a tile."""
        return any(self.design.walk.loops[loop].part not in moving for loop in self.design.chains.dealt)

    def _rows(self) -> list[_CoreTile]:
        """Every keep, then every staying tile."""
        chains, walk, dealt = self.design.chains, self.design.walk, self.design.chains.dealt
        rows = []
        for tile in self.tiles:
            keep, crossed = tile.keep.keep, crossed_parts(chains, tile.keep.keep)
            changing = {n: col.BRINGS for n, loop in enumerate(keep.loops[: self.depth]) if self._part(loop) in crossed}
            rows.append(_CoreTile(changing, keep.loops[self.depth :], crossed))
        for n, sizer in enumerate(self.named.joint.sizers):
            for staying in staying_tiles(walk, self.named.joint.loops_around(n), sizer, self.variants):
                way = sizer.ways[~staying.way if staying.how == col.COMES_BACK else staying.way][0]
                effects = {level: own_effect_of(walk, loop, way) for level, loop in enumerate(dealt)}
                rows.append(_CoreTile(effects, tuple(loop for loop in way.loops if loop not in dealt), way.moving))
        return rows

    def _part(self, loop: int) -> int:
        return self.design.walk.loops[loop].part

    def _tables(self) -> dict[str, np.ndarray]:
        walk, rows, points = self.design.walk, self._rows(), self.variants.points
        depends = np.full((len(rows), max(self.depth, 1)), col.HOLDS, np.int64)
        changes = np.zeros((len(points), len(rows)), np.int64)
        placing = np.full((len(rows), 1), col.OWN, np.int64)
        for n, row in enumerate(rows):
            for level, effect in row.effects.items():
                depends[n, level] = effect
            for v, (_, _, extents) in enumerate(points):
                changes[v, n] = walk.several(extents, row.further, row.moving)
        for n, tile in enumerate(self.tiles):
            if self._is_shared(tile.keep.keep.memory):
                placing[n] = col.COMMON if self.common[n] else col.ANEW
        iterations = self._below(lambda variant, level: False)
        fixed = self.named.program.tables["FIXED"]
        tiles = [
            self._below(lambda variant, level, n=n: bool(fixed[variant, n, level]))  # type: ignore[misc]
            for n in range(len(self.tiles))
        ]
        return {
            "ITERATIONS": iterations,
            "DEPENDS": depends,
            "CHANGES": changes,
            "PLACING": placing,
            "COMMON_TILES": np.stack(tiles, axis=-1) if tiles else np.zeros((*iterations.shape, 0), np.int64),
        }

    def _below(self, stays: Callable[[int, int], bool]) -> np.ndarray:
        """i8[variant, dealt level]: iterations inside, of levels that stay only the first."""
        found = np.ones((len(self.variants.points), self.depth + 1), np.int64)
        for level in range(self.depth - 1, -1, -1):
            for variant in range(len(found)):
                full, last = self.variants.child[variant, level, :2]
                trips = int(self.variants.trips[variant, level])
                inside = found[full, level + 1]
                found[variant, level] = (
                    inside if stays(variant, level) else (trips - 1) * inside + found[last, level + 1]
                )
        return found

    def _groups(self) -> np.ndarray:
        """i8[keep]: cores of which the sums in a tile leave as one."""
        found = np.ones(len(self.tiles), np.int64)
        for n, tile in enumerate(self.tiles):
            found[n] = self.group if self._adds_up(tile) else 1
        return found

    @cached_property
    def group(self) -> int:
        """Cores that make sums of one result at the same time."""
        if self.design.combined is None:
            return 1
        variant = 0
        for level in range(self.depth - 1):
            variant = int(self.variants.child[variant, level, 0])
        return min(int(self.variants.trips[variant, self.depth - 1]), self.cores)

    @cached_property
    def amounts_of_followers(self) -> dict[str, np.ndarray]:
        """The amounts of cores whose sums leave with those of another one."""
        follower = lower_nests(replace(self.design, follows=True), self.named.joint.nests, self.variants.extents[0])
        return {name: follower.program.tables[name] for name in ("AMOUNTS", "ROW_ACCESSES", "WAY_WORDS")}

    def _adds_up(self, tile: PlacedTile) -> bool:
        """Whether the sums of a tile leave a core for a memory that cores share."""
        keep, combined = tile.keep.keep, self.design.combined
        drains = [traffic for traffic in tile.keep.traffic if traffic.writes]
        if combined is None or self._is_shared(keep.memory) or not drains or not self._is_shared(drains[0].memory):
            return False
        return self.design.walk.loops[combined].part not in drains[0].parts

    def _core(self, base: EngineProgram, core: int, groups: np.ndarray) -> EngineProgram:
        keeps, uses, returns = (base.tables[name].copy() for name in ("KEEP_TABLE", "USES", "RETURNS"))
        for n, tile in enumerate(self.tiles):
            if self.common[n]:
                keeps[n, [col.FILL_SERVER, col.DRAIN_SERVER]] = -1
                keeps[n, [col.FILLS, col.DRAINS, col.PARTIAL_SUMS]] = 0
                if not tile.keep.fills:
                    keeps[n, col.FILL_CAUSE] = col.BUFFER
                uses[uses[:, col.KEEP] == n, col.NEEDS_FILL] = 1
                uses[uses[:, col.KEEP] == n, col.NEEDS_ROOM] = 0
            elif self._adds_up(tile):
                returns[n, : self.depth] *= core == 0
                if core % groups[n]:
                    keeps[n, col.DRAIN_SERVER] = -1
        tables = base.tables | {"KEEP_TABLE": keeps, "USES": uses, "RETURNS": returns}
        if core % self.group:
            tables |= self.amounts_of_followers
        everything = int(base.tables["ITERATIONS"][0, 0])
        turns = max(0, -(-(everything - core) // self.cores))
        return EngineProgram(base.sizes | {col.CORE: core, col.CORE_TURNS: turns}, tables)

    def _hub(self, base: EngineProgram) -> EngineProgram:
        """What cores have in common, and what is not there for it."""
        keeps, ops = base.tables["KEEP_TABLE"].copy(), base.tables["OP_TABLE"].copy()
        ops[:, [col.READ_SERVER, col.WRITE_SERVER]] = -1
        for n, is_one in enumerate(self.common):
            if not is_one:
                keeps[n, [col.FILL_SERVER, col.DRAIN_SERVER]] = -1
                keeps[n, [col.FILLS, col.DRAINS, col.PARTIAL_SUMS]] = 0
            keeps[n, col.IN_TURN] = 0
        inside = 0
        for level in range(self.depth):
            inside = int(self.variants.child[inside, level, 0])
        records = int(self.variants.inside[inside, self.depth])
        return EngineProgram(
            base.sizes | {col.DEALT: 0, col.CORE_TURNS: records}, base.tables | {"KEEP_TABLE": keeps, "OP_TABLE": ops}
        )


def places_of_common(design: CycleDesign, tiles: tuple[PlacedTile, ...], m: np.ndarray) -> dict[int, int]:
    """Places of every common tile: as many as cores use at once and, filled ahead, as they use next, if there is room.

    m: the laid-out program of a core.
    """
    left, common = dict(design.common_room_bytes), {}
    for n, tile in enumerate(tiles):
        if is_common(design.chains, design.walk, tile.keep.keep):
            common[n] = tile.keep
    found = {n: keep.copies for n, keep in common.items()}
    for ahead in (1, 2):
        wanted = {n: int(most_together(m, n, ahead * design.cores)) for n in common}
        granted = True
        while granted:  # one after the other, so that tiles that are used together have as many places
            granted = False
            for n, keep in common.items():
                if found[n] < wanted[n] and keep.tile_bytes <= left.get(keep.keep.memory, 0.0):
                    found[n], granted = found[n] + 1, True
                    left[keep.keep.memory] = left.get(keep.keep.memory, 0.0) - keep.tile_bytes
    return found
