"""Tables of operators: every method of the vector unit, carried out with exactly the slots that its row charges.

A method has nothing but the slots of `Slots`, each of which is counted, and its error is measured against numpy in
fp64. So a row can neither forget a slot nor promise an accuracy that its slots do not reach.
"""

import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from einsums.operators import OPERATOR_BY_NAME, OPERATORS
from sim.design.assemble import load_experiment
from sim.load.nouns import load_architecture, load_operators
from sim.load.problems import InputError

ACCURACY = 2.0**-9  # half a unit in the last place of bfloat16
TABLE = {operation.name: operation for operation in load_operators("vector-unit").operations}
MAGIC = np.float32(1.5 * 2**23)  # its sum with a small number has no bits left for a fraction
ERF = np.vectorize(math.erf)
EDGE = 2.4  # where the polynomial for erf is 1


def fitted(function, low, high, powers, at_end=None, relative=False):
    """Coefficients of these powers, nearly minimax: least squares at Chebyshev nodes; `at_end`: the value at `high`."""
    nodes = (low + high) / 2 + (high - low) / 2 * np.cos(np.pi * (np.arange(400) + 0.5) / 400)
    columns, end = np.array([nodes**p for p in powers]).T, np.array([float(high) ** p for p in powers])
    wanted = function(nodes)
    if at_end is None:
        weights = 1 / wanted if relative else np.ones(nodes.size)
        return np.linalg.lstsq(columns * weights[:, None], wanted * weights, rcond=None)[0]
    # The last coefficient follows from the others and the value at the end.
    last = columns[:, -1:] / end[-1]
    rest = np.linalg.lstsq(columns[:, :-1] - last * end[:-1], wanted - last[:, 0] * at_end, rcond=None)[0]
    return np.append(rest, (at_end - rest @ end[:-1]) / end[-1])


EXPONENTIAL = fitted(np.exp2, -0.5, 0.5, range(3), relative=True)
LOGARITHM = fitted(np.log1p, -1 / 3, 1 / 3, range(1, 5))
SOFTENED = fitted(np.log1p, 0, 1, range(1, 5))
SINE = fitted(np.sin, -np.pi / 2, np.pi / 2, (1, 3, 5))
COSINE = fitted(np.cos, -np.pi / 2, np.pi / 2, (0, 2, 4))
BELL = fitted(ERF, -EDGE, EDGE, (1, 3, 5, 7, 9), at_end=1.0)


class Slots:
    """The slots of an element on fp32 words, counted by name."""

    def __init__(self):
        self.used = Counter()

    def _slot(self, name, value):
        self.used[name] += 1
        return np.asarray(value, np.float32)

    def add(self, a, b):
        return self._slot("add", np.float32(a) + np.float32(b))

    def sub(self, a, b):
        return self._slot("sub", np.float32(a) - np.float32(b))

    def macc(self, a, b, c=0.0):
        return self._slot("macc", np.multiply(a, b, dtype=np.float64) + np.float64(c))

    def max(self, a, b):
        return self._slot("max", np.maximum(a, b))

    def min(self, a, b):
        return self._slot("min", np.minimum(a, b))

    def compare(self, chosen):
        return self._slot("max", chosen)

    def bits(self, function, *words, slot="add"):
        """An integer addition, shifts and conversion of its operands included, on the bits of words."""
        found = function(*(np.asarray(word, np.float32).view(np.int32) for word in words))
        return self._slot(slot, found.astype(np.int32).view(np.float32))

    def polynomial(self, coefficients, x):
        """By Horner's rule: a multiply-add for each coefficient but the highest."""
        total = np.float32(coefficients[-1])
        for coefficient in coefficients[-2::-1]:
            total = self.macc(total, x, coefficient)
        return total

    def row(self, name, *words):
        """Another row as a whole."""
        return self._slot(name, METHODS[name](Slots(), *words))


def reciprocal_root(s, x):
    guess = s.bits(lambda b: 0x5F3759DF - (b >> 1), x)
    return s.macc(guess, s.macc(s.macc(x, -0.5), s.macc(guess, guess), 1.5))


