"""Cells of CSV files that a spreadsheet may open: a text must never become a formula there."""

from collections.abc import Iterable
from typing import Any

# How formulas begin, also after what spreadsheets skip.
_BEGINNINGS = ("=", "+", "-", "@", "\t", "\r", "\n")


def plain_cells(row: Iterable[Any]) -> list[Any]:
    """A row in which every text that would be read as a formula begins with an apostrophe; numbers stay."""
    return [f"'{cell}" if isinstance(cell, str) and cell.lstrip(" ").startswith(_BEGINNINGS) else cell for cell in row]
