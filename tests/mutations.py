"""Mutated inputs of every kind: each must be read, or refused with sentences, within seconds and with finite numbers.

`python tests/mutations.py [COUNT] [FIRST]` tries COUNT (100,000) by hand from mutation number FIRST on, and prints what
came of them; the suite tries some thousands. A mutation follows from its number alone.
"""

import contextlib
import io
import json
import math
import os
import random
import re
import signal
import sys
import tempfile
import time
import traceback
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache, partial
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

import yaml

import einsums
from arch.expression import SCALAR_FUNCTIONS, evaluate, parse_expression
from arch.quantity import parse_quantity
from sim import InputError, load_experiment, simulate
from sim.commands.check import check_file
from sim.commands.compare import compare_source
from sim.explore.load_sweep import load_plan
from sim.load.document import parse_set
from sim.load.nouns import CATALOGS
from sim.load.problems import Refused
from tests.small_design import FILES
from tests.small_sweep import SWEEP


def slowness() -> float:
    """How many times slower this processor is than those that need 15 ms for a loop, at least 1."""

    def measured_s() -> float:
        began, total = time.process_time(), 0
        for i in range(300_000):
            total += i * i % 7
        return time.process_time() - began

    return max(1.0, min(measured_s() for _ in range(5)) / 0.015)


LONGEST_S = 5.0 * slowness()  # of a processor, for any input
BARE = ("formula", "formula two ways", "quantity")  # kinds of input that a ValueError refuses, before it has a place
ROOT = Path(__file__).resolve().parents[1]


class TooLongError(BaseException):
    """A mutation ran into the limit of time."""


# Values that doors have to do with.
HOSTILE: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2, 7, 0.5, 2**40, 2**63, 10**400, 1e308, 1e-308, -1e308, math.inf, -math.inf, math.nan,
    "", " ", "x", "X", "-", "0", "1e999", "inf", "nan", "16 MiB", "1 GHz", "1.0e+308 pJ", "1e-300 Hz", "-3 pJ", "1 GBps",
    "9**9**9**9", "10**400", "1/0", "largest_divisor(2**61-1, 5)", "a == 'b'", "'", '"', "((((", "M" * 300, "a\0b",
    "é", "\u202e", "=1+1", "../../x", "/dev/zero", "~", "null", "[]", [], {}, [[]], [None], {"a": None}, {"": 1},
    {"name": "x"}, ["b", "b"], "mul", "exp", "swish", "onchip", "GLB", "PE2D", "B", "m", "fusemax-cloud", "attention-1pass",
)  # fmt: skip
SNIPPETS = ("'", '"', "[", "]", "{", "}", ":", "- ", "\t", "\n", "*", "&a ", "<<: ", "!!int ", "1e9", "..", "%", "@", ",", "\0", "é", "\\")  # fmt: skip


class Outcome(NamedTuple):
    """What came of a mutation: 'accepted', 'refused', or what must not be; the last with its trace."""

    kind: str
    what: str = ""


# --- mutating ----------------------------------------------------------------------------------------------
def mutate_data(data: Any, chance: random.Random) -> Any:
    """Plain data with one or two values replaced, removed, doubled, misspelt or exchanged."""
    for _ in range(chance.choice((1, 1, 1, 2))):
        paths = list(iter_paths(data))
        if not paths:
            return chance.choice(HOSTILE)
        path = chance.choice(paths)
        data = _at(data, path, lambda value: _mutate_value(value, chance), chance)
    return data


