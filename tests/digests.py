"""Digests of everything that ships: what a change of structure must leave as it is, byte for byte.

`python tests/digests.py` compares what the checkout computes with `tests/data/digests.json`; with `--write` it replaces
the file, after a change that is meant to move a number (which docs/validation.md then explains).
"""

import argparse
import hashlib
import json
import re
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

FILE = Path(__file__).parent / "data" / "digests.json"
ENGINES = ("analytical", "cycle")
SWEEPS = ("fusemax-area", "passes-buffer")
REPRODUCTION = "fusemax"
VERSION = re.compile(rb"\d+\.\d+\.\d+\+[0-9a-f]{12}")


def digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def simulations() -> tuple[tuple[str, str], ...]:
    """The shipped experiments and engines of which digests were taken."""
    names = (name.split() for name in recorded() if name.startswith("simulate "))
    return tuple((name, engine) for _, name, engine in names)


def recorded() -> dict[str, str]:
    return dict(json.loads(FILE.read_text("utf-8")))


def simulated(name: str, engine: str) -> str:
    """Digest of `einfuse simulate NAME --engine ENGINE --json`; the reason where the engine cannot run it."""
    from sim import IllegalMapping, load_experiment, simulate

    try:
        document = simulate(load_experiment(name), engine).to_json()
    except IllegalMapping as error:
        return f"refused: {error}".replace(str(Path(__file__).parents[1]), "")
    return digest(json.dumps(document, indent=2, allow_nan=False).encode())


def swept(name: str, folder: Path) -> str:
    """Digest of the exported points of a shipped sweep, without the version of the code that made them."""
    from sim import SweepOptions, sweep

    sweep(name, folder, SweepOptions(workers=1))
    return digest(VERSION.sub(b"", (folder / "points.csv").read_bytes()))


def reproduced() -> str:
    """Digest of `results.csv` of the shipped reproduction."""
    from sim.report.reproduction.results import results_csv
    from sim.reproduction.run import run_reproduction

    return digest(results_csv(run_reproduction(REPRODUCTION)).encode())


def iter_digests(names: tuple[str, ...], folder: Path) -> Iterator[tuple[str, str]]:
    for name in names:
        for engine in ENGINES:
            yield f"simulate {name} {engine}", simulated(name, engine)
    for name in SWEEPS:
        yield f"sweep {name}", swept(name, folder / name)
    yield f"reproduce {REPRODUCTION}", reproduced()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="replace the recorded digests")
    wishes = parser.parse_args()
    from sim.load.nouns import CATALOGS

    with tempfile.TemporaryDirectory() as folder:
        found = dict(iter_digests(tuple(CATALOGS["experiment"].names()), Path(folder)))
    if wishes.write:
        FILE.write_text(json.dumps(found, indent=2) + "\n", "utf-8")
        return 0
    before = recorded()
    moved = [name for name in before if found.get(name) != before[name]]
    print("\n".join(f"moved: {name}" for name in moved) or "nothing moved")
    return 1 if moved else 0


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    sys.exit(main())
