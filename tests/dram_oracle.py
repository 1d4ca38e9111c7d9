"""The DRAM controller, cycle by cycle and slowly: scans the whole window and every earlier command at every cycle.

It shares the rules with the checker and nothing with the engine; command by command both must do the same.
"""

from typing import NamedTuple

from arch.dram import DramController
from tests.dram_rules import Issued, Rules

REFRESH, COLUMN, ROW = -1, 0, 1  # whose command goes first within a cycle


class Waiting(NamedTuple):
    arrival: int
    bank: int
    row: int
    is_write: bool
    number: int


class Candidate(NamedTuple):
    rank: tuple[int, int]
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
        self.refreshes = 0
        self.reach = rules.horizon()

    def issue_one(self, cycle: int) -> bool:
        while self.waiting and len(self.window) < self.controller.window and self.waiting[0].arrival <= cycle:
            self.window.append(self.waiting.pop(0))
        if not self.waiting and not self.window:
            return False
        legal = [one for one in self.candidates(cycle) if self.is_legal(one, cycle)]
        if not legal:
            return False
        chosen = min(legal)
        self.trace.append((Issued(cycle, chosen.kind, chosen.bank, chosen.row), chosen.number))
        self.apply(chosen)
        return True

    def turns(self) -> int:
        """Refreshes in a tREFI: one of all banks, or one for each bank, or one for each number of banks in a group."""
        timing = self.rules.timing
        return {"per-bank": timing.banks, "same-bank": timing.banks_per_group}.get(self.policy, 1)

    def due(self) -> int:
        return (self.refreshes + 1) * self.rules.cycles["tREFI"] // self.turns()

    def candidates(self, cycle: int) -> list[Candidate]:
        pending = self.policy != "none" and self.due() <= cycle
        if not pending:
            return self.of_requests(set())
        if self.policy == "all-bank":
            return [Candidate((REFRESH, 0), "PREA" if self.rows else "REF", -1, -1, -1)]
        first = self.refreshes % self.turns()
        banks = set(range(first, self.rules.timing.banks, self.turns()))
        closing = [
            Candidate((REFRESH, bank), "PRE", bank, self.rows[bank], -1) for bank in sorted(banks & set(self.rows))
        ]
        refresh = Candidate((REFRESH, first), "REFpb" if self.policy == "per-bank" else "REFsb", first, -1, -1)
        last = self.last_activate(cycle, closing, refresh)
        others = [one for one in self.of_requests(banks) if one.kind != "ACT" or cycle <= last]
        return [*(closing or [refresh]), *others]

    def last_activate(self, cycle: int, closing: list[Candidate], refresh: Candidate) -> int:
        """The last cycle in which an activate of another bank does not delay the refresh."""
        cycles = self.rules.cycles
        apart = max(cycles["tRRD_S"], cycles.get("tRRD_L", 0))
        if closing:
            return min(self.first_legal(one, cycle) for one in closing) + cycles["tRP"] - apart
        return self.first_legal(refresh, cycle) - apart

    def first_legal(self, one: Candidate, cycle: int) -> int:
        needed = [first for earlier, _ in self.trace for _, first in self.rules.needed(earlier, one.kind, one.bank)]
        return max([cycle, *needed])

    def of_requests(self, skipped: set[int]) -> list[Candidate]:
        found = []
        for bank in {one.bank for one in self.window} - skipped:
            queue = [one for one in self.window if one.bank == bank]
            hits = [one for one in queue if self.rows.get(bank) == one.row]
            oldest = queue[0]
            if hits:
                for direction in (False, True):
                    mine = [one for one in hits if one.is_write == direction]
                    if mine:
                        kind = "WR" if direction else "RD"
                        found.append(Candidate((COLUMN, mine[0].number), kind, bank, mine[0].row, mine[0].number))
            elif bank in self.rows:
                found.append(Candidate((ROW, oldest.number), "PRE", bank, self.rows[bank], oldest.number))
            else:
                found.append(Candidate((ROW, oldest.number), "ACT", bank, oldest.row, oldest.number))
        return found

    def is_legal(self, one: Candidate, cycle: int) -> bool:
        if one.kind == "ACT":
            acts = [command.cycle for command, _ in self.trace if command.kind == "ACT"]
            if len(acts) >= 4 and cycle < acts[-4] + self.rules.cycles["tFAW"]:
                return False
        for earlier, _ in reversed(self.trace):
            if earlier.cycle + self.reach < cycle:
                break
            if any(cycle < first for _, first in self.rules.needed(earlier, one.kind, one.bank)):
                return False
        return True

    def apply(self, one: Candidate) -> None:
        match one.kind:
            case "ACT":
                self.rows[one.bank] = one.row
            case "PRE":
                del self.rows[one.bank]
            case "PREA":
                self.rows.clear()
            case "REF" | "REFpb" | "REFsb":
                self.refreshes += 1
            case _:
                self.window = [waiting for waiting in self.window if waiting.number != one.number]
