"""Areas as tables show them: registers counted with their array, and the memories of unknown area."""

from collections.abc import Mapping

from arch.types import Architecture, Memory


def without_area(architecture: Architecture) -> tuple[str, ...]:
    """The memories whose area is unknown, so that a total can state what it leaves out."""
    return tuple(memory.name for memory in architecture.memories if memory.area_um2 is None)


def with_registers(architecture: Architecture, area_by_component_um2: Mapping[str, float]) -> dict[str, float]:
    """Areas with every per-element memory added to its array, as in published area tables."""
    grouped: dict[str, float] = {}
    for component in architecture.components:
        owner = component.per_pe_of if isinstance(component, Memory) else None
        name = owner or component.name
        grouped[name] = grouped.get(name, 0.0) + area_by_component_um2[component.name]
    return grouped
