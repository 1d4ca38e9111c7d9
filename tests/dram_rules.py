"""What a DRAM forbids, said a second time: plain Python, every pair of commands, nothing of the engine.

A trace is a list of (cycle, command, bank, row). `violations` gives the name of every rule that a trace breaks, with the
commands that break it. A bank that closes by itself after its last read or write (RDA, WRA) does so as early as a
precharge could, which is an entry of its own among the commands, of no command bus.
"""

from collections import Counter
from decimal import ROUND_CEILING, Decimal
from itertools import pairwise
from typing import NamedTuple

from arch.dram import DramTiming

ROW_COMMANDS = ("ACT", "PRE", "PREA", "REF", "REFpb", "REFsb")
CLOSING = {"RDA": "RD", "WRA": "WR"}  # reads and writes that close their row
COLUMN_COMMANDS = ("RD", "WR", *CLOSING)
ITSELF = "closes"  # the bank, without a command


class Issued(NamedTuple):
    cycle: int
    kind: str
    bank: int = -1
    row: int = -1


class Rules:
    """The distances of one device, as functions of two commands."""

    def __init__(self, timing: DramTiming) -> None:
        self.timing = timing
        self.cycles = {name.name: self._in_cycles(name.name) for name in timing.timings}
        value = self.cycles.get
        self.groups = timing.bank_groups
        self.read_latency = value("CL") + value("tDQSCK", 0)
        self.write_latency = value("CWL") + value("tDQSS", 0)
        self.burst = timing.burst_cycles
        collision = self.read_latency + self.burst - self.write_latency
        for name in ("tRCDRD", "tRCDWR"):
            self.cycles.setdefault(name, value("tRCD"))
        for suffix, _ in self._suffixes():
            self.cycles.setdefault(f"tCCD_{suffix}_WR", value(f"tCCD_{suffix}"))
        self.cycles.setdefault("tRC", value("tRAS") + value("tRP"))
        self.cycles.setdefault("tRP_ab", value("tRP"))
        self.cycles.setdefault("tRTW", max(1, collision + 2))
        self.cycles.setdefault("tRREFD", value("tRRD_L", value("tRRD_S")))
        self.cycles.setdefault("tPBR2PBR", self.cycles["tRREFD"])
        self.cycles.setdefault("tPPD", 0)
        self.by_pair: dict[tuple[str, str], list[tuple[str, str, int]]] = {}

    def _in_cycles(self, name: str) -> int:
        given = self.timing.given(name)
        assert given is not None
        exact = Decimal(repr(given.time_s or 0.0)) * Decimal(repr(self.timing.clock_hz))
        return max(int(exact.to_integral_value(ROUND_CEILING)), given.cycles or 0)

    def length(self, kind: str) -> int:
        lengths, kind = self.timing.command_cycles, CLOSING.get(kind, kind)
        if kind == "ACT":
            return lengths.activate
        if kind in ("PRE", "PREA"):
            return lengths.precharge
        if kind == "RD":
            return lengths.read
        return lengths.write if kind == "WR" else lengths.refresh

    def bus(self, kind: str) -> str:
        if kind == ITSELF:
            return "none"
        return "row" if self.timing.command_bus == "shared" or kind in ROW_COMMANDS else "column"

    def group(self, bank: int) -> int:
        return bank // self.timing.banks_per_group

    def distances(self, earlier: str, later: str) -> list[tuple[str, str, int]]:
        """(rule, where: bank, group, other bank or any, cycles) between two kinds of command."""
        key = (CLOSING.get(earlier, earlier), CLOSING.get(later, later))
        if key not in self.by_pair:
            self.by_pair[key] = self._distances(*key)
        return self.by_pair[key]

    def _distances(self, earlier: str, later: str) -> list[tuple[str, str, int]]:
        column = ("RD", "WR")
        if later == ITSELF:
            return []  # its cycle follows from the others
        if later in column:
            return self._before_column(earlier, later)
        if later in ("PRE", "PREA"):
            return self._before_precharge(earlier, "any" if later == "PREA" else "bank")
        return self._before_activate(earlier) if later == "ACT" else self._before_refresh(earlier, later)

    def _suffixes(self) -> list[tuple[str, str]]:
        return [("S", "any"), ("L", "group")] if self.groups > 1 else [("S", "any")]

    def _named(self, name: str, ending: str) -> str:
        """A timing that stands in for another bears the other's name unless the device gives it."""
        return name + ending if self.timing.given(name + ending) else name

    def _before_column(self, earlier: str, later: str) -> list[tuple[str, str, int]]:
        c = self.cycles
        match earlier, later:
            case "ACT", _:
                name = f"tRCD{later}"
                return [(name, "bank", c[name])]
            case "RD", "RD":
                return [(f"tCCD_{s}", where, c[f"tCCD_{s}"]) for s, where in self._suffixes()]
            case "WR", "WR":
                return [(self._named(f"tCCD_{s}", "_WR"), where, c[f"tCCD_{s}_WR"]) for s, where in self._suffixes()]
            case "RD", "WR":
                return [("tRTW", "any", c["tRTW"])]
            case "WR", "RD":
                last_beat = self.write_latency + self.burst
                return [(f"tWTR_{s}", where, last_beat + c[f"tWTR_{s}"]) for s, where in self._suffixes()]
        return []

    def _before_precharge(self, earlier: str, where: str) -> list[tuple[str, str, int]]:
        c = self.cycles
        match earlier:
            case "ACT":
                return [("tRAS", where, c["tRAS"])]
            case "RD":
                return [("tRTP", where, c["tRTP"])]
            case "WR":
                return [("tWR", where, self.write_latency + self.burst + c["tWR"])]
            case "PRE" | "PREA":
                return [("tPPD", "any", c["tPPD"])]
        return []

    def _before_activate(self, earlier: str) -> list[tuple[str, str, int]]:
        c = self.cycles
        match earlier:
            case "ACT":
                apart = [(f"tRRD_{s}", where, c[f"tRRD_{s}"]) for s, where in self._suffixes()]
                return [("tRC", "bank", c["tRC"]), *apart]
            case "PRE" | "closes":
                return [("tRP", "bank", c["tRP"])]
            case "PREA":
                return [("tRP_ab", "any", c["tRP_ab"])]
            case "REF":
                return [("tRFC", "any", c["tRFC"])]
            case "REFpb":
                return [("tRFC_pb", "bank", c["tRFC_pb"]), ("tRREFD", "any", c["tRREFD"])]
            case "REFsb":
                return [("tRFC_sb", "number", c["tRFC_sb"]), ("tRREFD", "any", c["tRREFD"])]
        return []

    def _before_refresh(self, earlier: str, later: str) -> list[tuple[str, str, int]]:
        c, where = self.cycles, {"REF": "any", "REFpb": "bank", "REFsb": "number"}[later]
        match earlier:
            case "ACT":
                return [("tRC", where, c["tRC"]), *self._activate_to_refresh(later)]
            case "PRE" | "closes":
                return [("tRP", where, c["tRP"])]
            case "PREA":
                return [("tRP_ab", "any", c["tRP_ab"])]
            case "REF":
                return [("tRFC", "any", c["tRFC"])]
        own = {"REFpb": "tRFC_pb", "REFsb": "tRFC_sb"}.get(earlier)
        if own is None:
            return []
        apart = "tPBR2PBR" if self.timing.given("tPBR2PBR") else "tRREFD"
        others = [] if later == "REF" else [(apart, "any", c["tPBR2PBR"])]
        return [(own, where, c[own]), *others]

    def _activate_to_refresh(self, later: str) -> list[tuple[str, str, int]]:
        """Refreshing some banks is apart from activates of others as activates are; REFsb has a bank in every group."""
        if later == "REF":
            return []
        reach = {"any": "any", "group": "any" if later == "REFsb" else "group"}
        return [(f"tRRD_{s}", reach[where], self.cycles[f"tRRD_{s}"]) for s, where in self._suffixes()]

    def concerns(self, where: str, earlier: int, later: int) -> bool:
        if where == "bank":
            return earlier == later
        if where == "number":
            return (earlier - later) % self.timing.banks_per_group == 0
        return where == "any" or self.group(earlier) == self.group(later)

    def needed(self, earlier: Issued, later: str, bank: int) -> list[tuple[str, int]]:
        """(rule, first cycle) that `earlier` leaves for a later command."""
        found = [
            (rule, earlier.cycle + cycles)
            for rule, where, cycles in self.distances(earlier.kind, later)
            if self.concerns(where, earlier.bank, bank)
        ]
        if self.bus(earlier.kind) == self.bus(later) != "none":
            found.append(("command bus", earlier.cycle + self.length(earlier.kind)))
        return found

    def closing(self, before: list[Issued], last: Issued) -> Issued:
        """When the bank of an RDA or WRA closes: tRAS after its activate, tRTP or tWR after the command."""
        since = [one for one in before if one.kind == "ACT" and one.bank == last.bank][-1:]
        ready = [
            one.cycle + cycles
            for one in (*since, last)
            for _, where, cycles in self.distances(one.kind, "PRE")
            if where == "bank"
        ]
        return Issued(max(ready), ITSELF, last.bank)

    def horizon(self) -> int:
        """No command reaches further than this."""
        longest = max(cycles for name, cycles in self.cycles.items() if name != "tREFI")
        return longest + self.write_latency + self.burst


