"""A published evaluation as data: which experiments make it, how its figures and averages follow, what was published.

Another paper is another file. A reproduction names its designs once; every kernel says which experiment stands for each
design, or is the sum of other kernels. An accounting runs the same experiments on other machines. Figures, headline
numbers and published tables refer to kernels, designs and metrics by name; every name is checked when it is made.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, model_validator

from arch.expression import Expression
from arch.fields import Count, refuse_at, validated_by_name
from arch.names import nearest
from sim.reproduction_parts import (
    FROZEN,
    Accounting,
    Adjustment,
    Curve,
    Design,
    Explanation,
    Figure,
    Headline,
    Kernel,
    Metric,
    PublishedTable,
    Series,
    Stacks,
    Sweep,
    Text,
)
from sim.suggest import near_or_all

Location = tuple[str | int, ...]
Found = Iterator[tuple[Location, str]]


def _by_name(noun: type[BaseModel], word: str) -> BeforeValidator:
    return BeforeValidator(validated_by_name(TypeAdapter(dict[str, noun]), word))  # type: ignore[valid-type]


class Reproduction(BaseModel):
    """A published evaluation: designs, kernels, accountings, sweeps, figures, headline numbers, published values."""

    model_config = FROZEN

    name: str
    title: Text
    description: str = ""
    source: Text
    models: tuple[str, ...] = Field(min_length=1)
    lengths: tuple[Count, ...] = Field(min_length=1)
    designs: Annotated[tuple[Design, ...], _by_name(Design, "design")] = Field(min_length=1)
    metrics: Annotated[tuple[Metric, ...], _by_name(Metric, "metric")] = Field(min_length=1)
    kernels: Annotated[tuple[Kernel, ...], _by_name(Kernel, "kernel")] = Field(min_length=1)
    accountings: Annotated[tuple[Accounting, ...], _by_name(Accounting, "accounting")] = Field(min_length=1)
    adjustments: tuple[Adjustment, ...] = ()
    sweeps: Annotated[tuple[Sweep, ...], _by_name(Sweep, "sweep")] = ()
    figures: tuple[Figure, ...] = Field(min_length=1)
    headline: tuple[Headline, ...] = ()
    published: tuple[PublishedTable, ...] = ()
    explanations: tuple[Explanation, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        refuse_at(type(self).__name__, list(self._iter_problems()))
        return self

    def design(self, name: str) -> Design:
        return next(design for design in self.designs if design.name == name)

    def metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)

    def kernel(self, name: str) -> Kernel:
        return next(kernel for kernel in self.kernels if kernel.name == name)

    def sweep(self, name: str) -> Sweep:
        return next(sweep for sweep in self.sweeps if sweep.name == name)

    def metrics_of(self, kernel: str) -> tuple[Metric, ...]:
        """The metrics that points of a kernel have: all, or those that add for a sum."""
        is_sum = bool(self.kernel(kernel).sum_of)
        return tuple(metric for metric in self.metrics if metric.is_additive or not is_sum)

    def _iter_problems(self) -> Iterator[Problem]:
        from sim.reproduction_check import iter_problems

        yield from iter_problems(self)
