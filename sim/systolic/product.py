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
max(T, r).
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
    if dataflow not in DATAFLOWS:
        raise ValueError(f"no dataflow '{dataflow}'{near_or_all(dataflow, DATAFLOWS)}")
    if min(shape) < 1:
        raise ValueError(f"a product: expected sizes of at least 1, got {tuple(shape)}")
    rows, cols, steps = {
        "output": (shape.M, shape.N, shape.K),
        "weight": (shape.K, shape.N, shape.M),
        "input": (shape.K, shape.M, shape.N),
    }[dataflow]
    is_double = overlap and array.links > 1 and array.registers > 1
    folds: list[Fold] = []
    for col in range(0, cols, array.cols):
        for row in range(0, rows, array.rows):
            tile = ArrayTile(min(array.rows, rows - row), min(array.cols, cols - col), steps)
            if not overlap:
                start = folds[-1].start + alone_cycles(array, folds[-1].tile) if folds else 0
                then = start + (tile.steps if dataflow == "output" else tile.rows)
            elif dataflow == "output":
                start, then = next_in_place(folds, tile, is_double)
            else:
                start, then = next_through(folds, tile, is_double)
            folds.append(Fold(row, col, tile, start, then))
    return tuple(folds)


def next_in_place(folds: list[Fold], tile: ArrayTile, is_double: bool) -> tuple[int, int]:
    """Earliest start of an output-stationary fold after others, and of its drain."""
    start = 0
    if folds:
        rows, steps = folds[-1].tile.rows, folds[-1].tile.steps
        start = folds[-1].start + (max(rows, steps) if is_double else rows + steps)
    return start, start + tile.steps


def next_through(folds: list[Fold], tile: ArrayTile, is_double: bool) -> tuple[int, int]:
    """Earliest start of the load of a fold with a stationary operand, and of its sums.

    With one link, the load comes after the sums. With two, the load may pass in parallel with the sums, but not before
    its register, held by the fold before the last, is free.
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
    return start, max(start + tile.rows, last.then + last.tile.steps)


def alone_cycles(array: SystolicArray, tile: ArrayTile) -> int:
    """Cycles of one isolated fold."""
    return tile.rows + array.rows + tile.cols + tile.steps - 2


def product_cycles(array: SystolicArray, shape: ProductShape, dataflow: Dataflow, overlap: bool = False) -> int:
    """Cycles of a whole product in closed form: the last result of any fold to leave the array."""
    folds = plan_folds(array, shape, dataflow, overlap)
    train = {fold: fold.tile.rows if dataflow == "output" else fold.tile.steps for fold in folds}
    return max(fold.then + train[fold] + array.rows + fold.tile.cols - 2 for fold in folds)


def multiply(
    array: SystolicArray, left: np.ndarray, right: np.ndarray, dataflow: Dataflow, overlap: bool = False
) -> FoldedProduct:
    """left[m, k] times right[k, n], cycle by cycle on the array."""
    if left.ndim != 2 or right.ndim != 2 or left.shape[1] != right.shape[0]:
        raise ValueError(f"a product: expected left[m, k] and right[k, n], got {left.shape} and {right.shape}")
    shape = ProductShape(left.shape[0], left.shape[1], right.shape[1])
    folds = plan_folds(array, shape, dataflow, overlap)
    # Each operand is in memory as [step, lane] of the side it enters at; the result as [step or row, column].
    if dataflow == "output":
        beside, above, result = left.T, right, np.zeros((shape.M, shape.N))
    elif dataflow == "weight":
        beside, above, result = left, right, np.zeros((shape.M, shape.N))
    else:
        beside, above, result = right.T, left.T, np.zeros((shape.N, shape.M))
    words = Words()
    places = words.hold(beside), words.hold(above)
    is_double = overlap and array.links > 1 and array.registers > 1
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