def quotient(s, a, b):
    y = s.bits(lambda bits: 0x7EF311C7 - bits, b)
    for _ in range(2):
        y = s.macc(y, s.macc(-b, y, 2))
    return s.macc(a, y)


def exponential(s, x):
    shifted = s.macc(x, math.log2(math.e), MAGIC)
    rest = s.macc(x, math.log2(math.e), -s.macc(shifted, 1, -MAGIC))
    return s.bits(lambda b, n: b + (n << 23), s.polynomial(EXPONENTIAL, rest), shifted, slot="macc")


def logarithm(s, x, base=math.e):
    two_thirds = 0x3F2AAAAB  # as bits
    exponent = s.bits(lambda b: (b - two_thirds) >> 23, x).view(np.int32)
    z = s.add(s.bits(lambda b: b - (exponent << 23), x), -1)
    whole = s.macc(s.add(exponent, 0), math.log(2, base))  # the addition converts
    return s.macc(s.polynomial(LOGARITHM / math.log(base), z), z, whole)


def error_function(s, x, factor=1.0):
    inside = s.min(s.max(x, -EDGE / factor), EDGE / factor)
    scaled = BELL * factor ** np.array([1, 3, 5, 7, 9])
    return s.macc(s.polynomial(scaled, s.macc(inside, inside)), inside)


def gelu(s, x):
    half = s.macc(x, 0.5)
    s.used["erf"] += 1  # with the root in the factors of its polynomial
    return s.macc(half, error_function(Slots(), x, math.sqrt(0.5)), half)


def softplus(s, x):
    e = s.row("exp", -s.max(x, -x))  # the sign is the exponential's first factor's
    return s.macc(s.polynomial(SOFTENED, e), e, s.max(x, 0))


def turned(s, x):
    """What is left of x after the nearest multiple of pi, and the bits of that multiple."""
    number = s.macc(x, 1 / math.pi, MAGIC)
    whole = s.sub(number, MAGIC)
    high = np.float32(3.140625)  # few bits, so that its multiples are exact
    return s.macc(-whole, math.pi - float(high), s.macc(-whole, high, x)), number


def with_sign(s, value, number):
    return s.bits(lambda b, n: b ^ (n << 31), value, number)


def sine(s, x):
    rest, number = turned(s, x)
    return with_sign(s, s.macc(s.polynomial(SINE, s.macc(rest, rest)), rest), number)


def cosine(s, x):
    rest, number = turned(s, x)
    return with_sign(s, s.polynomial(COSINE, s.macc(rest, rest)), number)


def rounded(s, x):
    return s.sub(s.add(x, MAGIC), MAGIC)


def downward(s, x):
    nearest = rounded(s, x)
    return s.sub(nearest, s.compare(nearest > x))


def upward(s, x):
    nearest = rounded(s, x)
    return s.add(nearest, s.compare(nearest < x))


def comparison(name):
    meaning = OPERATOR_BY_NAME[name].meaning
    return lambda s, *words: s.compare(meaning(*words))


METHODS = {
    "add": lambda s, a, b: s.macc(a, 1, b),
    "sub": lambda s, a, b: s.add(a, -b),
    "neg": lambda s, x: s.sub(0, x),
    "max": lambda s, a, b: np.where(s.sub(a, b) > 0, a, b),
    "min": lambda s, a, b: -s.max(-a, -b),
    "abs": lambda s, x: s.max(x, -x),
    "relu": lambda s, x: s.max(x, 0),
    "clamp": lambda s, x, low, high: s.min(s.max(x, low), high),
    **{name: comparison(name) for name in ("lt", "le", "gt", "ge", "eq", "ne", "and", "or", "not", "select")},
    "sign": lambda s, x: s.sub(s.compare(x > 0), s.compare(x < 0)),
    "round": rounded,
    "floor": downward,
    "ceil": upward,
    "div": quotient,
    "exp": exponential,
    "log": logarithm,
    "log2": lambda s, x: logarithm(s, x, 2),
    "rsqrt": reciprocal_root,
    "sqrt": lambda s, x: s.macc(x, s.row("rsqrt", x)),
    "sigmoid": lambda s, x: s.row("div", np.float32(1), s.add(s.row("exp", -x), 1)),
    "silu": lambda s, x: s.row("div", x, s.add(s.row("exp", -x), 1)),
    "tanh": lambda s, x: s.sub(1, s.row("div", np.float32(2), s.add(s.row("exp", 2 * x), 1))),
    "erf": error_function,
    "gelu": gelu,
    "softplus": softplus,
    "sin": sine,
    "cos": cosine,
    "pow": lambda s, x, y: s.row("exp", s.macc(s.row("log", x), y)),
}

