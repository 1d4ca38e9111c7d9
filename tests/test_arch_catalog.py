"""The machines that ship: published areas, energies and cycles, and a source beside every number.

Published values: Nayak et al., MICRO 2024, and its public evaluation artifact.
"""

from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml

import arch
from arch import (
    Architecture,
    Technology,
    exact_quantity,
    lookup,
    resolve_technology,
    with_registers,
    without_area,
)
from sim.lower.machine import area_by_component_um2, machine_symbols
from sim.lower.same import Same

CATALOG = Path(arch.__file__).parent / "catalog"
ALL_NAMES = tuple(sorted(path.stem for path in CATALOG.glob("*.yaml")))
GPUS = ("a100-sxm", "h100-pcie", "h100-sxm", "h20", "h200-sxm")
EXTENDED = ("fusemax-cloud-vector",)  # a published machine with more operators
NAMES = tuple(name for name in ALL_NAMES if name not in GPUS + EXTENDED)  # of a 2D and a 1D array
KIB = 8 * 1024


def data_of(name: str) -> dict[str, Any]:
    """A machine file with its base merged in."""
    data = yaml.safe_load((CATALOG / f"{name}.yaml").read_text())
    if "base" not in data:
        return data
    changes = data.pop("set", {})
    merged = data_of(data.pop("base")) | data
    for path, value in changes.items():
        *parents, last = path.split(".")
        node = merged
        for key in parents:
            node[key] = dict(node[key])  # a YAML alias may share it
            node = node[key]
        node[last] = value
    return merged


def with_tables(data: dict[str, Any]) -> dict[str, Any]:
    """The same with the tables of operators that its arrays name."""
    for component in data["components"].values():
        if "operators" in component:
            component["operators"] = yaml.safe_load(
                (CATALOG / "operators" / f"{component['operators']}.yaml").read_text()
            )
    return data


def areas_with_registers(loaded: Architecture) -> dict[str, float]:
    return with_registers(loaded, area_by_component_um2(loaded))


def sram() -> Technology:
    return Technology.model_validate(yaml.safe_load((CATALOG / "technologies" / "sram-45nm.yaml").read_text()))


def machine(name: str, **changes: Any) -> Architecture:
    """A shipped machine, priced; changes are by component."""
    data = with_tables(data_of(name))
    for component, body in changes.items():
        data["components"][component] = data["components"][component] | body
    return resolve_technology(Architecture.model_validate(data), [sram()])


def test_what_ships() -> None:
    published = ("flat-cloud", "flat-cloud-separate-exp", "flat-edge", "fusemax-cloud")
    assert tuple(sorted((*published, *(f"{name}-complete" for name in published), *EXTENDED, *GPUS))) == ALL_NAMES


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_machine_loads_under_its_name_and_survives_its_dump(name: str) -> None:
    loaded = machine(name)
    assert loaded.name == name
    assert Architecture.model_validate(loaded.model_dump()) == loaded
    assert without_area(loaded) == ()


@pytest.mark.parametrize(
    ("name", "array", "published_um2", "within"),
    [
        ("flat-cloud", "PE2D", 1203195975, 0.5),
        ("flat-cloud", "PE1D", 12905678, 0.5),
        ("fusemax-cloud", "PE2D", 1207951209.6768, 1e-4),
        ("fusemax-cloud", "PE1D", 10799217, 0.5),
    ],
)
def test_published_array_areas(name: str, array: str, published_um2: float, within: float) -> None:
    areas = areas_with_registers(machine(name))
    assert areas[array] == pytest.approx(published_um2, abs=within, rel=0)


# PE array side, 2D area and total area of the published sweep of array sizes, um^2.
AREA_SWEEP = (
    (16, 4712617.37472, 5441230.48908),
    (32, 18850437.49888, 20315554.014039997),
    (64, 75401685.99552, 78369596.31228),
    (128, 301797241.20064, 307907612.38012),
    (256, 1207951209.6768, 1220894441.8412402),
    (512, 4834854330.20416, 4885081008.9724),
)


