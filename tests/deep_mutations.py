"""Mutations of a second sort: the shape of a text, sections exchanged, words inside formulas, and whole command lines.

`python tests/deep_mutations.py [COUNT] [FIRST]` tries COUNT (100,000) by hand, as `tests/mutations.py` does; the suite
tries some thousands. Where that one changes single values, this one changes what a value stands in: the encoding and
the lines of a file, anchors and merge keys, a section put where another belongs, a word of a formula or of an Einsum,
rows of tables and measurements, the options of a command.
"""

import json
import random
import re
from collections.abc import Callable, Sequence
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from arch.expression import SCALAR_FUNCTIONS, evaluate, parse_expression
from arch.functions import ARITIES
from kernels.bench.cases import CASES, CaseSpec
from kernels.bench.schema import measurement_text as measurement_text_of
from sim import load_experiment, simulate
from sim.commands.compare import compare_source
from sim.explore.bulk import evaluate_points
from sim.explore.load_sweep import load_plan
from sim.load.nouns import CATALOGS
from sim.load.problems import InputError, InputProblem
from sim.lower.functions import VECTOR_FUNCTIONS
from tests.bench_samples import measurement_of
from tests.mutations import (
    HOSTILE,
    ROOT,
    Kind,
    checked,
    iter_paths,
    measurement_text,
    misspelt,
    shipped,
    spliced,
    try_many,
)
from tests.small_design import FILES, run
from tests.small_sweep import SWEEP

# Letters and signs of other scripts that look like ours, and characters that do not show.
LOOK_ALIKES = str.maketrans("aeopcxyAEKMP015-*'", "аеорсхуАЕКМР０１５−∗’")
HIDDEN = ("\u200b", "\u00a0", "\ufeff", "\u202e", "\u00ad", "\u2028", "\x85", "\x1b", "\x7f", "\ud7ff", "\U0001f600")
NUMBERS = (
    "0", "-0", "-1", "+3", "1_000", "0x10", "0o17", "017", "1:30", ".5", "5.", "1e3", "1e+3", "1.0e+3", "1e-320", "4.9e-324",
    "1.7976931348623157e+308", "1.8e+308", "9007199254740993", "1099511627776", "1099511627777", "18446744073709551616",
    "1e30", "1.0e+30", "1.0e-30", "1.0e-31", "1.0e+31", "٣", "３", "Ⅷ", "½", "1,5", "1 000", "NaN", ".nan", "-.inf", "Infinity",
    "true", "0.1", "3.0000000000000004", "2.5", "65536", "1048576",
)  # fmt: skip
SIZES = (
    0,
    1,
    2,
    3,
    63,
    65,
    100,
    128,
    1000,
    2**14,
    2**17,
    2**20,
    2**24,
    2**31,
    2**40,
    [],
    [0],
    [[4, 4], [0, 9]],
    [2**20, 1],
)
Texts = Callable[[str, random.Random], str | bytes]


# --- the shape of a text -----------------------------------------------------------------------------------
def _deeply(text: str, chance: random.Random) -> str:
    """A value nested many times, or an alias of aliases."""
    depth = chance.choice((10, 40, 200, 3000, 20_000))
    opened, closed = chance.choice((("[", "]"), ("{a: ", "}"), ("- ", ""), ("(", ")"), ("-", ""), ("not ", "")))
    inside = opened * depth + "1" + closed * depth
    laughs = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    laughs += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 9)}]" for i in range(1, chance.choice((4, 9, 12)))]
    return chance.choice((
        re.sub(r": [^\n{\[]+\n", lambda found: f": {inside}\n", text, count=1),
        text + "\n" + "\n".join(laughs) + "\n",
        text + "\nloop: &loop [*loop]\n",
        text + f"\n? {opened * depth}1{closed * depth}\n: x\n",
    ))  # fmt: skip


def _anchored(text: str, chance: random.Random) -> str:
    """Anchors, aliases and merge keys among the lines."""
    lines = text.splitlines()
    with_values = [i for i, line in enumerate(lines) if re.search(r": \S", line)]
    if len(with_values) < 2:
        return text + "\n<<: *none\n"
    i, j = sorted(chance.sample(with_values, 2))
    key, _, value = lines[i].partition(": ")
    other = lines[j].partition(": ")[0]
    lines[i] = f"{key}: &here {value}"
    indent = re.match(r"[ -]*", lines[j])
    blank = " " * len(indent[0] if indent else "")
    lines[j] = chance.choice((f"{other}: *here", f"{blank}<<: *here", f"{blank}<<: [*here, *here]", f"{other}: *here"))
    return "\n".join(lines) + "\n"


