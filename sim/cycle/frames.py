"""Nests that run one after the other inside loops that they share, as one set of levels that a program walks.

A *level* is a loop, or the choice of an item: the nests (and runs of nests) inside the shared loops are items that come
in order in each iteration. A nest shorter than its neighbours ends in levels of one iteration. Where ops of a nest work
on older tiles, a pause of as many steps as the oldest is behind follows it: the next nest begins when the last op is
through.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from sim.cycle.nest import Nest


@dataclass(frozen=True, slots=True)
class Frame:
    """Loops (indices of the tree's), then items in order; a single nest or a pause has none.

    nest: the number of a single nest, else -1; pause: steps in which nothing begins.
    """

    loops: tuple[int, ...]
    items: tuple["Frame", ...] = ()
    nest: int = -1
    pause: int = 0

    @property
    def depth(self) -> int:
        """Levels."""
        if self.pause:
            return 1
        return len(self.loops) + (1 + max(item.depth for item in self.items) if self.items else 0)


@dataclass(frozen=True, slots=True)
class NestPlace:
    """Where a nest is among the levels.

    home: (level, item) that lead to it; loops: (level, loop) around its records, outermost first.
    """

    home: tuple[tuple[int, int], ...]
    loops: tuple[tuple[int, int], ...]

    def level(self, loops: int) -> int:
        """The level inside the first `loops` loops: the level of the next one, or that after the last."""
        return self.loops[loops][0] if loops < len(self.loops) else (self.loops[-1][0] + 1 if self.loops else 0)


def frame_of(nests: tuple[Nest, ...], pauses: tuple[int, ...]) -> Frame:
    """The frame of nests in order, with the pause after each; a single nest begins inside its outer loops."""
    if len(nests) == 1:
        return Frame(nests[0].loops, nest=0)
    return _frame(nests, pauses, tuple(range(len(nests))), 0)


def _frame(nests: tuple[Nest, ...], pauses: tuple[int, ...], members: tuple[int, ...], depth: int) -> Frame:
    shared = _common([nests[n].outer for n in members])
    items: list[Frame] = []
    for group in _runs(nests, members, len(shared)):
        if len(group) > 1:
            items.append(_frame(nests, pauses, group, len(shared)))
            continue
        (n,) = group
        items.append(Frame(nests[n].outer[len(shared) :] + nests[n].loops, nest=n))
        if pauses[n]:
            items.append(Frame((), pause=pauses[n]))
    return Frame(shared[depth:], tuple(items))


def _common(loops: list[tuple[int, ...]]) -> tuple[int, ...]:
    found: list[int] = []
    for same in zip(*loops, strict=False):
        if len(set(same)) > 1:
            break
        found.append(same[0])
    return tuple(found)


def _runs(nests: tuple[Nest, ...], members: tuple[int, ...], depth: int) -> Iterator[tuple[int, ...]]:
    """Neighbours that share their next outer loop."""
    run: list[int] = []
    for n in members:
        key = nests[n].outer[depth : depth + 1]
        if run and (not key or nests[run[-1]].outer[depth : depth + 1] != key):
            yield tuple(run)
            run = []
        run.append(n)
    yield tuple(run)


def places_of(frame: Frame) -> dict[int, NestPlace]:
    """Where every nest of a frame is."""
    found: dict[int, NestPlace] = {}
    _place(frame, 0, NestPlace((), ()), found)
    return found


def _place(frame: Frame, level: int, at: NestPlace, found: dict[int, NestPlace]) -> None:
    loops = (*at.loops, *((level + n, loop) for n, loop in enumerate(frame.loops)))
    level += len(frame.loops)
    if frame.nest >= 0:
        found[frame.nest] = NestPlace(at.home, loops)
    for n, item in enumerate(frame.items):
        _place(item, level + 1, NestPlace((*at.home, (level, n)), loops), found)
