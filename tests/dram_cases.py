"""Devices and request lists for the DRAM tests, all from a seed."""

from functools import cache
from typing import Any

import numpy as np

from arch.dram import DramController, DramTiming
from sim.dram.requests import DramResult
from sim.load.nouns import load_dram
from tests.dram_oracle import Waiting
from tests.dram_rules import COLUMN_COMMANDS, Issued

PRESETS = (
    "ddr4-3200", "ddr5-6400", "gddr6-14000", "hbm2-2000", "hbm2e-3200", "hbm3-6400", "hbm3e-9200", "hbm4-8000",
    "lpddr4-3200", "lpddr5-6400", "lpddr5x-8533",
)  # fmt: skip


def changed(timing: DramTiming, top: dict[str, Any] | None = None, **cycles: int | None) -> DramTiming:
    """The device with other values, timings in cycles (None: not given), validated again."""
    data = timing.model_dump()
    kept = {one["name"]: one for one in data["timings"]}
    for name, value in cycles.items():
        kept.pop(name, None)
        if value is not None:
            kept[name] = {"name": name, "cycles": value, "source": "test"}
    return DramTiming.model_validate(data | (top or {}) | {"timings": list(kept.values())})


@cache
def one_bus(name: str) -> DramTiming:
    """A preset with one data bus."""
    return changed(load_dram(name), {"channels": 1, "pseudo_channels": 1})


def giving(timing: DramTiming, rule: str) -> DramTiming:
    """The device with that timing given; where it already is, the device itself."""
    if timing.given(rule):
        return timing
    others: dict[str, int | None] = {
        "tRFC_pb": {"tRFC_sb": None},
        "tRFC_sb": {"tRFC_pb": None},
        "tRCDRD": {"tRCD": None, "tRCDWR": timing.cycles_of("tRCDWR")},
        "tRCDWR": {"tRCD": None, "tRCDRD": timing.cycles_of("tRCDRD")},
    }.get(rule, {})
    own = {"tRFC_pb": 100, "tRFC_sb": 100, "tRP_ab": timing.cycles_of("tRP") + 3, "tPBR2PBR": 60}
    if rule not in own:
        own[rule] = timing.cycles_of(rule) + (3 if rule.endswith("_WR") else 0)
    if rule == "tCCD_S_WR" and timing.bank_groups > 1:
        others["tCCD_L_WR"] = timing.cycles_of("tCCD_L_WR") + 3
    return changed(timing, **others, **{rule: own[rule]})


def random_device(seed: int) -> DramTiming:
    """Small odd timings, so that short traces meet every one of them."""
    rng = np.random.default_rng(seed)

    def some(low: int, high: int) -> int:
        return int(rng.integers(low, high + 1))

    burst, rcd, ccd = some(1, 4), some(2, 9), 0
    ccd = burst + some(0, 2)
    rrd, wtr = some(1, 5), some(1, 5)
    cycles = {
        "CL": some(2, 9),
        "CWL": some(1, 7),
        "tRCD": rcd,
        "tRP": some(2, 9),
        "tRAS": rcd + some(0, 12),
        "tRRD_S": rrd,
        "tCCD_S": ccd,
        "tFAW": some(4, 30),
        "tWR": some(1, 9),
        "tRTP": some(1, 7),
        "tWTR_S": wtr,
        "tREFI": some(500, 900),
        "tRFC": some(10, 60),
        str(rng.choice(["tRFC_pb", "tRFC_sb"])): some(5, 30),
    }
    if rng.random() < 0.5:
        cycles |= {"tRREFD": some(1, 8), "tRP_ab": cycles["tRP"] + some(0, 4), "tPPD": some(0, 4)}
    if rng.random() < 0.5:
        del cycles["tRCD"]
        cycles |= {"tRCDRD": rcd, "tRCDWR": some(1, rcd)}
        cycles |= {"tPBR2PBR": some(1, 12), "tCCD_S_WR": ccd + some(0, 3)}
    if rng.random() < 0.5:
        cycles |= {"tDQSCK": some(0, 3), "tDQSS": some(0, 2), "tRC": cycles["tRAS"] + cycles["tRP"] + some(0, 6)}
    groups, banks = int(rng.choice([1, 2, 4])), int(rng.choice([1, 2, 4]))
    cycles["tREFI"] = max(cycles["tREFI"], 150 * groups * banks)  # refreshes of single banks leave time to work
    if groups > 1:
        cycles |= {"tRRD_L": rrd + some(0, 3), "tCCD_L": ccd + some(0, 3), "tWTR_L": wtr + some(0, 3)}
        if rng.random() < 0.5:
            cycles["tCCD_L_WR"] = max(cycles["tCCD_L"], cycles.get("tCCD_S_WR", 0)) + some(0, 4)
        elif "tCCD_S_WR" in cycles:
            cycles["tCCD_S_WR"] = min(cycles["tCCD_S_WR"], cycles["tCCD_L"])
    lengths = {kind: some(1, 3) for kind in ("activate", "precharge", "read", "write", "refresh")}
    return DramTiming.model_validate(
        {
            "name": f"device{seed}",
            "standard": "none",
            "clock": "1 GHz",
            "channels": 1,
            "bank_groups": groups,
            "banks_per_group": banks,
            "rows": 8,
            "row": "256 B",
            "burst": "32 B",
            "burst_cycles": burst,
            "command_bus": str(rng.choice(["shared", "split"])),
            "command_cycles": lengths,
            "refresh": str(rng.choice(["all-bank", "per-bank" if "tRFC_pb" in cycles else "same-bank", "none"])),
            "timings": {name: {"cycles": value, "source": "test"} for name, value in cycles.items()},
            "source": "test",
        }
    )


def random_controller(seed: int) -> DramController:
    """Of any window, refreshing as the device's file says."""
    rng = np.random.default_rng([seed, 1])
    return DramController(window=int(rng.choice([1, 2, 3, 8, 16, 32])), keep_trace=True)


def random_requests(timing: DramTiming, seed: int, number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Addresses, writes, arrivals: local or scattered, mixed or not, at once, paced or in bursts with pauses."""
    rng = np.random.default_rng([seed, 2])
    span = int(timing.capacity_bytes * rng.choice([1.0, 0.1, 0.02]))
    addresses = rng.integers(0, max(32, span), number)
    if rng.random() < 0.4:
        addresses = (addresses[0] + 32 * np.arange(number)) % timing.capacity_bytes
    writes = rng.random(number) < rng.choice([0.0, 0.3, 0.5, 1.0])
    gaps = rng.integers(0, 12, number) * (rng.random(number) < rng.choice([0.0, 0.5, 1.0]))
    gaps[rng.integers(0, number)] += int(rng.choice([0, 0, 1500]))
    return addresses, writes, np.cumsum(gaps)


def trace_of(result: DramResult, channel: int = 0) -> list[Issued]:
    return [Issued(c.cycle, c.kind, c.bank, c.row) for c in result.commands(channel)]


def waiting_of(result: DramResult, writes: np.ndarray, arrivals: np.ndarray) -> list[Waiting]:
    """The requests as the oracle takes them; bank and row are those that the trace served them in."""
    served = {c.request: c for c in result.commands() if c.kind in COLUMN_COMMANDS}
    return [Waiting(int(arrivals[i]), served[i].bank, served[i].row, bool(writes[i]), i) for i in range(len(writes))]
