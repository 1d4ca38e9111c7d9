"""DRAM timings one by one: legal at t, forbidden at t - 1; and bandwidths against data sheet arithmetic."""

import numpy as np
import pytest

from arch.dram import OF_GROUPS, REFRESH_TIMINGS, TIMINGS, DramController, DramTiming
from sim.dram.requests import issue_commands, simulate_requests, stream_addresses
from sim.engine.dram.columns import CAUSES
from tests.dram_cases import PRESETS, changed, giving, one_bus, trace_of
from tests.dram_rules import Issued, Rules, violations

QUIET = DramController(refresh="none")
IN_ORDER = DramController(refresh="none", window=1)

RD8 = [("RD", 0)] * 12  # long enough that tRAS and tRC of the activate before are over
WR4 = [("WR", 0)] * 4
OTHER = -1  # a bank of the next group, or the next bank where there are no groups
TWIN = -2  # the first bank of the next group, or the first bank itself where there are no groups

# Timing: commands whose last one waits for it. Devices without bank groups leave out the _L of each pair.
SCENARIOS: dict[str, list[tuple[str, int]]] = {
    "tRCDRD": [("ACT", 0), ("RD", 0)],
    "tRCDWR": [("ACT", 0), ("WR", 0)],
    "tRP": [("ACT", 0), *RD8, ("PRE", 0), ("ACT", 0)],
    "tRAS": [("ACT", 0), ("PRE", 0)],
    "tRRD_S": [("ACT", 0), ("ACT", OTHER)],
    "tRRD_L": [("ACT", 0), ("ACT", 1)],
    "tCCD_S": [("ACT", 0), ("ACT", OTHER), *RD8, ("RD", OTHER)],
    "tCCD_L": [("ACT", 0), ("ACT", 1), *RD8, ("RD", 1)],
    "tCCD_S_WR": [("ACT", 0), ("ACT", OTHER), *WR4, ("WR", OTHER)],
    "tCCD_L_WR": [("ACT", 0), ("ACT", 1), *WR4, ("WR", 1)],
    "tRTP": [("ACT", 0), *RD8, ("PRE", 0)],
    "tWR": [("ACT", 0), ("WR", 0), ("WR", 0), ("WR", 0), ("PRE", 0)],
    "tRTW": [("ACT", 0), ("RD", 0), ("WR", 0)],
    "tWTR_S": [("ACT", 0), ("ACT", OTHER), *WR4, ("RD", OTHER)],
    "tWTR_L": [("ACT", 0), ("WR", 0), ("RD", 0)],
    "tRP_ab": [("ACT", 0), *RD8, ("PREA", 0), ("REF", 0)],
    "tRFC": [("REF", 0), ("ACT", 3)],
    "tRFC_pb": [("REFpb", 2), ("ACT", 2)],
    "tRFC_sb": [("REFsb", 0), ("ACT", TWIN)],
    "tRREFD": [("REFpb", 2), ("ACT", 3)],
    "tPBR2PBR": [("REFpb", 2), ("REFpb", 3)],
}
MORE = {
    "writes": ("tCCD_S", [("ACT", 0), ("ACT", OTHER), *WR4, ("WR", OTHER)]),
    "activate of all after tRP_ab": ("tRP_ab", [("ACT", 0), *RD8, ("PREA", 0), ("ACT", 1)]),
    "all banks after tRTP": ("tRTP", [("ACT", 0), *RD8, ("PREA", 0)]),
    "all banks after tRAS": ("tRAS", [("ACT", 0), ("PREA", 0)]),
    "all banks after tWR": ("tWR", [("ACT", 0), ("WR", 0), ("WR", 0), ("WR", 0), ("PREA", 0)]),
    "refresh after tRP": ("tRP", [("ACT", 0), *RD8, ("PRE", 0), ("REF", 0)]),
    "refresh after refresh": ("tRFC", [("REF", 0), ("REF", 0)]),
    "activate after a read that closes": ("tRP", [("ACT", 0), *RD8, ("RDA", 0), ("ACT", 0)]),
    "activate after a write that closes": ("tRP", [("ACT", 0), *WR4, ("WRA", 0), ("ACT", 0)]),
    "refresh after a read that closes": ("tRP", [("ACT", 0), *RD8, ("RDA", 0), ("REF", 0)]),
}
# With a refresh of some banks in the place of "ref".
PARTIAL = {
    "after tRP": ("tRP", [("ACT", 0), *RD8, ("PRE", 0), ("ref", 0)]),
    "after tRP_ab": ("tRP_ab", [("ACT", 0), *RD8, ("PREA", 0), ("ref", 1)]),
    "after an activate of another group": ("tRRD_S", [("ACT", OTHER), ("ref", 2)]),
    "after an activate of the group": ("tRRD_L", [("ACT", 0), ("ref", 1)]),
    "before an activate": ("tRREFD", [("ref", 0), ("ACT", 1)]),
    "before the next": ("tRREFD", [("ref", 0), ("ref", 1)]),
    "before the next where that has a timing": ("tPBR2PBR", [("ref", 0), ("ref", 1)]),
    "before its next": ("own", [("ref", 1), ("ref", 1)]),
    "before a refresh": ("own", [("ref", 1), ("REF", 0)]),
    "after a refresh": ("tRFC", [("REF", 0), ("ref", 1)]),
}
# Distances that another one hides where both are of the same length.
HIDDEN_BY = {"tRRD_L": "tRRD_S", "tCCD_L": "tCCD_S", "tWTR_L": "tWTR_S"}


