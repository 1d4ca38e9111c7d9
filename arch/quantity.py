"""Physical quantities: text with a unit, such as '16 MiB', to one stored unit per dimension and back.

Stored units: bits, bits per second, Hz, pJ, W, um^2, s, nm. Binary prefixes (KiB = 2^10 B) and decimal ones (kB = 10^3
B) are different units. Conversion is exact rational arithmetic rounded once, so `exact_quantity` and `parse_quantity`
are inverses to the last bit. A number without a unit is refused: 16 could be bits, bytes or MiB.
"""

import math
import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Annotated, Any, Literal

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import CoreSchema, core_schema

from einsums.names import nearest

Dimension = Literal["size", "bandwidth", "frequency", "energy", "power", "area", "time", "length"]

_DECIMAL = {"": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50}
_BELOW_ONE = {"m": -3, "u": -6, "µ": -6, "n": -9, "p": -12, "f": -15}


def _power(base: int, exponent: int) -> Fraction:
    return Fraction(base) ** exponent


def _size_units() -> dict[str, Fraction]:
    """Unit name to bits."""
    factors = {prefix: _power(10, exponent) for prefix, exponent in _DECIMAL.items()}
    factors |= {prefix: _power(2, exponent) for prefix, exponent in _BINARY.items()}
    units = {f"{prefix}bit": factor for prefix, factor in factors.items()}
    units |= {f"{prefix}B": 8 * factor for prefix, factor in factors.items()}
    return units | {"bits": Fraction(1), "byte": Fraction(8), "bytes": Fraction(8)}


def _bandwidth_units() -> dict[str, Fraction]:
    """Unit name to bits per second."""
    units = {f"{unit}/s": factor for unit, factor in _size_units().items()}
    return units | {f"{prefix}bps": _power(10, exponent) for prefix, exponent in _DECIMAL.items()}


def _scaled(unit: str, prefixes: dict[str, int], stored_exponent: int = 0) -> dict[str, Fraction]:
    """`unit` with decimal prefixes, in multiples of 10^stored_exponent units."""
    return {f"{prefix}{unit}": _power(10, e - stored_exponent) for prefix, e in prefixes.items()}


def _area_units() -> dict[str, Fraction]:
    """Unit name to um^2."""
    sides = {"nm": -3, "um": 0, "µm": 0, "mm": 3, "cm": 4}
    return {f"{side}{power}": _power(10, 2 * e) for side, e in sides.items() for power in ("2", "^2", "²")}


_UNITS: dict[Dimension, dict[str, Fraction]] = {
    "size": _size_units(),
    "bandwidth": _bandwidth_units(),
    "frequency": _scaled("Hz", _DECIMAL),
    "energy": _scaled("J", {"": 0} | _BELOW_ONE, stored_exponent=-12),
    "power": _scaled("W", {"": 0, "k": 3} | _BELOW_ONE),
    "area": _area_units(),
    "time": _scaled("s", {"": 0} | _BELOW_ONE),
    "length": _scaled("m", _BELOW_ONE, stored_exponent=-9),
}

# How messages name and show a dimension, and the unit of its exact text.
_WORDING: dict[Dimension, tuple[str, str, str]] = {
    "size": ("a size", "16 MiB", "bit"),
    "bandwidth": ("a bandwidth", "400 GiB/s", "bit/s"),
    "frequency": ("a frequency", "940 MHz", "Hz"),
    "energy": ("an energy", "249.6 pJ", "pJ"),
    "power": ("a power", "5 W", "W"),
    "area": ("an area", "1 um2", "um2"),
    "time": ("a time", "10 ns", "s"),
    "length": ("a length", "45 nm", "nm"),
}

# Units that suit a reader, smallest first.
_READABLE: dict[Dimension, tuple[str, ...]] = {
    "size": ("bit", "B", "KiB", "MiB", "GiB", "TiB", "PiB"),
    "bandwidth": ("bit/s", "B/s", "KiB/s", "MiB/s", "GiB/s", "TiB/s", "PiB/s"),
    "frequency": ("Hz", "kHz", "MHz", "GHz", "THz"),
    "energy": ("fJ", "pJ", "nJ", "uJ", "mJ", "J"),
    "power": ("nW", "uW", "mW", "W", "kW"),
    "area": ("um2", "mm2", "cm2"),
    "time": ("ps", "ns", "us", "ms", "s"),
    "length": ("nm", "um", "mm"),
}

# Bounds of every quantity in its stored unit, far beyond anything physical: products of several stay finite.
LEAST, MOST = Fraction(1, 10**30), Fraction(10**30)
_LONGEST = 60  # characters that a message quotes

# The one unit of a column of a table.
TABLE_UNITS: dict[Dimension, str] = {
    "size": "MiB",
    "bandwidth": "GiB/s",
    "frequency": "MHz",
    "energy": "pJ",
    "power": "W",
    "area": "um2",
    "time": "ns",
    "length": "nm",
}

# An exponent of at most three digits keeps the exact arithmetic small.
_QUANTITY = re.compile(r"\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d{1,3})?|[-+]?(?:nan|inf)\b)\s*(\S.*?)?\s*")


