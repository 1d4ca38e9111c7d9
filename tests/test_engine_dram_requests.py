"""From addresses to channels and back: mappings, results of several channels, and what is refused."""

import numpy as np
import pytest

from arch.dram import DramController
from sim.dram.requests import issue_commands, simulate_requests, stream_addresses
from sim.dram.tables import address_parts
from sim.engine.dram.address import decode
from sim.load.nouns import load_dram
from tests.dram_cases import PRESETS, changed, one_bus, trace_of
from tests.dram_rules import Rules, violations

FIELDS = ("channel", "group", "bank", "row", "column")


def coordinates(name: str, mapping: str, numbers: list[int]) -> list[tuple[int, ...]]:
    found = np.empty((len(numbers), 5), np.int64)
    decode(np.array(numbers, np.int64), address_parts(load_dram(name), mapping), found)
    return [tuple(row) for row in found.tolist()]


def test_fields_are_read_from_the_right() -> None:
    # hbm2: 16 channels, 4 groups, 4 banks, 32768 rows, 32 columns
    mapping = "row:bank:column:group:channel"
    assert coordinates("hbm2-2000", mapping, [0, 1, 16, 64, 64 * 32, 64 * 32 * 4]) == [
        (0, 0, 0, 0, 0),
        (1, 0, 0, 0, 0),
        (0, 1, 0, 0, 0),
        (0, 0, 0, 0, 1),
        (0, 0, 1, 0, 0),
        (0, 0, 0, 1, 0),
    ]
    assert coordinates("hbm2-2000", "row:channel:bank:group:column", [31, 32, 32 * 16]) == [
        (0, 0, 0, 0, 31),
        (0, 1, 0, 0, 0),
        (1, 0, 0, 0, 0),
    ]


def test_a_field_may_lie_in_two_parts() -> None:
    mapping = "row:bank:column:group:channel:column=4"
    assert coordinates("hbm2-2000", mapping, [3, 4, 4 * 64, 4 * 64 + 3]) == [
        (0, 0, 0, 0, 3),
        (1, 0, 0, 0, 0),
        (0, 0, 0, 0, 4),
        (0, 0, 0, 0, 7),
    ]


