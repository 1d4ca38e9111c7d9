"""A mapping: the fusion tree of loops, what each memory keeps, where each Einsum runs, and when.

A tree node holds loops (outermost first), the tensors whose tiles memories keep inside those loops, and a body of
further nodes and leaves. A leaf is one Einsum bound to an array, with its own temporal loops and the ranks that the
array's sides carry. Loops above several leaves are shared: those Einsums are fused on them. Tile sizes are
expressions over rank sizes, the machine and earlier tiles, so that one file works for every size. Legality is decided
in `check.py`, not here.
"""

from typing import Annotated, Any, Literal

from pydantic import (
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from arch.components import Side
from arch.expression import parse_expression
from einsums.quiet import Quiet, QuietDefaults
from mappings.layouts import MemoryLayouts

CapacityPolicy = Literal["strict", "spill"]


class _Noun(QuietDefaults):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


def _expression_text(value: Any) -> str:
    """The text of a valid expression; integers may be written as numbers."""
    if isinstance(value, bool) or not isinstance(value, (str, int)):
        raise ValueError(f"expected an expression such as 'P1*P0' or an integer, got {value!r}")
    text = str(value)
    parse_expression(text)
    return text


def _condition_text(value: Any) -> Any:
    return value if value is None else _expression_text(value)


class Loop(_Noun):
    """A temporal loop over one rank variable in steps of `tile` coordinates of that variable's rank."""

    variable: str
    tile: str = "1"

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"variable": value}
        if isinstance(value, dict) and len(value) == 1 and "variable" not in value:
            (variable, tile), *_ = value.items()
            return {"variable": variable, "tile": tile}
        if isinstance(value, dict) and "variable" not in value:
            raise ValueError("expected a loop such as 'm1' or '{p: P0}', one rank variable each")
        return value

    _check_tile = field_validator("tile", mode="before")(_expression_text)


class LoopCase(_Noun):
    value: str
    loops: tuple[Loop, ...]


class Select(_Noun):
    """Loops chosen by the value of a categorical parameter."""

    parameter: str = Field(alias="select")
    cases: tuple[LoopCase, ...]

    @field_validator("cases", mode="before")
    @classmethod
    def _cases_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"value": name, "loops": loops} for name, loops in value.items()]
        return value


class SpatialLoop(_Noun):
    """A side of the array that carries the part of a rank that the loops leave, or `count` neighbours of it.

    A side with several ranks has them in order: the last one changes from element to element.
    """

    side: Side
    variable: str
    count: Annotated[str | None, Quiet()] = None

    _check_count = field_validator("count", mode="before")(_condition_text)


class SpatialCase(_Noun):
    value: str
    spatial: tuple[SpatialLoop, ...]

    @field_validator("spatial", mode="before")
    @classmethod
    def _from_mapping(cls, value: Any) -> Any:
        return _sides(value)


class SpatialSelect(_Noun):
    """Spatial ranks chosen by the value of a categorical parameter."""

    parameter: str = Field(alias="select")
    cases: tuple[SpatialCase, ...]

    @field_validator("cases", mode="before")
    @classmethod
    def _cases_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"value": name, "spatial": sides} for name, sides in value.items()]
        return value


