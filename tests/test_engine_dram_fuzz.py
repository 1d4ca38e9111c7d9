"""The DRAM scheduler on hundreds of random devices and traces: legal by a checker, and equal to a slow twin."""

import os
import subprocess
import sys
from collections import Counter
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from arch.dram import DramController, DramTiming
from sim.dram.requests import DramResult, simulate_requests
from sim.engine.dram.columns import CAUSES
from tests.dram_cases import changed, random_controller, random_device, random_requests, trace_of, waiting_of
from tests.dram_oracle import run
from tests.dram_rules import CLOSING, COLUMN_COMMANDS, Rules, refreshes_per_bank, violations

SEEDS = 300


Simulated = tuple[DramTiming, DramController, tuple[np.ndarray, np.ndarray, np.ndarray], DramResult]


def simulated(seed: int, number: int = 60) -> Simulated:
    timing, controller = random_device(seed), random_controller(seed)
    addresses, writes, arrivals = random_requests(timing, seed, number)
    result = simulate_requests(timing, addresses, writes, arrivals, controller)
    return timing, controller, (addresses, writes, arrivals), result


@pytest.mark.parametrize("first", range(0, SEEDS, 25))
def test_every_trace_is_legal(first: int) -> None:
    for seed in range(first, first + 25):
        timing, _, _, result = simulated(seed)
        assert violations(Rules(timing), trace_of(result)) == [], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, 80, 20))
def test_slow_twin_issues_the_same_commands(first: int) -> None:
    for seed in range(first, first + 20):
        timing, controller, (_, writes, arrivals), result = simulated(seed, 40)
        twin = run(Rules(timing), controller, waiting_of(result, writes, arrivals))
        ours = [((c.cycle, c.kind, c.bank, c.row), c.request) for c in result.commands()]
        assert ours == [(tuple(command), number) for command, number in twin], f"seed {seed}"