def iter_paths(data: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from iter_paths(value, (*path, key))


def _at(data: Any, path: tuple[Any, ...], change: Callable[[Any], Any], chance: random.Random) -> Any:
    copy = data.copy()
    key = path[0]
    if len(path) > 1:
        copy[key] = _at(data[key], path[1:], change, chance)
        return copy
    match chance.choice(("value", "value", "value", "remove", "key", "repeat")):
        case "remove":
            del copy[key]
        case "key" if isinstance(copy, dict):
            copy = {(misspelt(str(k), chance) if k == key else k): v for k, v in copy.items()}
        case "repeat" if isinstance(copy, list):
            copy.insert(key, copy[key])
        case _:
            copy[key] = change(copy[key])
    return copy


def _mutate_value(value: Any, chance: random.Random) -> Any:
    match value:
        case str() if value and chance.random() < 0.5:
            return chance.choice((misspelt, spliced))(value, chance)
        case bool():
            return chance.choice(HOSTILE)
        case int() | float() if chance.random() < 0.5:
            third = value / 3 if abs(value) < 10**300 else value // 3
            return chance.choice((-value, value * 10**9, third, value + 1, value * 10**300, str(value)))
        case dict() | list() if chance.random() < 0.3:
            return [value]
    return chance.choice(HOSTILE)


def misspelt(word: str, chance: random.Random) -> str:
    """A word with two letters exchanged, one dropped, doubled or replaced."""
    i = chance.randrange(len(word)) if word else 0
    return chance.choice((
        word[:i] + word[i + 1 :],
        word[:i] + word[i : i + 1] * 2 + word[i + 1 :],
        word[:i] + word[i + 1 : i + 2] + word[i : i + 1] + word[i + 2 :],
        word[:i] + chance.choice("abcxyz_09") + word[i + 1 :],
        word.swapcase(),
    ))  # fmt: skip


def spliced(text: str, chance: random.Random) -> str:
    """Text with a stretch removed, repeated, or a snippet put in."""
    i, j = sorted(chance.randrange(len(text) + 1) for _ in range(2))
    return chance.choice((
        text[:i] + text[j:], text[:i] + text[i:j] * 2 + text[j:], text[:i] + chance.choice(SNIPPETS) + text[i:],
        text[:i] + str(chance.choice(HOSTILE)) + text[j:],
    ))  # fmt: skip


# --- kinds of inputs ---------------------------------------------------------------------------------------
@cache
def shipped(kind: str) -> tuple[dict[str, Any], ...]:
    """The data of shipped documents of a kind, small ones."""
    texts = [CATALOGS[kind].find(name).read_text("utf-8") for name in CATALOGS[kind].names()]
    return tuple(yaml.safe_load(text) for text in texts if len(text) < 6000)


def _document(kind: str, folder: Path, chance: random.Random) -> Any:
    """A mutated document of a kind, checked."""
    data = chance.choice(shipped(kind))
    path = folder / f"{kind}.yaml"
    if chance.random() < 0.75:
        path.write_text(yaml.safe_dump(mutate_data(data, chance), sort_keys=False), "utf-8")
    else:
        text = yaml.safe_dump(data, sort_keys=False)
        for _ in range(chance.choice((1, 1, 3))):
            text = spliced(text, chance)
        path.write_text(text, "utf-8")
    return checked(path)


def checked(path: Path) -> Any:
    checked = check_file(path)
    if checked.problems:
        raise InputError(checked.problems)
    return None


def _small_design(folder: Path, chance: random.Random) -> Any:
    """The small design with one of its files mutated, simulated."""
    broken = chance.choice(sorted(FILES))
    for name, text in FILES.items():
        if name == broken and name.endswith(".csv"):
            text = spliced(text, chance)
        elif name == broken:
            text = yaml.safe_dump(mutate_data(yaml.safe_load(text), chance), sort_keys=False)
        (folder / name).write_text(text, "utf-8")
    return simulate(load_experiment(str(folder / "experiment.yaml"))).to_json()


def _set(folder: Path, chance: random.Random) -> Any:
    """A shipped experiment with a mutated value or path of `--set`."""
    keys = (
        "seq_len", "batch", "model", "architecture.clock", "architecture.word", "architecture.components.GLB.size",
        "architecture.components.PE2D.rows", "architecture.components.PE2D.operations.macc.cycles", "ranks.M", "cascade",
        "architecture.components.PE2D.operations.macc.energy", "mapping.tiles.M0", "mapping.schedule.kind", "mapping",
        "architecture.components.DRAM.bandwidth", "mapping.tree.loops", "architecture.leakage", "parameters.P1", "name",
    )  # fmt: skip
    key = chance.choice(keys)
    text = f"{misspelt(key, chance) if chance.random() < 0.2 else key}={_flow(chance)}"
    path, value = parse_set(text)
    return simulate(load_experiment("fusemax-binding", {path: value})).to_json()


def _flow(chance: random.Random) -> str:
    value = chance.choice(HOSTILE)
    if isinstance(value, str) or chance.random() < 0.2:
        return spliced(str(value), chance) if chance.random() < 0.3 else str(value)
    return yaml.safe_dump(value, default_flow_style=True).removesuffix("\n...\n").strip()


FORMULAS = (
    "min(M, PE.rows) * 2", "ceil_div(P1, P0) // 3 + 16 KiB", "largest_divisor(M, floor(size / (4*M*P0)))",
    "choose(place == 'on', 1, 2) * round(M / 3)", "not (M <= 3 and P0 != 2) or sqrt(M) > 1.5e3", "-(2 ** 3 ^ M) % 7", "log2(abs(-M))",
)  # fmt: skip


def _expression(folder: Path, chance: random.Random) -> Any:
    """A mutated formula, evaluated on numbers."""
    text = chance.choice(FORMULAS)
    for _ in range(chance.choice((1, 2, 4))):
        text = spliced(text, chance)
    expression = parse_expression(text)
    numbers = {"M": 4096, "P1": 3, "P0": 7.5, "PE.rows": 16, "size": 2**61 - 1, "place": "on"}
    numbers |= {"size": chance.choice((2**61 - 1, 10**300, 1e-300, 0, -5, 2**53 + 1))}
    unknown = [name for name in expression.names if name not in numbers]
    if unknown:
        raise ValueError(f"unknown name '{unknown[0]}'")
    return evaluate(expression, numbers.__getitem__, SCALAR_FUNCTIONS)


def _grammar(folder: Path, chance: random.Random) -> Any:
    """A mutated cascade as text."""
    data = dict(chance.choice(shipped("cascade")))
    data["einsums"] = spliced(data["einsums"], chance)
    path = folder / "grammar.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), "utf-8")
    checked(path)
    einsums.count_passes  # noqa: B018 (imported with its room)
    return None


def _quantity(folder: Path, chance: random.Random) -> Any:
    dimensions: Any = ("size", "bandwidth", "frequency", "energy", "power", "area", "time", "length")
    text = chance.choice(
        ("16 MiB", "940 MHz", "1.0e+30 pJ", "400 GiB/s", "5 W", "1 um2", "45 nm", str(chance.choice(HOSTILE)))
    )
    return parse_quantity(spliced(text, chance), chance.choice(dimensions))


def _sweep(folder: Path, chance: random.Random) -> Any:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(mutate_data(SWEEP, chance), sort_keys=False), "utf-8")
    return load_plan(str(path)).sweep.size


