"""Random programs on the PE-level engine against a second account of them, in space and time instead of cycle by cycle.

As no token waits, a token that enters column j at the top in cycle t is in row i in cycle t + i, and one that enters row i from the
left in cycle t is in column j in cycle t + j. So every firing, every link and every operator is known from the streams alone.
"""

from collections import Counter
from dataclasses import dataclass

import numpy as np
import pytest

from sim.systolic.program import ArrayTask, ArrayTile, Issue, SystolicArray, WordPlace, Words
from sim.systolic.runner import run_program
from sim.systolic.tasks import drain, load, product_in_place, product_through, reduce_down, to_memory

KINDS = ("in-place", "through", "reduce", "load", "drain")
SLOTS = {"in-place": 1, "through": 1, "reduce": 1, "load": 0, "drain": 0}


@dataclass(frozen=True)
class Drawn:
    """One task of a random program."""

    kind: str
    tile: ArrayTile
    issue: Issue

    def steps(self) -> int:
        return {"reduce": 1, "load": self.tile.rows, "drain": self.tile.rows}.get(self.kind, self.tile.steps)

    def cycle(self, step: int) -> int:
        return self.issue.start + step * self.issue.stride

    def firings(self) -> list[tuple[int, int, int]]:
        """(row, column, cycle) of every firing."""
        rows, cols = range(self.tile.rows), range(self.tile.cols)
        row_of_step = {"load": lambda step: self.tile.rows - 1 - step, "drain": lambda step: step}.get(self.kind)
        return [
            (row, col, self.cycle(step) + row + col)
            for step in range(self.steps())
            for row in rows
            for col in cols
            if row_of_step is None or row == row_of_step(step)
        ]

    def entries(self) -> list[tuple[str, int, int, int]]:
        """(side, link, lane, cycle) of every token."""
        top = [
            ("top", self.issue.link, col, self.cycle(step) + col)
            for step in range(self.steps())
            for col in range(self.tile.cols)
        ]
        if self.kind not in ("in-place", "through"):
            return top
        return top + [
            ("left", 0, row, self.cycle(step) + row) for step in range(self.steps()) for row in range(self.tile.rows)
        ]

    def left(self, rows: int) -> list[int]:
        """Cycles in which results leave."""
        if self.kind in ("in-place", "load"):
            return []
        return [self.cycle(step) + col + rows - 1 for step in range(self.steps()) for col in range(self.tile.cols)]

    def task(self, words: Words, register: int) -> ArrayTask:
        ones = words.hold(np.ones((self.tile.steps, max(self.tile.rows, self.tile.cols))))
        out: WordPlace = words.reserve(self.steps(), self.tile.cols)
        if self.kind == "in-place":
            return product_in_place(self.tile, self.issue, ones, ones, register)
        if self.kind == "through":
            return to_memory(product_through(self.tile, self.issue, ones, register), out)
        if self.kind == "reduce":
            return to_memory(reduce_down(self.tile._replace(steps=1), self.issue, "add", register), out)
        if self.kind == "load":
            return load(self.tile, self.issue, words.hold(np.ones((self.tile.rows, self.tile.cols))), register)
        return drain(self.tile, self.issue, register, out)


def draw(seed: int) -> tuple[SystolicArray, list[Drawn]]:
    random = np.random.default_rng(seed)
    rows, cols, links = (int(n) for n in random.integers(1, (6, 6, 4)))
    drawn = []
    for number in range(int(random.integers(1, 6))):
        tile = ArrayTile(
            int(random.integers(1, rows + 1)), int(random.integers(1, cols + 1)), int(random.integers(1, 7))
        )
        issue = Issue(
            f"task {number}", int(random.integers(0, 15)), int(random.integers(1, 3)), int(random.integers(0, links))
        )
        drawn.append(Drawn(str(random.choice(KINDS)), tile, issue))
    return SystolicArray(rows, cols, registers=len(drawn), links=links), drawn


@pytest.mark.parametrize("first", range(0, 400, 100))
def test_random_programs(first: int) -> None:
    seen: Counter[str] = Counter()
    for seed in range(first, first + 100):
        array, drawn = draw(seed)
        words = Words()
        run = run_program(array, [task.task(words, n) for n, task in enumerate(drawn)], words.memory())
        hazards = {hazard.kind: hazard for hazard in run.hazards}
        entries = Counter(entry for task in drawn for entry in task.entries())
        collisions = sum(count - 1 for count in entries.values())
        link = hazards.get("two values want one link")
        assert (link.count if link else 0) == collisions, seed
        if link:
            assert link.cycle == min(entry[3] for entry, count in entries.items() if count > 1), seed
            seen["link"] += 1
            continue
        used = Counter(firing for task in drawn if SLOTS[task.kind] for firing in task.firings())
        taken = hazards.get("an operation starts while the PE's operator is taken")
        assert (taken is not None) == (max(used.values(), default=0) > 1), seed
        if taken:
            assert taken.cycle == min(firing[2] for firing, count in used.items() if count > 1), seed
        counts = np.zeros((array.rows + 1, array.cols), int)
        for task in drawn:
            for row, col, _ in task.firings():
                counts[row, col] += 1
            span, cycles = run.span(task.issue.name), [firing[2] for firing in task.firings()]
            left = task.left(array.rows)
            assert span[:3] == (len(cycles), min(cycles), max(cycles)), seed
            assert span[3:] == ((min(left), max(left)) if left else (-1, -1)), seed
        np.testing.assert_array_equal(run.counts.sum(axis=2), counts, err_msg=str(seed))
        assert "an operand arrives without its partner" not in hazards, seed
        seen["operator" if taken else "none"] += 1
    assert min(seen["link"], seen["operator"], seen["none"]) > 0, seen  # every outcome was met
