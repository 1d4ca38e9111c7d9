"""An array of processing elements: its sides, what one element does, and how elements pass words to each other."""

from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import BaseModel, Field, model_validator

from arch.fields import Count, Formula, Identifier, names_checked
from arch.numbers import MachineNumber, Numbered, symbols_of
from arch.operation import FROZEN, Operation, cover
from arch.operator_table import OperationsByName, OperatorTable
from arch.quantity import AreaUm2, PowerW
from einsums.names import nearest
from einsums.quiet import Quiet

Side = Literal["rows", "columns", "lanes"]
Feed = Literal["neighbours", "direct"]
SIDES: tuple[Side, ...] = ("rows", "columns", "lanes")


class Drain(BaseModel):
    """How a spatially reduced value leaves an array: along which side, and in how many cycles."""

    model_config = FROZEN

    along: Literal["rows", "columns"]
    cycles: Formula


class Links(BaseModel):
    """The links between neighbouring elements of an array, and how its folds follow each other.

    A fold is what an array does with the tile that stays in its elements: load, product and way out.
    """

    model_config = FROZEN

    down: Count = 1  # words a cycle down each column
    along: Count = 1  # words a cycle along each row
    # Whether an element has a second register for the word that stays, so that the next is shifted in behind its use.
    shadow: Annotated[bool, Field(strict=True)] = False
    overlap: Annotated[bool, Field(strict=True)] = True  # whether a fold enters while the one before it is leaving


