"""Technology tables: exact where they have the memory, monotone and continuous between, flagged outside."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from arch import Architecture, Technology, lookup, resolve_technology

KIB = 8 * 1024


def row(size: str, **values: str) -> dict[str, Any]:
    return {"size": size, "row": values.pop("row", "64 bit"), "source": "s"} | values


def table(*rows: dict[str, Any], node: str = "45 nm") -> Technology:
    return Technology.model_validate({"name": "sram", "node": node, "source": "s", "rows": list(rows)})


# Energies go with the square root of size, areas with size: straight lines on logarithmic axes.
STRAIGHT = table(
    row("1 KiB", read_energy="1 pJ", write_energy="2 pJ", area="100 um2"),
    row("4 KiB", read_energy="2 pJ", write_energy="4 pJ"),
    row("64 KiB", area="6400 um2"),
    row("16 KiB", read_energy="4 pJ", write_energy="8 pJ"),
)
BENT = table(
    row("1 KiB", read_energy="1 pJ", write_energy="2 pJ", area="100 um2"),
    row("8 KiB", read_energy="6 pJ", write_energy="3 pJ", area="150 um2"),
    row("64 KiB", read_energy="7 pJ", write_energy="30 pJ", area="9000 um2"),
)


def test_a_tabled_memory_is_returned_as_it_stands() -> None:
    cost = lookup(BENT, 8 * KIB, 64)
    assert cost == (6.0, 3.0, 150.0, False, False)


@pytest.mark.parametrize(
    ("size_kib", "row_bits", "read_pj", "area_um2", "flags"),
    [
        (1, 64, 1, 100, (False, False)),
        (4, 64, 2, 400, (True, False)),  # energy tabled, area between rows
        (9, 64, 3, 900, (True, False)),
        (9, 128, 6, 900, (True, False)),  # twice as wide, twice the energy
        (64, 64, 8, 6400, (False, True)),  # area tabled, energy beyond the last
        (256, 64, 16, 25600, (False, True)),
        (0.25, 64, 0.5, 25, (False, True)),
    ],
)
def test_a_power_law_is_followed_between_and_beyond(
    size_kib: float, row_bits: float, read_pj: float, area_um2: float, flags: tuple[bool, bool]
) -> None:
    cost = lookup(STRAIGHT, size_kib * KIB, row_bits)
    assert cost.read_pj == pytest.approx(read_pj, rel=1e-12)
    assert cost.write_pj == pytest.approx(2 * read_pj, rel=1e-12)
    assert cost.area_um2 == pytest.approx(area_um2, rel=1e-12)
    assert (cost.interpolated, cost.extrapolated) == flags


@given(small=st.floats(0.1, 900), factor=st.floats(1.001, 3))
def test_a_larger_memory_never_costs_less(small: float, factor: float) -> None:
    less, more = lookup(BENT, small * KIB, 48), lookup(BENT, small * factor * KIB, 48)
    assert less.read_pj < more.read_pj
    assert less.write_pj < more.write_pj
    assert (less.area_um2 or math.nan) < (more.area_um2 or math.nan)


@given(size=st.floats(1, 64))
def test_between_two_rows_lies_between_their_values(size: float) -> None:
    low, high = (1, 6) if size <= 8 else (6, 7)
    assert low - 1e-9 <= lookup(BENT, size * KIB, 64).read_pj <= high + 1e-9


def test_the_nearest_width_of_a_size_is_used() -> None:
    wide = table(
        row("1 KiB", row="64 bit", read_energy="64 pJ", write_energy="64 pJ"),
        row("1 KiB", row="512 bit", read_energy="256 pJ", write_energy="256 pJ"),
    )
    assert lookup(wide, KIB, 64).read_pj == 64
    assert lookup(wide, KIB, 96).read_pj == pytest.approx(96)
    assert lookup(wide, KIB, 256).read_pj == pytest.approx(128)
    assert lookup(wide, KIB, 256).area_um2 is None
    assert not lookup(wide, KIB, 256).extrapolated
    assert lookup(wide, 2 * KIB, 256).extrapolated


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([row("1 KiB", area="1 um2")], "technology 'sram' has no row with read_energy"),
        ([row("1 KiB", read_energy="1 pJ")], "technology 'sram' has no row with write_energy"),
        ([row("1 KiB")], "a row gives neither energy nor area"),
        (
            [row("1 KiB", area="0 um2")],
            "a row gives a zero, which has no logarithm: leave out what is not known",
        ),
        (
            [row("1 KiB", read_energy="1 pJ", write_energy="1 pJ"), row("8192 bit", area="1 um2")],
            "technology 'sram' has two rows of the same size and row",
        ),
    ],
)
def test_a_table_that_says_too_little_is_refused(rows: list[dict[str, Any]], message: str) -> None:
    with pytest.raises(ValidationError) as refusal:
        table(*rows)
    assert [error["msg"] for error in refusal.value.errors()] == [f"Value error, {message}"]


def machine(**glb: Any) -> Architecture:
    costs = {"read_energy": "1 pJ", "write_energy": "1 pJ"}
    components = {
        "DRAM": {"kind": "memory", "row": "64 bit", "source": "s"} | costs,
        "GLB": {"kind": "memory", "parent": "DRAM", "row": "64 bit", "technology": "sram", "source": "s"} | glb,
    }
    top = {"name": "m", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "s"}
    return Architecture.model_validate(top | {"components": components})


def test_resolving_fills_what_the_machine_left_open() -> None:
    open_machine = machine(size="9 KiB")
    assert open_machine.memory("GLB").read_pj is None
    priced = resolve_technology(open_machine, [STRAIGHT])
    glb = priced.memory("GLB")
    cost = lookup(STRAIGHT, 9 * KIB, 64)
    assert (glb.read_pj, glb.write_pj, glb.area_um2) == cost[:3]
    assert (glb.interpolated, glb.extrapolated) == (True, False)
    assert priced.memory("DRAM") == open_machine.memory("DRAM")
    assert Architecture.model_validate(priced.model_dump()) == priced
    assert resolve_technology(priced, [STRAIGHT]) == priced
    assert resolve_technology(machine(size="1 MiB"), [STRAIGHT]).memory("GLB").extrapolated


def test_what_the_machine_prices_itself_stays() -> None:
    priced = resolve_technology(machine(size="1 KiB", area="7 um2", read_energy="5 pJ"), [STRAIGHT])
    glb = priced.memory("GLB")
    assert (glb.read_pj, glb.write_pj, glb.area_um2) == (5, 2, 7)


@pytest.mark.parametrize(
    ("technologies", "message"),
    [
        ([], "memory 'GLB': unknown technology 'sram'"),
        (
            [Technology.model_validate(STRAIGHT.model_dump() | {"name": "sram2"})],
            "memory 'GLB': unknown technology 'sram' (did you mean 'sram2'?)",
        ),
        (
            [Technology.model_validate(STRAIGHT.model_dump() | {"node": "22 nm"})],
            "memory 'GLB': technology 'sram' is at 22 nm, the machine at 45 nm",
        ),
    ],
)
def test_an_unfit_technology_is_refused(technologies: list[Technology], message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        resolve_technology(machine(size="1 KiB"), technologies)
    assert str(refusal.value) == message
