"""Regions of existence as the tables of the engines: lines between two root ranks, with numbers for each design.

What tiles are skipped by are half-spaces over rank variables and sizes. Strides, blocks and tests of data are left out
of them, so that such a condition skips no tile: what is left holds wherever the whole condition does.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from math import prod
from typing import NamedTuple

import numpy as np

from einsums.conditions import EVERYWHERE, Atom, HalfSpace, Piece, Region
from einsums.nodes import Term
from sim.engine.bands import CORNER, GENERAL, PARALLEL
from sim.engine.tables import BandTables
from sim.lower.ranks import ONE, RankSpace


class Side(NamedTuple):
    """What a line says of one root rank: the terms of its factor, and the column with the elements of a coordinate."""

    terms: tuple[Term, ...]
    unit: int


class HalfPlane(NamedTuple):
    """factor * coordinate of each root rank + terms + offset >= 0."""

    sides: tuple[tuple[int, Side], ...]  # by root rank, those that it speaks of
    terms: tuple[Term, ...]
    offset: int

    def signs(self) -> dict[int, int]:
        """By root rank, the sign of its factor, which sizes do not change."""
        return {root: 1 if sum(term.scale for term in side.terms) > 0 else -1 for root, side in self.sides}


def bands_of(region: Region) -> Region:
    """The region without what skips no tile."""
    pieces = tuple(dict.fromkeys(tuple(atom for atom in piece if is_band(atom)) for piece in region))
    return EVERYWHERE if () in pieces else pieces


def is_band(atom: Atom) -> bool:
    """Whether tiles are skipped by an atom."""
    return isinstance(atom, HalfSpace) and not atom.lengths


def union_of(regions: Iterable[Region]) -> Region:
    """Where any of them holds."""
    pieces = tuple(dict.fromkeys(piece for region in regions for piece in region))
    return EVERYWHERE if () in pieces else pieces


@dataclass
class Regions:
    """Regions that rows have asked for, each with its number."""

    space: RankSpace
    numbers: dict[Region, int] = field(default_factory=dict)

    def number(self, region: Region) -> int:
        """The number of a region; -1 for that of all points."""
        if region == EVERYWHERE:
            return -1
        return self.numbers.setdefault(region, len(self.numbers))

    def line(self, atom: HalfSpace) -> HalfPlane:
        """A half-space by root ranks. ValueError for the inner part of a rank alone: it is no band over tiles."""
        found: dict[int, list[Term]] = {}
        units: dict[int, int] = {}
        for term in atom.form.terms:
            root, unit = self.place(term.variable)
            if units.setdefault(root, unit) != unit:
                raise ValueError(f"a condition speaks of two parts of rank {self.space.roots[root]} in one comparison")
            found.setdefault(root, []).append(term)
        sides = tuple((root, Side(tuple(terms), units[root])) for root, terms in sorted(found.items()))
        return HalfPlane(sides, atom.form.sizes, atom.form.offset)

    def place(self, variable: str) -> tuple[int, int]:
        """(root rank, column with the elements of a coordinate) of a variable; a whole partitioned rank is one."""
        name = variable.upper()
        if name in self.space.roots:
            return self.space.roots.index(name), ONE
        part = self.space.parts[self.space.part(name)]
        if self.space.cascade.partition_of(self.space.roots[part.root]).parts[0] != name:  # type: ignore[union-attr]
            raise ValueError(f"a condition speaks of {variable} alone, an inner part of its rank")
        return part.root, part.unit

    def roots_of(self, region: Region) -> tuple[int, ...]:
        """The root ranks that a region is between."""
        atoms = (atom for piece in region for atom in piece if isinstance(atom, HalfSpace))
        return tuple(sorted({root for atom in atoms for root, _ in self.line(atom).sides}))

    def kind(self, piece: Piece) -> int:
        """How the lines of a piece over both ranks are decided together."""
        lines = [self.line(atom) for atom in piece if isinstance(atom, HalfSpace)]
        both = [line for line in lines if len(line.sides) == 2]
        if len({tuple(sorted(line.signs().items())) for line in both}) <= 1:
            return CORNER
        terms = [term for line in both for _, side in line.sides for term in side.terms]
        is_unit = all(abs(term.scale) == 1 and not term.scale_ranks for term in terms) and len(terms) == 2 * len(both)
        if is_unit and len({prod(line.signs().values()) for line in both}) == 1:
            return PARALLEL
        if len({(root, side.unit) for line in lines for root, side in line.sides}) > 2:
            raise ValueError("a condition speaks of a rank and of a part of it in lines that cross")
        return GENERAL

    def tables(self) -> BandTables | None:
        """The tables of all regions; None without any. ValueError for one between more than two ranks."""
        if not self.numbers:
            return None
        regions: list[tuple[int, ...]] = []
        pieces: list[tuple[int, ...]] = []
        units: list[list[int]] = []
        for region in self.numbers:
            roots = self.roots_of(region)
            if len(roots) > 2:
                names = ", ".join(self.space.roots[root] for root in roots)
                raise ValueError(f"conditions between more than two ranks decide about one tile: {names}")
            first, second = (*roots, -1)[:2] if len(roots) < 2 else roots
            regions.append((first, second, len(pieces), len(pieces) + len(region)))
            for piece in region:
                pieces.append((len(units), len(units) + len(piece), self.kind(piece)))
                for atom in piece:
                    assert isinstance(atom, HalfSpace)
                    sides = dict(self.line(atom).sides)
                    units.append([sides[root].unit if root in sides else ONE for root in (first, second)])
        return BandTables(*(np.array(table, np.int64) for table in (regions, pieces, units)))

    def lines(self, size_of: Callable[[str], np.ndarray], designs: int) -> np.ndarray:
        """i8[design, line, (a, b, c)], from the sizes of ranks in every design."""

        def value(terms: tuple[Term, ...]) -> np.ndarray:
            columns = [term.scale * prod((size_of(rank) for rank in term.scale_ranks), start=1) for term in terms]
            return np.broadcast_to(np.asarray(sum(columns), np.int64), (designs,))

        found = []
        for region in self.numbers:
            roots = self.roots_of(region)
            for atom in (atom for piece in region for atom in piece):
                assert isinstance(atom, HalfSpace)
                line = self.line(atom)
                sides = dict(line.sides)
                factors = [value(sides[root].terms if root in sides else ()) for root in (*roots, -1)[:2]]
                found.append(np.stack([*factors, value(line.terms) + line.offset], axis=1))
        return np.stack(found, axis=1) if found else np.zeros((designs, 0, 3), np.int64)