def placed_in(timing: DramTiming, commands: list[tuple[str, int]]) -> tuple[tuple[str, int], ...]:
    grouped = timing.bank_groups > 1
    banks = {OTHER: timing.banks_per_group if grouped else 1, TWIN: timing.banks_per_group if grouped else 0}
    return tuple((kind, banks.get(bank, bank)) for kind, bank in commands)


def assert_tight(timing: DramTiming, rule: str, commands: list[tuple[str, int]]) -> None:
    """The last command is issued as soon as `rule` allows, and one cycle earlier that rule is broken, and no other."""
    placed = placed_in(timing, commands)
    issued = issue_commands(timing, placed)
    assert issued[-1][1] == rule
    trace = [Issued(cycle, kind, bank) for (kind, bank), (cycle, _) in zip(placed, issued, strict=True)]
    rules = Rules(timing)
    assert violations(rules, trace, with_rows=False) == []
    early = [*trace[:-1], trace[-1]._replace(cycle=trace[-1].cycle - 1)]
    broken = {name for name, _ in violations(rules, early, with_rows=False)}
    # Where a timing is as long as a burst or a command, the wires are the same limit.
    assert rule in broken and broken <= {rule, "data bus", "command bus"}


@pytest.mark.parametrize("rule", SCENARIOS)
@pytest.mark.parametrize("name", PRESETS)
def test_legal_at_t_and_forbidden_one_cycle_earlier(name: str, rule: str) -> None:
    timing = one_bus(name)
    if timing.bank_groups == 1 and rule in OF_GROUPS:
        assert timing.given(rule) is None
        return
    if rule in ("tRREFD", "tPBR2PBR"):
        timing = giving(timing, "tRFC_pb")
    timing = giving(timing, rule)
    if rule in HIDDEN_BY and timing.cycles_of(rule) == timing.cycles_of(HIDDEN_BY[rule]):
        timing = changed(timing, **{rule: timing.cycles_of(rule) + 2})
    assert_tight(timing, rule, SCENARIOS[rule])


def test_every_timing_of_the_format_is_tried_and_every_cause_is_a_timing() -> None:
    elsewhere = {"tRC", "tPPD", "tFAW"}  # in tests of their own, below
    assert set(SCENARIOS) | elsewhere == set(CAUSES) - {"arrival", "refresh due", "command bus"}
    # tRCD is tRCDRD and tRCDWR; the others are no distances of two commands: they move data, or set when refresh is due.
    assert TIMINGS.keys() - set(CAUSES) == {"tRCD", "CL", "CWL", "tDQSCK", "tDQSS", "tREFI"}


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize(
    ("latency", "rule", "commands"),
    [
        ("CL", "tRTW", [("ACT", 0), ("RD", 0), ("WR", 0)]),
        ("tDQSCK", "tRTW", [("ACT", 0), ("RD", 0), ("WR", 0)]),
        ("CWL", "tWR", [("ACT", 0), *WR4, ("PRE", 0)]),
        ("tDQSS", "tWR", [("ACT", 0), *WR4, ("PRE", 0)]),
        ("CWL", "tWTR_S", [("ACT", 0), ("ACT", OTHER), *WR4, ("RD", OTHER)]),
        ("tDQSS", "tWTR_S", [("ACT", 0), ("ACT", OTHER), *WR4, ("RD", OTHER)]),
    ],
)
def test_latencies_of_data_move_what_waits_for_data(
    name: str, latency: str, rule: str, commands: list[tuple[str, int]]
) -> None:
    timing = changed(one_bus(name), tRTW=None)
    later = changed(timing, **{latency: timing.cycles_of(latency) + 1})
    placed = placed_in(timing, commands)
    (at, _), (longer_at, cause) = issue_commands(timing, placed)[-1], issue_commands(later, placed)[-1]
    assert (longer_at, cause) == (at + 1, rule)
    assert_tight(later, rule, commands)


