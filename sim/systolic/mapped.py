"""A mapped matrix product as the PE level runs it: array, sizes, dataflow and folds as the files say.

The machine file states the array and its links, the mapping what each side carries; what stays in the elements follows.
The loops over the sides give the folds. A mapping with other loops around the steps of a fold, or with sums along the
rows, is refused: there the tile-level engine says the time.
"""

from dataclasses import dataclass

import numpy as np

from arch.types import Array
from einsums.types import Einsum
from mappings.tree import PlacedLeaf
from sim.design.experiment import Experiment, stack
from sim.lower.lowering import lower
from sim.lower.walk import Walk
from sim.systolic.product import FoldedProduct, Folding, ProductShape, folded_cycles, multiply_folded
from sim.systolic.program import SystolicArray


@dataclass(frozen=True, slots=True)
class MappedProduct:
    """A product left[m, k] x right[k, n] in folds on an array.

    left, right: the tensors in those places; of a stationary operand it is the right one that stays.
    """

    array: SystolicArray
    shape: ProductShape
    folding: Folding
    left: str
    right: str

    @property
    def cycles(self) -> int:
        """In closed form."""
        return folded_cycles(self.array, self.shape, self.folding)

    def multiply(self, left: np.ndarray, right: np.ndarray) -> FoldedProduct:
        """left[m, k] times right[k, n], cycle by cycle."""
        return multiply_folded(self.array, left, right, self.folding)


def array_of(array: Array) -> SystolicArray:
    """The PE level's array of a machine file's: its links down the columns, two registers with a shadow, else one."""
    wiring = array.wiring
    return SystolicArray(array.rows, array.columns, registers=1 + wiring.shadow, links=wiring.down)


def product_of(experiment: Experiment) -> MappedProduct:
    """The product that an experiment's only Einsum is. ValueError says why the PE level cannot run it."""
    leaves = experiment.tree.leaves
    if len(leaves) != 1:
        raise ValueError(f"a product is one Einsum, mapping '{experiment.mapping.name}' has {len(leaves)}")
    leaf, einsum = leaves[0], experiment.cascade.einsum(leaves[0].einsum)
    sides = {side.side: side.variable for side in leaf.spatial}
    reduced = tuple(einsum.reduced_variables)
    if len(leaf.spatial) != 2 or len(sides) != 2 or len(einsum.variables) != 3 or len(reduced) != 1:
        raise ValueError(f"Einsum '{einsum.name}' is no product of two matrices with a rank on each side of its array")
    (steps,) = set(einsum.variables) - set(sides.values())
    if sides["columns"] == reduced[0]:
        raise ValueError(f"'{reduced[0]}' is summed along the rows; on the PE level sums go down the columns")
    _refuse_other_loops(experiment, leaf, steps)
    array = experiment.architecture.array(leaf.array)
    if not array.is_linked:
        raise ValueError(f"array '{array.name}' is fed directly; on the PE level words pass from element to element")
    size = {variable: dict(experiment.sizes)[variable.upper()] for variable in einsum.variables}
    wiring, is_output = array.wiring, steps == reduced[0]
    order = [experiment.tree.loops[loop].variable for loop in leaf.loops]
    rows_outside = sides["rows"] in order and sides["columns"] in order[order.index(sides["rows"]) :]
    folding = Folding("output" if is_output else "weight", wiring.overlap, wiring.shadow, rows_outside)
    on_rows, on_columns = size[sides["rows"]], size[sides["columns"]]
    shape = (on_rows, size[steps], on_columns) if is_output else (size[steps], on_rows, on_columns)
    left = _operand(einsum, {sides["rows"], steps})
    right = _operand(einsum, {steps if is_output else sides["rows"], sides["columns"]})
    return MappedProduct(array_of(array), ProductShape(*shape), folding, left, right)


def _operand(einsum: Einsum, variables: set[str]) -> str:
    found = [load.tensor for load in einsum.loads if set(load.variables) == variables]
    if len(found) != 1 or len(einsum.loads) != 2:
        names = ", ".join(sorted(variables))
        raise ValueError(f"Einsum '{einsum.name}' is no product of two matrices: no one operand has the ranks {names}")
    return found[0]


def _refuse_other_loops(experiment: Experiment, leaf: PlacedLeaf, steps: str) -> None:
    """Loops that a fold does not follow: over its steps in pieces, or over a side more than once."""
    array, tree = experiment.architecture.array(leaf.array), experiment.tree
    walked = [tree.loops[loop].variable for loop in leaf.loops]
    for side in leaf.spatial:
        if walked.count(side.variable) > 1:
            raise ValueError(f"several loops walk '{side.variable}'; on the PE level one cuts it into folds")
    walk = Walk.of(experiment.structure.lowered, lower(experiment.structure, stack([experiment])))
    length = {side.variable: array.rows if side.side == "rows" else array.columns for side in leaf.spatial}
    for loop in (walk.loops[number] for number in leaf.loops):
        if loop.variable in length and loop.step != length[loop.variable] < walk.whole[loop.root]:
            reason = f"tiles of {loop.step} on a side of {length[loop.variable]}"
            raise ValueError(f"'{loop.variable}' is cut into {reason}; on the PE level a fold fills its side")
    inside = [loop for loop in leaf.loops if tree.loops[loop].variable == steps]
    if len(inside) != 1 or leaf.loops[-1] != inside[0]:
        raise ValueError(f"on the PE level a fold on '{array.name}' takes all steps of '{steps}' in its innermost loop")