@cache
def measurement_text() -> str:
    from kernels.bench.schema import measurement_text
    from tests.bench_samples import sample_measurement

    return measurement_text(sample_measurement())


def _measurement(folder: Path, chance: random.Random) -> Any:
    path = folder / "measured.json"
    text = measurement_text()
    if chance.random() < 0.7:
        text = json.dumps(mutate_data(json.loads(text), chance), default=str)
    else:
        text = spliced(text, chance)
    path.write_text(text, "utf-8")
    compared = compare_source(str(path), None)
    return [[case.predicted_s for case in compared.compared]]


def _table(folder: Path, chance: random.Random) -> Any:
    lines = (ROOT / "kernels" / "published" / "cases.csv").read_text("utf-8").splitlines()
    chosen = [lines[0], *chance.sample(lines[1:], 3)]
    path = folder / "cases.csv"
    place = chance.randrange(len(chosen))
    cells = chosen[place].split(",")
    i = chance.randrange(len(cells))
    cells[i] = str(chance.choice((misspelt(cells[i], chance), spliced(cells[i], chance), chance.choice(HOSTILE))))
    chosen[place] = ",".join(cells)
    path.write_text("\n".join(chosen), "utf-8")
    compared = compare_source(str(path), None)
    return [[case.predicted_s for case in compared.compared]]


# The name of a kind of input, its share, and what mutates and reads one.
Kind = tuple[str, int, Callable[[Path, random.Random], Any]]
KINDS: tuple[Kind, ...] = (
    *((kind, 2, partial(_document, kind)) for kind in (
        "cascade", "architecture", "mapping", "model", "technology", "timing", "taxonomy", "experiment", "sweep",
    )),
    ("small design", 14, _small_design), ("--set", 8, _set), ("formula", 20, _expression), ("grammar", 6, _grammar),
    ("quantity", 10, _quantity), ("small sweep", 4, _sweep), ("measurement", 3, _measurement), ("table", 3, _table),
)  # fmt: skip


# --- words -------------------------------------------------------------------------------------------------
# Keys under which any text may stand, and places whose names are free.
FREE = ("name", "description", "source", "label", "title")
FREE_PLACES = (("ranks",), ("components", "SQUARE", "operations"), ("components", "ROW", "operations"))
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


def try_word(number: int, folder: Path) -> str:
    """Misspell a key or a word in one file of the small design; what was accepted all the same, or an empty text."""
    chance = random.Random(number)
    broken = chance.choice([name for name in FILES if name.endswith(".yaml") and name != "technology.yaml"])
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    data = yaml.safe_load(FILES[broken])
    path, is_key, word = chance.choice(list(_iter_words(data, ())))
    other = misspelt(word, chance)
    if other == word:
        return ""
    (folder / broken).write_text(yaml.safe_dump(_with_word(data, path, is_key, other), sort_keys=False), "utf-8")
    changes = {"mapping": "./running-mapping.yaml"} if broken.startswith("running") else {}
    try:
        simulate(load_experiment(str(folder / "experiment.yaml"), changes))
    except (InputError, Refused):
        return ""
    return f"{number}: {broken} {path} {word} -> {other}"


