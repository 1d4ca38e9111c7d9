"""A published evaluation as data: its experiments, how its figures and averages follow, and the published values.

Another paper is another file. A reproduction names its designs once; every kernel assigns an experiment to each design,
or is the sum of other kernels. An accounting runs the same experiments on other machines. Figures, headline numbers and
published tables refer to kernels, designs and metrics by name; all names are checked on construction.
"""

from collections.abc import Iterable, Iterator
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, Field, TypeAdapter, model_validator

from arch.fields import Count, refuse_at, validated_by_name
from einsums.names import near_or_all
from sim.design.settings import FROZEN, Text
from sim.reproduction.parts import (
    Accounting,
    Bars,
    ComparedDesign,
    Curve,
    Explanation,
    Figure,
    Headline,
    Kernel,
    Metric,
    PublishedTable,
    ReproductionSweep,
    Selection,
    Series,
    Stacks,
)

Location = tuple[str | int, ...]
Found = Iterator[tuple[Location, str]]
Use = tuple[Location, str, str | int]


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
    designs: Annotated[tuple[ComparedDesign, ...], _by_name(ComparedDesign, "design")] = Field(min_length=1)
    metrics: Annotated[tuple[Metric, ...], _by_name(Metric, "metric")] = Field(min_length=1)
    kernels: Annotated[tuple[Kernel, ...], _by_name(Kernel, "kernel")] = Field(min_length=1)
    accountings: Annotated[tuple[Accounting, ...], _by_name(Accounting, "accounting")] = Field(min_length=1)
    sweeps: Annotated[tuple[ReproductionSweep, ...], _by_name(ReproductionSweep, "sweep")] = ()
    figures: tuple[Figure, ...] = Field(min_length=1)
    headline: tuple[Headline, ...] = ()
    published: tuple[PublishedTable, ...] = ()
    explanations: tuple[Explanation, ...] = ()

    @model_validator(mode="after")
    def _names_are_known(self) -> Self:
        refuse_at(type(self).__name__, list(self._iter_problems()))  # type: ignore[arg-type]  # list indices are numbers
        return self

    def design(self, name: str) -> ComparedDesign:
        return next(design for design in self.designs if design.name == name)

    def metric(self, name: str) -> Metric:
        return next(metric for metric in self.metrics if metric.name == name)

    def kernel(self, name: str) -> Kernel:
        return next(kernel for kernel in self.kernels if kernel.name == name)

    def sweep(self, name: str) -> ReproductionSweep:
        return next(sweep for sweep in self.sweeps if sweep.name == name)

    def metrics_of(self, kernel: str) -> tuple[Metric, ...]:
        """The metrics that points of a kernel have: all, or for a sum those that add."""
        is_sum = bool(self.kernel(kernel).sum_of)
        return tuple(metric for metric in self.metrics if metric.is_additive or not is_sum)

    def same_experiment(self, kernel: str, design: str) -> tuple[str, ...]:
        """The designs that run the same experiment in a kernel as this one, itself first."""
        experiments = {pair.name: pair.value for pair in self.kernel(kernel).experiments}
        others = [name for name, value in experiments.items() if value == experiments[design] and name != design]
        return (design, *others)

    def _iter_problems(self) -> Found:
        known: dict[str, tuple[str | int, ...]] = {
            "design": tuple(design.name for design in self.designs),
            "metric": tuple(metric.name for metric in self.metrics),
            "kernel": tuple(kernel.name for kernel in self.kernels),
            "sweep": tuple(sweep.name for sweep in self.sweeps),
            "model": self.models,
            "length": self.lengths,
        }
        for location, kind, name in self._iter_uses():
            if name not in known[kind]:
                reason = near_or_all(str(name), map(str, known[kind]))
                yield location, f"unknown {kind} {name!r}{reason}"
        for i, figure in enumerate(self.figures):
            if figure.name in [other.name for other in self.figures[:i]]:
                yield ("figures", i, "name"), f"two figures are called '{figure.name}'"
        yield from self._iter_kernel_problems()
        yield from self._iter_series_problems()

    def _iter_kernel_problems(self) -> Found:
        with_experiments = [kernel.name for kernel in self.kernels if kernel.experiments]
        for kernel in self.kernels:
            given = [pair.name for pair in kernel.experiments]
            missing = [design.name for design in self.designs if given and design.name not in given]
            for name in missing:
                yield ("kernels", kernel.name, "experiments"), f"no experiment for design '{name}'"
            for i, part in enumerate(kernel.sum_of):
                if part in [k.name for k in self.kernels] and part not in with_experiments:
                    yield ("kernels", kernel.name, "sum_of", i), f"'{part}' is itself a sum: expected its parts"

    def _iter_series_problems(self) -> Found:
        """Metrics that their kernel lacks, because they do not add."""
        used: list[tuple[Location, str, str]] = []
        for i, figure in enumerate(self.figures):
            if not isinstance(figure, Curve):
                used.append((("figures", i, "metric"), figure.kernel, figure.metric))
            for j, series in enumerate(figure.also):
                used.append((("figures", i, "also", j, "metric"), series.kernel, series.metric))
        for i, row in enumerate(self.headline):
            used.append((("headline", i, "of", "metric"), row.of.kernel, row.of.metric))
            if row.over.metric is not None:
                used.append((("headline", i, "over", "metric"), row.of.kernel, row.over.metric))
        kernels = {kernel.name: kernel for kernel in self.kernels}
        metrics = {metric.name: metric for metric in self.metrics}
        for location, kernel, name in used:
            if kernel in kernels and name in metrics and metrics[name] not in self.metrics_of(kernel):
                what = f"'{name}' is a {metrics[name].quantity}, which does not add"
                yield location, f"kernel '{kernel}' is a sum and {what} over kernels"
        for i, figure in enumerate(self.figures):
            known = isinstance(figure, Stacks) and figure.metric in metrics
            if known and metrics[figure.metric].quantity != "utilization":
                yield ("figures", i, "metric"), f"expected a utilization to stack by Einsum, got '{figure.metric}'"

    def _iter_uses(self) -> Iterator[Use]:
        """Every name that refers to another part: its location, its kind, and the name."""
        for kernel in self.kernels:
            top: Location = ("kernels", kernel.name)
            yield from (((*top, "experiments", pair.name), "design", pair.name) for pair in kernel.experiments)
            yield from _each((*top, "sum_of"), "kernel", kernel.sum_of)
        for sweep in self.sweeps:
            yield ("sweeps", sweep.name, "kernel"), "kernel", sweep.kernel
            yield ("sweeps", sweep.name, "design"), "design", sweep.design
        for i, figure in enumerate(self.figures):
            yield from _of_figure(("figures", i), figure)
        for i, row in enumerate(self.headline):
            yield from _of_headline(("headline", i), row)
        for i, table in enumerate(self.published):
            yield from _of_table(("published", i), table)
        for i, explanation in enumerate(self.explanations):
            place: Location = ("explanations", i)
            yield (*place, "kernel"), "kernel", explanation.kernel
            yield (*place, "metric"), "metric", explanation.metric
            yield from _each((*place, "designs"), "design", explanation.designs)
            yield from _each((*place, "lengths"), "length", explanation.lengths)