def _lines(text: str, chance: random.Random) -> str:
    """Lines repeated, removed, exchanged, indented anew."""
    lines = text.splitlines()
    i, j = chance.randrange(len(lines)), chance.randrange(len(lines))
    match chance.choice(("repeat", "remove", "exchange", "indent", "tab", "move", "join")):
        case "repeat":
            lines.insert(j, lines[i])
        case "remove":
            del lines[i]
        case "exchange":
            lines[i], lines[j] = lines[j], lines[i]
        case "indent":
            lines[i] = chance.choice((lines[i].lstrip(), "  " + lines[i], " " + lines[i]))
        case "tab":
            lines[i] = lines[i].replace("  ", "\t", 1) if "  " in lines[i] else lines[i] + "\t"
        case "move":
            lines.insert(j, lines.pop(i))
        case _:
            lines[i] += " " + lines.pop(j) if i < j else ""
    return "\n".join(lines) + "\n"


def _encoded(text: str, chance: random.Random) -> bytes:
    """Other line ends, a mark at the start, other encodings, parts that are no text."""
    plain = text.encode("utf-8")
    i = chance.randrange(len(plain) + 1)
    return chance.choice((
        plain.replace(b"\n", b"\r\n"), plain.replace(b"\n", b"\r"), b"\xef\xbb\xbf" + plain, text.encode("utf-16"),
        text.encode("utf-32"), text.encode("utf-16-le"), plain[:i] + b"\xff\xfe" + plain[i:], plain[:i] + b"\0" + plain[i:],
        plain[:i], b"", b"\n\n", b"---\n" + plain + b"...\n", plain + b"---\n" + plain, b"%YAML 1.2\n---\n" + plain,
        plain[:i] + b"\xed\xa0\x80" + plain[i:], plain.rstrip(b"\n"), b"\x1f\x8b" + plain, plain[:i] + b"\xe9" + plain[i:],
    ))  # fmt: skip


def _alike(text: str, chance: random.Random) -> str:
    """A word in letters of another script, or with a character that does not show."""
    words = list(re.finditer(r"[A-Za-z0-9*'-]+", text))
    word = chance.choice(words)
    i = chance.randrange(len(word[0]))
    other = chance.choice((word[0].translate(LOOK_ALIKES), word[0][:i] + chance.choice(HIDDEN) + word[0][i:]))
    return text[: word.start()] + other + text[word.end() :]


def _tagged(text: str, chance: random.Random) -> str:
    """A tag before a value, another style of it, or a comment in it."""
    values = list(re.finditer(r"(?<=: )[^\n#{\[|>]+(?=\n)", text))
    if not values:
        return text
    value = chance.choice(values)
    tag = chance.choice((
        "!!int ", "!!float ", "!!bool ", "!!null ", "!!str ", "!!binary ", "!!set ", "!!omap ", "!!timestamp ", "!own ",
        "!!python/object/apply:os.system ", "!!python/tuple ", "! ", "!<tag:yaml.org,2002:int> ", "|\n  ", ">-\n    ", "# ", "? ",
    ))  # fmt: skip
    return text[: value.start()] + tag + text[value.start() :]


def _worded(text: str, chance: random.Random) -> str:
    """A word or a number, wherever it stands, replaced by another of the same text, by a hostile one, or misspelt."""
    words = list(re.finditer(r"[A-Za-z_][A-Za-z0-9_]*|\d+(?:\.\d+)?", text))
    word, other = chance.choice(words), chance.choice(words)[0]
    if word[0][0].isdigit() and chance.random() < 0.7:
        other = chance.choice(NUMBERS)
    elif chance.random() < 0.4:
        other = misspelt(word[0], chance)
    return text[: word.start()] + other + text[word.end() :]


SHAPES: tuple[Texts, ...] = (
    _deeply,
    _anchored,
    _anchored,
    _lines,
    _lines,
    _encoded,
    _alike,
    _tagged,
    _worded,
    _worded,
    _worded,
)


def _reshaped(text: str, chance: random.Random) -> bytes:
    for _ in range(chance.choice((0, 0, 0, 1))):
        text = chance.choice((_lines, _worded))(text, chance)
    found = chance.choice(SHAPES)(text, chance)
    return found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass")


