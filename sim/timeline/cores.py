"""The records of a core as those of all cores: a core counts its own, a timeline numbers tiles as one core would."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sim.cycle.choice import CycleDesign
from sim.cycle.cores import deal
from sim.cycle.program import NamedProgram
from sim.cycle.state import Window, lay_out
from sim.engine.cycle import columns as col
from sim.engine.cycle.turns import count_records, first_records
from sim.lower.walk import Extents


@dataclass(frozen=True, eq=False)
class CoreNumbers:
    """Where the records of every core are among those of all."""

    design: CycleDesign
    named: NamedProgram
    start: Extents

    @cached_property
    def laid_out(self) -> tuple[np.ndarray, ...]:
        """The program of each core, as the engine has it."""
        programs = deal(self.design, self.named, self.start).programs[:-1]
        return tuple(lay_out(program, Window(), history=0)[0] for program in programs)

    @cached_property
    def _firsts(self) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
        found = []
        for m in self.laid_out:
            own, alone = (np.zeros(int(m[col.CORE_TURNS]), np.int64) for _ in range(2))
            first_records(m, own, alone)
            found.append((own, alone))
        return tuple(found)

    def of_all(self, core: int, record: int) -> int:
        """The number among all of a record of a core."""
        own, alone = self._firsts[core]
        turn = self.turn(core, record)
        return int(alone[turn] + record - own[turn])

    def turn(self, core: int, record: int) -> int:
        """The turn of a record of a core."""
        return int(np.searchsorted(self._firsts[core][0], record, "right")) - 1

    def turn_of_all(self, core: int, record: int) -> int:
        """The turn of a core that has one of all records."""
        return int(np.searchsorted(self._firsts[core][1], record, "right")) - 1

    def of_core(self, record: int) -> tuple[int, int]:
        """(core, its number) of one of all records."""
        found = (0, 0)
        latest = -1
        for core, (own, alone) in enumerate(self._firsts):
            turn = int(np.searchsorted(alone, record, "right")) - 1
            if turn >= 0 and alone[turn] > latest:
                latest, found = int(alone[turn]), (core, int(own[turn] + record - alone[turn]))
        return found

    def records(self, core: int) -> int:
        """How many a core has."""
        return int(count_records(self.laid_out[core]))
