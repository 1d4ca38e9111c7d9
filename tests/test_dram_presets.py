"""Bandwidth of every shipped DRAM against arithmetic on its data sheet: streams and scattered reads, refresh included."""

import numpy as np
import pytest

from arch.dram import REFRESH_TIMINGS, DramController, DramTiming
from sim.dram.requests import DramResult, simulate_requests, stream_addresses
from tests.dram_cases import PRESETS, changed, one_bus

WINDOW = 128  # shows the next rows early enough that a stream never waits for one


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


def closed_form(timing: DramTiming, busiest: float | None = None) -> float:
    """Cycles of a read of a new row, by the resource that takes longest, all from the data sheet.

    Activates: four in tFAW, tRRD apart. Banks: each once in tRC; busiest: the part of the rows that the busiest bank has,
    by default that of banks in turn. The data bus: a burst. The command pins: an activate and a read, after which the
    bank closes by itself; a bus of their own for reads has less to do than one for both.
    """
    at, lengths = timing.cycles_of, timing.command_cycles
    pins = lengths.activate + (lengths.read if timing.command_bus == "shared" else 0)
    share = 1 / timing.banks if busiest is None else busiest
    return max(at("tFAW") / 4, at("tRRD_S"), at("tRC") * share, at("tCCD_S"), pins)


@pytest.mark.parametrize("name", PRESETS)
def test_scattered_reads_are_bound_as_the_data_sheet_says(name: str) -> None:
    timing = one_bus(name)
    assert cycles_of_a_row(timing, "none") == pytest.approx(closed_form(timing), rel=0.001)


@pytest.mark.parametrize("name", PRESETS)
def test_scattered_reads_lose_what_refresh_takes(name: str) -> None:
    """From the last activate to the first after it: the row is kept for tRAS, all close and refresh."""
    timing = one_bus(name)
    lost = of(timing, "tRAS", "tRP_ab", "tRFC")
    left = 1 - (lost - closed_form(timing)) / timing.cycles_of("tREFI")
    assert closed_form(timing) / cycles_of_a_row(timing, "all-bank") == pytest.approx(left, abs=0.01)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", PRESETS)
def test_random_addresses_reach_what_banks_in_turn_do(name: str, seed: int) -> None:
    """With many requests to choose from, a controller finds one for whichever bank is ready; the busiest bank is last.

    Random addresses are not even: of 40,000, one of 16 banks gets some 2 to 4% more rows than its share.
    """
    timing = one_bus(name)
    addresses = np.random.default_rng(seed).integers(0, timing.capacity_bytes, 40_000)
    controller = DramController(refresh="none", window=1024, keep_trace=True)
    result = simulate_requests(timing, addresses, controller=controller)
    rows = np.bincount([command.bank for command in result.commands() if command.kind == "ACT"])
    assert rows.sum() > 0.98 * addresses.size  # the others hit an open row by chance
    expected = closed_form(timing, busiest=rows.max() / rows.sum())
    assert result.cycles / rows.sum() == pytest.approx(expected, rel=0.01)


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