def violations(rules: Rules, trace: list[Issued], with_rows: bool = True) -> list[tuple[str, Issued]]:
    """Every broken rule, with the later command; empty for a legal trace."""
    found = [*broken_distances(rules, trace), *broken_four_activates(rules, trace), *broken_data_bus(rules, trace)]
    return found + (broken_rows(rules, trace) if with_rows else [])


def broken_distances(rules: Rules, trace: list[Issued]) -> list[tuple[str, Issued]]:
    found = [("order", later) for earlier, later in pairwise(trace) if later.cycle < earlier.cycle]
    closings = [rules.closing(trace[:i], one) for i, one in enumerate(trace) if one.kind in CLOSING]
    trace, first = sorted([*trace, *closings], key=lambda one: one.cycle), 0
    for i, later in enumerate(trace):
        while trace[first].cycle + rules.horizon() < later.cycle:
            first += 1
        for earlier in trace[first:i]:
            needed = rules.needed(earlier, later.kind, later.bank)
            found += [(rule, later) for rule, cycle in needed if later.cycle < cycle]
    return found


def broken_four_activates(rules: Rules, trace: list[Issued]) -> list[tuple[str, Issued]]:
    acts = [command for command in trace if command.kind == "ACT"]
    limit = rules.cycles["tFAW"]
    return [("tFAW", b) for a, b in zip(acts, acts[4:], strict=False) if b.cycle - a.cycle < limit]