def _iter_words(data: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], bool, str]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    for key, value in items:
        if key in FREE:
            continue
        place = (*path, key)
        if isinstance(key, str) and path not in FREE_PLACES[1:]:
            yield place, True, key
        if isinstance(value, str) and _WORD.fullmatch(value) and path not in FREE_PLACES:
            yield place, False, value
        yield from _iter_words(value, place)


def _with_word(data: Any, path: tuple[Any, ...], is_key: bool, word: str) -> Any:
    copy, key = data.copy(), path[0]
    if len(path) > 1:
        copy[key] = _with_word(data[key], path[1:], is_key, word)
    elif is_key:
        return {(word if own == key else own): value for own, value in data.items()}
    else:
        copy[key] = word
    return copy


# --- judging -----------------------------------------------------------------------------------------------
def try_mutation(number: int, folder: Path, kinds: tuple[Kind, ...] = KINDS) -> tuple[str, Outcome]:
    """The kind of mutation `number`, and what came of it."""
    chance = random.Random(number)
    name, _, attempt = chance.choices(kinds, [weight for _, weight, _ in kinds])[0]
    try:
        with limited(LONGEST_S), contextlib.redirect_stdout(io.StringIO()):
            found = attempt(folder, chance)
    except TooLongError:
        return name, Outcome("hang", traceback.format_exc(limit=-6))
    except (InputError, Refused) as error:
        return name, _judged_sentences(str(error))
    except ValueError as error:
        if name in BARE and type(error) is ValueError:
            return name, _judged_sentences(str(error))
        return name, Outcome("trace", traceback.format_exc(limit=-6))
    except Exception:
        return name, Outcome("trace", traceback.format_exc(limit=-6))
    infinite = [value for value in iter_numbers(found) if not math.isfinite(value)]
    return name, Outcome("infinite", str(infinite[:3])) if infinite else Outcome("accepted")


def _judged_sentences(text: str) -> Outcome:
    """A refusal that is no sentence for a user is a fault too."""
    for line in text.splitlines():
        if len(line) > 6000:
            return Outcome("long message", line[:300])
        if "known: none" in line or re.search(
            r"\bException\b|Errno|set_int_max_str_digits|NoneType|object at 0x", line
        ):
            return Outcome("no sentence", line[:300])
    return Outcome("refused", text)


def iter_numbers(found: Any) -> Iterator[float]:
    match found:
        case dict():
            for value in found.values():
                yield from iter_numbers(value)
        case list() | tuple():
            for value in found:
                yield from iter_numbers(value)
        case bool():
            return
        case int() | float():
            yield float(found)


@contextlib.contextmanager
def limited(seconds: float) -> Iterator[None]:
    """Ends what takes that many seconds of this processor, or waits sixty times as long for something."""

    def stop(_number: int, _frame: FrameType | None) -> None:
        raise TooLongError

    clocks = {signal.SIGPROF: (signal.ITIMER_PROF, seconds), signal.SIGALRM: (signal.ITIMER_REAL, 60 * seconds)}
    before = {number: signal.signal(number, stop) for number in clocks}
    for clock, limit in clocks.values():
        signal.setitimer(clock, limit)
    try:
        yield
    finally:
        for number, (clock, _) in clocks.items():
            signal.setitimer(clock, 0)
            signal.signal(number, before[number])


def warm_up(folder: Path) -> None:
    """Compile what simulations call, which takes longer than any mutation may."""
    for engine in ("analytical", "cycle"):
        simulate(load_experiment("fusemax-binding", {"seq_len": 1024}), engine=engine)


def try_many(kinds: tuple[Kind, ...], prepare: Callable[[Path], None] = warm_up) -> None:
    """Try COUNT mutations from number FIRST on, both of the command line; print what came of them and every kind of
    fault once."""
    count, first = ([int(text) for text in sys.argv[1:3]] + [100_000, 0][len(sys.argv) - 1 :])[:2]
    found: Counter[tuple[str, str]] = Counter()
    faults: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as place:
        os.chdir(place)
        prepare(Path(place))
        for number in range(first, first + count):
            name, outcome = try_mutation(number, Path(place), kinds)
            found[name, outcome.kind] += 1
            if outcome.kind not in ("accepted", "refused"):
                last = outcome.what.strip().splitlines()[-1][:160]
                faults[f"{name}: {last}"] += 1
                if faults[f"{name}: {last}"] == 1:
                    print(f"--- {number} {name} {outcome.kind}\n{outcome.what}", flush=True)
    for (name, kind), times in sorted(found.items()):
        print(f"{times:7d}  {name}: {kind}")


if __name__ == "__main__":
    try_many(KINDS)
