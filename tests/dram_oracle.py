"""The DRAM controller, cycle by cycle and slowly: scans the whole window and every earlier command at every cycle.

It shares the rules with the checker and nothing with the engine; command by command both must do the same.
"""

from typing import NamedTuple

from arch.dram import DramController
from tests.dram_rules import CLOSING, COLUMN_COMMANDS, Issued, Rules

REFRESH, DATA_BUS_WAITS, ROW, DATA_BUS_IDLE = -1, 0, 1, 2  # whose command goes first


class Waiting(NamedTuple):
    arrival: int
    bank: int
    row: int
    is_write: bool
    number: int


class Candidate(NamedTuple):
    turn: int  # the cycle from which on it is to be issued, before others
    rank: tuple[int, int]
    legal: int  # the first cycle in which it may be
    kind: str
    bank: int
    row: int
    number: int


def run(rules: Rules, controller: DramController, requests: list[Waiting]) -> list[tuple[Issued, int]]:
    """Commands in order, each with the number of its request (-1: none)."""
    channel = Channel(rules, controller, list(requests))
    cycle = 0
    while channel.waiting or channel.window:
        while channel.issue_one(cycle):
            pass
        cycle += 1
    return channel.trace


class Channel:
    def __init__(self, rules: Rules, controller: DramController, waiting: list[Waiting]) -> None:
        self.rules, self.controller, self.waiting = rules, controller, waiting
        self.policy = controller.refresh or rules.timing.refresh
        self.window: list[Waiting] = []
        self.rows: dict[int, int] = {}
        self.trace: list[tuple[Issued, int]] = []
        self.closings: list[Issued] = []
        self.refreshes = 0
        self.reach = rules.horizon()

    def issue_one(self, cycle: int) -> bool:
        while self.waiting and len(self.window) < self.controller.window and self.waiting[0].arrival <= cycle:
            self.window.append(self.waiting.pop(0))
        if not self.waiting and not self.window:
            return False
        chosen = self.choose(cycle)
        if chosen is None or chosen.legal > cycle:
            return False
        kind = chosen.kind
        if kind in CLOSING.values() and self.is_last(chosen):
            kind += "A"
        issued = Issued(cycle, kind, chosen.bank, chosen.row)
        if kind in CLOSING:
            self.closings.append(self.rules.closing([command for command, _ in self.trace], issued))
        self.trace.append((issued, chosen.number))
        self.apply(issued, chosen.number)
        return True

    def choose(self, cycle: int) -> Candidate | None:
        """The next command, which may have to wait: a refresh that is due unless another one is legal before it."""
        if self.policy == "none" or self.due() > cycle:
            return min(self.of_requests(set(), cycle), default=None)
        first = self.refreshes % self.turns()
        banks = set(range(first, self.rules.timing.banks, self.turns()))
        if self.policy == "all-bank":
            return self.refresh("PREA" if self.rows else "REF", -1, -1, cycle)
        closing = [self.refresh("PRE", bank, self.rows[bank], cycle) for bank in sorted(banks & set(self.rows))]
        refresh = min(closing or [self.refresh("REFpb" if self.policy == "per-bank" else "REFsb", first, -1, cycle)])
        last = self.last_activate(refresh)
        others = [one for one in self.of_requests(banks, cycle) if one.kind != "ACT" or one.legal <= last]
        other = min(others, default=None)
        return other if other is not None and other.legal < refresh.legal else refresh

    def refresh(self, kind: str, bank: int, row: int, cycle: int) -> Candidate:
        legal = self.first_legal(kind, bank, cycle)
        return Candidate(legal, (REFRESH, bank), legal, kind, bank, row, -1)

    def turns(self) -> int:
        """Refreshes in a tREFI: one of all banks, or one for each bank, or one for each number of banks in a group."""
        timing = self.rules.timing
        return {"per-bank": timing.banks, "same-bank": timing.banks_per_group}.get(self.policy, 1)

    def due(self) -> int:
        return (self.refreshes + 1) * self.rules.cycles["tREFI"] // self.turns()

    def last_activate(self, refresh: Candidate) -> int:
        """The last cycle in which an activate of another bank does not delay the refresh."""
        cycles = self.rules.cycles
        apart = max(cycles["tRRD_S"], cycles.get("tRRD_L", 0))
        return refresh.legal - apart + (cycles["tRP"] if refresh.kind == "PRE" else 0)

    def of_requests(self, skipped: set[int], cycle: int) -> list[Candidate]:
        """Of each bank the read or write of its open row that is legal first, or its precharge, or its activate."""
        found = []
        for bank in {one.bank for one in self.window} - skipped:
            queue = [one for one in self.window if one.bank == bank]
            hits = [one for one in queue if self.rows.get(bank) == one.row]
            oldest = queue[0]
            if hits:
                columns = [self.column(one, cycle) for one in hits]
                found.append(min(columns, key=lambda one: (one.legal, one.number)))
                continue
            kind, row = ("PRE", self.rows[bank]) if bank in self.rows else ("ACT", oldest.row)
            legal = self.first_legal(kind, bank, cycle)
            found.append(Candidate(legal, (ROW, oldest.number), legal, kind, bank, row, oldest.number))
        return found

    def column(self, one: Waiting, cycle: int) -> Candidate:
        """A read or write; where the data bus has not kept it waiting, the pins are rather for row commands."""
        kind = "WR" if one.is_write else "RD"
        legal = self.first_legal(kind, one.bank, cycle)
        needed = {"bank": [0], "data bus": [0]}
        for earlier, _ in self.trace:
            for _, where, cycles in self.rules.distances(earlier.kind, kind):
                if self.rules.concerns(where, earlier.bank, one.bank):
                    needed["bank" if where == "bank" else "data bus"].append(earlier.cycle + cycles)
        if max(needed["bank"]) < max(needed["data bus"]):
            return Candidate(legal, (DATA_BUS_WAITS, one.number), legal, kind, one.bank, one.row, one.number)
        shared = self.rules.timing.command_bus == "shared"
        turn = legal + (self.rules.length(kind) - 1 if shared else 0)
        return Candidate(turn, (DATA_BUS_IDLE, one.number), legal, kind, one.bank, one.row, one.number)

    def is_last(self, chosen: Candidate) -> bool:
        """No other request wants the open row of the bank, and one wants another."""
        others = [one for one in self.window if one.bank == chosen.bank and one.number != chosen.number]
        return bool(others) and all(one.row != chosen.row for one in others)

    def first_legal(self, kind: str, bank: int, cycle: int) -> int:
        found = cycle
        if kind == "ACT":
            acts = [command.cycle for command, _ in self.trace if command.kind == "ACT"]
            found = max(found, acts[-4] + self.rules.cycles["tFAW"]) if len(acts) >= 4 else found
        recent = [command for command, _ in self.trace if command.cycle + self.reach >= cycle]
        needed = [first for one in (*recent, *self.closings) for _, first in self.rules.needed(one, kind, bank)]
        return max([found, *needed])

    def apply(self, issued: Issued, number: int) -> None:
        match issued.kind:
            case "ACT":
                self.rows[issued.bank] = issued.row
            case "PRE":
                del self.rows[issued.bank]
            case "PREA":
                self.rows.clear()
            case "REF" | "REFpb" | "REFsb":
                self.refreshes += 1
        if issued.kind in CLOSING:
            del self.rows[issued.bank]
        if issued.kind in COLUMN_COMMANDS:
            self.window = [waiting for waiting in self.window if waiting.number != number]