@pytest.mark.parametrize("case", MORE)
def test_the_same_for_other_pairs_of_commands(case: str) -> None:
    rule, commands = MORE[case]
    for name in PRESETS:
        assert_tight(changed(one_bus(name), tRP_ab=50), rule, commands)


@pytest.mark.parametrize(("kind", "own"), [("REFpb", "tRFC_pb"), ("REFsb", "tRFC_sb")])
@pytest.mark.parametrize("case", PARTIAL)
def test_the_same_for_refreshes_of_some_banks(case: str, kind: str, own: str) -> None:
    rule, commands = PARTIAL[case]
    placed = [(kind if command == "ref" else command, bank) for command, bank in commands]
    for name in PRESETS:
        timing = giving(one_bus(name), own)
        if timing.bank_groups == 1 and rule == "tRRD_L":
            continue
        shorter = timing.cycles_of("tRRD_S")
        longer: dict[str, int | None] = {"tRRD_L": shorter + 2} if timing.bank_groups > 1 else {}
        if kind == "REFsb" and rule == "tRRD_S" and timing.bank_groups > 1:
            assert_tight(changed(timing, **longer), "tRRD_L", placed)  # it has a bank of that group too
            continue
        assert_tight(
            changed(timing, tRP_ab=50, tRREFD=40, tPBR2PBR=45 if rule == "tPBR2PBR" else None, **longer),
            rule.replace("own", own),
            placed,
        )


@pytest.mark.parametrize("name", PRESETS)
def test_one_of_every_group_is_refreshed_at_once(name: str) -> None:
    """The banks of that number wait for tRFC_sb in every group, and those of another number for tRREFD."""
    timing = giving(one_bus(name), "tRFC_sb")
    rules = Rules(timing)
    assert timing.cycles_of("tRFC_sb") > timing.cycles_of("tRREFD")
    for bank in range(timing.banks):
        (_, _), (at, cause) = issue_commands(timing, (("REFsb", 1), ("ACT", bank)))
        same = bank % timing.banks_per_group == 1
        assert (at, cause) == ((rules.cycles["tRFC_sb"], "tRFC_sb") if same else (rules.cycles["tRREFD"], "tRREFD"))
        # And of every group one that was open has to be closed before.
        opened = (("ACT", bank), ("PRE", bank), ("REFsb", 1))
        closed = rules.cycles["tRAS"]
        expected = max(closed + rules.cycles["tRP"], rules.cycles["tRC"]) if same else closed + rules.length("PRE")
        assert issue_commands(timing, opened)[-1][0] == expected


def test_row_cycle_and_precharges() -> None:
    timing = changed(one_bus("hbm2-2000"), tRC=60, tPPD=7)
    assert_tight(timing, "tRC", [("ACT", 0), ("PRE", 0), ("ACT", 0)])
    assert_tight(timing, "tRC", [("ACT", 0), ("PRE", 0), ("REF", 0)])
    assert_tight(timing, "tRC", [("ACT", 0), ("PRE", 0), ("REFpb", 0)])
    assert_tight(timing, "tPPD", [("ACT", 0), ("ACT", 1), *RD8, ("PRE", 0), ("PRE", 1)])
    assert_tight(timing, "tPPD", [("ACT", 0), ("ACT", 1), *RD8, ("PRE", 0), ("PREA", 1)])
    assert_tight(timing, "tPPD", [("ACT", 0), ("ACT", 1), *RD8, ("PREA", 0), ("PRE", 1)])
    assert_tight(timing, "tPPD", [("ACT", 0), ("ACT", 1), *RD8, ("PREA", 0), ("PREA", 0)])


