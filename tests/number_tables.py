"""The tables of numbers in docs/formats.md, as the table in the sources has them."""

from arch.components import Array, Memory
from arch.numbers import MachineNumber, Numbered, numbers_of
from arch.operation import Operation
from arch.types import Architecture

NOUNS: tuple[type[Numbered], ...] = (Memory, Array, Operation, Architecture)
TIMES = {
    "one": "",
    "copies": "instances, cores",
    "charged": "share of charged instances",
}


def table_of(noun: type[Numbered]) -> str:
    """The numbers that a file may hold, a line each."""
    lines = [f"| {noun.__name__.lower()} | what | default | times | in formulas | in a sweep | enters |"]
    lines.append("| --- | --- | --- | --- | --- | --- | --- |")
    for number in numbers_of(noun):
        if number.enters:
            cells = (f"`{number.key}`", number.dimension or "number", _default(noun, number), TIMES[number.times])
            names = ", ".join(f"`{name}`" for name, _ in number.symbols)
            lines.append(f"| {' | '.join((*cells, names, 'yes' if number.is_varied else '', number.enters))} |")
    return "\n".join(lines).replace("|  |", "| |").replace("|  |", "| |")


def _default(noun: type[Numbered], number: MachineNumber) -> str:
    if noun.model_fields[number.field].is_required():
        return "required"
    match number.default:
        case None:
            return "absent"
        case bool() as value:
            return str(value).lower()
        case float() as value:
            return f"{value:g}"
    return str(number.default)
