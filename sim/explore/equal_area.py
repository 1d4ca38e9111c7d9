"""Holds the total area of designs: the named component takes up what the others leave, in whole steps.

room = held area - area of all components that stay found = the largest multiple of the step whose total area, as
reported in results, is at most the held area
"""

import numpy as np

from arch.components import Memory
from arch.expression import Expression
from sim.explore.absorb import curve_area, fitting_side, fitting_size, formula_area
from sim.explore.designs import Designs
from sim.lower.parts import Parts

# The component with a placeholder for the unknown value, from which its fixed part is read.
NOMINAL = {"size": 2.0**40, "depth": 2.0**20, "rows": 1.0, "columns": 1.0}


def absorbed(designs: Designs) -> np.ndarray:
    """f8[design]: the absorbing number that fits the held area, in stored units; nan if not even one step fits."""
    held, architecture = designs.plan.held, designs.experiment.architecture
    assert held is not None
    noun = architecture.component(held.number.component)
    target = np.broadcast_to(np.asarray(designs.names[held.axis], float), (designs.size,))
    moving = [noun.name]
    if not isinstance(noun, Memory):
        moving += [memory.name for memory in architecture.memories if memory.per_pe_of == noun.name]
    room = target.copy()
    for component in architecture.components:
        if component.name not in moving:
            room -= designs.machines.area_um2(component.name)
    nominal = _nominal(designs)
    if any(part.refusal for part in nominal.parts):
        return np.full(designs.size, np.nan)
    if isinstance(noun, Memory):
        return _within(designs, _fitting_memory(designs, noun, nominal, room), target)
    return _within(designs, _fitting_array(designs, moving[1:], nominal, room), target)


def _nominal(designs: Designs) -> Parts:
    held = designs.plan.held
    assert held is not None
    component = held.number.component
    columns = [
        np.full(designs.size, NOMINAL[held.number.key]) if number == held.number else designs.varied_column(number)
        for number in designs.plan.numbers
        if number.component == component
    ]
    return designs.plan.blueprint(designs.group, component).parts(np.stack(columns, axis=1))


def _fitting_memory(designs: Designs, memory: Memory, nominal: Parts, room_um2: np.ndarray) -> np.ndarray:
    held = designs.plan.held
    assert held is not None
    is_size = held.number.key == "size"
    row_bits = nominal.number("row")
    entry_bits = row_bits if is_size else nominal.number("size") / NOMINAL["depth"]
    if isinstance(memory.area, Expression):
        symbols = {name: nominal.symbol(name) for name in nominal.parts[0].symbols}
        area_at = formula_area(memory.area, symbols, held.number.key, entry_bits)
    else:
        technology = next(found for found in designs.group.technologies if found.name == memory.technology)
        by_bits = curve_area(technology, row_bits)
        area_at = by_bits if is_size else lambda depth: by_bits(depth * entry_bits)
    least = row_bits if is_size else np.ones(designs.size)
    return fitting_size(room_um2 / designs.machines.copies(memory.name), area_at, least, held.step)


def _fitting_array(designs: Designs, memories: list[str], nominal: Parts, room_um2: np.ndarray) -> np.ndarray:
    """Area grows with the unknown side: elements with their memories, and wires with every column."""
    held = designs.plan.held
    assert held is not None
    is_rows = held.number.key == "rows"
    other = nominal.number("columns" if is_rows else "rows")
    cores = designs.machines.cores_of(held.number.component)
    each = nominal.number("pe_area_um2") * cores
    for memory in memories:
        each = each + designs.parts(memory).number("area") * designs.machines.cores_of(memory)
    wires = nominal.number("interconnect_area") * cores
    if is_rows:
        return fitting_side(room_um2 - other * wires, other * each, held.step)
    return fitting_side(room_um2, other * each + wires, held.step)


def _within(designs: Designs, found: np.ndarray, target_um2: np.ndarray) -> np.ndarray:
    """The same, one step smaller if the reported area is above the target after all."""
    held = designs.plan.held
    assert held is not None
    known = np.where(np.isfinite(found), found, NOMINAL[held.number.key])
    smaller = np.where(found > held.step, found - held.step, np.nan)
    with Designs(designs.plan, designs.group, designs.points, lambda _: known) as trial:
        if trial.refused_parts() is not None:
            return found
        return np.where(trial.area_um2 > target_um2, smaller, found)
