"""The parts of a reproduction: designs, kernels, metrics, accountings, sweeps, figures, headline, published tables.

Each part checks itself; the reproduction that holds it checks that the names it uses exist.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, Field, model_validator

from arch.fields import Count, Identifier
from sim.design.settings import FROZEN, Settings, Text

ADDITIVE = ("latency", "energy", "traffic")


class Pair(BaseModel):
    """One entry of a mapping from names to names."""

    model_config = FROZEN

    name: str
    value: str


def _pairs(value: Any) -> Any:
    return [{"name": k, "value": v} for k, v in value.items()] if isinstance(value, dict) else value


Pairs = Annotated[tuple[Pair, ...], BeforeValidator(_pairs)]


class ComparedDesign(BaseModel):
    """One of the compared designs."""

    model_config = FROZEN

    name: str
    label: Text


class Metric(BaseModel):
    """A number of one point: a quantity of the whole machine, of one component, or of one operation on an array."""

    model_config = FROZEN

    name: Identifier
    label: Text
    unit: Text
    quantity: Literal["latency", "energy", "traffic", "utilization", "area"]
    component: str | None = None
    operation: str | None = None
    tolerance: float = Field(1e-9, gt=0)  # relative; a larger difference from the published value needs an explanation

    @model_validator(mode="after")
    def _component_where_needed(self) -> Self:
        if self.component is None and self.quantity in ("traffic", "utilization"):
            raise ValueError(f"metric '{self.name}' is a {self.quantity}: expected the component it belongs to")
        if self.component is not None and self.quantity == "latency":
            raise ValueError(f"metric '{self.name}' is a latency, which belongs to no component")
        if self.operation is not None and (self.quantity != "energy" or self.component is None):
            raise ValueError(f"metric '{self.name}' has an operation: expected an energy of an array")
        return self

    @property
    def is_additive(self) -> bool:
        """Whether it adds up over kernels that run one after the other."""
        return self.quantity in ADDITIVE


class Kernel(BaseModel):
    """A part of the workload: one experiment for each design, or the sum of other kernels."""

    model_config = FROZEN

    name: str
    label: Text
    experiments: Pairs = ()  # design -> experiment
    sum_of: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if bool(self.experiments) == bool(self.sum_of):
            raise ValueError(f"kernel '{self.name}': expected either 'experiments' or 'sum_of'")
        return self


class Accounting(BaseModel):
    """The same experiments on other machines."""

    model_config = FROZEN

    name: str
    label: Text
    description: str = ""
    architectures: Pairs = ()  # machine of an experiment -> the one to run it on


class ReproductionAxis(BaseModel):
    """The varied number of a sweep; formulas read it by its name."""

    model_config = FROZEN

    name: Identifier
    label: Text
    shown: str = "{}"  # the label of a value next to its point
    values: tuple[Count, ...] = Field(min_length=1)


class ReproductionSweep(BaseModel):
    """One design at one workload over an axis of machines."""

    model_config = FROZEN

    name: str
    label: Text
    kernel: str
    design: str
    model: str
    seq_len: Count
    axis: ReproductionAxis
    where: Settings = ()  # names for the formulas below
    settings: Settings = Field(alias="set")


class Selection(BaseModel):
    """One metric of one design in one kernel."""

    model_config = FROZEN

    kernel: str
    metric: str
    design: str


class Divisor(BaseModel):
    """The divisor of a selection: the selection itself except for the fields given here."""

    model_config = FROZEN

    metric: str | None = None
    design: str | None = None


class Headline(BaseModel):
    """A statistic over points of the ratio of two selections, with its published value."""

    model_config = FROZEN

    label: Text
    of: Selection
    over: Divisor
    statistic: Literal["mean", "least"] = "mean"
    lengths: tuple[Count, ...] = ()  # none: all
    is_saving: bool = Field(False, alias="saving")  # 1 - ratio
    published: float
    is_bound: bool = Field(False, alias="at_least")  # the published number is a lower bound
    digits: int = Field(ge=0, le=6)  # decimals of the published number
    shown: Literal["times", "percent"]
    note: str = ""


class PublishedTable(BaseModel):
    """A CSV file of published values; its columns are named after their contents."""

    model_config = FROZEN

    file: Text
    kernel: str | None = None
    sweep: str | None = None
    axis: str | None = None  # column of a sweep's axis
    designs: Pairs = ()  # name in the file -> design; none: as they are
    metrics: Pairs = Field(min_length=1)  # metric -> column
    by_einsum: Pairs = ()  # metric -> column of texts such as 'QK=0.1;LM=0.2'

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.kernel is None) == (self.sweep is None):
            raise ValueError(f"'{self.file}': expected either a kernel or a sweep")
        if (self.axis is None) != (self.sweep is None):
            raise ValueError(f"'{self.file}': a sweep and the column of its axis go together")
        return self


class Explanation(BaseModel):
    """Why points differ from what was published."""

    model_config = FROZEN

    kernel: str
    designs: tuple[str, ...] = Field(min_length=1)
    lengths: tuple[Count, ...] = Field(min_length=1)
    metric: str
    reason: Text


class Series(BaseModel):
    """One metric of one kernel, over all models, lengths and designs."""

    model_config = FROZEN

    kernel: str
    metric: str


class Relative(BaseModel):
    """How a figure divides each value by that of one design, or that design's by each."""

    model_config = FROZEN

    design: str
    shown: Literal["speedup", "ratio"]


class _Drawn(BaseModel):
    """The common fields of figures; `also` are values listed with it that are not drawn."""

    model_config = FROZEN

    name: str = Field(pattern=r"[A-Za-z0-9][\w-]*")
    title: Text
    axis_label: Text
    also: tuple[Series, ...] = ()


class Bars(_Drawn):
    """Bars of every design over models and lengths, and their mean."""

    kind: Literal["bars"] = "bars"
    kernel: str
    metric: str
    relative_to: Relative | None = None


class Stacks(_Drawn):
    """The same with bars stacked by Einsum, for the designs named."""

    kind: Literal["stacks"] = "stacks"
    kernel: str
    metric: str
    designs: tuple[str, ...] = Field(min_length=1)


class Curve(_Drawn):
    """One metric of a sweep over another, both axes logarithmic."""

    kind: Literal["curve"] = "curve"
    sweep: str
    metric: str
    over: str  # the metric along the horizontal axis
    over_label: Text
    over_scale: float = Field(1.0, gt=0)  # one unit of the label, in the metric's unit
    beside: tuple[str, ...] = ()  # metrics of its points that are listed and not drawn


Figure = Annotated[Bars | Stacks | Curve, Field(discriminator="kind")]
