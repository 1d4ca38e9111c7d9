"""What `einfuse bind` does: search, show, and write the mapping with the schedule that was found."""

from pathlib import Path

from sim.binding.answer import Binding, bind
from sim.binding.search import SearchOptions
from sim.binding.types import ModuloSchedule
from sim.design.experiment import Experiment
from sim.load.problems import InputError, InputProblem
from sim.report.design.binding_table import binding_heading, chart, part_tables
from sim.report.design.simulation_table import TextTable


def find_binding(experiment: Experiment, interleave: int, effort: int, join: bool) -> Binding:
    """The binding of an experiment; InputError for options without sense, ValueError where there is no schedule."""
    try:
        options = SearchOptions(interleave, effort)
    except ValueError as error:
        raise InputError([InputProblem("einfuse", None, "", str(error))]) from None
    return bind(experiment, options, join)


def write_mapping(binding: Binding, output: Path) -> None:
    """The mapping with the schedule, as YAML; InputError where it cannot be written."""
    try:
        output.write_text(binding.mapping_text(), encoding="utf-8")
    except OSError as error:
        raise InputError([InputProblem(str(output), None, "", f"cannot be written ({error.strerror})")]) from None


def show_binding(binding: Binding) -> list[tuple[str, tuple[TextTable, ...]]]:
    """Titles with their tables, part after part; each chart is the title of what follows it."""
    shown: list[tuple[str, tuple[TextTable, ...]]] = [(binding_heading(binding), ())]
    for part in binding.parts:
        shown += [("", part_tables(part)), (_charted(part), ())]
    if len(binding.parts) > 1:
        total = f"All parts one after the other: {binding.total_cycles:,} cycles"
        shown.append((f"\n{total}; the schedule is that of the longest part", ()))
    return shown


def _charted(part: ModuloSchedule) -> str:
    return f"One interval of the steady state (letters as above; small: two tasks alternate)\n\n{chart(part)}"
