"""`python -m kernels.bench.tune`: try tile configurations on the GPU of this machine and rewrite the checked-in table.

For every row of the table that has a grid (kernels/bench/grid.py), each candidate is compiled, checked against the
reference and timed in turns with the row's own. A row is changed only if a candidate is clearly faster and does not
spill, so that a second run on the same machine changes nothing. Exit status: 0 done; 2 the request cannot be run.
"""

import argparse
import sys
import time
from pathlib import Path

from kernels.bench.choosing import Choice, named, tune
from kernels.bench.grid import GRID, iter_candidates, rewrite_table, rows_to_tune
from kernels.bench.machine import has_gpu
from kernels.plans import configurations
from kernels.plans.types import TARGETS, Architecture, Target

DONE, CANNOT = 0, 2
BUDGET_S = 540.0
TARGET_BY_ARCHITECTURE: dict[Architecture, Target] = {"sm90": TARGETS["h100"], "sm80": TARGETS["a100"]}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser("python -m kernels.bench.tune", description="Tune the table of configurations.")
    parser.add_argument("--operators", nargs="*", default=[], choices=list(GRID), help="all by default")
    parser.add_argument("--budget", type=float, default=BUDGET_S, metavar="SECONDS", help="try nothing beyond")
    parser.add_argument("--out", type=Path, metavar="FILE", help="where the new table goes; over the old by default")
    parser.add_argument("--list", metavar="ARCHITECTURE", choices=list(TARGET_BY_ARCHITECTURE),
                        help="show what would be tried there; try nothing")  # fmt: skip
    read = parser.parse_args(arguments)
    if read.list is not None:
        target = TARGET_BY_ARCHITECTURE[read.list]
        for row in rows_to_tune(read.list, tuple(read.operators)):
            print(f"{named(row)}: {len(tuple(iter_candidates(row, target)))} configurations")
        return DONE
    try:
        is_there = has_gpu()
    except ModuleNotFoundError as error:
        return refuse(f"tuning needs {error.name}, which is not installed; --list shows what would be tried")
    if not is_there:
        return refuse("this machine has no GPU that torch can use, so there is nothing to tune; --list shows what "
                      "would be tried")  # fmt: skip
    from kernels.bench.trials import TunerTrials
    from kernels.launching import target_of_device

    target, started = target_of_device(0), time.monotonic()
    choices = tune(
        rows_to_tune(target.architecture, tuple(read.operators)), target, TunerTrials(target),
        lambda: time.monotonic() - started >= read.budget, tell,
    )  # fmt: skip
    return write(choices, Path(configurations.__file__), read.out)


def write(choices: tuple[Choice, ...], table: Path, out: Path | None) -> int:
    """Write the table with the changed rows, to a given file or in place."""
    changes = {choice.row: choice.chosen for choice in choices if choice.is_changed}
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
    (out or table).write_text(rewrite_table(table.read_text("utf-8"), changes), "utf-8")
    print(f"{len(changes)} of {len(choices)} rows changed; written: {out or table}")
    return DONE


def refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return CANNOT


def tell(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
