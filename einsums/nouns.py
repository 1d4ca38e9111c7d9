"""The parts of a cascade that are declared, not computed: ranks and their names, tensors, starts, edges, domains."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict

from einsums.quiet import Quiet, QuietDefaults


class Noun(BaseModel):
    """Base of all types of this package: frozen, equal by value, no unknown fields."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Rank(QuietDefaults, Noun):
    """A named dimension; its size is not here but in a Workload.

    `same`: the rank that this is another name of, or empty. All names of a rank have one size; each has a variable and
    a partition of its own.
    """

    name: str
    description: str = ""
    same: Annotated[str, Quiet()] = ""


class Partition(Noun):
    """A rank split into parts, outermost first: M = M1 x M0 with m = m1*M0 + m0."""

    rank: str
    parts: tuple[str, ...]

    @property
    def inner(self) -> tuple[str, ...]:
        """The parts that need a size; the size of the outermost follows."""
        return self.parts[1:]


class Tensor(Noun):
    """A tensor and its ranks, batch ranks left out."""

    name: str
    ranks: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}[{', '.join(self.ranks)}]"


class Domain(Noun):
    """The values that an input may take, as one of the words of `domains`."""

    tensor: str
    values: str


class InitialValue(QuietDefaults, Noun):
    """An iterative tensor before its first step: a number, or the tensor `source` of its other ranks."""

    tensor: str
    value: float = 0.0
    source: Annotated[str, Quiet()] = ""


class Boundary(Noun):
    """What an index outside a tensor reads: a value, or nothing (None): a point that reads it does not exist."""

    tensor: str
    value: float | None


class Density(Noun):
    """The share of an Einsum's points that tests of tensors are expected to leave, from 0 to 1: an estimate."""

    einsum: str
    share: float


class SizeRule(Noun):
    """The default size of a rank as an expression over the dimensions of a model, kept as text."""

    rank: str
    expression: str
