"""A transformer model, as far as the shapes of its encoder layer need it."""

from typing import Any

from pydantic import ValidationInfo, field_validator

from einsums.nouns import Noun


class Model(Noun):
    """Dimensions of one layer: widths in words; heads x head_size is the width of all heads together."""

    name: str
    hidden: int
    heads: int
    head_size: int
    ffn_size: int
    source: str = ""

    @field_validator("hidden", "heads", "head_size", "ffn_size", mode="before")
    @classmethod
    def _positive(cls, value: Any, info: ValidationInfo) -> Any:
        if isinstance(value, bool) or not isinstance(value, int) or value < 1:
            raise ValueError(f"{info.field_name} must be an integer of at least 1, found {value!r}")
        return value