@cache
def _shipped_texts() -> tuple[tuple[str, str], ...]:
    """The kind and the text of every shipped document but the reproduction, and of the small design."""
    kinds = [kind for kind in CATALOGS if kind != "reproduction"]
    texts = [(kind, CATALOGS[kind].find(name).read_text("utf-8")) for kind in kinds for name in CATALOGS[kind].names()]
    return tuple(texts)


def _shape(folder: Path, chance: random.Random) -> Any:
    """A shipped text in another shape, checked."""
    kind, text = chance.choice(_shipped_texts())
    path = folder / f"{kind}.yaml"
    path.write_bytes(_reshaped(text, chance))
    return checked(path)


def _small(engine: str, folder: Path, chance: random.Random) -> Any:
    """The small design with one file in another shape, or with a section in another place, simulated."""
    broken = chance.choice(sorted(FILES))
    for name, text in FILES.items():
        content = text.encode()
        if name == broken and (name.endswith(".csv") or chance.random() < 0.7):
            content = _table_shaped(text, chance) if name.endswith(".csv") else _reshaped(text, chance)
        elif name == broken:
            content = yaml.safe_dump(_rearranged(yaml.safe_load(text), chance), sort_keys=False).encode()
        (folder / name).write_bytes(content)
    changes = {"mapping": "./running-mapping.yaml"} if broken.startswith("running") else {}
    return simulate(load_experiment(str(folder / "experiment.yaml"), changes), engine=engine).to_json()


# --- sections ----------------------------------------------------------------------------------------------
def _rearranged(data: Any, chance: random.Random) -> Any:
    """Values of two places exchanged, one put into another or below a key of it, grafted from another document, or
    turned into another type."""
    for _ in range(chance.choice((1, 1, 2))):
        paths = list(iter_paths(data))
        if len(paths) < 2:
            return data
        data = json.loads(json.dumps(data, default=str))
        one, other = chance.sample(paths, 2)
        match chance.choice(("exchange", "copy", "graft", "below", "type", "number")):
            case "exchange":
                first, second = _get(data, one), _get(data, other)
                _put(data, one, second)
                _put(data, other, first)
            case "copy":
                _put(data, one, _get(data, other))
            case "graft":
                source = chance.choice(shipped(chance.choice(("cascade", "architecture", "mapping", "sweep", "model"))))
                _put(data, one, _get(source, chance.choice(list(iter_paths(source)))))
            case "below":
                _put(data, one, {chance.choice([str(key) for key in other]): _get(data, one)})
            case "type":
                _put(data, one, _as_another_type(_get(data, one), chance))
            case _:
                _put(data, one, _number_of(chance))
    return data


def _get(data: Any, path: Sequence[Any]) -> Any:
    """The value at a path; None where an earlier change has removed it."""
    for key in path:
        try:
            data = data[key]
        except (KeyError, IndexError, TypeError):
            return None
    return json.loads(json.dumps(data, default=str))


def _put(data: Any, path: Sequence[Any], value: Any) -> None:
    try:
        _reach(data, path[:-1])[path[-1]] = value
    except (KeyError, IndexError, TypeError):
        return


def _reach(data: Any, path: Sequence[Any]) -> Any:
    for key in path:
        data = data[key]
    return data


def _as_another_type(value: Any, chance: random.Random) -> Any:
    match value:
        case dict():
            return chance.choice((list(value.items()), list(value), list(value.values()), str(value), len(value)))
        case list():
            return chance.choice(
                ({str(i): one for i, one in enumerate(value)}, ", ".join(map(str, value)), len(value), value[:1] * 50)
            )
        case str():
            return chance.choice(
                ([value], {value: None}, value.split(), len(value), list(value), value.encode(), value == "x")
            )
    return chance.choice((str(value), [value], {"value": value}, bool(value), float(value or 0), None))


def _number_of(chance: random.Random) -> Any:
    return chance.choice((yaml.safe_load, str))(chance.choice(NUMBERS))


def _document(kind: str, folder: Path, chance: random.Random) -> Any:
    """A shipped document of a kind with its sections rearranged, checked."""
    path = folder / f"{kind}.yaml"
    data = _rearranged(chance.choice(shipped(kind)), chance)
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "utf-8")
    return checked(path)