class Array(Numbered):
    """A grid of identical processing elements, with the register file and the operations of each.

    `lanes` is a third side: elements that stand together at every place of the grid. `reduces`: sides along which the
    array adds up what its elements make; every side unless it says so.
    """

    model_config = FROZEN
    derived_numbers = (
        MachineNumber(key="pes", times="copies", symbols=(("pes", 1),)),
        MachineNumber(key="along_rows"),
        MachineNumber(key="along_columns"),
        MachineNumber(key="links_down"),
        MachineNumber(key="links_along"),
        MachineNumber(key="has_shadow"),
        MachineNumber(key="folds_overlap"),
        MachineNumber(key="pe_area_um2"),
        MachineNumber(key="area", of="area_um2", times="copies"),
    )

    kind: Literal["array"] = "array"
    name: Identifier
    parent: Identifier
    rows: Annotated[Count, MachineNumber(symbols=(("rows", 1),), enters="time, area")]
    columns: Annotated[Count, MachineNumber(symbols=(("columns", 1),), enters="time, area")]
    lanes: Annotated[Count, MachineNumber(symbols=(("lanes", 1),), is_quiet=True, enters="time, area")] = 1
    reduces: Annotated[tuple[Side, ...], Quiet()] = SIDES
    registers: Identifier
    own_operations: OperationsByName = Field(alias="operations")
    table: Annotated[OperatorTable | None, Quiet()] = Field(None, alias="operators")
    drain: Drain | None = None
    # Whether words come to an element from its neighbours, or straight from the memory that feeds it.
    feed: Annotated[Feed, Quiet()] = "neighbours"
    # None: nothing is stated, and only the engines that model links anyway charge any.
    links: Annotated[Links | None, Quiet()] = None
    interconnect_area_um2: Annotated[AreaUm2, MachineNumber(enters="area, for each column")] = Field(
        0.0, alias="interconnect_area"
    )
    leakage_w: Annotated[
        PowerW, MachineNumber(times="copies", is_quiet=True, enters="energy, all the time, of the whole array")
    ] = Field(0.0, alias="leakage")
    source: str

    @model_validator(mode="after")
    def _parts_exist(self) -> Self:
        if not self.own_operations:
            raise ValueError(f"array '{self.name}' has no operations")
        for operation in self.operations:
            self._refuse_circles(operation, ())
        if self.drain is not None:
            names_checked(self.drain.cycles, self.symbols)
        if self.feed == "direct" and self.links is not None:
            raise ValueError(f"array '{self.name}' is fed directly, so its elements have no links between them")
        return self

    def _refuse_circles(self, operation: Operation, above: tuple[str, ...]) -> None:
        """ValueError for an operation that is made of itself, or of what the array lacks."""
        chain = (*above, operation.name)
        if operation.name in above:
            raise ValueError(f"an operation cannot be made of itself, got {' -> '.join(chain)}")
        names = tuple(known.name for known in self.operations)
        for part in operation.made_of:
            if part.operation not in names:
                lacks = f"which array '{self.name}' does not have{nearest(part.operation, names)}"
                raise ValueError(f"operation '{operation.name}' is made of '{part.operation}', {lacks}")
            self._refuse_circles(self.operation(part.operation), chain)

    @cached_property
    def operations(self) -> tuple[Operation, ...]:
        """Its own operations, then those of its table that it does not have itself."""
        own = {operation.name for operation in self.own_operations}
        shared = self.table.operations if self.table is not None else ()
        return (*self.own_operations, *(operation for operation in shared if operation.name not in own))

    @property
    def pes(self) -> int:
        """Processing elements."""
        return self.rows * self.columns * self.lanes

    def length(self, side: Side) -> int:
        """Elements along a side."""
        return int(getattr(self, side))

    @property
    def symbols(self) -> tuple[tuple[str, float], ...]:
        """The values that a formula of this array may read."""
        return symbols_of(self)

    @property
    def pe_area_um2(self) -> float:
        """Area of one processing element; an operation composed of others adds nothing."""
        return sum(operation.area_um2 for operation in self.operations)

    @property
    def area_um2(self) -> float:
        """Area of all elements and their interconnect, registers not included."""
        return self.pes * self.pe_area_um2 + self.columns * self.interconnect_area_um2

    @property
    def drain_cycles(self) -> float:
        """Cycles to shift one spatially reduced tile out of the array; 0 without a drain."""
        return names_checked(self.drain.cycles, self.symbols) if self.drain else 0.0

    @property
    def is_linked(self) -> bool:
        """Whether words pass from element to element, so that they take their time to come and leave."""
        return self.feed == "neighbours"

    @property
    def has_trains(self) -> bool:
        """Whether a tile that differs in every element is shifted in and out, a word for each row."""
        return self.is_linked and self.rows > 1 and self.columns > 1

    @property
    def along_rows(self) -> float:
        """Cycles in which a reduction along the rows leaves: the drain or, without one, a cycle an element passed."""
        return self._reduction_cycles("rows", self.rows)

    @property
    def along_columns(self) -> float:
        """The same along the columns."""
        return self._reduction_cycles("columns", self.columns)

    def _reduction_cycles(self, side: Side, elements: int) -> float:
        if self.drain and self.drain.along == side:
            return self.drain_cycles
        return elements - 1 if self.is_linked else 0

    @property
    def wiring(self) -> Links:
        """Its links, or those that an array has of which nothing is stated."""
        return self.links or Links()

    @property
    def links_down(self) -> int:
        return self.wiring.down

    @property
    def links_along(self) -> int:
        return self.wiring.along

    @property
    def has_shadow(self) -> bool:
        return self.wiring.shadow

    @property
    def folds_overlap(self) -> bool:
        return self.wiring.overlap

    def operation(self, name: str) -> Operation:
        """The operation of that name; otherwise a ValueError suggests the nearest one."""
        for operation in self.operations:
            if operation.name == name:
                return operation
        names = tuple(operation.name for operation in self.operations)
        raise ValueError(f"array '{self.name}' has no operation '{name}'{nearest(name, names)}")

    def cycles_of(self, name: str) -> float:
        """Slots of one processing element for one such action."""
        operation = self.operation(name)
        if operation.cycles is not None:
            return operation.cycles
        return sum(part.count * self.cycles_of(part.operation) for part in operation.made_of)

    def energy_pj_of(self, name: str) -> float:
        """Energy of one such action."""
        operation = self.operation(name)
        if operation.energy_pj is not None:
            return operation.energy_pj
        return sum(part.count * self.energy_pj_of(part.operation) for part in operation.made_of)

    def covers(self, operators: tuple[str, ...]) -> bool:
        """Whether its actions carry out the operators of one point."""
        return cover(self.operations, tuple(operators)) is not None

    def resolve(self, operators: tuple[str, ...]) -> tuple[tuple[Operation, int], ...]:
        """The actions that carry out the operators of one point; ValueError names those that the array lacks."""
        covered = cover(self.operations, tuple(operators))
        if covered is not None:
            return covered
        has = ", ".join(f"{operation.name} ({' '.join(operation.operators)})" for operation in self.operations)
        alone = tuple(
            dict.fromkeys(o for o in operators if not any(o in c for x in self.operations for c in x.coverages))
        )
        missing = " or ".join(f"'{operator}'" for operator in alone)
        wanted = missing or f"the operators ({' '.join(operators)}) together"
        raise ValueError(f"array '{self.name}' has nothing for {wanted}; it has {has}")

    def cycles_per_point(self, operators: tuple[str, ...]) -> float:
        """Slots of one processing element for the operators of one point, one after the other."""
        return sum(count * self.cycles_of(operation.name) for operation, count in self.resolve(operators))

    def energy_pj_per_point(self, operators: tuple[str, ...]) -> float:
        """Energy of the operators of one point, registers and memories not included."""
        return sum(count * self.energy_pj_of(operation.name) for operation, count in self.resolve(operators))