@pytest.mark.parametrize("first", range(0, SEEDS, 50))
def test_every_request_is_served_once_in_its_place(first: int) -> None:
    for seed in range(first, first + 50):
        timing, _, (addresses, writes, arrivals), result = simulated(seed)
        columns = [c for c in result.commands() if c.kind in COLUMN_COMMANDS]
        assert sorted(c.request for c in columns) == list(range(len(addresses)))
        done = {"RD": timing.read_latency_cycles, "WR": timing.write_latency_cycles}
        for command in columns:
            # row:bank:column:group of burst number, one channel
            rest, group = divmod(int(addresses[command.request]) // 32, timing.bank_groups)
            rest, bank = divmod(rest // timing.columns, timing.banks_per_group)
            assert (command.bank, command.row) == (group * timing.banks_per_group + bank, rest)
            kind = CLOSING.get(command.kind, command.kind)
            assert kind == ("WR" if writes[command.request] else "RD")
            assert command.cycle >= arrivals[command.request]
            finish = command.cycle + done[kind] + timing.burst_cycles
            assert result.finish_cycles[command.request] == finish


def test_time_is_accounted_for_to_the_cycle() -> None:
    for seed in range(SEEDS):
        _, _, (addresses, _, _), result = simulated(seed)
        assert result.wait_cycles.sum() + result.tail_cycles.sum() == result.cycles
        assert result.hits.sum() + result.misses.sum() + result.conflicts.sum() == len(addresses)
        by_cause = Counter()
        before = 0
        for command in result.commands():
            by_cause[command.cause] += command.cycle - before
            before = command.cycle
        assert dict(result.stalls) == {cause: cycles for cause, cycles in by_cause.items() if cycles}


def test_causes_are_the_constraints_that_bind() -> None:
    """A command with a timing as its cause would break that very timing one cycle earlier."""
    checked = Counter()
    for seed in range(120):
        timing, _, _, result = simulated(seed, 40)
        rules, trace = Rules(timing), trace_of(result)
        for i, command in enumerate(result.commands()):
            if i == 0 or command.cycle == trace[i - 1].cycle or command.cause in ("arrival", "refresh due"):
                continue
            earlier = [*trace[max(0, i - 80) : i], trace[i]._replace(cycle=trace[i].cycle - 1)]
            broken = {rule for rule, later in violations(rules, earlier, with_rows=False) if later is earlier[-1]}
            assert command.cause in broken, f"seed {seed}: {command}, {broken}"
            checked[command.cause] += 1
    # Refreshes are due too far apart to wait for each other: test_engine_dram plays them back to back.
    unseen = {"arrival", "refresh due", "tPBR2PBR"}
    assert set(checked) == set(CAUSES) - unseen, set(CAUSES) - set(checked)


def test_nothing_waits_without_a_reason() -> None:
    """In order, a command that no timing holds waits for an arrival or a due refresh, and only for these."""
    for seed in range(60):
        timing, _, (_, _, arrivals), result = simulated(seed, 40)
        starts = set(arrivals.tolist())
        shares = (1, timing.banks, timing.banks_per_group)
        dues = {k * timing.cycles_of("tREFI") // n for n in shares for k in range(1, 400)}
        before = 0
        for command in result.commands():
            if command.cycle > before and command.cause == "arrival":
                assert command.cycle in starts, f"seed {seed}: {command}"
            if command.cycle > before and command.cause == "refresh due":
                assert command.cycle in dues, f"seed {seed}: {command}"
            before = command.cycle


def test_refreshes_keep_up_with_the_clock() -> None:
    for seed in range(SEEDS):
        timing, _, _, result = simulated(seed)
        if timing.refresh == "none":
            assert result.refreshes.sum() == 0
            continue
        rules, trace = Rules(timing), trace_of(result)
        interval, last = timing.cycles_of("tREFI"), trace[-1].cycle
        counts = refreshes_per_bank(rules, trace)
        slack = interval // 2
        for bank in range(timing.banks):
            number, turns = {
                "all-bank": (0, 1),
                "per-bank": (bank, timing.banks),
                "same-bank": (bank % timing.banks_per_group, timing.banks_per_group),
            }[timing.refresh]
            share = (number + 1) / turns
            due = sum(1 for k in range(2000) if (k + share) * interval <= last)
            on_time = sum(1 for k in range(2000) if (k + share) * interval + slack <= last)
            assert on_time <= counts[bank] <= due, f"seed {seed} bank {bank}"


@pytest.mark.parametrize("seed", range(40))
def test_longer_timings_never_help_in_order(seed: int) -> None:
    """One request at a time and no refresh: the order of commands is fixed, so longer distances delay or do nothing."""
    timing = random_device(seed)
    addresses, writes, arrivals = random_requests(timing, seed, 30)
    controller = random_controller(seed).model_copy(update={"window": 1, "refresh": "none"})
    base = simulate_requests(timing, addresses, writes, arrivals, controller)
    slower = 0
    for name in ("tRCDRD", "tRCDWR", "tRP", "tRAS", "tRC", "tRRD_S", "tFAW", "tWR", "tRTP", "tRTW", "CL"):
        # Ranges that follow from others are kept.
        more: dict[str, int | None] = {name: timing.cycles_of(name) + 3}
        if name in ("tRCDRD", "tRCDWR"):
            other = "tRCDWR" if name == "tRCDRD" else "tRCDRD"
            more |= {"tRCD": None, other: timing.cycles_of(other), "tRAS": timing.cycles_of("tRAS") + 3}
        if name == "tRRD_S" and timing.bank_groups > 1:
            more["tRRD_L"] = timing.cycles_of("tRRD_L") + 3
        longer = changed(timing, **more)
        later = simulate_requests(longer, addresses, writes, arrivals, controller)
        assert (later.finish_cycles >= base.finish_cycles).all(), name
        slower += bool((later.finish_cycles > base.finish_cycles).any())
    assert slower  # tRCDRD or tRCDWR delays at least the first request


def test_same_input_same_output() -> None:
    for seed in range(10):
        _, _, _, first = simulated(seed)
        _, _, _, second = simulated(seed)
        assert first.commands() == second.commands()
        assert np.array_equal(first.finish_cycles, second.finish_cycles)
        assert np.array_equal(first.wait_cycles, second.wait_cycles)


PROGRAM = """
import hashlib
from tests.test_engine_dram_fuzz import simulated
digest = hashlib.sha256()
for seed in range(12):
    result = simulated(seed, 30)[3]
    digest.update(repr(result.commands()).encode() + result.finish_cycles.tobytes() + result.wait_cycles.tobytes())
print(digest.hexdigest())
"""


@cache
def printed(disable_jit: str) -> str:
    root = Path(__file__).resolve().parents[1]
    environment = {**os.environ, "PYTHONPATH": str(root), "NUMBA_DISABLE_JIT": disable_jit}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], cwd=root, env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_same_answer_without_compiling() -> None:
    assert printed("1") == printed("0")
