"""Area of a machine: processing elements with their units, register files, memories and interconnect.

    array           = PEs * (sum of its operations' areas) + columns * interconnect
    register file   = PEs * area of one
    other memory    = its area
    of several cores, each has its own

An operation made of others adds nothing. Nayak et al. (MICRO 2024) sum the same terms, with registers in
the array.
"""

from arch.types import Architecture, Array, Component, Memory


def _component_um2(architecture: Architecture, component: Component) -> float:
    cores = architecture.cores_of(component.name)
    match component:
        case Memory():
            return cores * architecture.instances(component) * (component.area_um2 or 0.0)
        case Array():
            per_pe = sum(operation.area_um2 for operation in component.operations)
            return cores * (component.pes * per_pe + component.columns * component.interconnect_area_um2)


def area_um2(architecture: Architecture) -> tuple[tuple[str, float], ...]:
    """Area of every component, in file order; a memory without a known area counts 0 (`without_area`)."""
    return tuple((item.name, _component_um2(architecture, item)) for item in architecture.components)


def without_area(architecture: Architecture) -> tuple[str, ...]:
    """The memories whose area is not known, so that a total can say what it leaves out."""
    return tuple(memory.name for memory in architecture.memories if memory.area_um2 is None)


def area_with_registers_um2(architecture: Architecture) -> tuple[tuple[str, float], ...]:
    """As `area_um2`, every per-element memory added to its array, as published area tables are drawn."""
    grouped: dict[str, float] = {}
    for component in architecture.components:
        owner = component.per_pe_of if isinstance(component, Memory) else None
        name = owner or component.name
        grouped[name] = grouped.get(name, 0.0) + _component_um2(architecture, component)
    return tuple(grouped.items())