def _reproduction(folder: Path, chance: random.Random) -> Any:
    """The shipped reproduction, cut to one point of each figure, mutated and checked."""
    place = CATALOGS["reproduction"].find("fusemax")
    data = yaml.safe_load(place.read_text("utf-8").replace("file: ", f"file: {place.parent}/"))
    data = _rearranged(data, chance) if chance.random() < 0.5 else data
    text = yaml.safe_dump(data, sort_keys=False)
    path = folder / "reproduction.yaml"
    path.write_bytes(_reshaped(text, chance))
    return checked(path)


# --- formulas ----------------------------------------------------------------------------------------------
# Whole numbers of Python are exact beyond those of arrays.
_PLAIN_NUMBERS = [text for text in NUMBERS[:30] if len(text) < 16 or not text.isdecimal()]
_OPERATORS = ("+", "-", "*", "/", "//", "%", "**", "^", "==", "!=", "<", "<=", ">", ">=", "and", "or")
_NAMES = ("M", "P1", "P0", "PE.rows", "size", "place")


def _formula(chance: random.Random, depth: int = 0) -> str:
    if depth > 4 or chance.random() < 0.25:
        return chance.choice((*_NAMES, *_PLAIN_NUMBERS, "'on'", "'off'", "16 KiB", "2", "3", "7", "0.5"))
    inner = partial(_formula, chance, depth + 1)
    match chance.choice(("binary", "binary", "call", "call", "not", "minus", "brackets")):
        case "binary":
            sign = chance.choice(_OPERATORS)
            return f"{inner()} {sign} {inner()}"
        case "call":
            name = chance.choice(list(ARITIES))
            least, most = ARITIES[name]
            count = chance.choice((least, least, least, most or 3, least + 1, 0))
            return f"{name}({', '.join(inner() for _ in range(count))})"
        case "not":
            return f"not {inner()}"
        case "minus":
            return f"-{inner()}"
    return f"({inner()})"


def _two_ways(folder: Path, chance: random.Random) -> Any:
    """A formula made up, on plain numbers and on arrays: the same value, or refused by both."""
    expression = parse_expression(_formula(chance))
    numbers: dict[str, Any] = {"M": 4096, "P1": 3, "P0": 7.5, "PE.rows": 16, "place": "on"}
    numbers["size"] = chance.choice((2**61 - 1, 10**300, 1e-300, 0, -5, 2**53 + 1, 12, 0.1))
    unknown = [name for name in expression.names if name not in numbers]
    if unknown:
        raise ValueError(f"unknown name '{unknown[0]}'")
    numbers = {name: one if isinstance(one, str) else float(one) for name, one in numbers.items()}
    value = evaluate(expression, numbers.__getitem__, SCALAR_FUNCTIONS)
    arrays = {name: one if isinstance(one, str) else np.array([one] * 2) for name, one in numbers.items()}
    with np.errstate(all="ignore"):
        try:
            found = evaluate(expression, arrays.__getitem__, VECTOR_FUNCTIONS)
        except ValueError:
            return value  # stricter, as a word in a choice is
    if isinstance(value, str) or not np.isfinite(float(value)) or abs(value) > 2**53:
        return value
    assert np.all(np.isclose(np.asarray(found, float), float(value), rtol=1e-9)), f"{expression}: {value}, {found}"
    return value


# --- Einsums -----------------------------------------------------------------------------------------------
_SIGNS = (
    *"+-*/^(),[]:=<>!",
    "::",
    ":: max(m)",
    "+1",
    "-1",
    "*2",
    "**",
    "exp(",
    "max(",
    "inf",
    "1e400",
    "#",
    "\n",
    "M1",
    "m1*M0+m0",
)


def _einsums(folder: Path, chance: random.Random) -> Any:
    """The Einsums of a shipped cascade with words exchanged or signs put in; checked, and its passes counted."""
    data = dict(chance.choice(shipped("cascade")))
    text = data["einsums"]
    for _ in range(chance.choice((1, 1, 2, 5))):
        tokens = list(re.finditer(r"[A-Za-z_][A-Za-z0-9_]*|\d+|[^\sA-Za-z0-9_]", text))
        one, other = chance.choice(tokens), chance.choice(tokens)
        put = chance.choice(
            (other[0], other[0], chance.choice(_SIGNS), "", one[0] + chance.choice(_SIGNS), chance.choice(NUMBERS))
        )
        text = text[: one.start()] + put + text[one.end() :]
    data["einsums"] = text
    path = folder / "einsums.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False, allow_unicode=True), "utf-8")
    checked(path)
    return _answered(["passes", str(path)])


