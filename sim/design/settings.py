"""Settings of evaluations of many designs: values for paths of an experiment, as formulas."""

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from arch.fields import Formula

FROZEN = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
Text = Annotated[str, Field(min_length=1)]


class Setting(BaseModel):
    """A value for a path of an experiment: a formula over the axis and the sizes, with a unit if it has one."""

    model_config = FROZEN

    path: str
    expression: Formula
    unit: str | None = None


def _settings(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    bodies = ((k, v if isinstance(v, dict) else {"expression": v}) for k, v in value.items())
    return [{"path": key, **body} for key, body in bodies]


Settings = Annotated[tuple[Setting, ...], BeforeValidator(_settings)]
