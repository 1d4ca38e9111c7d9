"""Bandwidth of every shipped DRAM against arithmetic on its data sheet: streams and scattered reads, refresh included."""

import numpy as np
import pytest

from arch.dram import REFRESH_TIMINGS, DramController, DramTiming
from sim.dram.requests import DramResult, simulate_requests, stream_addresses
from tests.dram_cases import PRESETS, changed, one_bus

FREE_PINS = {
    "command_bus": "split",
    "command_cycles": {},
}  # reads have pins of their own, and no command takes two cycles
WINDOW = 128  # shows the next rows early enough that a stream never waits for one

# Cycles for each read of a new row with the banks in turn, from the numbers in each file, and why:
# tFAW / 4, tRRD_S, tRC / banks, or a cycle more for each activate that finds the command pins taken by a read.
READ_OF_A_NEW_ROW = {
    "ddr4-3200": 35 / 4,  # tFAW 34; activates at 0, 4, 8, 12: the read of the fourth, at 12 + tRCD 22, takes cycle 34
    "ddr5-6400": 8,  # tRRD_S = tFAW / 4 = the burst
    "gddr6-14000": 8,  # tRRD_S; tFAW / 4 = 7.25
    "hbm2-2000": 4,  # tRRD_S = tFAW / 4
    "hbm2e-3200": 7,  # tRRD_S, 4 ns at 1.6 GHz; tFAW / 4 = 6.5
    "hbm3-6400": 24 / 4,  # tFAW
    "hbm3e-9200": 35 / 4,  # tFAW, 15 ns at 2.3 GHz
    "hbm4-8000": 30 / 4,  # tFAW
    "lpddr4-3200": 33 / 2,  # tRRD_S 16; the read after tRCD 29 takes 4 cycles, and the activate at 32 waits for 33
    "lpddr5-6400": 4,  # tRRD_S = tFAW / 4 = the four command cycles of activate, read and precharge
    # tRC, 45 + 20, over 16 banks, whose activates come 4 and once 5 cycles apart: 45 cycles after one, eleven further on,
    # there is another one for which the precharge waits, so 66.
    "lpddr5x-8533": 66 / 16,
}
PINS_ARE_FULL = ("lpddr5x-8533",)  # 64 of each 66 cycles carry a command: more collisions, up to a twentieth


def of(timing: DramTiming, *names: str) -> int:
    return sum(timing.cycles_of(name) for name in names)


def stream(timing: DramTiming, is_write: bool, refresh: str) -> float:
    """Fraction of the peak in the middle of a long stream."""
    controller = DramController(refresh=refresh, window=WINDOW)
    few, many = (
        simulate_requests(
            timing, stream_addresses(timing, bursts * timing.burst_bytes), is_write, controller=controller
        )
        for bursts in (20_000, 120_000)
    )
    return 100_000 * timing.cycles_of("tCCD_S") / (many.cycles - few.cycles)


@pytest.mark.parametrize("name", PRESETS)
def test_streams_are_bound_by_the_bus(name: str) -> None:
    timing = one_bus(name)
    assert timing.cycles_of("tCCD_S") == timing.burst_cycles
    for is_write in (False, True):
        assert 0.99 < stream(timing, is_write, "none") <= 1


@pytest.mark.parametrize("name", PRESETS)
def test_streams_lose_what_refresh_takes(name: str) -> None:
    """From the last read to the first after it: its row closes, all banks refresh, a row opens; and so for writes."""
    timing = one_bus(name)
    row = of(timing, "tRP_ab", "tRFC")
    reads = of(timing, "tRTP", "tRCDRD") + row - timing.cycles_of("tCCD_S")
    writes = of(timing, "tWR", "tRCDWR") + timing.write_latency_cycles + timing.burst_cycles + row
    writes -= timing.cycles_of("tCCD_S")
    for is_write, lost in ((False, reads), (True, writes)):
        assert stream(timing, is_write, "all-bank") == pytest.approx(1 - lost / timing.cycles_of("tREFI"), abs=0.01)


