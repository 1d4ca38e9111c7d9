"""Matrix products of any size on a systolic array, fold by fold, in three dataflows.

A product of left[M,K] and right[K,N] is divided into folds that fit the array. With an r x c fold of T steps on an R x
C array:

| dataflow | rows | columns | steps | one fold |
|---|---|---|---|---|
| output | M | N | K | both operands stream, sums stay, a train of blanks drains them |
| weight | K | N | M | right is loaded, left streams from the left, sums go down |
| input | K | M | N | left is loaded, right streams from the left, sums go down |

One fold alone takes r + R + c + T - 2 cycles in every dataflow: 2R + C + T - 2 if it fills the array, as in SCALE-Sim
(Samajdar et al., ISPASS 2020, section III-B). Sums over K folds are added in fold order after they have left the array.

Folds follow each other without overlap, or as soon as column links and registers allow. With one link down a column,
the trains and the streams take turns and a fold starts every T + r cycles; with two links and two registers, every
max(T, r). Without overlap two links and two registers may still take the trains beside the products: a fold then starts
every max(T + R + c - 2, r).
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from einsums.names import near_or_all
from sim.systolic.program import ArrayTask, ArrayTile, Issue, SystolicArray, WordPlace, Words
from sim.systolic.runner import ArrayRun, run_program
from sim.systolic.tasks import drain, giving_up, load, product_in_place, product_through, to_memory

Dataflow = Literal["output", "weight", "input"]
DATAFLOWS = ("output", "weight", "input")


class ProductShape(NamedTuple):
    """Sizes of left[M,K] times right[K,N]."""

    M: int
    K: int
    N: int


class Folding(NamedTuple):
    """How a product is cut into folds: whether they overlap, whether trains run beside products (with two links and two
    registers; None: where folds overlap), and whether the rows' rank is the outer one.
    """

    dataflow: Dataflow
    overlap: bool = False
    shadow: bool | None = None
    rows_outside: bool = False

    def is_double(self, array: SystolicArray) -> bool:
        wanted = self.overlap if self.shadow is None else self.shadow
        return wanted and array.links > 1 and array.registers > 1


class Fold(NamedTuple):
    """One fold: where it starts in the two spatial ranks, its tile, and when its two parts start."""

    row: int
    col: int
    tile: ArrayTile
    start: int  # first word of the train that loads, or of the operands of an output-stationary product
    then: int  # first word of the operands, or of the train that drains


@dataclass(frozen=True, slots=True)
class FoldedProduct:
    """A product's values, f8[m, n], the folds it was made in, and the run that made it."""

    values: np.ndarray
    folds: tuple[Fold, ...]
    run: ArrayRun


def plan_folds(
    array: SystolicArray, shape: ProductShape, dataflow: Dataflow, overlap: bool = False
) -> tuple[Fold, ...]:
    """Folds with their start cycles, the reduced rank innermost."""
    return folds_of(array, shape, Folding(dataflow, overlap))


def folds_of(array: SystolicArray, shape: ProductShape, folding: Folding) -> tuple[Fold, ...]:
    """Folds with their start cycles; ValueError for an unknown dataflow or sizes below 1."""
    dataflow = folding.dataflow
    if dataflow not in DATAFLOWS:
        raise ValueError(f"no dataflow '{dataflow}'{near_or_all(dataflow, DATAFLOWS)}")
    if min(shape) < 1:
        raise ValueError(f"a product: expected sizes of at least 1, got {tuple(shape)}")
    rows, cols, steps = {
        "output": (shape.M, shape.N, shape.K),
        "weight": (shape.K, shape.N, shape.M),
        "input": (shape.K, shape.M, shape.N),
    }[dataflow]
    corners = [(row, col) for col in range(0, cols, array.cols) for row in range(0, rows, array.rows)]
    folds: list[Fold] = []
    for row, col in sorted(corners) if folding.rows_outside else corners:
        tile = ArrayTile(min(array.rows, rows - row), min(array.cols, cols - col), steps)
        start, then = _next_start(array, folds, tile, folding)
        folds.append(Fold(row, col, tile, start, then))
    return tuple(folds)


def _next_start(array: SystolicArray, folds: list[Fold], tile: ArrayTile, folding: Folding) -> tuple[int, int]:
    """Earliest starts of the two parts of a fold after others."""
    in_place, is_double = folding.dataflow == "output", folding.is_double(array)
    if not folding.overlap and not is_double:
        start = folds[-1].start + alone_cycles(array, folds[-1].tile) if folds else 0
        return start, start + (tile.steps if in_place else tile.rows)
    waits = 0 if folding.overlap or not folds else array.rows + folds[-1].tile.cols - 2
    return (next_in_place if in_place else next_through)(folds, tile, is_double, waits)


def next_in_place(folds: list[Fold], tile: ArrayTile, is_double: bool, waits: int = 0) -> tuple[int, int]:
    """Earliest start of an output-stationary fold after others, and of its drain.

    waits: cycles from the last step of a fold until the next may begin.
    """
    start = 0
    if folds:
        rows, steps = folds[-1].tile.rows, folds[-1].tile.steps + waits
        start = folds[-1].start + (max(rows, steps) if is_double else rows + steps)
    return start, start + tile.steps


