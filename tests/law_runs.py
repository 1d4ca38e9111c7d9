"""The laws of the cycle engine on many random designs, by hand: `python tests/law_runs.py 720` takes the designs of 720
seeds (minutes) and prints the table of docs/cycle-validation.md, with every design that breaks a law.
"""

import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.cycle_existence import Existence
from tests.cycle_laws import MORE, Ran, run, says_so, skipping_changes, times_with_more, too_fast, words_differ
from tests.law_designs import law_experiment

LAWS = {
    "never faster than bytes / bandwidth": too_fast,
    "words served are words counted": words_differ,
    "nothing is read before it exists": lambda ran: Existence(ran).early(),
    "fast-forward on and off are equal": skipping_changes,
}


def designs(seeds: Iterable[int]) -> Iterator[tuple[int, Ran]]:
    """The designs that run, by seed."""
    for seed in seeds:
        experiment = law_experiment(seed)
        ran = run(experiment) if experiment is not None else None
        if ran is not None:
            yield seed, ran


def main() -> None:
    held, broken = Counter[str](), Counter[str]()
    for seed, ran in designs(range(int(sys.argv[1]))):
        for law, breaks in LAWS.items():
            found = next(iter(breaks(ran)), None)
            held[law] += 1
            broken[law] += found is not None
            if found is not None:
                print(f"seed {seed}: {law}: {found}", flush=True)
        for what, cycles in times_with_more(ran):
            held[what] += 1
            broken[what] += cycles > ran.timing.cycles
            if cycles > ran.timing.cycles:
                said = "the result says so" if says_so(ran) else "the result DOES NOT SAY SO"
                print(f"seed {seed}: twice the {what}: {cycles / ran.timing.cycles - 1:+.2%}, {said}", flush=True)
    for law in (*LAWS, *MORE):
        print(f"| {law} | {held[law]} | {broken[law]} |")


if __name__ == "__main__":
    main()
