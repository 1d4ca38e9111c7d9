"""How tensors lie in a memory: their ranks from the outermost to the innermost, and why an order is none of a tensor.

`layout: {DRAM: {K: [e, m]}}` stores K row by row: every m of one e, then the next e. A partitioned rank stands for
itself or as all its parts, so that `[m1, e, m0]` stores blocks of M0 keys one after the other. Batch ranks that an
order leaves out are outermost, in their own order.
"""

from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, model_validator

from arch.quantity import Quantity
from arch.types import Architecture
from einsums.names import nearest
from einsums.types import Cascade

BYTE_BITS = 8
_Bits = Annotated[float, Quantity("size", positive=False)]


class TensorLayout(BaseModel):
    """One tensor in a memory. pad: room left free behind every run of the innermost rank; base: where it begins, which
    is behind the tensors before it unless it says so.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tensor: str
    order: tuple[str, ...]
    pad: _Bits = 0.0
    base: _Bits | None = None

    @model_validator(mode="after")
    def _is_of_whole_bytes(self) -> Self:
        for key, bits in (("pad", self.pad), ("base", self.base or 0.0)):
            if bits % BYTE_BITS:
                raise ValueError(f"expected a {key} of whole bytes, got {bits:g} bit")
        return self

    @property
    def pad_bytes(self) -> int:
        return int(self.pad) // BYTE_BITS

    @property
    def base_bytes(self) -> int | None:
        return None if self.base is None else int(self.base) // BYTE_BITS


class MemoryLayout(BaseModel):
    """The tensors of one memory whose addresses are given, in the order in which they follow each other there."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    memory: str
    tensors: tuple[TensorLayout, ...]


def _from_yaml(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [{"memory": memory, "tensors": _tensors(memory, tensors)} for memory, tensors in value.items()]


def _tensors(memory: str, value: Any) -> Any:
    if not isinstance(value, dict):
        raise ValueError(f"expected tensors with their ranks such as '{{{memory}: {{K: [e, m]}}}}', got {value!r}")
    return [
        {"tensor": tensor, **(order if isinstance(order, dict) else {"order": order})}
        for tensor, order in value.items()
    ]


MemoryLayouts = Annotated[tuple[MemoryLayout, ...], BeforeValidator(_from_yaml)]


def ranks_in_order(cascade: Cascade, layout: TensorLayout) -> tuple[str, ...]:
    """The variables of a tensor from the outermost to the innermost; the order is known to be one of it."""
    own = [rank.lower() for rank in cascade.ranks_of(layout.tensor)]
    left_out = [rank.lower() for rank in cascade.batch if rank.lower() in own and rank.lower() not in layout.order]
    return (*left_out, *layout.order)


def iter_layout_findings(
    layouts: tuple[MemoryLayout, ...], cascade: Cascade, architecture: Architecture | None
) -> Iterator[tuple[str, str]]:
    """(where in the mapping, a sentence) about every order that is none of its tensor's ranks."""
    for memory in layouts:
        if architecture is not None and memory.memory != architecture.root.name:
            root = f"only the root memory '{architecture.root.name}' has a layout"
            yield f"layout.{memory.memory}", f"'{memory.memory}' is filled from outside, tile by tile: {root}"
        for layout in memory.tensors:
            for message in _iter_order_findings(layout, cascade):
                yield f"layout.{memory.memory}.{layout.tensor}", message


def _iter_order_findings(layout: TensorLayout, cascade: Cascade) -> Iterator[str]:
    own = {rank: _parts(cascade, rank) for rank in cascade.ranks_of(layout.tensor)}
    known = tuple(rank.lower() for rank in own)
    pieces = {name: part for part in known for name in own[part.upper()]}
    covered: list[str] = []
    for name in layout.order:
        if name in known:
            covered += own[name.upper()]
        elif name in pieces:
            covered.append(name)
        else:
            names = tuple(dict.fromkeys((*known, *pieces)))
            yield f"'{layout.tensor}' has no rank '{name}'{nearest(name, names)}; it has {', '.join(known)}"
            return
    for rank, parts in own.items():
        missing = [part for part in parts if part not in covered]
        if missing == list(parts):
            missing = [] if rank in cascade.batch else [rank.lower()]
        yield from (f"the layout of '{layout.tensor}' lacks rank '{name}'" for name in missing)
        twice = (part for part in parts if covered.count(part) > 1)
        yield from (f"the layout of '{layout.tensor}' has rank '{name}' twice" for name in twice)


def _parts(cascade: Cascade, rank: str) -> tuple[str, ...]:
    partition = cascade.partition_of(rank)
    return tuple(part.lower() for part in (partition.parts if partition else (rank,)))