WIDE = np.concatenate([np.linspace(-80, 80, 4001), np.geomspace(1e-6, 80, 1000), -np.geomspace(1e-6, 80, 1000), [0]])
POSITIVE = np.concatenate([np.geomspace(1e-30, 1e30, 4001), np.linspace(0.3, 3, 2001)])
GATE = np.linspace(-15, 15, 6001)
ARGUMENTS = {
    "div": (WIDE[::-1], np.where(abs(WIDE) < 1e-3, 1.5, WIDE)),
    "log": (POSITIVE,), "log2": (POSITIVE,), "sqrt": (POSITIVE,), "rsqrt": (POSITIVE,),
    "pow": (np.linspace(0.1, 9, 6002), np.linspace(-3, 3, 6002)), "clamp": (WIDE, np.full(WIDE.size, -1.0), np.full(WIDE.size, 2.0)),
    "sigmoid": (GATE,), "silu": (GATE,), "tanh": (GATE,), "softplus": (GATE,),
    "eq": (np.round(WIDE), np.round(WIDE[::-1])), "ne": (np.round(WIDE), np.round(WIDE[::-1])),
}  # fmt: skip
ABSOLUTE = ("tanh", "erf", "gelu", "softplus", "sin", "cos")  # of the size of 1, where relative errors say little


@pytest.mark.parametrize("name", TABLE)
def test_a_row_charges_the_slots_of_its_method(name):
    operator = OPERATOR_BY_NAME[name]
    words = ARGUMENTS.get(name, (WIDE, WIDE[::-1], WIDE)[: operator.arity])
    words = tuple(np.asarray(word, np.float32) for word in words)
    slots = Slots()
    with np.errstate(invalid="ignore", over="ignore"):
        found = METHODS[name](slots, *words)
    assert dict(slots.used) == {part.operation: part.count for part in TABLE[name].made_of}
    expected = operator.meaning(*(word.astype(np.float64) for word in words)).astype(np.float64)
    scale = np.maximum(abs(expected), 1) if name in ABSOLUTE else abs(expected)
    if name == "pow":
        scale = scale * (1 + abs(words[1] * np.log(words[0])))
    assert np.all(np.isfinite(found))
    assert (abs(found - expected) <= ACCURACY * scale).all()


def test_the_table_has_every_operator_but_the_product():
    assert {operator.name for operator in OPERATORS} - set(TABLE) == {"mul"}
    assert all(operation.coverages == ((name,),) for name, operation in TABLE.items())


def test_an_array_keeps_its_own_operations():
    vector, own = (load_architecture(name).array("PE1D") for name in ("fusemax-cloud-vector", "fusemax-cloud"))
    assert vector.operations[: len(own.operations)] == own.operations
    assert vector.area_um2 == own.area_um2
    for operators in (("mul", "add"), ("sub", "exp"), ("div",), ("max",)):
        assert vector.resolve(operators) == own.resolve(operators)


def test_a_row_is_made_of_what_the_array_has():
    """By hand: of the FuseMax chip's 1D array, whose exponential is six multiply-adds and whose divider takes one slot."""
    array = load_architecture("fusemax-cloud-vector").array("PE1D")
    assert array.cycles_per_point(("sigmoid",)) == 6 + 1 + 1
    assert array.energy_pj_per_point(("sigmoid",)) == pytest.approx(6 * 17.1645 + 8.3395 + 36.251153)
    assert array.cycles_per_point(("gelu",)) == 1 + 1 + 6 + 2  # min is made of max
    assert array.energy_pj_per_point(("gelu",)) == pytest.approx(2 * 0.028036 + 8 * 17.1645)
    assert array.cycles_per_point(("mul", "mul", "rsqrt")) == 2 + 5
    # A machine with an exponential unit: one slot for it.
    flat = load_architecture("flat-cloud").array("PE1D")
    told = flat.model_copy(update={"table": load_operators("vector-unit")})
    assert type(flat).model_validate(told.model_dump()).cycles_per_point(("sigmoid",)) == 1 + 1 + 1


