"""Which tile configuration a row of the table gets: the fastest that does not spill, if it is clearly faster.

Trials come from a callable, so that tests can supply their own times. Standard library only.
"""

from collections.abc import Callable
from typing import NamedTuple

from kernels.bench.grid import iter_candidates
from kernels.plans.configurations import TunedRow
from kernels.plans.types import Configuration, Target

CLEARLY = 0.98  # of the table's time: smaller gains are noise


class Trial(NamedTuple):
    """A configuration that ran: seconds, and registers and spills per thread."""

    seconds: float
    registers: int
    spills: int


class Choice(NamedTuple):
    """The findings for a row: its trials in the order in which they ran, with a text for one that failed."""

    row: TunedRow
    chosen: Configuration
    trials: tuple[tuple[Configuration, Trial | str], ...]

    @property
    def is_changed(self) -> bool:
        return self.chosen._replace(registers=0) != self.row.configuration._replace(registers=0)

    @property
    def gain(self) -> float:
        """Time of the table's configuration over that of the chosen one."""
        seconds = {cut: trial.seconds for cut, trial in self.trials if isinstance(trial, Trial)}
        before, after = seconds.get(self.row.configuration), seconds.get(self.chosen._replace(registers=0))
        return before / after if before and after else 1.0


Try = Callable[[TunedRow, Configuration], Trial]


def choose(
    row: TunedRow, candidates: tuple[Configuration, ...], try_one: Try, until: Callable[[], bool] = lambda: False
) -> Choice:
    """The fastest configuration that does not spill, if it is clearly faster than the first; ties go to the earlier
    one. When time is up, only those tried so far count."""
    trials: list[tuple[Configuration, Trial | str]] = []
    for cut in candidates:
        if until():
            break
        try:
            trials.append((cut, try_one(row, cut)))
        except Exception as error:  # a candidate that does not compile or run is a finding
            trials.append((cut, f"{type(error).__name__}: {' '.join(str(error).split())[:120]}"))
    fitting = [
        (trial.seconds, at) for at, (_, trial) in enumerate(trials) if isinstance(trial, Trial) and not trial.spills
    ]
    chosen = row.configuration
    if fitting:
        seconds, at = min(fitting)
        first = trials[0][1]  # the table's own
        is_better = not isinstance(first, Trial) or bool(first.spills) or seconds < CLEARLY * first.seconds
        best = trials[at][1]
        if at and is_better and isinstance(best, Trial):
            chosen = trials[at][0]._replace(registers=best.registers)
    return Choice(row, chosen, tuple(trials))


def tune(
    rows: tuple[TunedRow, ...], target: Target, try_one: Try, until: Callable[[], bool], tell: Callable[[str], None]
) -> tuple[Choice, ...]:
    """Row after row until time is up."""
    choices = []
    for row in rows:
        if until():
            tell(f"{named(row)}: not reached")
            continue
        choice = choose(row, tuple(iter_candidates(row, target)), try_one, until)
        choices.append(choice)
        tell("\n".join(choice_lines(choice)))
    return tuple(choices)


def named(row: TunedRow) -> str:
    mask = {None: "", True: ", masked", False: ", unmasked"}[row.is_masked]
    return f"{row.operator} up to {row.head_size}{mask}"


def choice_lines(choice: Choice) -> list[str]:
    verdict = f"{choice.gain:.2f}x with {spelled(choice.chosen)}" if choice.is_changed else "stays"
    lines = [f"{named(choice.row)}: {verdict}"]
    for cut, trial in choice.trials:
        said = trial if isinstance(trial, str) else f"{trial.seconds * 1e6:.1f} us, {trial.registers} registers"
        spills = f", {trial.spills} spills" if isinstance(trial, Trial) and trial.spills else ""
        lines.append(f"  {spelled(cut)}: {said}{spills}")
    return lines


def spelled(cut: Configuration) -> str:
    blocks = "x".join(str(n) for n in (cut.block_m, cut.block_n, cut.block_k) if n)
    features = f"{', TMA' if cut.uses_tma else ''}{', specialised' if cut.is_specialised else ''}"
    return f"{blocks}, {cut.warps} warps, {cut.stages} stages{features}"
