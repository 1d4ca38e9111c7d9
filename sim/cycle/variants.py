"""All extents that occur at the levels of a frame, numbered, with links from each to those further in.

A tile inside d loops has one of at most 2^d extents, usually far fewer.
"""

from dataclasses import dataclass

import numpy as np

from sim.cycle.frames import Frame
from sim.lower.walk import Extents, Walk

Point = tuple[Frame, int, Extents]  # a frame, its first level, extents


@dataclass(frozen=True, slots=True)
class Variants:
    """Points of a frame by number (0: outside all its loops), and the tables that the engine traverses."""

    points: tuple[Point, ...]
    trips: np.ndarray  # i8[variant, level]
    child: np.ndarray  # i8[variant, level, (full, last) or item]
    before: np.ndarray  # i8[variant, level, item], records of the items before; -1 in the first place: a loop
    inside: np.ndarray  # i8[variant, level], records

    @property
    def extents(self) -> tuple[Extents, ...]:
        return tuple(extents for _, _, extents in self.points)


def children(walk: Walk, point: Point, level: int) -> tuple[int, list[Point], bool]:
    """(iterations of a level, the points inside of a full and the last one, or of every item; whether it has items)."""
    frame, first, extents = point
    place = level - first
    if place < len(frame.loops):
        loop = frame.loops[place]
        trips = walk.trips(extents, loop)
        last = walk.inside(extents, loop, True)
        full = walk.inside(extents, loop, False) if trips > 1 else last
        return trips, [(frame, first, full), (frame, first, last)], False
    if frame.items and place == len(frame.loops):
        return len(frame.items), [(item, level + 1, extents) for item in frame.items], True
    return (frame.pause if frame.pause and place == 0 else 1), [point, point], False


def number_variants(walk: Walk, start: Extents, frame: Frame) -> Variants:
    """Number all points of a frame."""
    depth = frame.depth
    layers: list[dict[Point, None]] = [{(frame, 0, start): None}]
    for level in range(depth):
        layers.append({inner: None for point in layers[-1] for inner in children(walk, point, level)[1]})
    numbers: dict[Point, int] = {}
    for layer in layers:
        for point in layer:
            numbers.setdefault(point, len(numbers))
    width = max([2, *(len(point[0].items) for point in numbers)])
    shape = (len(numbers), max(depth, 1))
    trips, child = np.zeros(shape, np.int64), np.zeros((*shape, width), np.int64)
    before = np.zeros((*shape, width), np.int64)
    inside = np.ones((len(numbers), depth + 1), np.int64)
    for level in range(depth - 1, -1, -1):
        for point in layers[level]:
            n = numbers[point]
            trips[n, level], within, is_choice = children(walk, point, level)
            to = [numbers[inner] for inner in within]
            child[n, level, : len(to)] = to
            records = [int(inside[inner, level + 1]) for inner in to]
            if is_choice:
                before[n, level, : len(to)] = np.cumsum([0, *records[:-1]])
                inside[n, level] = sum(records)
            else:
                before[n, level, 0] = -1
                inside[n, level] = (trips[n, level] - 1) * records[0] + records[1]
    return Variants(tuple(numbers), trips, child, before, inside)
