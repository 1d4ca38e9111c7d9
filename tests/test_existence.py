"""Which points exist: the rule against brute force, and counts in closed form against visiting every point."""

import hashlib
import itertools
import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from einsums import Cascade, Workload, execute, existing_elements, existing_points, lattice, operation_counts, points
from einsums.integer_points import Constraint, Linear, Multiple, Opaque, Quotients, count_points, line, number
from einsums.lattice import floor_sum, lattice_points
from sim.engine.lattice import SOURCE, lattice_columns


def cascade(text: str, inputs: dict[str, list[str]], **more: object) -> Cascade:
    ranks = {rank: "" for own in inputs.values() for rank in own}
    written = [row.split("[")[0].strip() for row in text.strip().splitlines()]
    document = {"name": "test", "ranks": ranks, "inputs": inputs, "outputs": written[-1:], "einsums": text}
    return Cascade.model_validate(document | more)


def sized(found: Cascade, **sizes: int) -> Workload:
    return Workload.model_validate({"cascade": found, "bits": 16, "sizes": sizes})


# --- points between lines -----------------------------------------------------------------------------------
@pytest.mark.parametrize("block", range(4))
def test_floor_sums_equal_their_terms(block: int) -> None:
    draw = random.Random(block)
    for _ in range(500):
        count, divisor = draw.randint(0, 20), draw.randint(1, 12)
        slope, start = draw.randint(-30, 30), draw.randint(-30, 30)
        assert floor_sum(count, divisor, slope, start) == sum((slope * i + start) // divisor for i in range(count))


@pytest.mark.parametrize("block", range(4))
def test_points_between_random_lines(block: int) -> None:
    draw = random.Random(100 + block)
    for _ in range(1500):
        first, second = draw.randint(0, 14), draw.randint(0, 14)
        rows = [[draw.randint(-4, 4), draw.randint(-4, 4), draw.randint(-20, 20)] for _ in range(draw.randint(0, 4))]
        every = itertools.product(range(first), range(second))
        expected = sum(all(a * i + b * j + c >= 0 for a, b, c in rows) for i, j in every)
        assert lattice_points(rows, first, second) == expected, rows


def test_columns_of_designs_are_counted_alike() -> None:
    """The compiled form is the same source; a million causal squares around 2^20 are exact."""
    rng = np.random.default_rng(0)
    rows = rng.integers(-4, 5, (300, 3, 3))
    firsts, seconds = rng.integers(0, 15, (2, 300))
    found = np.zeros(300, np.int64)
    lattice_columns(rows, firsts, seconds, found)
    assert found.tolist() == [
        lattice_points(r.tolist(), int(i), int(j)) for r, i, j in zip(rows, firsts, seconds, strict=True)
    ]
    sizes = (1 << 20) + np.arange(10_000)
    causal = np.broadcast_to(np.array([[1, -1, 0]]), (10_000, 1, 3))
    found = np.zeros(10_000, np.int64)
    lattice_columns(causal, sizes, sizes, found)
    assert (found == sizes * (sizes + 1) // 2).all()


def test_compiled_code_is_kept_by_what_it_was_compiled_from() -> None:
    assert hashlib.sha256(Path(lattice.__file__).read_bytes()).hexdigest()[:16] == SOURCE


def random_line(draw: random.Random, names: str) -> Linear:
    return line({name: draw.choice((0, 0, 1, -1, 1, -1, 2, -3)) for name in names}, draw.randint(-6, 6))


def random_constraints(draw: random.Random, names: str) -> list[Constraint]:
    found: list[Constraint] = []
    for _ in range(draw.randint(0, 4)):
        kind = draw.random()
        one = random_line(draw, names)
        if kind < 0.6:
            found.append(one)
        elif kind < 0.7:  # an equality
            found += [one, number(0).plus(one, -1)]
        elif kind < 0.85:
            found.append(Multiple(one, draw.randint(1, 4)))
        elif kind < 0.95:
            found.append(Quotients(one, random_line(draw, names), draw.randint(1, 4), draw.random() < 0.7))
        else:
            some = tuple(draw.sample(names, draw.randint(1, len(names))))
            found.append(Opaque(some, lambda point, some=some: sum(point[name] for name in some) % 3 != 1, some))
    return found


def holds(one: Constraint, point: dict[str, int]) -> bool:
    match one:
        case Linear():
            return one.value(point) >= 0
        case Multiple():
            return one.line.value(point) % one.modulus == 0
        case Quotients():
            return (one.left.value(point) // one.divisor == one.right.value(point) // one.divisor) == one.equal
    return one.holds(point)


@pytest.mark.parametrize("block", range(4))
def test_points_of_random_constraints(block: int) -> None:
    draw = random.Random(200 + block)
    for _ in range(500):
        names = "abcd"[: draw.randint(1, 4)]
        sizes = {name: draw.randint(1, 6) for name in names}
        constraints = random_constraints(draw, names)
        every = (dict(zip(names, p, strict=True)) for p in itertools.product(*(range(sizes[n]) for n in names)))
        expected = sum(all(holds(one, point) for one in constraints) for point in every)
        assert count_points(constraints, sizes) == expected, constraints


# --- closed forms -------------------------------------------------------------------------------------------
SCORES = {"Q": ["P"], "K": ["M"]}
LARGE = 1_048_577


def scores(condition: str, **more: object) -> Cascade:
    return cascade(f"S[m,p] = Q[p] * K[m] where {condition}", SCORES, **more)


@pytest.mark.parametrize("size", [1, 7, 4096, LARGE])
def test_causal(size: int) -> None:
    assert points(sized(scores("m <= p"), P=size, M=size), "S") == size * (size + 1) // 2


@pytest.mark.parametrize(("queries", "keys"), [(5, 9), (9, 5), (1, 8), (1000, LARGE), (LARGE, 1000)])
def test_causal_from_the_end(queries: int, keys: int) -> None:
    """Query p of P sees keys up to p + M - P: a trapezium, or a triangle where there are more queries than keys."""
    first = max(keys - queries + 1, 0)  # keys of the first query
    rows = min(queries, keys)
    expected = rows * (2 * keys - rows + 1) // 2
    assert first >= 0
    assert points(sized(scores("m <= p + M - P"), P=queries, M=keys), "S") == expected


@pytest.mark.parametrize(("size", "window"), [(9, 3), (5, 9), (LARGE, 4096), (4096, 1)])
def test_window(size: int, window: int) -> None:
    found = scores("p - W < m and m <= p", ranks={"P": "", "M": "", "W": ""})
    wide = min(size, window)
    assert points(sized(found, P=size, M=size, W=window), "S") == wide * (wide + 1) // 2 + (size - wide) * wide


def test_prefix_and_window() -> None:
    found = scores("(p - W < m and m <= p) or m < R", ranks={"P": "", "M": "", "W": "", "R": ""})
    size, window, prefix = 100_000, 512, 100
    inside = sum(min(p + 1, window) for p in range(size))
    outside = sum(min(max(p - window + 1, 0), prefix) + max(prefix - p - 1, 0) for p in range(size))
    assert points(sized(found, P=size, M=size, W=window, R=prefix), "S") == inside + outside


def test_blocks_and_strides() -> None:
    found = scores("m // W == p // W and m <= p", ranks={"P": "", "M": "", "W": ""})
    assert points(sized(found, P=65_536, M=65_536, W=64), "S") == 1024 * (64 * 65 // 2)
    found = scores("m % W == p % W", ranks={"P": "", "M": "", "W": ""})
    assert points(sized(found, P=LARGE, M=LARGE, W=8), "S") == sum(((LARGE - r + 7) // 8) ** 2 for r in range(8))


RAGGED = "S[b,m,p] = Q[b,p] * K[b,m] where m < LEN[b] and p < LEN[b]"
RAGGED_INPUTS = {"Q": ["B", "P"], "K": ["B", "M"], "LEN": ["B"]}


def test_ragged_batches_by_lengths_and_by_histogram() -> None:
    found = cascade(RAGGED, RAGGED_INPUTS)
    lengths = [3, 0, 9, 5, 9, 1, 12]
    workload = sized(found, B=7, P=12, M=12)
    expected = sum(length**2 for length in lengths)
    assert existing_points(workload, "S", {"LEN": lengths}) == (expected, False)
    assert existing_points(workload, "S", {"LEN": Counter(lengths)}) == (expected, False)
    causal = cascade(RAGGED + " and m <= p", RAGGED_INPUTS)
    counted = existing_points(sized(causal, B=7, P=12, M=12), "S", {"LEN": Counter(lengths)})
    assert counted.points == sum(length * (length + 1) // 2 for length in lengths)
    assert {row.count for row in operation_counts(workload, {"LEN": lengths})} == {expected}


def test_a_million_sequences_by_histogram() -> None:
    found = cascade(RAGGED, RAGGED_INPUTS)
    lengths = dict.fromkeys(range(1, 1001), 1000)
    counted = existing_points(sized(found, B=1_000_000, P=1000, M=1000), "S", {"LEN": lengths})
    assert counted.points == 1000 * sum(length**2 for length in range(1, 1001))


def test_data_need_data_or_a_density() -> None:
    text = "S[m,p] = Q[p] * K[m] where m <= p and K[m] > Q[p]\nT[m,p] = S[m,p] * 2"
    with pytest.raises(ValueError, match=r"^which points of T exist depends on data; execute the cascade, or declare"):
        existing_points(sized(cascade(text, SCORES), P=8, M=8), "T")
    found = cascade(text, SCORES, density={"S": 0.25})
    assert existing_points(sized(found, P=8, M=8), "T") == (9, True)
    with pytest.raises(ValueError, match=r"^the points of S depend on the lengths LEN\[b\]; give their values$"):
        points(sized(cascade(RAGGED, RAGGED_INPUTS), B=2, P=3, M=3), "S")


# --- whole cascades against visiting every point ------------------------------------------------------------
ATOMS = (
    "m <= p", "m < p", "p - 2 < m", "m <= p + M - P", "2*m <= p + 1", "m // 3 == p // 3", "m % 2 == p % 2", "m < 4",
    "abs(m - p) <= 2", "m != p", "m < LEN[b]", "p < LEN[b]", "not m < 2", "m // 2 <= p", "p <= min(m, 5)",
)  # fmt: skip
SOFTMAX = """
S[b,{m},p] = Q[b,e,p] * K[b,e,{whole}] where {condition}
L[b{tile},p] = S[b,{m},p] :: max({inner})
N[b,{m},p] = exp(S[b,{m},p] - L[b{tile},p])
D[b{tile},p] = N[b,{m},p]
A[b,{m},p] = N[b,{m},p] / D[b{tile},p]
Y[b,p] = A[b,{m},p] * V[b,{whole}]
"""


def random_softmax(draw: random.Random) -> Cascade:
    """Softmax in tiles or not, at points that a random condition chooses."""
    joined = draw.choice((" and ", " or "))
    chosen = joined.join(f"({atom})" for atom in draw.sample(ATOMS, draw.randint(1, 3)))
    parts = draw.random() < 0.6
    names = {"m": "m1,m0", "whole": "m1*M0+m0", "tile": ",m1", "inner": "m0"}
    if not parts:
        names = {"m": "m", "whole": "m", "tile": "", "inner": "m"}
    words = chosen.replace("m", "(m1*M0+m0)") if parts else chosen
    words = words.replace("(m1*M0+(m1*M0+m0)0)", "(m1*M0+m0)").replace("(m1*M0+m0)in(", "min(")
    inputs = {"Q": ["B", "E", "P"], "K": ["B", "E", "M"], "V": ["B", "M"]}
    inputs |= {"LEN": ["B"]} if "LEN" in words else {}
    more = {"partition": {"M": ["M1", "M0"]}} if parts else {}
    return cascade(SOFTMAX.format(condition=words, **names).strip(), inputs, **more)


@pytest.mark.parametrize("block", range(8))
def test_random_conditions_in_tiles(block: int) -> None:
    """Counts in closed form equal what the interpreter visits, for every Einsum and every tensor."""
    draw = random.Random(300 + block)
    for _ in range(40):
        found = random_softmax(draw)
        sizes = {"B": draw.randint(1, 3), "E": 2, "P": draw.randint(1, 9), "M": draw.randint(1, 9)}
        sizes |= {"M0": draw.randint(1, 5)} if found.partitions else {}
        lengths = [draw.randint(0, 9) for _ in range(sizes["B"])]
        inputs = {t.name: np.ones([sizes[rank] for rank in t.ranks]) for t in found.inputs}
        inputs |= {"LEN": np.array(lengths)} if "LEN" in inputs else {}
        done = execute(found, inputs, sizes)
        workload = sized(found, **sizes)
        for einsum in found.einsums:
            counted = existing_points(workload, einsum.name, {"LEN": lengths})
            assert counted == (done.points[einsum.name], False), (found, sizes, lengths, einsum.name)
            elements = existing_elements(workload, einsum.name, {"LEN": lengths}).points
            assert elements == int((~np.isnan(done.tensors[einsum.name])).sum()), (found, sizes, einsum.name)


def brute_force_softmax(condition: np.ndarray, scores_: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Row by row over the keys that are chosen; 0 without any."""
    rows = []
    for row in range(condition.shape[0]):
        keys = np.flatnonzero(condition[row])
        weights = np.exp(scores_[keys, row] - scores_[keys, row].max(initial=-np.inf)) if keys.size else np.zeros(0)
        rows.append(weights @ values[keys] / weights.sum() if keys.size else 0.0)
    return np.array(rows)


CHECKED = {
    "m <= p": lambda m, p, keys, queries: m <= p,
    "m <= p + M - P": lambda m, p, keys, queries: m <= p + keys - queries,
    "p - 3 < m and m <= p": lambda m, p, keys, queries: (p - 3 < m) & (m <= p),
    "m // 2 == p // 2 or m < 1": lambda m, p, keys, queries: (m // 2 == p // 2) | (m < 1),
    "(m + p) % 3 == 0": lambda m, p, keys, queries: (m + p) % 3 == 0,
    "m > p + 20": lambda m, p, keys, queries: m > p + 20,
}


@pytest.mark.parametrize("tile", [1, 3, 20])
@pytest.mark.parametrize("condition", CHECKED)
def test_values_of_points_that_exist(condition: str, tile: int) -> None:
    text = f"""
    S[m1,m0,p] = Q[e,p] * K[e,m1*M0+m0] where {condition.replace("m", "(m1*M0+m0)")}
    G[p] = S[m1,m0,p] :: max(m1,m0)
    N[m1,m0,p] = exp(S[m1,m0,p] - G[p])
    D[p] = N[m1,m0,p]
    U[p] = N[m1,m0,p] * V[m1*M0+m0]
    Y[p] = U[p] / D[p]"""
    found = cascade(
        text.replace("\n    ", "\n").strip(),
        {"Q": ["E", "P"], "K": ["E", "M"], "V": ["M"]},
        partition={"M": ["M1", "M0"]},
    )
    rng = np.random.default_rng(tile)
    q, k, v = rng.normal(size=(4, 11)), rng.normal(size=(4, 7)), rng.normal(size=7)
    p, m = np.arange(11)[:, None], np.arange(7)[None, :]
    expected = brute_force_softmax(CHECKED[condition](m, p, 7, 11), k.T @ q, v)
    np.testing.assert_allclose(
        execute(found, {"Q": q, "K": k, "V": v}, {"M0": tile}).tensors["Y"], expected, atol=1e-12
    )


# --- the rule, piece by piece -------------------------------------------------------------------------------
def test_an_absent_operand_makes_a_map_absent_and_a_reduction_of_none_its_identity() -> None:
    text = "S[m,p] = Q[p] * K[m] where m < p\nG[p] = S[m,p] :: max(m)\nT[m,p] = S[m,p] + 1\nC[p] = T[m,p]\nY[p] = C[p] * G[p]"
    done = execute(cascade(text, SCORES), {"Q": np.ones(4), "K": np.ones(4)}).tensors
    assert np.isnan(done["T"][3, 2]) and done["T"][1, 2] == 2
    assert done["G"][0] == -np.inf and done["C"].tolist() == [0, 2, 4, 6]
    assert done["Y"][0] == 0  # 0 * inf


def test_a_mean_is_over_the_points_that_exist() -> None:
    done = execute(cascade("Y[p] = Q[p] * K[m] where m < p :: mean(m)", SCORES), {"Q": np.ones(4), "K": np.arange(4.0)})
    assert done.tensors["Y"].tolist() == [0.0, 0.0, 0.5, 1.0]
    assert done.points["Y"] == 6


def test_a_step_without_points_passes_the_old_value_on_also_to_readers() -> None:
    text = "R[t+1] = R[t] + X[t] where t % 3 == 0\nY[t] = R[t+1] * 2\nC[t] = R[t+1] - R[t]\nZ[] = C[t] * Y[t]"
    found = cascade(text, {"X": ["T"]}, init={"R": 1}, outputs=["Z"])
    done = execute(found, {"X": np.arange(1.0, 8.0)})
    assert done.tensors["R"].tolist() == [1, 2, 2, 2, 6, 6, 6, 13]
    assert done.tensors["Y"].tolist() == [4, 4, 4, 12, 12, 12, 26]
    assert np.isnan(done.tensors["C"]).tolist() == [False, True, True, False, True, True, False]
    assert (done.points["R"], done.points["Y"], done.points["C"]) == (3, 7, 3)


def test_edges_are_absent_or_a_value() -> None:
    text = "Y[t] = X[t+r-1] * W[r]"
    inputs = {"X": ["T"], "W": ["R"]}
    given = {"X": np.array([1.0, 2.0, 4.0]), "W": np.array([1.0, 10.0, 100.0])}
    skipped = execute(cascade(text, inputs, boundary={"X": "skip"}), given)
    padded = execute(cascade(text, inputs, boundary={"X": 7}), given)
    assert skipped.tensors["Y"].tolist() == [210.0, 421.0, 42.0] and skipped.points["Y"] == 7
    assert padded.tensors["Y"].tolist() == [217.0, 421.0, 742.0] and padded.points["Y"] == 9


def test_positions_and_sizes_are_values() -> None:
    text = "Y[p] = Q[p] * (pos(p) + pos(P) * 100 + pos((p+1) // 2) * 1000)"
    found = execute(cascade(text, {"Q": ["P"]}), {"Q": np.ones(3)}).tensors["Y"]
    assert found.tolist() == [300.0, 1301.0, 1302.0]


def test_reading_outside_a_tensor_is_refused_where_the_condition_lets_it() -> None:
    inputs, given = {"X": ["T"]}, {"X": np.arange(4.0)}
    done = execute(cascade("Y[t] = X[t-1] where t >= 1", inputs), given)
    assert done.tensors["Y"][1:].tolist() == [0.0, 1.0, 2.0] and np.isnan(done.tensors["Y"][0])
    with pytest.raises(ValueError, match=r"^Y: X\[t-2\] reads outside X at points where the condition holds; restrict"):
        execute(cascade("Y[t] = X[t-2] where t >= 1", inputs), given)
    with pytest.raises(ValueError, match=r"^LEN is compared with a coordinate and must hold whole numbers, found 1.5$"):
        execute(cascade(RAGGED, RAGGED_INPUTS), {"Q": np.ones((1, 2)), "K": np.ones((1, 2)), "LEN": np.array([1.5])})