def _sides(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return [
        _on_side(side, rank)
        for side, ranks in value.items()
        for rank in (ranks if isinstance(ranks, list) else [ranks])
    ]


def _on_side(side: Any, rank: Any) -> dict[str, Any]:
    """One rank of a side, written `m`, or `{m: 4}` with the number of its coordinates there."""
    if isinstance(rank, dict):
        if len(rank) != 1:
            raise ValueError(f"expected ranks such as 'm' or '{{m: 4}}' on the {side}, one each, got {rank!r}")
        ((variable, count),) = rank.items()
        return {"side": side, "variable": variable, "count": count}
    return {"side": side, "variable": rank}


def _select_tag(value: Any) -> str:
    chosen = isinstance(value, (Select, SpatialSelect)) or (isinstance(value, dict) and "select" in value)
    return "select" if chosen else "listed"


Loops = Annotated[
    Annotated[tuple[Loop, ...], Tag("listed")] | Annotated[Select, Tag("select")], Discriminator(_select_tag)
]
Spatial = Annotated[
    Annotated[tuple[SpatialLoop, ...], Tag("listed")] | Annotated[SpatialSelect, Tag("select")],
    Discriminator(_select_tag),
]


class Kept(_Noun):
    """A tensor whose tile a memory keeps, in `copies` places (2 = double buffered), if `when` holds."""

    tensor: str
    copies: int = Field(default=1, ge=1)
    # Whether it is brought again in every iteration of the loops around it, even if it is the same.
    reload: Annotated[bool, Quiet()] = False
    when: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        return {"tensor": value} if isinstance(value, str) else value

    _check_when = field_validator("when", mode="before")(_condition_text)


class Keep(_Noun):
    memory: str
    tensors: tuple[Kept, ...]


class Share(_Noun):
    """Tensors that take turns in one place of a memory: their footprint counts once."""

    memory: str
    tensors: tuple[str, ...]


class Leaf(_Noun):
    """One Einsum on one array. `forwarded` operands come with another Einsum's stream, with no access of their own;
    those of `bypass` go straight between a memory and the operators, without the registers.
    """

    einsum: str
    array: str
    loops: Loops = ()
    spatial: Spatial = ()
    forwarded: tuple[str, ...] = ()
    bypass: tuple[str, ...] = ()
    recompute: bool = False

    @field_validator("spatial", mode="before")
    @classmethod
    def _spatial_from_mapping(cls, value: Any) -> Any:
        return value if isinstance(value, dict) and "select" in value else _sides(value)


def _body_tag(item: Any) -> str:
    """Decide from its keys what an item of a body is meant to be, so that errors refer to that type only."""
    is_leaf = isinstance(item, Leaf) or (
        isinstance(item, dict) and bool(item.keys() & Leaf.model_fields.keys() - {"loops"})
    )
    return "leaf" if is_leaf else "node"


class Node(_Noun):
    """Loops, what is kept inside them, and a body of nodes and leaves that run in order."""

    loops: Loops = ()
    keep: tuple[Keep, ...] = ()
    share: tuple[Share, ...] = ()
    body: tuple["Annotated[Annotated[Leaf, Tag('leaf')] | Annotated[Node, Tag('node')], Discriminator(_body_tag)]", ...]

    @field_validator("keep", mode="before")
    @classmethod
    def _keep_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"memory": memory, "tensors": tensors} for memory, tensors in value.items()]
        return value

    @field_validator("share", mode="before")
    @classmethod
    def _share_from_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        for memory, groups in value.items():
            if not isinstance(groups, list):
                raise ValueError(f"expected a list of groups such as '{{{memory}: [[A, B]]}}', got {groups!r}")
        return [{"memory": memory, "tensors": group} for memory, groups in value.items() for group in groups]


class Parameter(_Noun):
    """A choice the mapping leaves open: one of `values` or, without them, a number given by an expression."""

    name: str
    default: str
    values: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _default_is_possible(self) -> "Parameter":
        if self.values and self.default not in self.values:
            raise ValueError(f"default '{self.default}' of parameter '{self.name}' is none of {', '.join(self.values)}")
        if not self.values:
            parse_expression(self.default)
        return self

    @field_validator("default", mode="before")
    @classmethod
    def _default_text(cls, value: Any) -> Any:
        return str(value) if isinstance(value, int) and not isinstance(value, bool) else value


class ChoiceTable(_Noun):
    """A CSV file next to the mapping with stored values of parameters, one row per value of the `key` columns."""

    file: str
    key: tuple[str, ...]
    source: str


class TileRule(_Noun):
    symbol: str
    expression: str

    _check = field_validator("expression", mode="before")(_expression_text)


class Reservation(_Noun):
    """Room in a memory for something that is not a kept tile, such as a streaming buffer."""

    memory: str
    words: str
    label: str
    when: str | None = None

    _check = field_validator("words", mode="before")(_expression_text)
    _check_when = field_validator("when", mode="before")(_condition_text)