def _each(location: Location, kind: str, names: Iterable[str | int]) -> Iterator[Use]:
    return (((*location, i), kind, name) for i, name in enumerate(names))


def _series(location: Location, series: Series | Bars | Stacks | Selection) -> Iterator[Use]:
    yield (*location, "kernel"), "kernel", series.kernel
    yield (*location, "metric"), "metric", series.metric


def _of_figure(location: Location, figure: Figure) -> Iterator[Use]:
    match figure:
        case Curve():
            yield (*location, "sweep"), "sweep", figure.sweep
            yield (*location, "metric"), "metric", figure.metric
            yield (*location, "over"), "metric", figure.over
            yield from _each((*location, "beside"), "metric", figure.beside)
        case Bars():
            yield from _series(location, figure)
            if figure.relative_to is not None:
                yield (*location, "relative_to", "design"), "design", figure.relative_to.design
        case Stacks():
            yield from _series(location, figure)
            yield from _each((*location, "designs"), "design", figure.designs)
    for i, series in enumerate(figure.also):
        yield from _series((*location, "also", i), series)


def _of_headline(location: Location, row: Headline) -> Iterator[Use]:
    yield from _series((*location, "of"), row.of)
    yield (*location, "of", "design"), "design", row.of.design
    if row.over.design is not None:
        yield (*location, "over", "design"), "design", row.over.design
    if row.over.metric is not None:
        yield (*location, "over", "metric"), "metric", row.over.metric
    yield from _each((*location, "lengths"), "length", row.lengths)


def _of_table(location: Location, table: PublishedTable) -> Iterator[Use]:
    if table.kernel is not None:
        yield (*location, "kernel"), "kernel", table.kernel
    if table.sweep is not None:
        yield (*location, "sweep"), "sweep", table.sweep
    yield from (((*location, "designs", pair.name), "design", pair.value) for pair in table.designs)
    yield from (((*location, "metrics", pair.name), "metric", pair.name) for pair in table.metrics)
    yield from (((*location, "by_einsum", pair.name), "metric", pair.name) for pair in table.by_einsum)
