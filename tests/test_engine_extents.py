"""What a loop makes of an extent, and everything that counts by it, against a walk over coordinates.

A case is a rank M of one to three parts and a plain rank N, with loops over any of them, also several over one. The
walk knows nothing of extents: it holds the elements that are left and divides them by their coordinates.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsums.types import Cascade
from einsums.workload import Workload
from mappings.tree import PlacedLoop, ResolvedTree
from sim.design.experiment import stack
from sim.engine.analytical import evaluate
from sim.engine.counting import count_words, first_tile_words
from sim.engine.extents import cut, is_cut, is_inside, tile_extent, trips
from sim.functional.boxes import Box, BoxLoop, iter_tiles, whole_box
from sim.functional.points import BoxPoints, reduced_order
from sim.functional.program import program_of_experiment, workload_of
from sim.lower.lowering import lower
from sim.lower.ranks import RankSpace, rank_space
from sim.lower.regions import Regions
from sim.lower.rows import NOTHING, RowTable
from sim.lower.walk import LoopTile, Walk
from tests.test_sim_oracle import described, legal_experiment

fixed = settings(derandomize=True, deadline=None, max_examples=150)
Elements = tuple[tuple[int, ...], tuple[int, ...]]  # those of M and those of N that are left
PARTS = {1: ("M",), 2: ("M1", "M0"), 3: ("M2", "M1", "M0")}


def cascade_of(parts: int) -> Cascade:
    """Z = A + A over a rank M of so many parts and a rank N."""
    ranks = PARTS[parts]
    element = "+".join("*".join((rank.lower(), *ranks[n + 1 :])) for n, rank in enumerate(ranks))
    data = {
        "name": "copy", "ranks": {"M": "", "N": ""}, "inputs": {"A": ["M", "N"]}, "outputs": ["Z"],
        "einsums": f"Z[{','.join(ranks).lower()},n] = A[{element},n] + A[{element},n]",
    }  # fmt: skip
    return Cascade.model_validate(data | ({"partition": {"M": list(ranks)}} if parts > 1 else {}))


CASCADES = {parts: cascade_of(parts) for parts in PARTS}


@dataclass(frozen=True)
class Walked:
    """Sizes by rank (M and N whole, inner parts), and loops of (variable, coordinates), outermost first."""

    parts: int
    sizes: dict[str, int]
    loops: tuple[tuple[str, int], ...]

    def unit(self, variable: str) -> int:
        """Elements of a coordinate."""
        found, ranks = 1, PARTS[self.parts]
        for rank in ranks[ranks.index(variable.upper()) + 1 :] if variable != "n" else ():
            found *= self.sizes[rank]
        return found

    def coordinate(self, element: int, variable: str) -> int:
        found = element // self.unit(variable)
        is_inner = variable != "n" and PARTS[self.parts].index(variable.upper()) > 0
        return found % self.sizes[variable.upper()] if is_inner else found

    def divide(self, left: Elements, variable: str, step: int) -> Iterator[Elements]:
        """The elements of every iteration of a loop."""
        side = int(variable == "n")
        present = sorted({self.coordinate(element, variable) for element in left[side]})
        for first in range(0, len(present), step):
            here = present[first : first + step]
            kept = tuple(x for x in left[side] if self.coordinate(x, variable) in here)
            yield (left[0], kept) if side else (kept, left[1])

    def whole(self) -> Elements:
        return tuple(range(self.sizes["M"])), tuple(range(self.sizes["N"]))

    def visits(self, left: Elements, loops: tuple[tuple[str, int], ...]) -> Iterator[Elements]:
        """What every innermost iteration holds, in order."""
        if not loops:
            yield left
            return
        for inside in self.divide(left, *loops[0]):
            yield from self.visits(inside, loops[1:])

    def tile(self, left: Elements, variables: tuple[str, ...]) -> frozenset[tuple[int, ...]]:
        """Coordinates that a tensor over these variables has in what is left."""
        own = [v for v in variables if v != "n"]
        places = {tuple(self.coordinate(x, v) for v in own) for x in left[0]}
        others = left[1] if "n" in variables else (0,)
        return frozenset((*place, other) for place in places for other in others)

    # The same case for what is tested

    @property
    def space(self) -> RankSpace:
        return rank_space(CASCADES[self.parts])

    @property
    def walk(self) -> Walk:
        space = self.space
        inner = {rank: np.array([self.sizes[rank]]) for rank in PARTS[self.parts][1:]}
        sizes = space.size_columns(inner, 1)[0].tolist()
        loops = []
        for variable, step in self.loops:
            number = space.part_of_variable(variable)
            part = space.parts[number]
            loops.append(LoopTile(variable, number, part.root, step * sizes[part.unit], sizes[part.unit]))
        return Walk(space, tuple(loops), tuple(sizes), tuple(self.sizes[root] for root in space.roots))

    @property
    def workload(self) -> Workload:
        return workload_of(CASCADES[self.parts], self.sizes)


@st.composite
def walks(draw: st.DrawFn) -> Walked:
    """Parts are walked from the outside in, each down to single coordinates before the next; N in between."""
    parts = draw(st.integers(1, 3))
    inner = {rank: draw(st.integers(1, 4)) for rank in PARTS[parts][1:]}
    sizes = {"M": draw(st.integers(1, 26)), "N": draw(st.integers(1, 6)), **inner}
    deepest = draw(st.integers(1, parts))
    loops: list[tuple[str, int]] = []
    for number, rank in enumerate(PARTS[parts][:deepest]):
        steps = draw(st.lists(st.integers(1, 5), max_size=2))
        ends = (1,) if number + 1 < deepest else ()
        loops += [(rank.lower(), step) for step in (*steps, *ends)]
    for step in draw(st.lists(st.integers(1, 4), max_size=2)):
        loops.insert(draw(st.integers(0, len(loops))), ("n", step))
    return Walked(parts, sizes, tuple(loops))


def tensors(case: Walked) -> Iterator[tuple[str, ...]]:
    """Tensors over the outermost parts of M, so many of them, with and without N."""
    ranks = tuple(rank.lower() for rank in PARTS[case.parts])
    for count in range(len(ranks) + 1):
        yield ranks[:count]
        yield (*ranks[:count], "n")


def parts_of(case: Walked, variables: tuple[str, ...]) -> frozenset[int]:
    return frozenset(case.space.part_of_variable(variable) for variable in variables)


# --- one loop -----------------------------------------------------------------------------------------------
@pytest.mark.parametrize("extent", range(1, 14))
@pytest.mark.parametrize("tile", range(1, 16))
def test_a_loop_cuts_an_extent(extent: int, tile: int) -> None:
    chunks = [len(range(extent)[first : first + tile]) for first in range(0, extent, tile)]
    assert trips(extent, tile) == len(chunks)
    assert [tile_extent(extent, tile, i) for i in range(len(chunks))] == chunks
    assert is_cut(extent, tile) == (len(chunks) > 1)
    assert cut(extent, tile) == (chunks.count(tile), sum(chunk for chunk in chunks if chunk < tile))


def test_extents_are_whole_numbers_of_any_size() -> None:
    """Python calls the functions as they are, without the limits of compiled code."""
    assert cut(10**30 + 1, 10**15) == (10**15, 1)
    assert trips(10**30 + 1, 10**15) == 10**15 + 1


# --- a nest -------------------------------------------------------------------------------------------------
def check_iterations(case: Walked, walk: Walk, left: Elements, extents: tuple[int, ...], depth: int) -> None:
    """Trips, extents and words of every tile at every depth."""
    root = {r: n for n, r in enumerate(case.space.roots)}
    assert (extents[root["M"]], extents[root["N"]]) == (len(left[0]), len(left[1]))
    ranks = [rank.lower() for rank in PARTS[case.parts]]
    for first, last in combinations(range(len(ranks) + 1), 2):
        variables = tuple(ranks[first:last])
        assert walk.words(extents, parts_of(case, variables)) == len(case.tile(left, variables)), variables
    if depth == len(case.loops):
        return
    inside = list(case.divide(left, *case.loops[depth]))
    assert walk.trips(extents, depth) == len(inside)
    tiles = [walk.inside(extents, depth, n == len(inside) - 1) for n in range(len(inside))]
    cases = [tile for count, tile in walk.cases(extents, depth) for _ in range(count)]
    assert tiles == cases
    for one, tile in zip(inside, tiles, strict=True):
        check_iterations(case, walk, one, tile, depth + 1)


@fixed
@given(walks())
def test_tiles_hold_the_coordinates_that_are_there(case: Walked) -> None:
    walk = case.walk
    check_iterations(case, walk, case.whole(), walk.whole, 0)
    numbers = tuple(range(len(case.loops)))
    visited = [(len(m), len(n)) for m, n in case.visits(case.whole(), case.loops)]
    assert walk.iterations(walk.whole, numbers) == len(visited)
    m, n = case.space.roots.index("M"), case.space.roots.index("N")
    occurring = {(e[m], e[n]): times for e, times in walk.variants_below(walk.whole, numbers).items()}
    assert occurring == {size: visited.count(size) for size in visited}


@fixed
@given(walks())
def test_words_fetched_are_those_of_a_buffer_of_one_tile(case: Walked) -> None:
    """By the compiled loops over a table of rows, by the walk of a design, and by walking coordinates."""
    walk, numbers = case.walk, tuple(range(len(case.loops)))
    tree = ResolvedTree(
        tuple(PlacedLoop(n, variable, str(step), "") for n, (variable, step) in enumerate(case.loops)), (), (), ()
    )
    rows = RowTable(case.space, tree, Regions(case.space))
    expected = {}
    for variables in tensors(case):
        held: frozenset[tuple[int, ...]] = frozenset()
        fetches = words = 0
        for left in case.visits(case.whole(), case.loops):
            tile = case.tile(left, variables)
            if not tile <= held:
                held, fetches, words = tile, fetches + 1, words + len(tile)
        parts = parts_of(case, variables)
        assert walk.fetched(walk.whole, numbers, parts, parts) == (fetches, words), variables
        assert walk.several(walk.whole, numbers, parts) == (fetches > 1), variables
        expected[rows.row(numbers, parts, parts)] = words
        expected[rows.row(numbers, parts, NOTHING)] = fetches
    tables = rows.tables()
    found = np.empty((1, len(rows.numbers)))
    extents, tiles = np.array([walk.whole]), np.array([[loop.tile for loop in walk.loops]], np.int64).reshape(1, -1)
    columns = np.array([walk.sizes])
    count_words(extents, tiles, columns, tables.paths, tables.relevant, tables.runs, tables.loop_rank, found)
    assert found[0].tolist() == [expected[row] for row in range(len(rows.numbers))]
    first_tile_words(extents, tiles, columns, tables.paths, tables.runs, tables.loop_rank, found)
    largest = walk.full_tile(walk.whole, numbers)
    for variables in tensors(case):
        parts = parts_of(case, variables)
        most = max(len(case.tile(left, variables)) for left in case.visits(case.whole(), case.loops))
        assert found[0, rows.row(numbers, parts, parts)] == walk.words(largest, parts) == most


# --- boxes of points ----------------------------------------------------------------------------------------
def boxes(box: Box, loops: tuple[BoxLoop, ...]) -> Iterator[Box]:
    if not loops:
        yield box
        return
    for inside in iter_tiles(box, loops[0]):
        yield from boxes(inside, loops[1:])


def points_in(case: Walked, box: Box) -> int:
    """Points of a box that exist."""
    ranks = [rank.lower() for rank in PARTS[case.parts]]
    axes = np.meshgrid(*(np.arange(*box[variable]) * case.unit(variable) for variable in ranks), indexing="ij")
    inside = is_inside(sum(axes), case.sizes["M"])
    return int(inside.sum()) * (box["n"][1] - box["n"][0])


@fixed
@given(walks())
def test_boxes_hold_the_points_that_extents_count(case: Walked) -> None:
    """Iteration by iteration, those left out in which no point exists."""
    loops = tuple(BoxLoop(variable, step) for variable, step in case.loops)
    found = [points_in(case, box) for box in boxes(whole_box(case.workload), loops)]
    visited = [len(m) * len(n) for m, n in case.visits(case.whole(), case.loops)]
    assert [count for count in found if count] == visited
    assert sum(found) == case.sizes["M"] * case.sizes["N"]


@pytest.mark.parametrize("seed", range(0, 330, 11))
def test_engines_count_the_same_points(seed: int) -> None:
    """Points that the functional engine lays out for each Einsum, and those of the counting loops."""
    experiment = legal_experiment(seed)
    if experiment is None:
        return
    program = program_of_experiment(experiment)
    tables = lower(experiment.structure, stack([experiment]))
    found = evaluate(tables).points[0]
    box = whole_box(program.workload)
    for leaf in program.leaves:
        if leaf.recompute:
            continue
        points = BoxPoints(program.workload, leaf.einsum, box, reduced_order(program, leaf, box, 0), {})
        assert points.counts().sum() == found[leaf.index], f"{leaf.einsum}\n{described(experiment)}"