def rows_in_turn(timing: DramTiming, number: int, controller: DramController) -> DramResult:
    """One read of a new row of each bank, group after group."""
    k = np.arange(number)
    group, bank = k % timing.bank_groups, k // timing.bank_groups % timing.banks_per_group
    place = (k // timing.banks * timing.bank_groups + group) * timing.banks_per_group + bank
    plain = controller.model_copy(update={"mapping": "row:group:bank:column:channel"})
    return simulate_requests(timing, place * timing.columns * timing.burst_bytes, controller=plain)


def cycles_of_a_row(timing: DramTiming, refresh: str) -> float:
    controller = DramController(refresh=refresh, window=WINDOW)
    few, many = (rows_in_turn(timing, number, controller) for number in (2_000, 42_000))
    assert many.hits.sum() == 0
    return (many.cycles - few.cycles) / 40_000


def closed_form(timing: DramTiming) -> float:
    """Cycles between activates: four in tFAW, tRRD, every bank once in tRC, and each with a burst."""
    at = timing.cycles_of
    return max(at("tFAW") / 4, at("tRRD_S"), at("tRC") / timing.banks, at("tCCD_S"))


def on_free_pins(name: str) -> float:
    """Cycles of a row where reads take no cycle of an activate."""
    return READ_OF_A_NEW_ROW[name] if name in PINS_ARE_FULL else closed_form(one_bus(name))


@pytest.mark.parametrize("name", PRESETS)
def test_scattered_reads_are_bound_as_the_data_sheet_says(name: str) -> None:
    timing, expected = one_bus(name), READ_OF_A_NEW_ROW[name]
    found = cycles_of_a_row(timing, "none")
    assert found == pytest.approx(expected, rel=0.05 if name in PINS_ARE_FULL else 0.001)
    assert found >= closed_form(timing)
    assert cycles_of_a_row(changed(timing, FREE_PINS), "none") == pytest.approx(on_free_pins(name), rel=0.001)


@pytest.mark.parametrize("name", PRESETS)
def test_scattered_reads_lose_what_refresh_takes(name: str) -> None:
    """From the last activate to the first after it: the row is kept for tRAS, all close and refresh."""
    timing = changed(one_bus(name), FREE_PINS)
    lost = of(timing, "tRAS", "tRP_ab", "tRFC")
    left = 1 - (lost - on_free_pins(name)) / timing.cycles_of("tREFI")
    assert on_free_pins(name) / cycles_of_a_row(timing, "all-bank") == pytest.approx(left, abs=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_random_addresses_reach_what_banks_in_turn_do(name: str) -> None:
    """With many requests to choose from, a controller finds one for whichever bank is ready."""
    timing, expected = one_bus(name), READ_OF_A_NEW_ROW[name]
    addresses = np.random.default_rng(7).integers(0, timing.capacity_bytes, 40_000)
    result = simulate_requests(timing, addresses, controller=DramController(refresh="none", window=1024))
    opened = (result.misses.sum() + result.conflicts.sum()) / addresses.size  # the others hit an open row by chance
    assert opened > 0.98
    if name in PINS_ARE_FULL:
        assert 1 <= result.cycles / addresses.size / opened / expected < 1.1
    else:
        assert result.cycles / addresses.size / opened == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_a_file_may_state_its_refresh(name: str) -> None:
    """The policy of the file is that of a controller that names none; another controller may overrule it."""
    timing = one_bus(name)
    addresses = np.random.default_rng(5).integers(0, timing.capacity_bytes, 3_000)
    policies = ["none", "all-bank", *(p for p, needed in REFRESH_TIMINGS.items() if timing.given(needed))]
    assert timing.refresh == "all-bank"
    cycles = set()
    for policy in policies:
        stated = changed(timing, {"refresh": policy})
        by_file = simulate_requests(stated, addresses)
        by_controller = simulate_requests(timing, addresses, controller=DramController(refresh=policy))
        assert by_file.finish_cycles.tolist() == by_controller.finish_cycles.tolist()
        cycles.add(by_file.cycles)
    assert len(cycles) == len(policies)
