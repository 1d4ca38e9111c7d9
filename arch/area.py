"""Areas as tables show them: registers with their array, and what is not known of a machine."""

from collections.abc import Mapping

from arch.types import Architecture, Memory


def without_area(architecture: Architecture) -> tuple[str, ...]:
    """The memories whose area is not known, so that a total can say what it leaves out."""
    return tuple(memory.name for memory in architecture.memories if memory.area_um2 is None)


def with_registers(architecture: Architecture, area_by_component_um2: Mapping[str, float]) -> dict[str, float]:
    """Every per-element memory added to its array, as published area tables are drawn."""
    grouped: dict[str, float] = {}
    for component in architecture.components:
        owner = component.per_pe_of if isinstance(component, Memory) else None
        name = owner or component.name
        grouped[name] = grouped.get(name, 0.0) + area_by_component_um2[component.name]
    return grouped
