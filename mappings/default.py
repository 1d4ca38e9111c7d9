"""A mapping for any cascade on any machine: legal by construction, one phase an Einsum, never called optimal.

Every Einsum runs by itself, on the array that does its operators with the most elements a slot. Ranks of its result lie
along the sides of the array, and what is reduced is gone through in time. Around it, each shared memory between the
root and the array keeps a tile of every operand and of the result, as large as fits (`default_tiles`). Einsums that
step together share the loop over their steps. On a machine of cores, ranks of all Einsums that none reduces are dealt.

Sizes decide what lies on the sides, and tiles are formulas: the mapping is legal for other sizes too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from math import inf, prod
from typing import Any

from arch.components import SIDES, Side
from arch.types import Architecture, Array, Memory
from einsums.counts import operators_per_point
from einsums.extensions import beyond
from einsums.means import lowered
from einsums.types import Cascade
from mappings.default_tiles import GrowingRank, KeptTile, grown
from mappings.existence import FOLLOWED, band_ranks
from mappings.holding import is_held
from mappings.naming import ranks_accessed, variables_accessed
from mappings.tree import PlacedLeaf, ResolvedTree

Sides = tuple[tuple[Side, str], ...]  # the rank variable on each side that has one
MIDDLE_PARTS = 4  # steps of a part of a rank between its outermost and its innermost


def default_mapping(
    cascade: Cascade, architecture: Architecture, named: str, sizes: Mapping[str, int] | None = None
) -> dict[str, Any]:
    """Keys and values of the mapping, as in a file. `named`: the cascade's name or path; `sizes`: of its root ranks,
    large ones if not given.

    ValueError says which operators the machine lacks and where they could be added, or what no mapping follows.
    """
    cascade = lowered(cascade)
    extension = beyond(cascade, FOLLOWED)
    if extension:
        raise ValueError(f"'{cascade.name}' cannot be mapped: {extension}, which no mapping follows")
    places = _places(cascade, architecture, sizes or {})
    leaves = (PlacedLeaf(n, name, array.name, (), 0, (), (), "") for n, (name, (array, _)) in enumerate(places.items()))
    whole = _Default(cascade, architecture, places, ResolvedTree((), (), tuple(leaves), ()), dict(sizes or {}))
    return whole.document(named)


def _places(cascade: Cascade, architecture: Architecture, sizes: Mapping[str, int]) -> dict[str, tuple[Array, Sides]]:
    """Where each Einsum runs, in the order of the cascade: the array, and what lies along its sides."""
    places = {}
    lacking: dict[str, list[str]] = {}
    for einsum in cascade.einsums:
        operators = operators_per_point(einsum)
        able = [array for array in architecture.arrays if array.covers(operators)]
        if able:
            found = [(array, *_sides(cascade, array, einsum.name, sizes)) for array in able]
            array, sides, _ = max(found, key=lambda one: one[2] / max(one[0].cycles_per_point(operators), 1))
            places[einsum.name] = (array, sides)
            continue
        alone = [name for name in operators if not any(array.covers((name,)) for array in architecture.arrays)]
        for what in dict.fromkeys(alone or [f"{' and '.join(dict.fromkeys(operators))} in one array"]):
            lacking.setdefault(what, []).append(einsum.name)
    if lacking:
        what = "; ".join(f"{operator} (for {', '.join(names)})" for operator, names in lacking.items())
        example = f"components.{architecture.arrays[-1].name}.operators: vector-unit"
        remedy = f"give an array these operations, or a table that has them: {example}"
        raise ValueError(f"'{architecture.name}' has nothing for {what}; {remedy}")
    return places


def _sides(cascade: Cascade, array: Array, einsum: str, sizes: Mapping[str, int]) -> tuple[Sides, float]:
    """What lies along the sides, and the elements that it takes; ranks of the result rather than reduced ones."""
    reduced = cascade.einsum(einsum).reduced_variables
    free = [name for name in cascade.variables_of(einsum) if name not in _stepwise(cascade)]
    lengths = {side: array.length(side) for side in SIDES if array.length(side) > 1}
    best: tuple[Sides, tuple[float, int, int]] = ((), (1, 0, 0))
    for chosen in permutations([*reversed(free), *[None] * len(lengths)], len(lengths)):
        sides = tuple((side, name) for side, name in zip(lengths, chosen, strict=True) if name is not None)
        if any(name in reduced and side not in array.reduces for side, name in sides):
            continue
        taken = prod(min(_size(cascade, name, sizes), lengths[side]) for side, name in sides)
        score = (taken, -sum(name in reduced for _, name in sides), -len(sides))
        if score > best[1]:
            best = (sides, score)
    return best[0], best[1][0]


def _size(cascade: Cascade, variable: str, sizes: Mapping[str, int]) -> float:
    """The most coordinates of a rank variable."""
    return sizes.get(cascade.root_of(cascade.rank_of_variable(variable)), inf)


def _stepwise(cascade: Cascade) -> frozenset[str]:
    """Rank variables that are gone through one by one, outside all others: steps of running values, and all parts of
    a rank but the innermost.
    """
    parts = (part.lower() for partition in cascade.partitions for part in partition.parts[:-1])
    return frozenset((*(rank.lower() for _, rank in cascade.iterative), *parts))


@dataclass(frozen=True)
class _Default:
    """A mapping in the making."""

    cascade: Cascade
    architecture: Architecture
    places: dict[str, tuple[Array, Sides]]
    tree: ResolvedTree  # of leaves alone: who runs where
    sizes: Mapping[str, int]

    def document(self, named: str) -> dict[str, Any]:
        nodes = [self._group(group) for group in self.cascade.groups]
        tiles = self._part_tiles | self._dealt | {symbol: text for _, rules in nodes for symbol, text in rules.items()}
        dealt = {"loops": [{name: f"{name}_dealt"} for name in self._dealt_variables]} if self._dealt else {}
        about = f"{self.cascade.name} on {self.architecture.name}, Einsum by Einsum, with the largest tiles that fit"
        head = {"name": "default", "description": about, "source": "derived", "cascade": named}
        count = 1 if self.architecture.cores is None else self.architecture.cores.count
        cores = {"cores": list(self._dealt_variables)} if self._dealt else {"one_core": True} if count > 1 else {}
        schedule = {"kind": "sequential", "transfers": "per-phase"}
        whole = {"tiles": tiles, **cores, "tree": {**dealt, "body": [node for node, _ in nodes]}, "schedule": schedule}
        return head | whole

    # --- cores
    @cached_property
    def _dealt_variables(self) -> tuple[str, ...]:
        """Rank variables whose iterations go to the cores: as many as keep them busy."""
        cores = self.architecture.cores
        if cores is None or cores.count == 1:
            return ()
        first = self.cascade.einsums[0].name
        shared: list[str] = []
        for name in self._ordered(first):
            if self._is_free_everywhere(name) and self._outer_parts(name) <= set(shared):
                shared.append(name)
        for count in range(1, len(shared)):
            if prod(self.sizes.get(self.cascade.rank_of_variable(name), 1) for name in shared[:count]) >= cores.count:
                return tuple(shared[:count])
        return tuple(shared)

    def _is_free_everywhere(self, variable: str) -> bool:
        einsums = self.cascade.einsums
        is_shared = all(variable in self.cascade.variables_of(einsum.name) for einsum in einsums)
        is_reduced = any(variable in einsum.reduced_variables for einsum in einsums)
        is_step = variable in {rank.lower() for _, rank in self.cascade.iterative}
        root = self.cascade.root_of(self.cascade.rank_of_variable(variable))
        return is_shared and not is_reduced and not is_step and root not in self._band_ranks | self._whole_ranks

    def _outer_parts(self, variable: str) -> set[str]:
        """Variables of the parts outside a part of a rank."""
        rank = self.cascade.rank_of_variable(variable)
        parts = self.cascade.scope.parts_of(self.cascade.root_of(rank))
        return {part.lower() for part in parts[: parts.index(rank)]} if rank in parts else set()

    @cached_property
    def _whole_ranks(self) -> frozenset[str]:
        """Ranks along which an Einsum reads all that another one makes, under another name."""
        made = {einsum.name for einsum in self.cascade.einsums}
        accesses = (read for einsum in self.cascade.einsums for read in einsum.reads if read.tensor in made)
        axes = (axis for access in accesses for axis in self.cascade.axes_of(access))
        return frozenset(self.cascade.root_of(axis.rank) for axis in axes if axis.over not in (None, axis.rank))

    @cached_property
    def _band_ranks(self) -> frozenset[str]:
        """Ranks of which iterations differ in what exists."""
        regions = self.cascade.existence.points.values()
        return frozenset(rank for region in regions for rank in band_ranks(self.cascade, region))

    @cached_property
    def _dealt(self) -> dict[str, str]:
        """Tiles of the dealt loops: single coordinates, of the last rank an equal share for every core that is left."""
        names = self._dealt_variables
        if not names:
            return {}
        assert self.architecture.cores is not None
        counts = [self._coordinates(name) for name in names]
        cores, outer = self.architecture.cores.count, "*".join(counts[:-1])
        last = f"ceil_div({counts[-1]}, {f'ceil_div({cores}, {outer})' if outer else cores})"
        last = "1" if names[-1] in _stepwise(self.cascade) else last
        return {f"{name}_dealt": "1" for name in names[:-1]} | {f"{names[-1]}_dealt": last}

    def _coordinates(self, variable: str) -> str:
        """The formula of how many coordinates a rank variable has; of an outermost part, what the inner ones leave."""
        rank = self.cascade.rank_of_variable(variable)
        root = self.cascade.root_of(rank)
        parts = self.cascade.scope.parts_of(root)
        return f"ceil_div({root}, {'*'.join(parts[1:])})" if rank in parts[:1] else rank

    # --- ranks
    @cached_property
    def _part_tiles(self) -> dict[str, str]:
        """Sizes of the parts of ranks: of the innermost what a side takes."""
        tiles: dict[str, str] = {}
        for partition in self.cascade.partitions:
            *middle, innermost = partition.inner
            sides = (
                f"{array.name}.{side}"
                for array, sides in self.places.values()
                for side, name in sides
                if name == innermost.lower()
            )
            tiles[innermost] = f"min({partition.rank}, {next(sides, MIDDLE_PARTS)})"
            for part in reversed(middle):
                inside = "*".join(tiles)
                tiles[part] = f"min(ceil_div({partition.rank}, {inside}), {MIDDLE_PARTS})"
        return tiles

    def _whole(self, variable: str) -> str:
        """The formula of all coordinates that there are of a rank variable, or that a core has."""
        if variable in self._dealt_variables and self._dealt:
            return f"{variable}_dealt"
        return self.cascade.rank_of_variable(variable)

    def _ordered(self, einsum: str) -> list[str]:
        """The rank variables of an Einsum as loops: the batch, steps, the result's ranks, reduced ones."""
        names, own = self.cascade.variables_of(einsum), self.cascade.einsum(einsum)
        steps = [name for name in self._in_parts(names) if name in _stepwise(self.cascade)]
        rest = [name for name in names if name not in steps]
        batch = [name for name in rest if name not in own.variables]
        return [
            *batch,
            *steps,
            *(name for name in rest if name not in batch and name not in own.reduced_variables),
            *(name for name in rest if name in own.reduced_variables),
        ]

    def _in_parts(self, names: tuple[str, ...]) -> list[str]:
        """Rank variables in the order in which the cascade declares ranks and parts."""
        return [rank.lower() for rank in self.cascade.leaf_ranks() if rank.lower() in names]

    # --- nodes
    def _group(self, group: tuple[str, ...]) -> tuple[dict[str, Any], dict[str, str]]:
        """The node of Einsums that step together, or of one, and its tiles."""
        if len(group) == 1:
            return self._node(group[0], frozenset())
        steps = [self.cascade.scope.iterative_rank[name].lower() for name in group if self.cascade.is_iterative(name)]
        shared = list(dict.fromkeys(steps))
        found = [self._node(name, frozenset(shared)) for name in group]
        return {"loops": shared, "body": [node for node, _ in found]}, {k: v for _, r in found for k, v in r.items()}

    def _node(self, einsum: str, around: frozenset[str]) -> tuple[dict[str, Any], dict[str, str]]:
        """The loops and kept tiles around one Einsum, from the outermost memory in, and the formulas of its tiles."""
        array, sides = self.places[einsum]
        on_side = {name: f"{array.name}.{side}" for side, name in sides}
        loops = [name for name in self._ordered(einsum) if name not in around]
        single = [
            name
            for name in loops
            if name not in on_side
            and (name in _stepwise(self.cascade) or name not in self.cascade.einsum(einsum).variables)
        ]
        growing = [name for name in loops if name not in single]
        steps = {name: f"min({self._whole(name)}, {on_side[name]})" for name in growing if name in on_side}
        least = {
            name: f"{einsum}_{name}_{on_side[name].rpartition('.')[2]}" if name in steps else "1" for name in growing
        }
        rules = {least[name]: text for name, text in steps.items()}
        node = self._leaf(
            einsum, array, sides, [{name: on_side[name]} if name in on_side else name for name in growing]
        )
        for memory in reversed(self._memories(array)):
            operands = self._kept(einsum, memory, frozenset(growing))
            if not operands:
                continue
            symbols = {name: f"{einsum}_{name}_{memory.name}" for name in growing}
            order = sorted(growing, key=lambda name: name not in self.cascade.einsum(einsum).reduced_variables)
            growths = tuple(GrowingRank(name, symbols[name], least[name], self._whole(name)) for name in order)
            rules |= dict(grown(growths, operands, self._words(memory)))
            kept = {memory.name: [operand.tensor for operand in operands]}
            node = {"loops": [{name: symbols[name]} for name in growing], "keep": kept, "body": [node]}
            least = symbols
        outer = [name for name in single if name not in self._dealt_variables]
        return node | {"loops": [*outer, *node.get("loops", [])]}, rules

    def _leaf(self, einsum: str, array: Array, sides: Sides, loops: list[Any]) -> dict[str, Any]:
        leaf: dict[str, Any] = {"einsum": einsum, "array": array.name}
        if loops:
            leaf["loops"] = loops
        if sides:
            leaf["spatial"] = dict(sides)
        registers = self.architecture.memory(array.registers)
        own = self.cascade.einsum(einsum)
        passing = dict.fromkeys(access.tensor for access in (*own.reads, own.output))
        bypass = [name for name in passing if not self._holds(registers, name)]
        return leaf | ({"bypass": bypass} if bypass else {})

    # --- memories
    def _memories(self, array: Array) -> list[Memory]:
        """Shared memories with a capacity on the way from the root to an array, outermost first."""
        path = (one for one in self.architecture.path(array.name)[1:] if isinstance(one, Memory))
        return [memory for memory in path if memory.per_pe_of is None and memory.size_bits is not None]

    def _holds(self, memory: Memory, tensor: str) -> bool:
        return not memory.holds or any(is_held(self.cascade, self.tree, tensor, one) for one in memory.holds)

    def _words(self, memory: Memory) -> str:
        """The formula of the words that a memory has for the tiles of one core."""
        cores = self.architecture.cores
        is_shared = cores is not None and not self.architecture.is_in_core(memory.name)
        words = f"{memory.name}.size_words" + (f"/{cores.count}" if cores is not None and is_shared else "")
        staying = self._staying(memory)
        return f"({words} - {staying})" if staying else words

    def _staying(self, memory: Memory) -> int:
        """Words of tensors without a rank that other Einsums keep: no loop ever puts anything in their place."""
        kept = (
            tile
            for einsum, (array, _) in self.places.items()
            if memory in self._memories(array)
            for tile in self._kept(einsum, memory, frozenset())
        )
        return sum(not self.cascade.ranks_of(tile.tensor) for tile in kept)

    def _kept(self, einsum: str, memory: Memory, growing: frozenset[str]) -> tuple[KeptTile, ...]:
        """Operands and result of which a memory keeps tiles: those whose ranks the Einsum goes through, if it holds
        them.
        """
        own = self.cascade.einsum(einsum)
        walked = frozenset(self.cascade.variables_of(einsum))
        found = []
        for tensor in dict.fromkeys(access.tensor for access in (*own.reads, own.output)):
            accesses = tuple(access for access in (*own.reads, own.output) if access.tensor == tensor)
            variables = frozenset(variables_accessed(self.cascade, accesses))
            if len({ranks_accessed(self.cascade, access) for access in accesses}) > 1:
                continue  # under two names: a tile of one is none of the other
            if variables <= walked and self._holds(memory, tensor):
                found.append(KeptTile(tensor, variables & growing))
        return tuple(found)
