"""The machine: memories, arrays, what each operation is made of, and what all of it costs in energy and area.

`Architecture` is a tree of `Memory` and `Array`; `Technology` tables price memories whose costs a machine file leaves
open; `Expression` is the small arithmetic language of area formulas, tile sizes and sweeps. Nothing here reads files.
"""

from arch.area import with_registers, without_area
from arch.cores import Calibration, Cores, Pipes
from arch.energy import AccessCost, Technology, TechnologyRow, lookup, resolve_technology
from arch.expression import Expression, check_names, evaluate, parse_expression
from arch.functions import SCALAR_FUNCTIONS
from arch.operation import Operation, Part
from arch.quantity import exact_quantity, format_quantity, parse_quantity
from arch.types import Architecture, Array, Component, Drain, Links, Memory

__all__ = [
    "SCALAR_FUNCTIONS",
    "AccessCost",
    "Architecture",
    "Array",
    "Calibration",
    "Component",
    "Cores",
    "Drain",
    "Expression",
    "Links",
    "Memory",
    "Operation",
    "Part",
    "Pipes",
    "Technology",
    "TechnologyRow",
    "check_names",
    "evaluate",
    "exact_quantity",
    "format_quantity",
    "lookup",
    "parse_expression",
    "parse_quantity",
    "resolve_technology",
    "with_registers",
    "without_area",
]
