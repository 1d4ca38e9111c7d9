"""The field types of machines; each refuses an invalid value with one sentence.

pydantic's lax mode turns `true` into 1, and its strict mode refuses the lists that YAML gives for tuples; these fields
keep the containers lax and the scalars strict.
"""

import math
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Annotated, Any

from pydantic import (
    BeforeValidator,
    PlainSerializer,
    PlainValidator,
    TypeAdapter,
    ValidationError,
    WithJsonSchema,
)
from pydantic_core import InitErrorDetails

from arch.expression import Expression, check_names, evaluate, parse_expression
from arch.quantity import LEAST, MOST, exact_quantity, is_quantity, parse_quantity, quoted

_COMPONENT_NAME = re.compile(r"[A-Za-z_]\w*")


def _shown(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else quoted(value)


def is_number(value: Any, kind: type = Real) -> bool:
    """Whether it is a number of that kind (numpy's included); a boolean is not."""
    return isinstance(value, kind) and not isinstance(value, bool)


_LARGEST_COUNT = 2**40  # more than any machine has of anything, and products stay exact


def _count(value: Any) -> int:
    if is_number(value, Integral) and 1 <= value <= _LARGEST_COUNT:
        return int(value)
    wanted = f"at most {_LARGEST_COUNT}" if is_number(value, Integral) and value > 1 else "at least 1"
    raise ValueError(f"expected a whole number of {wanted}, got {_shown(value)}")


def _cycles(value: Any) -> float:
    if is_number(value, Real) and LEAST <= value <= MOST:
        return float(value)
    wanted = f"at most {float(MOST):g}" if is_number(value, Real) and value > 1 else "above 0"
    raise ValueError(f"expected a number of cycles {wanted}, got {_shown(value)}")


def _identifier(value: Any) -> str:
    if isinstance(value, str) and _COMPONENT_NAME.fullmatch(value):
        return value
    raise ValueError(f"expected a name of letters, digits and '_', got {_shown(value)}")


def _area(value: Any) -> float | Expression:
    """An area with its unit, or an expression whose value is in um^2."""
    if isinstance(value, Expression):
        return value
    if not isinstance(value, str) or is_quantity(value):
        return parse_quantity(value, "area")
    expression = parse_expression(value)
    if not expression.names:
        return parse_quantity(value, "area")
    return expression


def _area_text(value: float | Expression) -> str:
    return value.text if isinstance(value, Expression) else exact_quantity(value, "area")


def names_checked(expression: Expression, values: tuple[tuple[str, float], ...]) -> float:
    """The expression's value; ValueError for an unknown name or a value that is negative or not finite."""
    known = dict(values)
    check_names(expression, known)
    value = evaluate(expression, known.__getitem__)
    if not isinstance(value, (int, float)) or not math.isfinite(value) or value < 0:
        raise ValueError(f"expected '{expression}' to be a finite number of at least 0, got {_shown(value)}")
    return float(value)


def _name_of(item: Any) -> Any:
    return item.get("name") if isinstance(item, dict) else getattr(item, "name", None)


def validated_by_name(items: TypeAdapter[dict[str, Any]], noun: str) -> Callable[[Any], tuple[Any, ...]]:
    """A validator of YAML's `{name: body}`, or of a list of named bodies, that returns the items in file order.

    Items are validated under their names, so that the location of an error is the path in the file.
    """

    def validate(value: Any) -> tuple[Any, ...]:
        if isinstance(value, (list, tuple)):
            names = [_name_of(item) for item in value]
            if twice := [name for name in names if names.count(name) > 1]:
                raise ValueError(f"two {noun}s are called '{twice[0]}'")
            value = dict(zip(names, value, strict=True))
        if not isinstance(value, dict):
            raise ValueError(f"expected a mapping of {noun} names to {noun}s, got {_shown(value)}")
        for name, body in value.items():
            if _name_of(body) not in (None, name):
                raise ValueError(f"the {noun} '{name}' has another name, '{_name_of(body)}'")
        named = {name: body | {"name": name} if isinstance(body, dict) else body for name, body in value.items()}
        return tuple(items.validate_python(named).values())

    return validate


LocatedProblem = tuple[tuple[str, ...], str]


def refuse_at(noun: str, problems: list[LocatedProblem]) -> None:
    """Raise all problems at once, each at its location inside the noun; do nothing if there are none."""
    if not problems:
        return
    details = [
        InitErrorDetails(type="value_error", loc=location, input=None, ctx={"error": ValueError(message)})
        for location, message in problems
    ]
    raise ValidationError.from_exception_data(noun, details)


Count = Annotated[int, PlainValidator(_count), WithJsonSchema({"type": "integer", "minimum": 1})]
Cycles = Annotated[float, PlainValidator(_cycles), WithJsonSchema({"type": "number", "exclusiveMinimum": 0})]
Identifier = Annotated[str, BeforeValidator(_identifier)]
Formula = Annotated[
    Expression,
    PlainValidator(parse_expression),
    PlainSerializer(str, return_type=str),
    WithJsonSchema({"type": "string"}),
]
AreaOrFormula = Annotated[
    float | Expression,
    PlainValidator(_area),
    PlainSerializer(_area_text, return_type=str),
    WithJsonSchema({"type": "string", "description": "an area with its unit, or an expression in um^2"}),
]