def _as_written(value: Any) -> str:
    """A value as the user wrote it in YAML."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping"
    if isinstance(value, (list, tuple)):
        return "a list"
    return quoted(value)


def quoted(value: Any) -> str:
    """A value for a message, cut to a readable length."""
    if isinstance(value, int) and not isinstance(value, bool) and value.bit_length() > 4 * _LONGEST:
        return "a whole number of too many digits"
    return repr(clipped(value, _LONGEST)) if isinstance(value, str) else clipped(repr(value), _LONGEST)


def clipped(text: str, longest: int = 100) -> str:
    """The first line of a text, cut to a number of characters."""
    line, *more = text.strip("\n").splitlines() or [""]
    return f"{line[:longest]}..." if more or len(line) > longest else line


def _unit_reason(number: str, unit: str, dimension: Dimension) -> str:
    """Why `unit` is not a unit of `dimension`, as the end of a sentence."""
    for other, units in _UNITS.items():
        if unit in units:
            return f", which is {_WORDING[other][0]}"
    # What is written otherwise elsewhere; the nearest spelling could mean eight times as much, or an eighth.
    rewritten = re.sub(r"(?:ps|/sec)$", "/s", re.sub(r"b(?=ps$|/s(ec)?$)", "bit", unit))
    if rewritten in _UNITS[dimension]:
        return f" (did you mean '{number} {rewritten}'?)"
    suggestion = nearest(unit, [known for known in _UNITS[dimension] if known.isascii()])
    return suggestion.replace("mean '", f"mean '{number} ")


def _convert(value: Any, dimension: Dimension) -> tuple[float | None, str]:
    """The value in stored units, or None and the end of the error message."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return None, ", which has no unit"
    match = _QUANTITY.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        return None, ""
    number, unit = match.group(1), match.group(2)
    if unit is None:
        return None, ", which has no unit"
    if unit not in _UNITS[dimension]:
        return None, _unit_reason(number, unit, dimension)
    if number.lstrip("+-") in ("nan", "inf"):
        return None, ", which is not finite"
    if len(number) > _LONGEST:
        return None, ", which has too many digits"
    exact = Fraction(number) * _UNITS[dimension][unit]
    if exact < 0:
        return None, ", which is negative"
    if exact > MOST:
        return None, ", which is too large"
    if 0 < exact < LEAST:
        return None, ", which is too small"
    return float(exact), ""


def parse_quantity(value: Any, dimension: Dimension) -> float:
    """Text with a unit to the dimension's stored unit; ValueError states what was expected and found."""
    stored, reason = _convert(value, dimension)
    if stored is None:
        noun, example, _ = _WORDING[dimension]
        raise ValueError(f"expected {noun} such as '{example}', got {_as_written(value)}{reason}")
    return stored


def is_quantity(text: str) -> bool:
    """Whether text is a number followed by a unit, known or not (and hence not an expression)."""
    return re.match(r"\s*[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?\s*[A-Za-zµ]", text) is not None


def size_units_bytes() -> dict[str, Fraction]:
    """Every size unit and its length in bytes."""
    return {unit: bits / 8 for unit, bits in _UNITS["size"].items()}


def dimension_of_unit(unit: str) -> str | None:
    """The dimension's name with its article ('a frequency'), or None for an unknown unit."""
    return next((_WORDING[dimension][0] for dimension, units in _UNITS.items() if unit in units), None)


def exact_quantity(value: float, dimension: Dimension) -> str:
    """Text that parses back to exactly `value`, in the stored unit: '134217728 bit'."""
    number = int(value) if float(value).is_integer() and abs(value) < 2**63 else value
    return f"{number!r} {_WORDING[dimension][2]}"


def split_quantity(text: str) -> tuple[str, str]:
    """The number of a text that parses as a quantity, and its unit, both as written."""
    match = _QUANTITY.fullmatch(text)
    assert match is not None and match.group(2), f"'{text}' is no quantity"
    return match.group(1), match.group(2)


def format_quantity(value: float, dimension: Dimension) -> str:
    """Short text for a reader: four significant digits, in the largest unit that gives at least 1."""
    units = _READABLE[dimension]
    if value == 0 or not math.isfinite(value):
        return f"{value:g} {_WORDING[dimension][2]}"
    fitting = [unit for unit in units if abs(value) >= _UNITS[dimension][unit]]
    unit = fitting[-1] if fitting else units[0]
    if dimension == "size" and unit == "B" and value % 8:
        unit = "bit"
    number = value / float(_UNITS[dimension][unit])
    text = f"{number:.4g}"
    return f"{number:.0f} {unit}" if "e" in text and 1 <= abs(number) < 1e6 else f"{text} {unit}"


@dataclass(frozen=True)
class Quantity:
    """Marks a float field written with a unit: accepts text only, holds the stored unit, dumps exact text."""

    dimension: Dimension
    positive: bool

    def validate(self, value: Any) -> float:
        """The field's value in stored units."""
        stored = parse_quantity(value, self.dimension)
        if self.positive and stored == 0:
            noun, example, _ = _WORDING[self.dimension]
            raise ValueError(f"expected {noun} above zero such as '{example}', got {_as_written(value)}")
        return stored

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        serializer = core_schema.plain_serializer_function_ser_schema(
            lambda value: exact_quantity(value, self.dimension), return_schema=core_schema.str_schema()
        )
        return core_schema.no_info_plain_validator_function(self.validate, serialization=serializer)

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        noun, example, _ = _WORDING[self.dimension]
        return {"type": "string", "description": f"{noun} with its unit", "examples": [example]}


SizeBits = Annotated[float, Quantity("size", positive=True)]
BandwidthBitsPerS = Annotated[float, Quantity("bandwidth", positive=True)]
FrequencyHz = Annotated[float, Quantity("frequency", positive=True)]
LengthNm = Annotated[float, Quantity("length", positive=True)]
EnergyPj = Annotated[float, Quantity("energy", positive=False)]
PowerW = Annotated[float, Quantity("power", positive=False)]
AreaUm2 = Annotated[float, Quantity("area", positive=False)]
TimeS = Annotated[float, Quantity("time", positive=False)]
