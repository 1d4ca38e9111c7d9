"""The main type of this package: a Cascade declares ranks and tensors and holds the Einsums that compute its outputs.

A cascade is a graph of Einsums; the order of its lines has no meaning. An *iterative* tensor is written at
`i+1` from values at `i`: it has coordinates 0..I along rank I, coordinate 0 comes from `init`, and `T[I]`
reads the last. `Cascade.model_validate` accepts the YAML form directly (mappings for ranks, partition, inputs, init and
sizes, a block of text for einsums).
"""

import math
import re
from functools import cached_property
from typing import Annotated, Any

from pydantic import ConfigDict, Field, ValidationInfo, field_validator

from einsums import accesses, declarations
from einsums.existence import Existence
from einsums.graph import Step, iteration_groups, nest_of
from einsums.names import near_or_all
from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, Reduction, Term
from einsums.nouns import Boundary, Density, Domain, InitialValue, Noun, Partition, Rank, SizeRule, Tensor
from einsums.parser import parse
from einsums.problems import raise_problems
from einsums.quiet import Quiet, QuietDefaults
from einsums.scope import AccessAxis, Declarations, Scope

_TENSOR = re.compile(declarations.TENSOR_NAME)

__all__ = [
    "Access",
    "Call",
    "Cascade",
    "Const",
    "Domain",
    "Einsum",
    "Expr",
    "Index",
    "InitialValue",
    "Load",
    "Partition",
    "Rank",
    "Reduction",
    "SizeRule",
    "Tensor",
    "Term",
]