@pytest.mark.parametrize("name", PRESETS)
def test_a_bank_that_closes_by_itself_takes_no_pins_and_keeps_tras(name: str) -> None:
    """As early as a precharge could, so tRAS after its activate at the soonest; and no precharge waits tPPD for it."""
    timing = changed(one_bus(name), tRTP=1, tPPD=30)
    (_, _), (_, _), (again, cause) = issue_commands(timing, (("ACT", 0), ("RDA", 0), ("ACT", 0)))
    assert again == max(timing.cycles_of("tRAS") + timing.cycles_of("tRP"), timing.cycles_of("tRC"))
    assert cause in ("tRC", "tRP")
    opened = (("ACT", 0), ("ACT", 1), *RD8, ("RDA", 0))
    (*_, (closing, _), (precharge, _)) = issue_commands(timing, (*opened, ("PRE", 1)))
    assert precharge == closing + (timing.command_cycles.read if timing.command_bus == "shared" else 0)


@pytest.mark.parametrize("name", PRESETS)
def test_four_activates(name: str) -> None:
    timing = one_bus(name)
    step = timing.banks_per_group if timing.bank_groups > 1 else 1
    banks = [(k * step) % timing.banks + (k * step) // timing.banks for k in range(5)]
    longest = max(timing.cycles_of("tFAW"), 4 * timing.cycles_of("tRRD_S") + 1)
    assert_tight(changed(timing, tFAW=longest), "tFAW", [("ACT", bank) for bank in banks])


def test_command_bus() -> None:
    shared = one_bus("lpddr4-3200")
    assert_tight(shared, "command bus", [("ACT", 0), ("RD", 0), ("REFpb", 1)])
    split = one_bus("hbm2-2000")
    (_, _), (read, _), (refresh, cause) = issue_commands(split, (("ACT", 0), ("RD", 0), ("REFpb", 1)))
    assert (refresh, cause) == (read, "arrival")  # the other bus: the same cycle


def test_the_checker_sees_rows_and_the_data_bus() -> None:
    rules = Rules(one_bus("hbm2-2000"))
    for trace in (
        [Issued(0, "RD", 0, 1)],
        [Issued(0, "ACT", 0, 1), Issued(50, "RD", 0, 2)],
        [Issued(0, "ACT", 0, 1), Issued(90, "ACT", 0, 2)],
        [Issued(0, "PRE", 0)],
        [Issued(0, "ACT", 0, 1), Issued(90, "REF")],
        [Issued(0, "ACT", 0, 1), Issued(90, "REFpb", 0)],
    ):
        assert [name for name, _ in violations(rules, trace)] == ["row state"]
    wide = changed(one_bus("hbm2-2000"), tCCD_S=2)
    wide_rules = Rules(wide)
    wide_rules.burst = 3
    trace = [Issued(0, "ACT", 0, 0), Issued(6, "ACT", 4, 0), Issued(30, "RD", 0, 0), Issued(32, "RD", 4, 0)]
    assert [name for name, _ in violations(wide_rules, trace)] == ["data bus"]


# ----------------------------------------------------------------------------------- data sheet arithmetic


def reads(timing: DramTiming, rows_of_banks: list[tuple[int, int]], controller: DramController = QUIET) -> int:
    """Cycles of reads of (bank, row) pairs, all there from the start."""
    addresses = [((row * timing.banks + bank) * timing.columns) * timing.burst_bytes for bank, row in rows_of_banks]
    plain = controller.model_copy(update={"mapping": "row:group:bank:column:channel"})
    return simulate_requests(timing, addresses, controller=plain).cycles


@pytest.mark.parametrize("name", PRESETS)
def test_stream_within_a_row_is_bound_by_tccd(name: str) -> None:
    timing = one_bus(name)
    controller = QUIET.model_copy(update={"mapping": "row:group:bank:column:channel"})
    bursts = timing.columns
    addresses = stream_addresses(timing, bursts * timing.burst_bytes)
    result = simulate_requests(timing, addresses, controller=controller)
    ccd = "tCCD_L" if timing.bank_groups > 1 else "tCCD_S"
    latency = timing.read_latency_cycles + timing.burst_cycles
    assert result.cycles == timing.cycles_of("tRCDRD") + (bursts - 1) * timing.cycles_of(ccd) + latency
    assert (result.hits.sum(), result.misses.sum(), result.conflicts.sum()) == (bursts - 1, 1, 0)
    writes = simulate_requests(timing, addresses, True, controller=controller)
    latency = timing.write_latency_cycles + timing.burst_cycles
    assert writes.cycles == timing.cycles_of("tRCDWR") + (bursts - 1) * timing.cycles_of(f"{ccd}_WR") + latency


@pytest.mark.parametrize("name", ("hbm2-2000", "hbm3-6400"))
def test_stream_over_bank_groups_is_bound_by_the_short_tccd(name: str) -> None:
    """One burst every tCCD_S, the next rows being opened meanwhile: the peak, but for the start."""
    timing = one_bus(name)
    cycles = [
        simulate_requests(timing, stream_addresses(timing, n * timing.burst_bytes), controller=QUIET).cycles
        for n in (1024, 8192)
    ]
    assert cycles[1] - cycles[0] == pytest.approx((8192 - 1024) * timing.cycles_of("tCCD_S"), rel=0.01)


@pytest.mark.parametrize("name", PRESETS)
def test_rows_of_one_bank_are_bound_by_the_row_cycle(name: str) -> None:
    timing = one_bus(name)
    rows = [(0, row % 5) for row in range(40)]
    latency = timing.cycles_of("tRCDRD") + timing.read_latency_cycles + timing.burst_cycles
    for rtp in (timing.cycles_of("tRTP"), timing.cycles_of("tRC")):
        longer = changed(timing, tRTP=rtp)
        closes = max(timing.cycles_of("tRAS"), timing.cycles_of("tRCDRD") + rtp)
        period = max(timing.cycles_of("tRC"), closes + timing.cycles_of("tRP"))
        assert reads(longer, rows, IN_ORDER) == 39 * period + latency


@pytest.mark.parametrize("name", PRESETS)
def test_writes_to_rows_of_one_bank_pay_for_recovery(name: str) -> None:
    timing = one_bus(name)
    addresses = [row % 2 * timing.banks * timing.columns * timing.burst_bytes for row in range(30)]
    result = simulate_requests(timing, addresses, True, controller=IN_ORDER)
    done = timing.cycles_of("tRCDWR") + timing.write_latency_cycles + timing.burst_cycles
    closes = max(timing.cycles_of("tRAS"), done + timing.cycles_of("tWR"))
    period = max(timing.cycles_of("tRC"), closes + timing.cycles_of("tRP"))
    assert result.cycles == 29 * period + done


@pytest.mark.parametrize("name", PRESETS)
def test_alternating_reads_and_writes_pay_both_turnarounds(name: str) -> None:
    timing = one_bus(name)
    result = simulate_requests(timing, [0] * 41, [k % 2 == 1 for k in range(41)], controller=IN_ORDER)
    wtr = timing.cycles_of("tWTR_L" if timing.bank_groups > 1 else "tWTR_S")
    period = timing.cycles_of("tRTW") + timing.write_latency_cycles + timing.burst_cycles + wtr
    latency = timing.cycles_of("tRCDRD") + timing.read_latency_cycles + timing.burst_cycles
    assert result.cycles == 20 * period + latency
    assert result.stall_cycles("tRTW") == 20 * timing.cycles_of("tRTW")


def test_activates_are_bound_by_tfaw_trrd_or_the_row_cycle() -> None:
    """One read of a new row in bank after bank, group after group: 4 rows every max(tFAW, 4 tRRD), banks every tRC."""
    timing = one_bus("hbm2-2000")
    turn = [(k % 4) * 4 + k // 4 % 4 for k in range(16)]

    def period(device: DramTiming) -> float:
        """Cycles of one row, in the steady state."""
        few, many = (reads(device, [(b, row) for row in range(n) for b in turn]) for n in (20, 60))
        return (many - few) / (40 * 16)

    assert period(changed(timing, tFAW=30)) == 30 / 4
    assert period(changed(timing, tFAW=12)) == timing.cycles_of("tRRD_S")
    assert period(changed(timing, tFAW=50)) == 50 / 4
    assert period(changed(timing, tRC=300)) == 300 / 16


@pytest.mark.parametrize("name", ("lpddr4-3200", "hbm2-2000"))
def test_random_reads_come_close_to_the_activate_limit(name: str) -> None:
    """Every request opens a row: four in tFAW at most, less what refresh takes."""
    timing = one_bus(name)
    addresses = np.random.default_rng(7).integers(0, timing.capacity_bytes, 40_000)
    limit = timing.cycles_of("tFAW") / 4
    quiet = simulate_requests(timing, addresses, controller=QUIET.model_copy(update={"window": 64}))
    assert quiet.misses.sum() + quiet.conflicts.sum() > 0.99 * addresses.size
    assert 0.95 < limit * addresses.size / quiet.cycles <= 1
    refreshed = simulate_requests(timing, addresses, controller=DramController(window=64))
    left = 1 - timing.cycles_of("tRFC") / timing.cycles_of("tREFI")
    assert 0.95 * left < limit * addresses.size / refreshed.cycles <= left + 1e-3


@pytest.mark.parametrize("name", PRESETS)
def test_refresh_takes_its_share_of_a_stream(name: str) -> None:
    timing = one_bus(name)
    addresses = stream_addresses(timing, 1 << 20)
    # A window that shows the next rows early enough for a stream without a pause.
    quiet, whole = (
        simulate_requests(timing, addresses, controller=DramController(refresh=refresh, window=128))
        for refresh in ("none", "all-bank")
    )
    refreshes = int(whole.refreshes.sum())
    assert refreshes == whole.cycles // timing.cycles_of("tREFI")
    at = timing.cycles_of
    # Each stops the stream for tRFC, the closing of rows before it and the opening of one after it.
    least = at("tRFC") + at("tRP_ab") + at("tRCDRD")
    most = least + at("tRAS") + 4 * at("tRRD_S") + 16
    assert least <= (whole.cycles - quiet.cycles) / refreshes <= most
    assert whole.stall_cycles("tRFC") == refreshes * at("tRFC")


@pytest.mark.parametrize("name", PRESETS)
def test_refreshing_some_banks_costs_scattered_reads_less(name: str) -> None:
    """The other banks go on; a stream, which is in few banks at a time, has no such way out."""
    timing = one_bus(name)
    policies = [policy for policy, needed in REFRESH_TIMINGS.items() if timing.given(needed)]
    assert len(policies) == (name != "ddr4-3200")
    addresses = np.random.default_rng(11).integers(0, timing.capacity_bytes, 20_000)
    for policy in policies:
        none, some, whole = (
            simulate_requests(timing, addresses, controller=DramController(refresh=refresh, window=64))
            for refresh in ("none", policy, "all-bank")
        )
        assert none.cycles < some.cycles < whole.cycles
        turns = timing.banks if policy == "per-bank" else timing.banks_per_group
        assert abs(some.refreshes.sum() - some.cycles * turns // timing.cycles_of("tREFI")) <= 1


def test_refresh_starts_when_it_is_due() -> None:
    """An idle channel refreshes at tREFI sharp, all rows having been closed; the request after it waits for tRFC."""
    timing = one_bus("hbm2-2000")
    due, rp, rfc = timing.cycles_of("tREFI"), timing.cycles_of("tRP"), timing.cycles_of("tRFC")
    controller = DramController(keep_trace=True)
    result = simulate_requests(timing, [0, 0], arrival_cycles=[0, due + 3], controller=controller)
    commands = [(c.cycle, c.kind, c.cause) for c in result.commands()]
    assert commands == [
        (0, "ACT", "arrival"),
        (14, "RD", "tRCDRD"),
        (due, "PREA", "refresh due"),
        (due + rp, "REF", "tRP_ab"),
        (due + rp + rfc, "ACT", "tRFC"),
        (due + rp + rfc + 14, "RD", "tRCDRD"),
    ]
    assert (result.misses.sum(), result.conflicts.sum()) == (2, 0)
    assert violations(Rules(timing), trace_of(result)) == []


def test_long_silences_cost_refreshes_and_nothing_else() -> None:
    timing = one_bus("lpddr4-3200")
    pause = 10_000 * timing.cycles_of("tREFI") + timing.cycles_of("tREFI") // 2
    result = simulate_requests(timing, [0, 0], arrival_cycles=[0, pause])
    assert result.refreshes.sum() == 10_000
    latency = timing.cycles_of("tRCDRD") + timing.read_latency_cycles + timing.burst_cycles
    assert result.latency_cycles.tolist() == [latency, latency]


@pytest.mark.parametrize("name", PRESETS)
def test_more_window_and_more_channels_help_scattered_reads(name: str) -> None:
    timing = one_bus(name)
    addresses = np.random.default_rng(3).integers(0, timing.capacity_bytes, 4000)
    cycles = [
        simulate_requests(timing, addresses, controller=QUIET.model_copy(update={"window": window})).cycles
        for window in (1, 4, 16, 64)
    ]
    assert cycles == sorted(cycles, reverse=True)
    assert cycles[0] > 2 * cycles[-1]
    two = changed(timing, {"channels": 2})
    assert simulate_requests(two, addresses, controller=QUIET).cycles < 0.6 * cycles[2]