@pytest.mark.parametrize(
    "mapping",
    (
        "row:bank:column:group:channel",
        "channel:row:column:group:bank",
        "column=2:row:bank:column:group=2:channel:group",
    ),
)
def test_every_burst_has_a_place_of_its_own(mapping: str) -> None:
    small = changed(load_dram("hbm2-2000"), {"rows": 4, "channels": 3})
    numbers = np.arange(small.capacity_bytes // small.burst_bytes)
    found = np.empty((numbers.size, 5), np.int64)
    decode(numbers, address_parts(small, mapping), found)
    sizes = (small.interfaces, small.bank_groups, small.banks_per_group, small.rows, small.columns)
    assert (found >= 0).all() and (found < sizes).all()
    assert len({tuple(row) for row in found.tolist()}) == numbers.size


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("row:bank:colum:group", "mapping 'row:bank:colum:group': unknown field 'colum' (did you mean 'column'?)"),
        ("row:bank:column:group", "mapping 'row:bank:column:group' has 1 of channel, but 'hbm2-2000' has 16"),
        (
            "row:bank:column=4:group:channel",
            "mapping 'row:bank:column=4:group:channel' has 4 of column, but 'hbm2-2000' has 32",
        ),
        ("row::bank", "mapping 'row::bank': expected a field such as 'row' or 'column=4', got ''"),
        ("row:column=0", "mapping 'row:column=0': expected a size of at least 1, got 'column=0'"),
    ],
)
def test_wrong_mappings(mapping: str, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        simulate_requests(load_dram("hbm2-2000"), [0], controller=DramController(mapping=mapping))
    assert str(caught.value) == message


@pytest.mark.parametrize("name", PRESETS)
def test_channels_are_independent(name: str) -> None:
    """Each channel alone does what it does among the others."""
    timing = changed(load_dram(name), {"channels": 2})
    rng = np.random.default_rng(5)
    addresses = rng.integers(0, timing.capacity_bytes // 500, 600)
    writes, arrivals = rng.random(600) < 0.4, np.sort(rng.integers(0, 3000, 600))
    controller = DramController(keep_trace=True)
    together = simulate_requests(timing, addresses, writes, arrivals, controller)
    channel_of = addresses // timing.burst_bytes % timing.interfaces
    for channel in range(timing.interfaces):
        mine = channel_of == channel
        alone = simulate_requests(timing, addresses[mine], writes[mine], arrivals[mine], controller)
        assert np.array_equal(together.finish_cycles[mine], alone.finish_cycles)
        numbers = np.flatnonzero(mine)
        expected = [
            c._replace(request=int(numbers[c.request]) if c.request >= 0 else -1) for c in alone.commands(channel)
        ]
        assert list(together.commands(channel)) == expected
        assert violations(Rules(timing), trace_of(together, channel)) == []
        assert together.wait_cycles[channel].sum() + together.tail_cycles[channel] == together.channel_cycles[channel]
    assert together.cycles == together.finish_cycles.max()


def test_bandwidth_is_bytes_over_time() -> None:
    timing = load_dram("hbm2-2000")
    result = simulate_requests(timing, stream_addresses(timing, 1 << 24), controller=DramController(refresh="none"))
    assert result.bytes == 1 << 24
    assert result.bandwidth_bytes_per_s == (1 << 24) * 1e9 / result.cycles
    assert result.utilization == result.bandwidth_bytes_per_s / 256e9
    assert 0.98 < result.utilization <= 1


def test_stream_addresses_cover_the_bytes() -> None:
    timing = one_bus("hbm2-2000")
    assert stream_addresses(timing, 64).tolist() == [0, 32]
    assert stream_addresses(timing, 2, 31).tolist() == [0, 32]
    assert stream_addresses(timing, 33, 32).tolist() == [32, 64]


def test_nothing_to_do_takes_no_time() -> None:
    result = simulate_requests(
        load_dram("hbm2-2000"), np.zeros(0, np.int64), controller=DramController(keep_trace=True)
    )
    assert (result.cycles, result.bandwidth_bytes_per_s, result.commands(3)) == (0, 0.0, ())


def test_a_result_prints_as_a_table() -> None:
    timing = one_bus("hbm2-2000")
    result = simulate_requests(timing, [0, 32 * 4], controller=DramController(refresh="none"))
    # ACT at 0, RD at tRCD 14 and at 18 (tCCD_L 4), data after CL 14 for 2 cycles
    assert str(result).splitlines() == [
        "hbm2-2000: 2 bursts in 34 cycles",
        "  bandwidth   1.753 GiB/s (11.8% of 14.9 GiB/s)",
        "  rows        1 hits, 1 misses, 0 conflicts",
        "  refreshes   0",
        "  tRCDRD       41.2% of channel cycles",
        "  tCCD_L       11.8% of channel cycles",
    ]


BAD = [
    ({"addresses": [1 << 40]}, "address 1099511627776 is not within the 8589934592 bytes of 'hbm2-2000'"),
    ({"addresses": [-32]}, "address -32 is not within the 8589934592 bytes of 'hbm2-2000'"),
    ({"addresses": [[0]]}, "expected a list of addresses, got an array of 2 axes"),
    ({"addresses": [0.5]}, "expected whole numbers as addresses, got float64"),
    ({"addresses": [0, 0], "is_write": [True]}, "expected one is_write or 2 of them, got 1"),
    ({"addresses": [0, 0, 0], "arrival_cycles": [0, 5, 4]}, "arrival cycles decrease from 5 to 4 at request 2"),
    ({"addresses": [0], "arrival_cycles": -1}, f"arrival cycle -1 is not within {1 << 40} cycles"),
]


@pytest.mark.parametrize(("arguments", "message"), BAD, ids=[message[:30] for _, message in BAD])
def test_wrong_requests(arguments: dict, message: str) -> None:
    with pytest.raises(ValueError) as caught:
        simulate_requests(load_dram("hbm2-2000"), **arguments)
    assert str(caught.value) == message


def test_other_refusals() -> None:
    timing = changed(one_bus("lpddr4-3200"), tRFC_pb=None)
    with pytest.raises(ValueError) as caught:
        simulate_requests(timing, [0], controller=DramController(refresh="per-bank"))
    assert str(caught.value) == "'lpddr4-3200' has no refresh of single banks: give it tRFC_pb, or refresh all-bank"
    with pytest.raises(ValueError) as caught:
        simulate_requests(timing, [0], controller=DramController(refresh="same-bank"))
    assert str(caught.value) == (
        "'lpddr4-3200' has no refresh of the same bank of every group: give it tRFC_sb, or refresh all-bank"
    )
    crowded = changed(one_bus("lpddr5-6400"), {"refresh": "per-bank"}, tPBR2PBR=196)
    with pytest.raises(ValueError) as caught:
        simulate_requests(crowded, [0])
    assert str(caught.value) == "'lpddr5-6400' has to refresh every 195 cycles, but its refreshes are 196 apart"
    with pytest.raises(ValueError) as caught:
        simulate_requests(changed(timing, tREFI=400), [0])
    assert str(caught.value).startswith("'lpddr4-3200' has to refresh every 400 cycles, and one refresh may hold")
    for commands, message in (
        ((("REFB", 0),), "no command is called 'REFB' (did you mean 'REF'?)"),
        ((("RD", 8),), "'lpddr4-3200' has banks 0 to 7, got 8"),
        ((("REFpb", 0),), "'lpddr4-3200' has no REFpb: it gives no tRFC_pb"),
        ((("REFsb", 0),), "'lpddr4-3200' has no REFsb: it gives no tRFC_sb"),
    ):
        with pytest.raises(ValueError) as caught:
            issue_commands(timing, commands)
        assert str(caught.value) == message
    result = simulate_requests(timing, [0])
    with pytest.raises(ValueError) as caught:
        result.commands()
    assert str(caught.value) == "no trace was kept: simulate with DramController(keep_trace=True)"
    with pytest.raises(ValueError) as caught:
        result.stall_cycles("tCCD")
    assert str(caught.value) == "no constraint is called 'tCCD' (did you mean 'tCCD_S'?)"
