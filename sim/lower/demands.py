"""What an Einsum asks of its array's links and of the memories behind them: the ways of its operands and its result.

The cycle engine and binding ask here. The bulk engine has the same from the same rules, as tables (`links`, `flows`).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction

from arch.components import SIDES
from arch.types import Array
from einsums.types import Access, Cascade
from mappings.tree import PlacedLeaf
from sim.engine.folds import has_free_link
from sim.lower.chains import Chains, Demand, Touch
from sim.lower.elements import Spread
from sim.lower.latency import LINKED
from sim.lower.links import folded_inside
from sim.lower.ranks import RankSpace
from sim.lower.register_tiles import Rides, SidedParts, register_tiles, rides_of
from sim.lower.walk import Extents, Walk


@dataclass(frozen=True, slots=True)
class Way:
    """One path of words between a memory and the registers of an array, for one Einsum."""

    touch: Touch
    served: tuple[tuple[str, Fraction], ...]  # memories that serve its words, and which part of them
    parts: frozenset[int]
    moving: frozenset[int]  # parts whose loops bring another tile
    beginning: frozenset[int]  # of what leaves: parts whose loops begin other sums
    loops: tuple[int, ...]  # those that may bring another tile
    on_links: bool = True  # into or out of the registers
    passes: bool = False  # sums over a side: they enter at its beginning and leave at its end in every slot
    by_itself: bool = False  # its words are moved as those of a kept tile; this is what the links have to do
    is_shared: bool = False  # other Einsums, or other steps, use the tile in the registers
    inner: str | None = None  # the memory on this side, of a tile that is kept inside repetitions

    @property
    def writes(self) -> bool:
        return self.touch.writes

    @property
    def memory(self) -> str:
        """The memory on the other side."""
        return self.served[0][0]


@dataclass(frozen=True)
class LinkDemands:
    """What the ways of one Einsum ask of its array's links. reduced: the parts that it sums over."""

    array: Array
    sides: SidedParts
    reduced: frozenset[int]

    @classmethod
    def of(cls, space: RankSpace, leaf: PlacedLeaf, array: Array, reduced: Iterable[str]) -> "LinkDemands":
        """reduced: rank variables."""
        return cls(array, SidedParts.of(space, leaf), frozenset(map(space.part_of_variable, reduced)))

    @property
    def reduces_a_side(self) -> bool:
        """Whether rows or columns of the array add up."""
        return bool((self.sides.rows | self.sides.columns) & self.reduced)

    def is_train(self, way: Way) -> bool:
        """Whether its words differ in every element, so that they do not ride along with the slots."""
        return way.on_links and self.array.has_trains and self.sides.differ_everywhere(way.parts)

    def rides(self, ways: Iterable[Way]) -> Rides:
        """Words that ride along with every slot."""
        plain = (way for way in ways if way.on_links and not (way.by_itself or self.is_train(way)))
        return rides_of([(way.parts, way.writes) for way in plain], self.sides, self.reduced)

    def run_beside(self, ways: Iterable[Way]) -> bool:
        """Whether trains are shifted beside the slots, not between them."""
        return has_free_link(self.array.wiring.down, self.rides(ways).down, self.array.wiring.shadow)


def served_by(memory: str, behind: str | None, spilled: dict[str, Fraction]) -> tuple[tuple[str, Fraction], ...]:
    """The memories that serve what is read or written in one: itself, and for what does not fit there that behind."""
    part = spilled.get(memory, Fraction(0))
    return ((memory, Fraction(1)),) + (((behind, part),) if part and behind is not None else ())


def ways_of(chains: Chains, walk: Walk, leaf: PlacedLeaf, spilled: dict[str, Fraction]) -> list[Way]:
    """How the operands of an Einsum reach the registers and its result leaves them.

    A tile that the registers hold whether the mapping names it or not is filled and drained word by word with the issue
    slots; a larger named one as a whole, so that here only its way over the links counts.
    """
    reduced = frozenset(chains.cascade.einsum(leaf.einsum).reduced_variables)
    return [
        Way(
            tile.touch,
            served_by(tile.place.memory, tile.place.behind, spilled),
            tile.parts,
            tile.moving,
            tile.beginning,
            tile.loops,
            passes=tile.touch.writes and any(side.variable in reduced for side in leaf.spatial),
            by_itself=not is_held_anyway(walk, tile),
            is_shared=tile.is_shared,
        )
        for tile in register_tiles(chains, leaf)
    ]


def is_held_anyway(walk: Walk, tile: Demand) -> bool:
    """Whether a named tile is what the registers hold unnamed: one word in each element, for one Einsum."""
    if tile.keep is None or tile.is_shared:
        return tile.keep is None
    return words_per_element(walk, tile.touch.leaf, tile.loops, tile.parts) == 1


def held_anyway(chains: Chains, walk: Walk) -> frozenset[int]:
    """Keeps that name what the registers of an array hold unnamed: nothing moves otherwise because of them."""
    tiles = (tile for leaf in chains.tree.leaves for tile in register_tiles(chains, leaf))
    return frozenset(tile.keep.index for tile in tiles if tile.keep is not None and is_held_anyway(walk, tile))


def words_per_element(walk: Walk, leaf: PlacedLeaf, loops: tuple[int, ...], parts: frozenset[int]) -> int:
    """Words of a tile inside these loops of a leaf that the element with most of them holds."""
    return walk.held_words(walk.full_tile(walk.whole, loops), Spread(leaf, SIDES), leaf.loops[len(loops) :], parts)


def tensors_of(cascade: Cascade, leaf: PlacedLeaf) -> tuple[str, ...]:
    """Tensors that an Einsum reads or writes, each once."""
    einsum = cascade.einsum(leaf.einsum)
    accesses: tuple[Access, ...] = (*einsum.loads, einsum.output)
    return tuple(dict.fromkeys(access.tensor for access in accesses))


def chain_slots(walk: Walk, leaf: PlacedLeaf, reduced: frozenset[str], loops: tuple[int, ...], extents: Extents) -> int:
    """Slots for reductions over the PEs inside these loops of a leaf: one per run of slots in which every PE folds its
    own words.
    """
    part, tile = walk.space.part_of_variable, walk.full_tile(extents, loops)
    sides = leaf.along(LINKED) & reduced
    if not any(walk.words(tile, frozenset([part(side)])) > 1 for side in sides):
        return 0
    own = [walk.loops[loop].variable for loop in loops]
    around = walk.iterations(extents, loops[: len(loops) - folded_inside(own, leaf, reduced)])
    return around if walk.iterations(extents, loops) > around else 0
