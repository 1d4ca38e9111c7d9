"""A DRAM's timings as tables for the engine: which command delays which, where, for how long, and by which timing.

Only this module defines what a JEDEC timing means as a distance between commands. With RL and WL the latencies of data
and BL the cycles of a burst, a write's tWR and tWTR start at its last beat, WL + BL after the command.
"""

import re
from typing import NamedTuple

import numpy as np

from arch.dram import REFRESH_TIMINGS, DramController, DramTiming
from einsums.names import nearest
from sim.engine.dram.columns import (
    ACT,
    BANK,
    BANKS,
    BEFORE_CLOSING,
    BEFORE_REFRESH,
    BUS_OF,
    CAUSES,
    CHANNEL,
    FOUR_ACTIVATES,
    GROUP,
    GROUPS,
    KINDS,
    LENGTH_OF,
    NO_REFRESH,
    PRE,
    PRE_ALL,
    READ,
    READ_DONE,
    REF_ALL,
    REF_BANK,
    REF_SAME,
    REFRESH,
    REFRESH_CYCLES,
    SAME_BANKS,
    SETTINGS,
    SHARES,
    WINDOW,
    WRITE,
    WRITE_DONE,
    YIELDS,
)

FIELDS = ("channel", "group", "bank", "row", "column")
_PART = re.compile(r"([a-z]+)(?:=(\d+))?")
_REFRESH = {"none": NO_REFRESH, "all-bank": REF_ALL, "per-bank": REF_BANK, "same-bank": REF_SAME}

Constraint = tuple[int, int, int, int, str]  # earlier command, later command, scope, cycles, timing


class DramTables(NamedTuple):
    """The engine's input: constraints: i8[constraint, 4]; spans: i8[kind + 1]; settings: i8[...] (see `columns`)."""

    constraints: np.ndarray
    spans: np.ndarray
    settings: np.ndarray


def lower_dram(timing: DramTiming, controller: DramController) -> DramTables:
    """Tables of one channel; ValueError for a refresh that the device lacks or that leaves no time for requests."""
    policy = controller.refresh or timing.refresh
    _check_refresh(timing, policy)
    rows = sorted(_longest(constraints_of(timing)))
    table = np.array([(later, scope, cycles, CAUSES.index(name)) for _, later, scope, cycles, name in rows], np.int64)
    spans = np.searchsorted([row[0] for row in rows], np.arange(KINDS + 1)).astype(np.int64)
    settings = np.zeros(SETTINGS, np.int64)
    settings[[BANKS, GROUPS, WINDOW]] = timing.banks, timing.bank_groups, controller.window
    settings[READ_DONE] = timing.read_latency_cycles + timing.burst_cycles
    settings[WRITE_DONE] = timing.write_latency_cycles + timing.burst_cycles
    settings[REFRESH], settings[SHARES] = _REFRESH[policy], _shares(timing, policy)
    settings[REFRESH_CYCLES] = timing.cycles_of("tREFI")
    # A refresh waits for activates as an activate does, and for its banks to close.
    apart = max(timing.cycles_of(name) for name in ("tRRD_S", "tRRD_L") if timing.given(name))
    settings[BEFORE_REFRESH], settings[BEFORE_CLOSING] = apart, apart - timing.cycles_of("tRP")
    lengths = timing.command_cycles
    by_kind = {ACT: lengths.activate, PRE: lengths.precharge, PRE_ALL: lengths.precharge}
    by_kind |= {READ: lengths.read, WRITE: lengths.write}
    by_kind |= {REF_ALL: lengths.refresh, REF_BANK: lengths.refresh, REF_SAME: lengths.refresh}
    split = timing.command_bus == "split"
    for kind in range(KINDS):
        settings[LENGTH_OF + kind] = by_kind[kind]
        settings[BUS_OF + kind] = int(split and kind in (READ, WRITE))
        settings[YIELDS + kind] = by_kind[kind] - 1 if kind in (READ, WRITE) and not split else 0
    return DramTables(table, spans, settings)


def _shares(timing: DramTiming, policy: str) -> int:
    """Refreshes in each tREFI, of all banks together."""
    return {"per-bank": timing.banks, "same-bank": timing.banks_per_group}.get(policy, 1)


