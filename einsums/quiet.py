"""Fields that dumps leave out at their default: what is added to a format later must not change the hash of designs
that do without it.
"""

from typing import Any

from pydantic import BaseModel, SerializerFunctionWrapHandler, model_serializer


class Quiet:
    """Marks such a field in its annotation."""

    is_quiet = True


class QuietDefaults(BaseModel):
    """A noun whose dumps leave out the fields with a quiet mark at their default."""

    @model_serializer(mode="wrap")
    def _without_quiet_defaults(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        dumped: dict[str, Any] = dump(self)
        for name, field in type(self).model_fields.items():
            is_quiet = any(getattr(mark, "is_quiet", False) for mark in field.metadata)
            if is_quiet and getattr(self, name) == field.default:
                dumped.pop(name, None)
                dumped.pop(field.alias or name, None)
        return dumped