class Cascade(QuietDefaults, Noun):
    """Einsums with their declarations; once constructed, accesses fit, cycles are iterations and have a start."""

    model_config = ConfigDict(ser_json_inf_nan="constants")  # an initial value of -inf is a number

    name: str
    description: str = ""
    ranks: tuple[Rank, ...]
    partitions: tuple[Partition, ...] = Field(default=(), alias="partition")
    batch: tuple[str, ...] = ()
    inputs: tuple[Tensor, ...]
    unbatched: tuple[str, ...] = ()
    domains: Annotated[tuple[Domain, ...], Quiet()] = Field(default=(), alias="domain")
    initial: tuple[InitialValue, ...] = Field(default=(), alias="init")
    boundaries: Annotated[tuple[Boundary, ...], Quiet()] = Field(default=(), alias="boundary")
    densities: Annotated[tuple[Density, ...], Quiet()] = Field(default=(), alias="density")
    outputs: tuple[str, ...]
    sizes: tuple[SizeRule, ...] = ()
    source: str = ""
    einsums: tuple[Einsum, ...]  # last: its validator sees every declaration

    # --- the YAML form --------------------------------------------------------------------------------------
    @field_validator("ranks", mode="before")
    @classmethod
    def _ranks_of_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return tuple(
            {"name": name, **item} if isinstance(item, dict) else {"name": name, "description": item or ""}
            for name, item in value.items()
        )

    @field_validator("partitions", mode="before")
    @classmethod
    def _partitions_of_mapping(cls, value: Any) -> Any:
        return _items(value, "rank", "parts")

    @field_validator("inputs", mode="before")
    @classmethod
    def _inputs_of_mapping(cls, value: Any) -> Any:
        return _items(value, "name", "ranks")

    @field_validator("domains", mode="before")
    @classmethod
    def _domains_of_mapping(cls, value: Any) -> Any:
        return _items(value, "tensor", "values")

    @field_validator("initial", mode="before")
    @classmethod
    def _initial_of_mapping(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return tuple({"tensor": tensor, **_start(item)} for tensor, item in value.items())

    @field_validator("boundaries", mode="before")
    @classmethod
    def _boundaries_of_mapping(cls, value: Any) -> Any:
        return _items(value, "tensor", "value", _edge)

    @field_validator("densities", mode="before")
    @classmethod
    def _densities_of_mapping(cls, value: Any) -> Any:
        return _items(value, "einsum", "share")

    @field_validator("sizes", mode="before")
    @classmethod
    def _sizes_of_mapping(cls, value: Any) -> Any:
        return _items(value, "rank", "expression", lambda size: str(size) if isinstance(size, int) else size)

    @field_validator("einsums", mode="before")
    @classmethod
    def _einsums_of_text(cls, value: Any) -> Any:
        if isinstance(value, str):
            return parse(value)
        if isinstance(value, list) and all(isinstance(line, str) for line in value):
            return parse("\n".join(value))
        return value

    # --- what must hold -------------------------------------------------------------------------------------
    @field_validator(*declarations.CHECK_BY_FIELD)
    @classmethod
    def _declared_well(cls, value: Any, info: ValidationInfo) -> Any:
        raise_problems(declarations.CHECK_BY_FIELD[str(info.field_name)](value, info.data))
        return value

    @field_validator("einsums")
    @classmethod
    def _well_formed(cls, value: tuple[Einsum, ...], info: ValidationInfo) -> tuple[Einsum, ...]:
        if all(field in info.data for field in Declarations._fields):  # otherwise another field is already refused
            declared = Declarations(**{field: info.data[field] for field in Declarations._fields})
            raise_problems(accesses.iter_problems(Scope(declared, value)))
        return value

    def __repr__(self) -> str:
        return f"Cascade('{self.name}', {len(self.einsums)} Einsums)"

    def __str__(self) -> str:
        return "\n".join(map(str, self.einsums))

    # --- derived --------------------------------------------------------------------------------------------
    @cached_property
    def scope(self) -> Scope:
        """Look-ups by name."""
        return Scope(Declarations(**{field: getattr(self, field) for field in Declarations._fields}), self.einsums)

    @cached_property
    def tensors(self) -> tuple[Tensor, ...]:
        """Every tensor: inputs, then those the Einsums write, in file order."""
        return tuple(self.scope.tensor_by_name.values())

    @cached_property
    def groups(self) -> tuple[tuple[str, ...], ...]:
        """Einsum names in an order in which they can run, those of an iteration together."""
        return iteration_groups(self)

    @cached_property
    def existence(self) -> Existence:
        """Which points of each Einsum and which elements of each tensor exist."""
        return Existence(self.scope)

    @cached_property
    def nest(self) -> tuple[Step, ...]:
        """Einsums and iterations, one inside the other, in an order in which they can run."""
        return nest_of(self)

    @property
    def iterative(self) -> tuple[tuple[str, str], ...]:
        """(tensor, rank) of each tensor written at i+1."""
        return self.scope.iterative

    def is_iterative(self, tensor: str) -> bool:
        """True for a tensor written at i+1."""
        return tensor in self.scope.iterative_rank

    def with_fields(self, **changed: Any) -> "Cascade":
        """The cascade with other values in some fields."""
        return Cascade(**{field: getattr(self, field) for field in Cascade.model_fields} | changed)

    def einsum(self, name: str) -> Einsum:
        """The Einsum that writes tensor `name`."""
        return _named(name, self.scope.einsum_by_name, f"Einsum in {self.name}")

    def tensor(self, name: str) -> Tensor:
        """A tensor and its ranks without the batch ranks."""
        return _named(name, self.scope.tensor_by_name, f"tensor in {self.name}")

    def axes_of(self, access: Access) -> tuple[AccessAxis, ...]:
        """The places of an access: the tensor's rank at each, and the rank that the index runs over."""
        return self.scope.axes_of(access)

    def reads_of(self, einsum: Einsum) -> tuple[Access, ...]:
        """Everything an Einsum reads: right side, condition, and the start of its iteration."""
        return self.scope.reads_of(einsum)

    def initial_value(self, tensor: str) -> float:
        """Value of an iterative tensor at coordinate 0, where it does not start from a tensor."""
        return _named(tensor, {item.tensor: item.value for item in self.initial}, f"initial value in {self.name}")

    def domain_of(self, tensor: str) -> str | None:
        """The declared domain of an input, or None."""
        return next((item.values for item in self.domains if item.tensor == tensor), None)

    def partition_of(self, rank: str) -> Partition | None:
        """The partition of a rank, or None."""
        return self.scope.partition_by_rank.get(rank)

    def root_of(self, rank: str) -> str:
        """The rank that a part belongs to (M0 -> M); a rank that is not a part is its own root."""
        return self.scope.root_by_part.get(rank, rank)

    def rank_of_variable(self, variable: str) -> str:
        """The rank a variable runs over, batch variables included: m1 -> M1."""
        return _named(variable, self.scope.leaf_by_variable, f"rank variable in {self.name}")

    def leaf_ranks(self) -> tuple[str, ...]:
        """Every rank a variable may run over: batch ranks, ranks, and parts in place of partitioned ranks."""
        return self.scope.leaf_ranks

    def is_unbatched(self, tensor: str) -> bool:
        """True for a tensor without the batch ranks: declared so, or computed only from such."""
        return tensor in self.scope.unbatched

    def ranks_of(self, tensor: str) -> tuple[str, ...]:
        """All ranks of a tensor: batch ranks (unless unbatched), then its own."""
        own = self.tensor(tensor).ranks
        return own if self.is_unbatched(tensor) else (*self.batch, *own)

    def variables_of(self, einsum_name: str) -> tuple[str, ...]:
        """Variables of an Einsum's iteration space: of the batch (unless no tensor has one), then its own."""
        einsum = self.einsum(einsum_name)
        if self.is_unbatched(einsum_name):
            return einsum.variables
        return (*(rank.lower() for rank in self.batch), *einsum.variables)


def _items(value: Any, key_name: str, value_name: str, convert: Any = None) -> Any:
    """A YAML mapping as the items of a field; anything else is left to the field's own type check."""
    if not isinstance(value, dict):
        return value
    return tuple({key_name: key, value_name: convert(item) if convert else item} for key, item in value.items())


def _number(value: Any, what: str = "an initial value") -> Any:
    """Numbers, also as the strings '-inf' and '.inf' that YAML leaves as text."""
    if not isinstance(value, str):
        return value
    number = _read_number(value)
    if math.isnan(number):
        raise ValueError(f"expected a number, -inf or inf as {what}, found '{value}'")
    return number


def _read_number(text: str) -> float:
    try:
        return float(text.replace(".inf", "inf"))
    except ValueError:
        return math.nan


def _start(value: Any) -> dict[str, Any]:
    """A number, or the name of a tensor, as the fields of an initial value."""
    if isinstance(value, str) and _TENSOR.fullmatch(value) and math.isnan(_read_number(value)):
        return {"source": value}
    return {"value": _number(value)}


def _edge(value: Any) -> Any:
    """A number, or None for 'skip'."""
    return None if value == "skip" else _number(value, "what lies outside a tensor, or skip")


def _named(name: str, known: dict[str, Any], kind: str) -> Any:
    if name not in known:
        raise ValueError(f"no {kind} is called '{name}'{near_or_all(name, known)}")
    return known[name]