# --- command lines -----------------------------------------------------------------------------------------
_COMMANDS: tuple[tuple[str, ...], ...] = (
    ("simulate", "{design}"), ("simulate", "{design}", "--engine", "cycle"), ("simulate", "{design}", "--json"),
    ("check", "{design}"), ("check", "{mapping}", "--on", "{machine}"), ("passes", "{cascade}"), ("passes", "{cascade}", "--rank", "M", "--json"),
    ("bind", "{design}", "--effort", "1000", "--interleave", "2"), ("list", "cascades"), ("compare", "{table}"), ("compare", "{table}", "--machine", "h100-sxm"),
    ("trace", "{design}", "-o", "trace.json", "--window", "0:100", "--max-events", "50"), ("rewrite", "{cascade}", "--passes", "2", "--rank", "M"),
    ("verify", "{cascade}", "--precision", "fp32", "--set", "M=9", "--set", "P=3", "--set", "K=3"), ("simulate", "{design}", "--set", "seq_len=32"),
)  # fmt: skip
_WORDS = (
    "--json",
    "--set",
    "--engine",
    "--rank",
    "-o",
    "--",
    "-",
    "--help",
    "-h",
    "--seed",
    "--plot",
    "--exp",
    "--backend",
    "--against",
)


def warm_up_commands(folder: Path) -> None:
    """Compile what the commands call."""
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    files = {
        "design": "experiment.yaml",
        "mapping": "mapping.yaml",
        "machine": "machine.yaml",
        "cascade": "running.yaml",
    }
    for words in _COMMANDS:
        if "{table}" not in words:
            run([word.format(**files) for word in words])


def _command(folder: Path, chance: random.Random) -> Any:
    """A command line on the small design, one of its words mutated."""
    for name, text in FILES.items():
        (folder / name).write_text(text, "utf-8")
    lines = (ROOT / "kernels" / "published" / "cases.csv").read_text("utf-8").splitlines()
    (folder / "cases.csv").write_text("\n".join([lines[0], *chance.sample(lines[1:], 2)]), "utf-8")
    files = {"design": "experiment.yaml", "mapping": "mapping.yaml", "machine": "machine.yaml", "table": "cases.csv"}
    files["cascade"] = chance.choice(("cascade.yaml", "running.yaml"))
    words = [word.format(**files) for word in chance.choice(_COMMANDS)]
    for _ in range(chance.choice((0, 1, 1, 2))):
        i = chance.randrange(1, len(words))
        hostile = str(
            chance.choice((*HOSTILE, *NUMBERS, *FILES, *_WORDS, "0:0", "50%:1 tile", "99999999999999999999:1"))
        )
        match chance.choice(("replace", "splice", "misspell", "insert", "remove")):
            case "replace":
                words[i] = hostile
            case "splice":
                words[i] = spliced(words[i], chance)
            case "misspell":
                words[i] = misspelt(words[i], chance)
            case "insert":
                words.insert(i, chance.choice(_WORDS) if chance.random() < 0.5 else hostile)
            case _ if len(words) > 2:
                del words[i]
    return _answered(words)


def _answered(words: list[str]) -> Any:
    """What a command says, if it is done; its sentences as an error else. Status 3, a fault, is an exception."""
    status, out, err = run(words)
    if status not in (0, 1, 2):
        raise AssertionError(f"{words}: status {status}: {err}")
    if re.search(r"(?<![\w-])(nan|inf)(?![\w-])", out + err) and not re.search(r"(nan|inf)", " ".join(words)):
        raise AssertionError(f"{words}: {out[:500]} {err[:500]}")
    if status == 2:
        raise InputError([InputProblem(err.strip().splitlines()[0] if err.strip() else "nothing", None, "", "refused")])
    return None


