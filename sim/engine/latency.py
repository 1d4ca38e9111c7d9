"""How long the last result of an Einsum takes to leave its array, in all engines.

A reduction along a side passes every PE of it. Skew passes where a reader cannot keep pace with the lanes of the array,
one after the other. Results that are made before the last one leave while later ones are computed.
"""

from typing import Any, NamedTuple


class Passing(NamedTuple):
    """Of an array, numbers or columns of numbers: elements of its sides, and cycles for a reduction along each."""

    rows: Any
    columns: Any
    along_rows: Any
    along_columns: Any


class Latency(NamedTuple):
    """What a result has to pass: 1 for each side that it is reduced along, and for each whose skew it waits for."""

    along_rows: int
    along_columns: int
    skew_of_rows: int
    skew_of_columns: int

    def cycles(self, array: Passing) -> Any:
        """A number, or a column of numbers."""
        reduced = self.along_rows * array.along_rows + self.along_columns * array.along_columns
        return reduced + self.skew_of_rows * (array.rows - 1) + self.skew_of_columns * (array.columns - 1)