def broken_data_bus(rules: Rules, trace: list[Issued]) -> list[tuple[str, Issued]]:
    beats = []
    for command in trace:
        if command.kind in COLUMN_COMMANDS:
            latency = rules.read_latency if command.kind in ("RD", "RDA") else rules.write_latency
            beats.append((command.cycle + latency, command))
    beats.sort(key=lambda beat: beat[0])
    return [("data bus", b) for (a_at, _), (b_at, b) in pairwise(beats) if b_at < a_at + rules.burst]


def broken_rows(rules: Rules, trace: list[Issued]) -> list[tuple[str, Issued]]:
    """Reads and writes need their row open, activates a closed bank, refreshes closed ones."""
    found = []
    rows: dict[int, int] = {}
    for command in trace:
        fine = True
        match command.kind:
            case "ACT":
                fine = command.bank not in rows
                rows[command.bank] = command.row
            case "RD" | "WR" | "RDA" | "WRA":
                fine = rows.get(command.bank) == command.row
                if command.kind in CLOSING:
                    rows.pop(command.bank, None)
            case "PRE":
                fine = command.bank in rows
                rows.pop(command.bank, None)
            case "PREA":
                rows.clear()
            case "REF":
                fine = not rows
            case "REFpb":
                fine = command.bank not in rows
            case "REFsb":
                fine = not any(rules.concerns("number", bank, command.bank) for bank in rows)
        if not fine:
            found.append(("row state", command))
    return found


def refreshes_per_bank(rules: Rules, trace: list[Issued]) -> Counter[int]:
    counts: Counter[int] = Counter()
    for command in trace:
        if command.kind == "REF":
            counts.update(range(rules.timing.banks))
        elif command.kind == "REFpb":
            counts[command.bank] += 1
        elif command.kind == "REFsb":
            counts.update(range(command.bank, rules.timing.banks, rules.timing.banks_per_group))
    return counts
