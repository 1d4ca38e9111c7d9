"""A DRAM's timings as tables for the engine: which command delays which, where, for how long, and under what name.

This is the one place that says what a JEDEC timing means as a distance between commands. With RL and WL the latencies
of data and BL the cycles of a burst, a write's tWR and tWTR start at its last beat, WL + BL after the command.
"""

import re
from typing import NamedTuple

import numpy as np

from arch.dram import DramController, DramTiming
from arch.names import nearest
from sim.engine.dram.columns import (
    ACT,
    BANK,
    BANKS,
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
    REFRESH,
    REFRESH_ALL,
    REFRESH_BANK,
    REFRESH_CYCLES,
    SETTINGS,
    WINDOW,
    WRITE,
    WRITE_DONE,
)

FIELDS = ("channel", "group", "bank", "row", "column")
_PART = re.compile(r"([a-z]+)(?:=(\d+))?")
_REFRESH = {"none": NO_REFRESH, "all-bank": REFRESH_ALL, "per-bank": REFRESH_BANK}

Constraint = tuple[int, int, int, int, str]  # earlier command, later command, scope, cycles, timing


class DramTables(NamedTuple):
    """What the engine reads: constraints: i8[constraint, 4]; spans: i8[kind + 1]; settings: i8[...] (dram_columns)."""

    constraints: np.ndarray
    spans: np.ndarray
    settings: np.ndarray


def lower_dram(timing: DramTiming, controller: DramController) -> DramTables:
    """Tables of one channel; ValueError for a refresh that the device does not have, or that leaves no time to work."""
    _check_refresh(timing, controller)
    rows = sorted(_longest(constraints_of(timing)))
    table = np.array([(later, scope, cycles, CAUSES.index(name)) for _, later, scope, cycles, name in rows], np.int64)
    spans = np.searchsorted([row[0] for row in rows], np.arange(KINDS + 1)).astype(np.int64)
    settings = np.zeros(SETTINGS, np.int64)
    settings[[BANKS, GROUPS, WINDOW]] = timing.banks, timing.bank_groups, controller.window
    settings[READ_DONE] = timing.read_latency_cycles + timing.burst_cycles
    settings[WRITE_DONE] = timing.write_latency_cycles + timing.burst_cycles
    settings[REFRESH] = _REFRESH[controller.refresh]
    settings[REFRESH_CYCLES] = timing.cycles_of("tREFI")
    lengths = timing.command_cycles
    by_kind = {ACT: lengths.activate, PRE: lengths.precharge, PRE_ALL: lengths.precharge}
    by_kind |= {READ: lengths.read, WRITE: lengths.write, REF_ALL: lengths.refresh, REF_BANK: lengths.refresh}
    for kind in range(KINDS):
        settings[LENGTH_OF + kind] = by_kind[kind]
        settings[BUS_OF + kind] = int(timing.command_bus == "split" and kind in (READ, WRITE))
    return DramTables(table, spans, settings)


def _check_refresh(timing: DramTiming, controller: DramController) -> None:
    """Requests must get through between refreshes, however late one refresh is and however long it takes."""
    if controller.refresh == "none":
        return
    if controller.refresh == "per-bank" and timing.given("tRFC_pb") is None:
        raise ValueError(f"'{timing.name}' has no refresh of single banks: give it tRFC_pb, or refresh all-bank")
    at = timing.cycles_of
    wrote = timing.write_latency_cycles + timing.burst_cycles + at("tWR")
    late = max(at("tRAS"), at("tRTP"), wrote) + max(at("tRP"), at("tRP_ab"), at("tRC")) + at("tPPD")
    banks = timing.banks if controller.refresh == "per-bank" else 1
    busy = at("tRREFD") + at("tRFC_pb") // banks if controller.refresh == "per-bank" else at("tRFC")
    if at("tREFI") < 2 * banks * (late + busy):
        raise ValueError(
            f"'{timing.name}' has to refresh every {at('tREFI') // banks} cycles, and one refresh may hold requests up "
            f"for {late + busy}: expected at most half of the time"
        )


def constraints_of(timing: DramTiming) -> list[Constraint]:
    """Every distance that the device asks for."""
    return [*_row_constraints(timing), *_column_constraints(timing), *_refresh_constraints(timing)]


def _row_constraints(timing: DramTiming) -> list[Constraint]:
    at = timing.cycles_of
    wrote = timing.write_latency_cycles + timing.burst_cycles
    found = [
        (ACT, READ, BANK, at("tRCD"), "tRCD"),
        (ACT, WRITE, BANK, at("tRCD"), "tRCD"),
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
        found += [
            (READ, READ, scope, at(f"tCCD{suffix}"), f"tCCD{suffix}"),
            (WRITE, WRITE, scope, at(f"tCCD{suffix}"), f"tCCD{suffix}"),
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
    if timing.given("tRFC_pb") is None:
        return found
    found += [
        (ACT, REF_BANK, BANK, at("tRC"), "tRC"),
        (ACT, REF_BANK, CHANNEL, at("tRREFD"), "tRREFD"),
        (PRE, REF_BANK, BANK, at("tRP"), "tRP"),
        (PRE_ALL, REF_BANK, CHANNEL, at("tRP_ab"), "tRP_ab"),
        (REF_BANK, ACT, BANK, at("tRFC_pb"), "tRFC_pb"),
        (REF_BANK, REF_BANK, BANK, at("tRFC_pb"), "tRFC_pb"),
        (REF_BANK, REF_ALL, CHANNEL, at("tRFC_pb"), "tRFC_pb"),
        (REF_BANK, ACT, CHANNEL, at("tRREFD"), "tRREFD"),
        (REF_BANK, REF_BANK, CHANNEL, at("tRREFD"), "tRREFD"),
        (REF_ALL, REF_BANK, CHANNEL, at("tRFC"), "tRFC"),
    ]
    return found


def _longest(constraints: list[Constraint]) -> list[Constraint]:
    """Of several distances between the same commands in one place the longest; those of no cycles are dropped."""
    longest: dict[tuple[int, int, int], Constraint] = {}
    for constraint in constraints:
        earlier, later, scope, cycles, _ = constraint
        known = longest.get((earlier, later, scope))
        if cycles > 0 and (known is None or cycles > known[3]):
            longest[earlier, later, scope] = constraint
    return list(longest.values())


def address_parts(timing: DramTiming, mapping: str) -> np.ndarray:
    """The mapping as i8[part, (field, stride, size, weight)], for `engine.dram_address`; ValueError if it is wrong."""
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
    """Field and declared size, 0 where none is declared."""
    match = _PART.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"mapping '{mapping}': expected a field such as 'row' or 'column=4', got '{text}'")
    if match.group(1) not in FIELDS:
        raise ValueError(f"mapping '{mapping}': unknown field '{match.group(1)}'{nearest(match.group(1), FIELDS)}")
    size = int(match.group(2)) if match.group(2) else 0
    if match.group(2) and size == 0:
        raise ValueError(f"mapping '{mapping}': expected a size of at least 1, got '{text}'")
    return match.group(1), size