def next_through(folds: list[Fold], tile: ArrayTile, is_double: bool, waits: int = 0) -> tuple[int, int]:
    """Earliest start of the load of a fold with a stationary operand, and of its sums.

    With one link, the load comes after the sums. With two, the load may pass in parallel with the sums, but not before
    its register, held by the fold before the last, is free. waits: as above.
    """
    if not folds:
        return 0, tile.rows
    last = folds[-1]
    if not is_double:
        start = last.then + last.tile.steps
        return start, start + tile.rows
    start = last.start + last.tile.rows
    if len(folds) > 1:
        start = max(start, folds[-2].then + folds[-2].tile.steps)
    return start, max(start + tile.rows, last.then + last.tile.steps + waits)


def alone_cycles(array: SystolicArray, tile: ArrayTile) -> int:
    """Cycles of one isolated fold."""
    return tile.rows + array.rows + tile.cols + tile.steps - 2


def product_cycles(array: SystolicArray, shape: ProductShape, dataflow: Dataflow, overlap: bool = False) -> int:
    """Cycles of a whole product in closed form: the last result of any fold to leave the array."""
    return folded_cycles(array, shape, Folding(dataflow, overlap))


def folded_cycles(array: SystolicArray, shape: ProductShape, folding: Folding) -> int:
    """The same for any way of folding it."""
    folds = folds_of(array, shape, folding)
    train = {fold: fold.tile.rows if folding.dataflow == "output" else fold.tile.steps for fold in folds}
    return max(fold.then + train[fold] + array.rows + fold.tile.cols - 2 for fold in folds)


def multiply(
    array: SystolicArray, left: np.ndarray, right: np.ndarray, dataflow: Dataflow, overlap: bool = False
) -> FoldedProduct:
    """left[m, k] times right[k, n], cycle by cycle on the array."""
    return multiply_folded(array, left, right, Folding(dataflow, overlap))


def multiply_folded(array: SystolicArray, left: np.ndarray, right: np.ndarray, folding: Folding) -> FoldedProduct:
    """The same for any way of folding it."""
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"a product: expected left[m, k] and right[k, n], got {left.shape} and {right.shape}")
    shape, dataflow = ProductShape(left.shape[0], left.shape[1], right.shape[1]), folding.dataflow
    folds = folds_of(array, shape, folding)
    # Each operand is in memory as [step, lane] of the side it enters at; the result as [step or row, column].
    if dataflow == "output":
        beside, above, result = left.T, right, np.zeros((shape.M, shape.N))
    elif dataflow == "weight":
        beside, above, result = left, right, np.zeros((shape.M, shape.N))
    else:
        beside, above, result = right.T, left.T, np.zeros((shape.N, shape.M))
    words = Words()
    places = words.hold(beside), words.hold(above)
    is_double = folding.is_double(array)
    tasks: list[ArrayTask] = []
    outs: list[WordPlace] = []
    for number, fold in enumerate(folds):
        outs.append(words.reserve(*out_shape(fold, dataflow)))
        make = fold_in_place if dataflow == "output" else fold_through
        tasks += make(fold, (places[0], places[1], outs[-1]), number, is_double)
    run = run_program(array, tasks, words.memory()).checked()
    for fold, out in zip(folds, outs, strict=True):
        part = run.read(out, *out_shape(fold, dataflow))
        first = fold.row if dataflow == "output" else 0
        result[first : first + part.shape[0], fold.col : fold.col + part.shape[1]] += part
    return FoldedProduct(result.T if dataflow == "input" else result, folds, run)


def out_shape(fold: Fold, dataflow: Dataflow) -> tuple[int, int]:
    """Steps and lanes of what leaves in one fold."""
    return (fold.tile.rows if dataflow == "output" else fold.tile.steps), fold.tile.cols


def fold_in_place(
    fold: Fold, places: tuple[WordPlace, WordPlace, WordPlace], number: int, is_double: bool
) -> list[ArrayTask]:
    """The product and the drain of an output-stationary fold."""
    left, top, out = places
    register, link = (number % 2, 1) if is_double else (0, 0)
    left = left._replace(base=left.base + fold.row * left.lane_words)
    top = top._replace(base=top.base + fold.col * top.lane_words)
    return [
        product_in_place(fold.tile, Issue(f"product {number}", fold.start), left, top, register),
        drain(fold.tile, Issue(f"drain {number}", fold.then, 1, link), register, out),
    ]


def fold_through(
    fold: Fold, places: tuple[WordPlace, WordPlace, WordPlace], number: int, is_double: bool
) -> list[ArrayTask]:
    """The load and the product of a fold with a stationary operand."""
    left, top, out = places
    register, link = (number % 2, 1) if is_double else (0, 0)
    left = left._replace(base=left.base + fold.row * left.lane_words)
    top = top._replace(base=top.base + fold.row * top.step_words + fold.col * top.lane_words)
    product = product_through(fold.tile, Issue(f"product {number}", fold.then), left, register)
    return [
        load(fold.tile, Issue(f"load {number}", fold.start, 1, link), top, register),
        to_memory(giving_up(product, "b"), out),
    ]
