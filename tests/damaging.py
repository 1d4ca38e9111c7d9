"""Files of sweeps that are damaged in many ways: each is recovered whole, or refused with a sentence.

`python tests/damaging.py [COUNT]` tries COUNT (300) by hand and prints what came of them; the suite tries some dozens.
"""

import random
import shutil
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import numpy as np

from sim import InputError, SweepOptions, sweep
from sim.explore.bulk import evaluate_points
from sim.explore.database import FILE
from sim.explore.load_sweep import load_plan
from sim.explore.points import read_points
from sim.explore.store import Store
from tests.small_sweep import write_sweep

RESUME = SweepOptions(resume=True)
PARTS = 9  # chunks of 32 points
Damage = Callable[[Path, random.Random], None]


def flip_bits(path: Path, chance: random.Random) -> None:
    content = bytearray(path.read_bytes())
    for _ in range(chance.choice((1, 1, 1, 2, 8))):
        content[chance.randrange(len(content))] ^= 1 << chance.randrange(8)
    path.write_bytes(content)


def cut_short(path: Path, chance: random.Random) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: chance.randrange(len(content))])


def overwrite(path: Path, chance: random.Random) -> None:
    """A stretch of zeros, of noise, or of another place of the file."""
    content = bytearray(path.read_bytes())
    size = chance.choice((1, 16, 512, 4096))
    start, other = (chance.randrange(max(1, len(content) - size)) for _ in range(2))
    content[start : start + size] = chance.choice((bytes(size), chance.randbytes(size), content[other : other + size]))
    path.write_bytes(content)


STATEMENTS = (
    "DELETE FROM meta WHERE key = '{key}'",
    "UPDATE meta SET value = '[' WHERE key = '{key}'",
    "UPDATE meta SET value = '{{}}' WHERE key = '{key}'",
    "DROP TABLE {table}",
    "DELETE FROM {table}",
    "ALTER TABLE points RENAME COLUMN hash TO hush",
    "UPDATE points SET latency_s = latency_s * 2 WHERE point = {point}",
    "UPDATE points SET reason = 1 - min(reason, 1) WHERE point = {point}",
    "UPDATE points SET point = -point WHERE point = {point}",
    "UPDATE points SET energy_pj = 'much' WHERE point = {point}",
    "DELETE FROM points WHERE point = {point}",
    "UPDATE reasons SET text = 'another'",
    "UPDATE versions SET text = 'another'",
    "UPDATE chunks SET checksum = 'another' WHERE id = 1",
    "UPDATE chunks SET points = '[[0, 1000000000000]]' WHERE id = 1",
    "UPDATE chunks SET points = 'none' WHERE id = 1",
    "CREATE TABLE other (x)",
)


def change(path: Path, chance: random.Random) -> None:
    """A change by SQL, which leaves a sound database."""
    keys = ("schema", "axes", "values", "code", "sweep_hash", "objectives", "size", "experiment")
    tables = ("meta", "points", "reasons", "versions", "second_stage", "chunks")
    statement = chance.choice(STATEMENTS).format(
        key=chance.choice(keys), table=chance.choice(tables), point=chance.randrange(1, 160)
    )
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


DAMAGES: tuple[Damage, ...] = (flip_bits, flip_bits, cut_short, overwrite, change)


def prepare(folder: Path) -> bytes:
    """Folders `whole` (finished) and `half` (five of nine chunks); the points of the finished one as CSV."""
    path = write_sweep(folder)
    plan = load_plan(str(path))
    with Store.create(folder / "half", plan) as store:
        for chunk in np.split(np.arange(plan.sweep.size), PARTS)[:5]:
            store.add(plan, evaluate_points(plan, chunk))
    shutil.copytree(folder / "half", folder / "whole")
    sweep(str(path), folder / "whole", RESUME)
    return (folder / "whole" / "points.csv").read_bytes()


def try_damage(folder: Path, expected: bytes, number: int) -> str:
    """What came of one damaged file: 'recovered', or the sentence that refuses it. AssertionError for anything else."""
    chance = random.Random(number)
    out = folder / "damaged"
    shutil.rmtree(out, ignore_errors=True)
    shutil.copytree(folder / chance.choice(("whole", "half", "half")), out)
    damage = chance.choice(DAMAGES)
    damage(out / FILE, chance)
    try:
        count = len(read_points(out))
        assert count in (0, 160, 288), f"{number}: {count} points were read"
    except InputError as error:
        assert str(error).startswith(f"{out / FILE}: "), f"{number}: {error}"
    try:
        sweep(str(folder / "sweep.yaml"), out, RESUME)
    except InputError as error:
        said = str(error).removeprefix(f"{out / FILE}: ")
        assert said != str(error) and "\n" not in said, f"{number}: {error}"
        return said
    assert (out / "points.csv").read_bytes() == expected, f"{number} ({damage.__name__}): resumed to other points"
    return "recovered"


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 300
    found: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        expected = prepare(Path(place))
        for number in range(count):
            found[try_damage(Path(place), expected, number)] += 1
    for said, times in found.most_common():
        print(f"{times:5d}  {said}")


if __name__ == "__main__":
    main()