def _check_refresh(timing: DramTiming, policy: str) -> None:
    """Check that requests get through between refreshes, however late a refresh is and however long it takes."""
    if policy == "none":
        return
    needed = REFRESH_TIMINGS.get(policy)
    if needed is not None and timing.given(needed) is None:
        what = {"per-bank": "single banks", "same-bank": "the same bank of every group"}[policy]
        raise ValueError(f"'{timing.name}' has no refresh of {what}: give it {needed}, or refresh all-bank")
    at, shares = timing.cycles_of, _shares(timing, policy)
    wrote = timing.write_latency_cycles + timing.burst_cycles + at("tWR")
    # An activate or a column command just before the refresh is due keeps its row open, and the row closes after that.
    late = max(at("tRC"), max(at("tRAS"), at("tRTP"), wrote) + max(at("tRP"), at("tRP_ab")))
    # Banks that are refreshed together are closed one after the other.
    late += (1 if needed is None else timing.banks // shares) * max(at("tPPD"), timing.command_cycles.precharge)
    busy = at("tRFC") if needed is None else at("tRREFD") + at(needed) // shares
    every = f"'{timing.name}' has to refresh every {at('tREFI') // shares} cycles"
    if needed is not None and at("tREFI") < shares * at("tPBR2PBR"):
        raise ValueError(f"{every}, but its refreshes are {at('tPBR2PBR')} apart")
    if at("tREFI") < 2 * shares * (late + busy):
        raise ValueError(
            f"{every}, and one refresh may hold requests up for {late + busy}: expected at most half of the time"
        )


def constraints_of(timing: DramTiming) -> list[Constraint]:
    """Every distance that the device requires."""
    return [*_row_constraints(timing), *_column_constraints(timing), *_refresh_constraints(timing)]


def _row_constraints(timing: DramTiming) -> list[Constraint]:
    at = timing.cycles_of
    wrote = timing.write_latency_cycles + timing.burst_cycles
    found = [
        (ACT, READ, BANK, at("tRCDRD"), "tRCDRD"),
        (ACT, WRITE, BANK, at("tRCDWR"), "tRCDWR"),
        (ACT, ACT, BANK, at("tRC"), "tRC"),
        (ACT, ACT, CHANNEL, at("tRRD_S"), "tRRD_S"),
        (ACT, ACT, FOUR_ACTIVATES, at("tFAW"), "tFAW"),
        (PRE, ACT, BANK, at("tRP"), "tRP"),
        (PRE_ALL, ACT, CHANNEL, at("tRP_ab"), "tRP_ab"),
    ]
    if timing.bank_groups > 1:
        found.append((ACT, ACT, GROUP, at("tRRD_L"), "tRRD_L"))
    # A precharge of all banks waits for every bank, and so for any earlier command of the channel.
    for kind, scope in ((PRE, BANK), (PRE_ALL, CHANNEL)):
        found += [
            (ACT, kind, scope, at("tRAS"), "tRAS"),
            (READ, kind, scope, at("tRTP"), "tRTP"),
            (WRITE, kind, scope, wrote + at("tWR"), "tWR"),
            (PRE, kind, CHANNEL, at("tPPD"), "tPPD"),
            (PRE_ALL, kind, CHANNEL, at("tPPD"), "tPPD"),
        ]
    return found


def _column_constraints(timing: DramTiming) -> list[Constraint]:
    at = timing.cycles_of
    wrote = timing.write_latency_cycles + timing.burst_cycles
    scopes = ((CHANNEL, "_S"), (GROUP, "_L")) if timing.bank_groups > 1 else ((CHANNEL, "_S"),)
    found = [(READ, WRITE, CHANNEL, at("tRTW"), "tRTW")]
    for scope, suffix in scopes:
        written = f"tCCD{suffix}_WR" if timing.given(f"tCCD{suffix}_WR") else f"tCCD{suffix}"
        found += [
            (READ, READ, scope, at(f"tCCD{suffix}"), f"tCCD{suffix}"),
            (WRITE, WRITE, scope, at(written), written),
            (WRITE, READ, scope, wrote + at(f"tWTR{suffix}"), f"tWTR{suffix}"),
        ]
    return found


def _refresh_constraints(timing: DramTiming) -> list[Constraint]:
    at = timing.cycles_of
    found = [
        (ACT, REF_ALL, CHANNEL, at("tRC"), "tRC"),
        (PRE, REF_ALL, CHANNEL, at("tRP"), "tRP"),
        (PRE_ALL, REF_ALL, CHANNEL, at("tRP_ab"), "tRP_ab"),
        (REF_ALL, ACT, CHANNEL, at("tRFC"), "tRFC"),
        (REF_ALL, REF_ALL, CHANNEL, at("tRFC"), "tRFC"),
    ]
    for kind, where, name in ((REF_BANK, BANK, "tRFC_pb"), (REF_SAME, SAME_BANKS, "tRFC_sb")):
        if timing.given(name):
            found += _partial_refresh_constraints(timing, kind, where, name)
    return found


def _partial_refresh_constraints(timing: DramTiming, kind: int, where: int, name: str) -> list[Constraint]:
    """For a refresh of some banks, located `where`: to other banks it counts as an activate that they wait for."""
    at = timing.cycles_of
    apart = "tPBR2PBR" if timing.given("tPBR2PBR") else "tRREFD"
    found = [
        (ACT, kind, BANK, at("tRC"), "tRC"),
        (ACT, kind, CHANNEL, at("tRRD_S"), "tRRD_S"),
        (PRE, kind, BANK, at("tRP"), "tRP"),
        (PRE_ALL, kind, CHANNEL, at("tRP_ab"), "tRP_ab"),
        (kind, ACT, where, at(name), name),
        (kind, ACT, CHANNEL, at("tRREFD"), "tRREFD"),
        (kind, REF_ALL, CHANNEL, at(name), name),
        (REF_ALL, kind, CHANNEL, at("tRFC"), "tRFC"),
        (kind, kind, where, at(name), name),
        (kind, kind, CHANNEL, at(apart), apart),
    ]
    if timing.bank_groups > 1:
        # The same bank of every group includes one of the group of any activate.
        found.append((ACT, kind, GROUP if where == BANK else CHANNEL, at("tRRD_L"), "tRRD_L"))
    return found


def _longest(constraints: list[Constraint]) -> list[Constraint]:
    """The longest of several distances between the same commands in one place; distances of zero are dropped."""
    longest: dict[tuple[int, int, int], Constraint] = {}
    for constraint in constraints:
        earlier, later, scope, cycles, _ = constraint
        known = longest.get((earlier, later, scope))
        if cycles > 0 and (known is None or cycles > known[3]):
            longest[earlier, later, scope] = constraint
    return list(longest.values())


def address_parts(timing: DramTiming, mapping: str) -> np.ndarray:
    """The mapping as i8[part, (field, stride, size, weight)], for `engine.dram.address`; ValueError if it is wrong."""
    sizes = dict(zip(FIELDS, _sizes(timing), strict=True))
    parts = [_parse_part(text, mapping) for text in reversed(mapping.split(":"))]
    given = dict.fromkeys(FIELDS, 1)
    for field, size in parts:
        given[field] *= size or 1
    table, stride = [], 1
    weight = dict.fromkeys(FIELDS, 1)
    for field, declared in parts:
        size = declared or sizes[field] // given[field]
        table.append((FIELDS.index(field), stride, size, weight[field]))
        stride *= size
        weight[field] *= size
    for field in FIELDS:
        if weight[field] != sizes[field]:
            found, wanted = weight[field], sizes[field]
            raise ValueError(f"mapping '{mapping}' has {found} of {field}, but '{timing.name}' has {wanted}")
    return np.array(table, np.int64)


def _sizes(timing: DramTiming) -> tuple[int, ...]:
    return timing.interfaces, timing.bank_groups, timing.banks_per_group, timing.rows, timing.columns


def _parse_part(text: str, mapping: str) -> tuple[str, int]:
    """Field and declared size, 0 if none is declared."""
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"mapping '{mapping}': expected a field such as 'row' or 'column=4', got '{text}'")
    if match.group(1) not in FIELDS:
        raise ValueError(f"mapping '{mapping}': unknown field '{match.group(1)}'{nearest(match.group(1), FIELDS)}")
    size = int(match.group(2)) if match.group(2) else 0
    if match.group(2) and size == 0:
        raise ValueError(f"mapping '{mapping}': expected a size of at least 1, got '{text}'")
    return match.group(1), size
