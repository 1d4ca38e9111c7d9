"""pydantic's error kinds in the words of an input file: what was expected, what was found."""

import re
from typing import Any

from arch.quantity import clipped, quoted
from einsums.names import nearest

_EXPECTED = {
    "int_type": "an integer",
    "int_parsing": "an integer",
    "int_from_float": "an integer",
    "int_parsing_size": "an integer of fewer digits",
    "float_type": "a number",
    "float_parsing": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "bool_type": "true or false",
    "bool_parsing": "true or false",
    "model_type": "keys and values",
    "model_attributes_type": "keys and values",
    "dict_type": "keys and values",
    "mapping_type": "keys and values",
    "tuple_type": "a list",
    "list_type": "a list",
    "none_required": "null",
}
_BOUNDS = {
    "greater_than": ("a number greater than {}", "gt"),
    "greater_than_equal": ("a number of at least {}", "ge"),
    "less_than": ("a number less than {}", "lt"),
    "less_than_equal": ("a number of at most {}", "le"),
    "multiple_of": ("a multiple of {}", "multiple_of"),
    "too_short": ("a list of at least {} items", "min_length"),
    "too_long": ("a list of at most {} items", "max_length"),
    "string_too_short": ("text of at least {} characters", "min_length"),
    "string_too_long": ("text of at most {} characters", "max_length"),
    "string_pattern_mismatch": ("text of the form {}", "pattern"),
}
_LONGEST = 60


def describe(detail: Any) -> str:
    """The sentence for one of pydantic's errors (an item of `ValidationError.errors()`)."""
    kind, context = detail["type"], detail.get("ctx", {})
    found = show_value(detail["input"])
    if kind == "value_error":
        return str(context["error"])
    if kind in ("literal_error", "enum"):
        return f"expected {context['expected']}, got {found}{_near(detail['input'], context['expected'])}"
    if kind == "union_tag_invalid":
        tags, tag = context["expected_tags"], context["tag"]
        return f"expected {' or '.join(tags.rsplit(', ', 1))}, got '{tag}'{_near(tag, tags)}"
    if kind in _EXPECTED:
        return f"expected {_EXPECTED[kind]}, got {found}"
    if kind in _BOUNDS:
        wanted, key = _BOUNDS[kind]
        return f"expected {_number(wanted.format(context[key]))}, got {_size(kind, detail['input'], found)}"
    return f"{detail['msg'][:1].lower()}{detail['msg'][1:]}, got {found}"


def show_value(value: Any) -> str:
    """A short description of a value for a reader of the file."""
    match value:
        case None:
            return "nothing"
        case bool():
            return str(value).lower()
        case str():
            line = value if "\n" not in value else value.splitlines()[0] + "..."
            return repr(line if len(line) <= _LONGEST else line[:_LONGEST] + "...")
        case dict():
            return "keys and values" if value else "an empty mapping"
        case list() | tuple():
            return "a list" if value else "an empty list"
        case int():
            return quoted(value)
        case _:
            return clipped(str(value))


def _near(value: Any, expected: str) -> str:
    return nearest(str(value), re.findall(r"'([^']*)'", expected))


def _size(kind: str, value: Any, found: str) -> str:
    return f"{len(value)}" if kind in ("too_short", "too_long") and hasattr(value, "__len__") else found


def _number(text: str) -> str:
    """1 items as 1 item, 0.0 as 0."""
    return re.sub(r"\b1 (item|character)s\b", r"1 \1", re.sub(r"(\d)\.0\b", r"\1", text))