@pytest.mark.parametrize(("side", "array_2d_um2", "total_um2"), AREA_SWEEP)
def test_published_area_sweep(side: int, array_2d_um2: float, total_um2: float) -> None:
    in_flight = 2 * max(1, side // 64)
    size_kib = side if side < 512 else 1024  # the published traffic of the largest shows a doubled buffer
    swept = machine(
        "fusemax-cloud",
        GLB={"size": f"{size_kib} KiB", "row": f"{side * 16} bit"},
        PE2D={"rows": side, "columns": side},
        PE1D={"columns": side},
        RF2D={"depth": 2 * in_flight},
        RF1D={"depth": 8 * in_flight},
    )
    areas = areas_with_registers(swept)
    assert areas["PE2D"] == pytest.approx(array_2d_um2, rel=1e-12)
    assert sum(areas.values()) == pytest.approx(total_um2, rel=1e-12)
    assert swept.array("PE2D").drain_cycles == side


def test_grouping_registers_moves_area_and_makes_none() -> None:
    loaded = machine("fusemax-cloud")
    single, grouped = area_by_component_um2(loaded), areas_with_registers(loaded)
    assert set(single) - set(grouped) == {"RF2D", "RF1D"}
    assert single["PE2D"] + single["RF2D"] == pytest.approx(grouped["PE2D"], rel=1e-15)
    assert sum(single.values()) == pytest.approx(sum(grouped.values()), rel=1e-15)
    assert single["RF1D"] / 256 == pytest.approx(16849.2142, abs=1e-4)


def test_the_published_chip_is_six_percent_smaller_than_its_baseline() -> None:
    total = {name: sum(area_by_component_um2(machine(name)).values()) for name in ("fusemax-cloud", "flat-cloud")}
    assert 1 - total["fusemax-cloud"] / total["flat-cloud"] == pytest.approx(0.064, abs=5e-4)


@pytest.mark.parametrize(
    ("name", "read_pj", "write_pj"),
    [("fusemax-cloud", 12514.2736, 15749.5310), ("flat-cloud", 23864.317, 27098.161)],
)
def test_buffer_energies(name: str, read_pj: float, write_pj: float) -> None:
    glb = machine(name).memory("GLB")
    assert (glb.read_pj, glb.write_pj, glb.interpolated, glb.extrapolated) == (
        read_pj,
        write_pj,
        False,
        False,
    )


EXP_PJ = 94.6475


@pytest.mark.parametrize(
    ("name", "array", "operators", "cycles", "energy_pj"),
    [
        ("fusemax-cloud", "PE2D", ("mul", "add"), 1, 17.1645),
        ("fusemax-cloud", "PE2D", ("max",), 1, 0.028036),
        ("fusemax-cloud", "PE2D", ("sub", "exp"), 7, 8.3395 + 6 * 17.1645),
        ("fusemax-cloud", "PE2D", ("add",), 1, 8.3395),
        ("fusemax-cloud", "PE1D", ("sub", "exp"), 7, 8.3395 + 6 * 17.1645),
        ("fusemax-cloud", "PE1D", ("mul",), 1, 17.1645),
        ("fusemax-cloud", "PE1D", ("div",), 1, 36.251153),
        ("flat-cloud", "PE1D", ("sub", "exp"), 1, 8.3395 + EXP_PJ),
        ("flat-cloud", "PE1D", ("exp",), 1, EXP_PJ),
        ("flat-cloud", "PE1D", ("div",), 1, 36.251153),
        ("flat-cloud-separate-exp", "PE1D", ("sub", "exp"), 2, 8.3395),
        ("flat-cloud-separate-exp-complete", "PE1D", ("sub", "exp"), 2, 8.3395 + EXP_PJ),
    ],
)
def test_cycles_and_energy_of_a_point(
    name: str, array: str, operators: tuple[str, ...], cycles: float, energy_pj: float
) -> None:
    elements = machine(name).array(array)
    assert elements.cycles_per_point(operators) == cycles
    assert elements.energy_pj_per_point(operators) == pytest.approx(energy_pj, rel=1e-12)


def test_the_parts_of_a_unit_add_up() -> None:
    adder, multiplier = 8.3395, 8.825
    assert adder + multiplier == pytest.approx(17.1645)
    assert 5 * (adder + multiplier) + multiplier == pytest.approx(EXP_PJ)


def test_the_grid_of_the_baseline_multiplies_only() -> None:
    with pytest.raises(ValueError) as refusal:
        machine("flat-cloud").array("PE2D").resolve(("max",))
    assert str(refusal.value) == "array 'PE2D' has nothing for 'max'; it has macc (mul add)"


@pytest.mark.parametrize("name", NAMES)
def test_complete_machines_charge_what_the_published_ones_leave_out(name: str) -> None:
    loaded = machine(name)
    complete = name.endswith("-complete")
    for register, array in (("RF2D", "PE2D"), ("RF1D", "PE1D")):
        assert loaded.memory(register).per_pe_of == array
        assert loaded.memory(register).charged_instances == (None if complete else 1)
    free_staging = name.startswith("flat") and not complete
    assert loaded.memory("STAGE").read_pj == (0 if free_staging else 2.194455)
    assert loaded.memory("STAGE").write_pj == (0 if free_staging else 1.906455)


@pytest.mark.parametrize("name", ["fusemax-cloud", "flat-cloud", "flat-edge", "flat-cloud-separate-exp"])
def test_a_complete_machine_differs_in_energy_accounting_only(name: str) -> None:
    published, complete = machine(name), machine(f"{name}-complete")
    assert area_by_component_um2(published) == area_by_component_um2(complete)
    assert machine_symbols(Same(published)) == machine_symbols(Same(complete))
    for array in ("PE2D", "PE1D"):
        operations = published.array(array).operations
        assert [one.cycles for one in operations] == [one.cycles for one in complete.array(array).operations]


def test_the_ablation_chip_shares_every_other_operation_with_its_base() -> None:
    base, ablation = machine("flat-cloud").array("PE1D"), machine("flat-cloud-separate-exp").array("PE1D")
    shared = {one.name: one for one in base.operations if one.name not in ("exp", "sub_exp")}
    assert {one.name: one for one in ablation.operations if one.name != "exp"} == shared
    assert ablation.operation("exp").area_um2 == base.operation("exp").area_um2


def test_the_edge_platform_is_marked_as_interpolated() -> None:
    edge = machine("flat-edge")
    assert dict(machine_symbols(Same(edge)))["GLB.size_bytes"] == 512 * 1024
    assert edge.memory("DRAM").bandwidth_bits_per_s == 50 * 2**30 * 8
    assert (edge.array("PE2D").pes, edge.array("PE1D").pes) == (1024, 32)
    assert edge.memory("GLB").interpolated and not edge.memory("GLB").extrapolated


def test_the_table_gives_its_rows_back() -> None:
    technology = sram()
    for one in technology.rows:
        cost = lookup(technology, one.size_bits, one.row_bits)
        for tabled, found in (
            (one.read_pj, cost.read_pj),
            (one.write_pj, cost.write_pj),
            (one.area_um2, cost.area_um2),
        ):
            assert tabled is None or tabled == found
    assert Technology.model_validate(technology.model_dump()) == technology


def test_the_table_grows_with_size() -> None:
    sizes = [KIB * 2 ** (step / 4) for step in range(4 * 17)]
    costs = [lookup(sram(), size, 256) for size in sizes]
    for less, more in pairwise(costs):
        assert less.read_pj < more.read_pj
        assert less.write_pj < more.write_pj
        assert less.area_um2 is not None and more.area_um2 is not None and less.area_um2 < more.area_um2


@pytest.mark.parametrize("name", ALL_NAMES)
def test_every_number_has_a_source(name: str) -> None:
    data = data_of(name)
    for component in data["components"].values():
        assert component["source"].strip()
        for operation in component.get("operations", {}).values():
            assert operation["source"].strip()
    assert data["source"].strip()


@pytest.mark.parametrize("path", sorted(CATALOG.rglob("*.yaml")), ids=lambda path: path.stem)
def test_no_file_mixes_two_sources_of_arithmetic(path: Path) -> None:
    """Aladdin's 16-bit multiplier costs more than Horowitz's 32-bit one: a machine of both would compare nothing."""
    text = path.read_text().lower()
    assert not ("aladdin" in text and "horowitz" in text)


def test_a_size_of_a_sweep_is_written_with_its_unit() -> None:
    doubled = machine("fusemax-cloud", GLB={"size": exact_quantity(2 * 16 * 2**23, "size")})
    assert doubled.memory("GLB").size_bits == 2 * 16 * 2**23
    assert doubled.memory("GLB").read_pj == 23864.317