MACHINE = """\
name: small
clock: 1 GHz
word: 16 bit
node: 45 nm
source: made up
components:
  DRAM: {kind: memory, row: 64 bit, bandwidth: 1 GB/s, read_energy: 1 pJ, write_energy: 1 pJ, area: 0 um2, source: made up}
  RF: {kind: memory, parent: DRAM, per_pe_of: PE, depth: 4, width: 16 bit, read_energy: 0 pJ, write_energy: 0 pJ, area: 0 um2, source: s}
  PE:
    {kind: array, parent: DRAM, rows: 1, columns: 4, registers: RF, source: made up, operators: OPERATORS,
     operations: {NAME: {operators: [mul, add], also: [[mul]], cycles: 1, energy: 1 pJ, source: made up}}}
"""
TABLE_FILE = """\
name: own
source: made up
operations:
  exp: {made_of: {macc: 4}, source: made up}
  gelu: {made_of: {PART: 2}, source: made up}
"""


def refusal(tmp_path, operators="own.yaml", name="macc", part="exp", table=TABLE_FILE):
    (tmp_path / "own.yaml").write_text(table.replace("PART", part))
    path = tmp_path / "machine.yaml"
    path.write_text(MACHINE.replace("OPERATORS", operators).replace("NAME", name))
    with pytest.raises(InputError) as caught:
        load_architecture(str(path))
    return str(caught.value).replace(f"{tmp_path}/", "")


def test_a_table_of_ones_own(tmp_path):
    (tmp_path / "own.yaml").write_text(TABLE_FILE.replace("PART", "exp"))
    (tmp_path / "machine.yaml").write_text(MACHINE.replace("OPERATORS", "own.yaml").replace("NAME", "macc"))
    assert load_architecture(str(tmp_path / "machine.yaml")).array("PE").cycles_per_point(("gelu",)) == 8


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"operators": "vector-unti"},
            "machine.yaml:10: $.components.PE.operators: no operator table called 'vector-unti' (did you mean"
            " 'vector-unit'?); shipped: vector-unit",
        ),
        (
            {"operators": "[a, b]"},
            "machine.yaml:10: $.components.PE.operators: expected keys and values, got a list",
        ),
        (
            {"name": "fma"},
            "machine.yaml:9: $.components.PE: operation 'exp' is made of 'macc', which array 'PE' does not have",
        ),
        (
            {"part": "expp"},
            "machine.yaml:9: $.components.PE: operation 'gelu' is made of 'expp', which array 'PE' does not have"
            " (did you mean 'exp'?)",
        ),
        (
            {"part": "gelu"},
            "machine.yaml:9: $.components.PE: an operation cannot be made of itself, got gelu -> gelu",
        ),
        (
            {"table": TABLE_FILE.replace("gelu:", "gulu:")},
            "own.yaml:5: $.components.PE.operators.operations.gulu.operators[0]: unknown operator 'gulu' (did you mean"
            " 'gelu'?)",
        ),
        (
            {"table": TABLE_FILE.replace("source: made up\nope", "ope")},
            "own.yaml:1: $.components.PE.operators: missing key 'source'",
        ),
    ],
)
def test_what_is_wrong_with_a_table_is_said(tmp_path, changes, message):
    assert refusal(tmp_path, **changes) == message


def test_the_documented_slots_are_those_of_the_machines():
    text = (Path(__file__).parents[1] / "docs" / "formats.md").read_text()
    flat = load_experiment("flat", {"architecture.components.PE1D.operators": "vector-unit"}).architecture
    arrays = [machine.array("PE1D") for machine in (load_architecture("fusemax-cloud-vector"), flat)]
    rows = [
        f"| `{name}` | {', '.join(f'{part.count} {part.operation}' for part in operation.made_of)} |"
        + "".join(f" {array.cycles_per_point((name,)):g} |" for array in arrays)
        for name, operation in TABLE.items()
    ]
    assert "\n".join(rows) in text
