"""One simulated design point as tables of text: the totals, then the share of each array, memory and Einsum.

Tables are plain tuples of cells, so that a terminal and a page can each draw them in their own way.
"""

from typing import NamedTuple

from arch.quantity import format_quantity
from sim.simulation.result import LEAKAGE, SimulationResult


class TextTable(NamedTuple):
    """A titled table; the first column is text, the others are numbers with their units."""

    title: str
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def simulation_tables(result: SimulationResult) -> tuple[TextTable, ...]:
    """The tables of one result, the most important first."""
    tables = [summary_table(result), array_table(result), memory_table(result)]
    if result.leakage_by_component_pj:
        tables.append(leakage_table(result))
    tables += [einsum_table(result), *([point_table(result)] if result.points else []), traffic_table(result)]
    return (*tables, stall_table(result)) if result.stall_cycles else tuple(tables)


def heading(result: SimulationResult) -> str:
    """What was simulated, in one line."""
    experiment = result.experiment
    labels = ", ".join(f"{name} {value}" for name, value in experiment.labels)
    where = f"on {experiment.architecture.name}, mapped as {experiment.mapping.name}"
    part = "" if result.share_done == 1 else f"; partial: interrupted after {result.share_done:.2%} of the run"
    return f"{experiment.name}: {experiment.cascade.name} ({labels}) {where}; {result.engine} engine{part}"


def summary_table(result: SimulationResult) -> TextTable:
    """Time, what sets it, energy and area."""
    machine = result.experiment.architecture
    clock = format_quantity(machine.clock_hz, "frequency")
    rows: tuple[tuple[str, ...], ...] = (
        ("time", format_quantity(result.latency_s, "time"), f"{result.cycles:,.0f} cycles at {clock}"),
        ("bound by", result.bound_by, _share(result)),
        ("energy", format_quantity(result.energy_pj, "energy"), _mean_power(result)),
        ("area", format_quantity(result.area_um2, "area"), f"{machine.node_nm:g} nm"),
    )
    if result.share_done < 1:
        done = f"{result.share_done:.2%} of the run"
        rows = (("partial", done, "time and what follows from it until then; counts of the whole run"), *rows)
    return TextTable("Answer", ("", "", ""), rows)


def _share(result: SimulationResult) -> str:
    whole = sum(result.cycles_by_resource.values())
    share = result.cycles_by_resource[result.bound_by] / whole if whole else 0.0
    return f"for {share:.1%} of the time"


def _mean_power(result: SimulationResult) -> str:
    watts = result.energy_pj * 1e-12 / result.latency_s if result.latency_s else 0.0
    return f"{watts:.4g} W on average"


def array_table(result: SimulationResult) -> TextTable:
    """Size, use and energy of every array."""
    rows = tuple(
        (
            array.name,
            f"{array.rows} x {array.columns}",
            f"{result.utilization[array.name]:.2%}",
            format_quantity(result.energy_by_component_pj[array.name], "energy"),
        )
        for array in result.experiment.architecture.arrays
    )
    return TextTable("Arrays", ("array", "elements", "utilization", "energy"), rows)


def memory_table(result: SimulationResult) -> TextTable:
    """Traffic, largest footprint and energy of every memory; the footprint counts all instances together."""
    rows = tuple(
        (
            memory.name,
            _bytes(result.traffic_bytes[memory.name]["read"]),
            _bytes(result.traffic_bytes[memory.name]["write"]),
            _bytes(result.footprint_bytes[memory.name]),
            format_quantity(result.energy_by_component_pj[memory.name], "energy"),
        )
        for memory in result.experiment.architecture.memories
    )
    return TextTable("Memories", ("memory", "read", "written", "held", "energy"), rows)


def leakage_table(result: SimulationResult) -> TextTable:
    """Power and energy of leakage; the energy is included in that of the component."""
    rows = tuple(
        (name, format_quantity(energy_pj * 1e-12 / result.latency_s, "power"), format_quantity(energy_pj, "energy"))
        for name, energy_pj in result.leakage_by_component_pj.items()
    )
    return TextTable("Leakage", ("component", "power", "energy"), rows)


def einsum_table(result: SimulationResult) -> TextTable:
    """Where each Einsum runs, for how long, and its cost including traffic; and the leakage, which no Einsum causes."""
    rows = tuple(
        (
            leaf.einsum,
            leaf.array,
            f"{result.busy_cycles_by_einsum[leaf.einsum]:,.0f}",
            f"{result.utilization_by_einsum[leaf.array][leaf.einsum]:.2%}",
            format_quantity(result.energy_by_einsum_pj[leaf.einsum], "energy"),
        )
        for leaf in result.experiment.tree.leaves
    )
    if LEAKAGE in result.energy_by_einsum_pj:
        rows += ((LEAKAGE, "", "", "", format_quantity(result.energy_by_einsum_pj[LEAKAGE], "energy")),)
    return TextTable("Einsums", ("Einsum", "array", "busy cycles", "utilization", "energy"), rows)


def point_table(result: SimulationResult) -> TextTable:
    """How many points of each Einsum exist, and how many are executed: tiles with a point take all their steps."""
    rows = tuple(
        (
            name,
            "depends on data" if one.existing is None else f"{'about ' if one.is_estimate else ''}{one.existing:,}",
            f"{one.executed:,.0f}",
            "-" if not one.existing else f"{one.executed / one.existing:.3f}",
        )
        for name, one in result.points.items()
    )
    return TextTable("Points", ("Einsum", "existing", "executed", "executed / existing"), rows)


def traffic_table(result: SimulationResult) -> TextTable:
    """What each Einsum moves in every memory, and how long the memory takes for it at its bandwidth; "-" where nothing
    limits it.
    """
    rows = tuple(
        (
            memory.name,
            einsum,
            _bytes(moved["read"]),
            _bytes(moved["write"]),
            f"{cycles:,.0f}" if memory.is_limited else "-",
        )
        for memory in result.experiment.architecture.memories
        for einsum, cycles in result.memory_cycles_by_einsum[memory.name].items()
        if any((moved := result.traffic_by_einsum_bytes[einsum][memory.name]).values())
    )
    return TextTable("Traffic by Einsum", ("memory", "Einsum", "read", "written", "cycles"), rows)


def stall_table(result: SimulationResult) -> TextTable:
    """Cycles of every array by activity, a line each: issuing points, or waiting, by cause; of several cores the mean.
    What takes none is left out."""
    rows, architecture = [], result.experiment.architecture
    for array in (array.name for array in architecture.arrays):
        names = architecture.names_in_cores(array)
        lost = {
            cause: sum(result.stall_cycles[name][cause] for name in names) / len(names)
            for cause in result.stall_cycles[names[0]]
        }
        label = array if len(names) == 1 else f"{array}, mean of {len(names)} cores"
        for activity, cycles in (("issues", result.cycles - sum(lost.values())), *lost.items()):
            if cycles:
                rows.append((label, activity, f"{cycles:,.0f}", f"{cycles / result.cycles:.1%}"))
    return TextTable("Where the cycles went", ("array", "activity", "cycles", "share"), tuple(rows))


def _bytes(value: float) -> str:
    return format_quantity(value * 8, "size") if value else "0 B"