# --- tables and measurements -------------------------------------------------------------------------------
def _table_shaped(text: str, chance: random.Random) -> bytes:
    """A table with cells, rows or columns exchanged, repeated or removed, quoted, with other separators and line ends."""
    rows = [line.split(",") for line in text.splitlines()]
    for _ in range(chance.choice((1, 1, 2))):
        i, j = chance.randrange(len(rows)), chance.randrange(len(rows))
        k, n = chance.randrange(len(rows[0])), chance.randrange(len(rows[0]))
        match chance.choice(("cell", "cell", "number", "row", "column", "double", "drop", "quote", "alike")):
            case "cell":
                rows[i][k % len(rows[i])] = str(chance.choice((rows[j][n % len(rows[j])], *HOSTILE)))
            case "number":
                rows[i][k % len(rows[i])] = chance.choice(NUMBERS)
            case "row":
                rows[i], rows[j] = rows[j], rows[i]
            case "column":
                for row in rows:
                    k, n = k % len(row), n % len(row)
                    row[k], row[n] = row[n], row[k]
            case "double":
                rows.insert(i, list(rows[j]))
            case "drop":
                rows[i] = rows[i][:k] or [""]
            case "quote":
                rows[i][k % len(rows[i])] = f'"{rows[i][k % len(rows[i])]}'
            case _:
                rows[i][k % len(rows[i])] = rows[i][k % len(rows[i])].translate(LOOK_ALIKES) or "\u200b"
    joined = "\n".join(chance.choice((",", ",", ",", ",", ";", "\t")).join(row) for row in rows)
    found = _encoded(joined, chance) if chance.random() < 0.2 else joined.encode("utf-8", "surrogatepass")
    return bytes(found)


def _table(folder: Path, chance: random.Random) -> Any:
    lines = (ROOT / "kernels" / "published" / "cases.csv").read_text("utf-8").splitlines()
    path = folder / "cases.csv"
    path.write_bytes(_table_shaped("\n".join([lines[0], *chance.sample(lines[1:], 3)]), chance))
    machine = chance.choice((None, None, None, "h100-sxm", "fusemax-cloud", "a100-sxm", "h100"))
    return [[case.predicted_s for case in compare_source(str(path), machine).compared]]


@cache
def _measured_texts() -> tuple[str, ...]:
    """A measurement of the smallest case of each kind of problem, each."""
    smallest: dict[type, CaseSpec] = {}
    for spec in sorted(CASES, key=lambda spec: spec.flops + spec.bytes):
        smallest.setdefault(type(spec.problem), spec)
    return tuple(measurement_text_of(measurement_of((spec,))) for spec in smallest.values())


def _measurement(folder: Path, chance: random.Random) -> Any:
    """A measurement with its rows rearranged, or one number or word of its text replaced."""
    path, text = folder / "measured.json", chance.choice((measurement_text(), *_measured_texts()))
    if chance.random() < 0.4:
        path.write_text(json.dumps(_rearranged(json.loads(text), chance), default=str), "utf-8")
    elif chance.random() < 0.4:
        document = json.loads(text)
        problem = document["cases"][0]["problem"]
        for _ in range(chance.choice((1, 1, 2))):
            place = chance.choice([one for one in iter_paths(problem) if not isinstance(_get(problem, one), dict)])
            _put(problem, place, chance.choice((_number_of(chance), *SIZES)))
        path.write_text(json.dumps(document, default=str), "utf-8")
    else:
        shape = chance.choice((_worded, _worded, _lines, _alike, _encoded, _deeply))
        found = shape(text, chance)
        path.write_bytes(found if isinstance(found, bytes) else found.encode("utf-8", "surrogatepass"))
    return [[case.predicted_s for case in compare_source(str(path), None).compared]]


# --- sweeps ------------------------------------------------------------------------------------------------
def _sweep(folder: Path, chance: random.Random) -> Any:
    """A sweep with its sections rearranged or its text in another shape; a few of its points evaluated."""
    path = folder / "sweep.yaml"
    if chance.random() < 0.5:
        path.write_text(yaml.safe_dump(_rearranged(SWEEP, chance), sort_keys=False), "utf-8")
    else:
        path.write_bytes(_reshaped(yaml.safe_dump(SWEEP, sort_keys=False), chance))
    plan = load_plan(str(path))
    chunk = evaluate_points(plan, np.linspace(0, plan.sweep.size - 1, min(plan.sweep.size, 6)).astype(np.int64))
    return chunk.values[chunk.reason == 0].tolist()


DEEP_KINDS: tuple[Kind, ...] = (
    ("shape of a text", 20, _shape), ("small design", 14, partial(_small, "analytical")), ("small design, cycles", 8, partial(_small, "cycle")),
    *((f"sections of a {kind}", 2, partial(_document, kind)) for kind in (
        "cascade", "architecture", "mapping", "model", "technology", "timing", "taxonomy", "experiment", "sweep",
    )),
    ("reproduction", 1, _reproduction), ("formula two ways", 18, _two_ways), ("Einsums", 14, _einsums), ("command line", 10, _command),
    ("table", 5, _table), ("measurement", 5, _measurement), ("points of a sweep", 5, _sweep),
)  # fmt: skip


if __name__ == "__main__":
    try_many(DEEP_KINDS, warm_up_commands)
