"""How words move inside an array: from element to element, and out of it."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

from arch.fields import Count, Formula
from arch.operation import FROZEN


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
