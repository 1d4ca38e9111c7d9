"""What a memory may hold, in words that mean the same for every cascade.

A phrase names tensors by what they are to an array (`operands of MESH`, `results of MESH`, `sums of MESH`) or to the
cascade (`inputs`, `weights`, `outputs`). A memory with a list of phrases holds what one of them names, and nothing
else; without a list it holds anything.
"""

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

from einsums.names import nearest

OfArray = Literal["operands", "results", "sums"]
OfCascade = Literal["inputs", "weights", "outputs"]
KINDS = (*get_args(OfArray), *get_args(OfCascade))


@dataclass(frozen=True, slots=True)
class Holding:
    """One phrase; `array` is None where the phrase is about the cascade."""

    kind: str
    array: str | None = None

    def __str__(self) -> str:
        return self.kind if self.array is None else f"{self.kind} of {self.array}"


def _holding(value: Any) -> Holding:
    if isinstance(value, Holding):
        return value
    words = value.split() if isinstance(value, str) else []
    kind = words[0] if words else ""
    if kind in get_args(OfCascade) and len(words) == 1:
        return Holding(kind)
    if kind in get_args(OfArray) and len(words) == 3 and words[1] == "of":
        return Holding(kind, words[2])
    expected = "'operands of ARRAY', 'results of ARRAY', 'sums of ARRAY', 'inputs', 'weights' or 'outputs'"
    near = nearest(kind, KINDS) if kind and kind not in KINDS else ""
    raise ValueError(f"expected {expected}, got {value!r}{near}")


Holdings = tuple[
    Annotated[
        Holding,
        BeforeValidator(_holding),
        PlainSerializer(str, return_type=str),
        WithJsonSchema({"type": "string", "description": "such as 'results of ARRAY'"}),
    ],
    ...,
]