class Policy(_Noun):
    memory: str
    policy: CapacityPolicy


class Lane(_Noun):
    """The Einsums that one array runs, one after the other, in a phase."""

    array: str
    einsums: tuple[str, ...]


class Phase(_Noun):
    """Work that runs concurrently: a lane per array, or the idle time while `drain`'s result leaves its array."""

    lanes: tuple[Lane, ...] = ()
    drain: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _from_yaml(cls, value: Any) -> Any:
        if isinstance(value, dict) and "drain" in value and len(value) > 1 and "lanes" not in value:
            raise ValueError("a drain is a phase of its own: give it no arrays")
        if isinstance(value, dict) and not value.keys() & {"lanes", "drain"}:
            return {"lanes": [{"array": array, "einsums": einsums} for array, einsums in value.items()]}
        return value


class Stage(_Noun):
    einsum: str
    stage: int = Field(ge=0)


class Schedule(_Noun):
    """When the Einsums run relative to each other and to memory transfers.

    sequential: one after the other. phases: as listed. pipelined: each Einsum has a stage and works on the tile that
    many steps behind stage 0, all concurrently. `transfers` determines whether memory time hides behind the whole run
    ("overlapped") or only behind the phase that needs it ("per-phase").
    """

    kind: Literal["sequential", "phases", "pipelined"]
    transfers: Literal["overlapped", "per-phase"] = "overlapped"
    phases: tuple[Phase, ...] = ()
    stages: tuple[Stage, ...] = ()

    @field_validator("stages", mode="before")
    @classmethod
    def _stages_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"einsum": einsum, "stage": stage} for einsum, stage in value.items()]
        return value

    @model_validator(mode="after")
    def _parts_belong_to_kind(self) -> "Schedule":
        if (self.kind == "phases") != bool(self.phases):
            raise ValueError(f"a '{self.kind}' schedule {'needs' if self.kind == 'phases' else 'takes no'} 'phases'")
        if (self.kind == "pipelined") != bool(self.stages):
            raise ValueError(f"a '{self.kind}' schedule {'needs' if self.kind == 'pipelined' else 'takes no'} 'stages'")
        if self.kind == "pipelined" and self.transfers != "overlapped":
            raise ValueError("transfers of a pipelined schedule are always 'overlapped'")
        return self


class Mapping(_Noun):
    """How a cascade runs on a machine. Equality and hash are by value."""

    name: str
    description: str = ""
    source: str = ""
    cascade: str
    parameters: tuple[Parameter, ...] = ()
    table: ChoiceTable | None = None
    tiles: tuple[TileRule, ...] = ()
    capacity: tuple[Policy, ...] = ()
    reserve: tuple[Reservation, ...] = ()
    cores: tuple[str, ...] = ()  # outermost loops whose iterations are dealt to the cores of the machine
    layout: Annotated[MemoryLayouts, Quiet()] = ()  # how tensors lie in the root memory; unlisted: a tile in one piece
    # Whether one core does everything and the others are idle, where no loop can be dealt.
    one_core: Annotated[bool, Field(strict=True), Quiet()] = False
    tree: Node
    schedule: Schedule

    @field_validator("parameters", mode="before")
    @classmethod
    def _parameters_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"name": n, **(p if isinstance(p, dict) else {"default": p})} for n, p in value.items()]
        return value

    @field_validator("tiles", mode="before")
    @classmethod
    def _tiles_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"symbol": symbol, "expression": text} for symbol, text in value.items()]
        return value

    @field_validator("capacity", mode="before")
    @classmethod
    def _capacity_from_mapping(cls, value: Any) -> Any:
        if isinstance(value, dict):
            return [{"memory": memory, "policy": policy} for memory, policy in value.items()]
        return value

    def policy_of(self, memory: str) -> CapacityPolicy:
        return next((p.policy for p in self.capacity if p.memory == memory), "strict")
