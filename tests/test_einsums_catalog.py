"""Does every shipped cascade compute what its name says? Plain numpy formulas, nothing of the interpreter, say what that is."""

import math
from pathlib import Path

import numpy as np
import pytest
import yaml

from einsums import Cascade, Model, Workload, interpret, operation_counts, points

CATALOG = Path(__file__).parent.parent / "einsums" / "catalog"
NAMES = sorted(path.stem for path in CATALOG.glob("*.yaml"))
ATTENTION = [name for name in NAMES if name.startswith("attention-")]
DIMENSIONS = {"batch", "seq_len", "heads", "head_size", "hidden", "ffn_size"}


def shipped(name: str) -> Cascade:
    return Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))


def softmax_attention(q: np.ndarray, k: np.ndarray, v: np.ndarray) -> np.ndarray:
    scores = np.swapaxes(k, -1, -2) @ q  # [m, p]
    weights = np.exp(scores - scores.max(axis=-2, keepdims=True))
    return v @ (weights / weights.sum(axis=-2, keepdims=True))


def relative_error(ours: np.ndarray, reference: np.ndarray) -> float:
    return float(np.max(np.abs(ours - reference)) / np.max(np.abs(reference)))


def random_attention(seed: int, batch: tuple[int, ...], keys: int = 13) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    shapes = {"Q": (5, 3), "K": (5, keys), "V": (7, keys)}
    return {name: rng.normal(size=batch + shape) for name, shape in shapes.items()}


def test_catalog_holds_the_named_cascades() -> None:
    assert set(NAMES) >= {
        "attention-naive",
        "attention-naive-deferred",
        "attention-3pass",
        "attention-3pass-deferred",
        "attention-2pass",
        "attention-2pass-deferred",
        "attention-1pass",
        "pedagogical-1",
        "pedagogical-2",
        "pedagogical-3",
        "linear-layers",
        "encoder-layer",
    }


@pytest.mark.parametrize("name", NAMES)
def test_cascade_is_called_like_its_file_and_sizes_every_rank(name: str) -> None:
    cascade = shipped(name)
    assert cascade.name == name
    assert cascade.description and cascade.source
    inner = {part for partition in cascade.partitions for part in partition.inner}
    assert {rule.rank for rule in cascade.sizes} - inner == set(cascade.scope.roots) - set(cascade.scope.first_name)
    words = {word.strip() for rule in cascade.sizes for word in rule.expression.split("*")}
    assert {word for word in words if not word.isdigit()} <= DIMENSIONS


@pytest.mark.parametrize("name", NAMES)
def test_file_states_its_source(name: str) -> None:
    header = (CATALOG / f"{name}.yaml").read_text().split("\nname:")[0]
    assert "# Source: " in header


@pytest.mark.parametrize("tile", [1, 4, 5, 13, 16])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention_equals_softmax_attention_for_every_tile(name: str, tile: int) -> None:
    cascade = shipped(name)
    tensors = random_attention(seed=tile, batch=(2, 3))
    sizes = {"M0": tile} if cascade.partitions else {}
    result = interpret(cascade, tensors, sizes)["AV"]
    assert result.shape == (2, 3, 7, 3)
    assert relative_error(result, softmax_attention(**lowered(tensors))) < 1e-12


@pytest.mark.parametrize("batch", [(), (2,), (2, 3), (2, 1, 3)])
@pytest.mark.parametrize("name", ATTENTION)
def test_attention_takes_any_number_of_batch_axes(name: str, batch: tuple[int, ...]) -> None:
    cascade = shipped(name)
    tensors = random_attention(seed=len(batch), batch=batch)
    result = interpret(cascade, tensors, {"M0": 4} if cascade.partitions else {})["AV"]
    assert relative_error(result, softmax_attention(**lowered(tensors))) < 1e-12


def lowered(tensors: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name.lower(): value for name, value in tensors.items()}


@pytest.mark.parametrize("name", [name for name in ATTENTION if "naive" not in name])
def test_stable_attention_survives_scores_beyond_the_range_of_exp(name: str) -> None:
    cascade = shipped(name)
    tensors = random_attention(seed=3, batch=())
    tensors["Q"] = tensors["Q"] * 1000
    result = interpret(cascade, tensors, {"M0": 4} if cascade.partitions else {})["AV"]
    assert relative_error(result, softmax_attention(**lowered(tensors))) < 1e-12


def test_naive_attention_does_not_survive_them() -> None:
    tensors = random_attention(seed=3, batch=())
    tensors["Q"] = tensors["Q"] * 1000
    assert np.isnan(interpret(shipped("attention-naive"), tensors)["AV"]).any()


def test_running_values_of_one_pass_attention_are_those_of_every_prefix() -> None:
    tensors = random_attention(seed=8, batch=())
    result = interpret(shipped("attention-1pass"), tensors, {"M0": 4})
    scores = tensors["K"].T @ tensors["Q"]
    assert result["RM"].shape == (5, 3) and np.all(result["RM"][0] == -np.inf)
    for step in range(1, 5):
        seen = scores[: 4 * step]
        weights = np.exp(seen - seen.max(axis=0))
        np.testing.assert_allclose(result["RM"][step], seen.max(axis=0), rtol=1e-14)
        np.testing.assert_allclose(result["RD"][step], weights.sum(axis=0), rtol=1e-13)
        np.testing.assert_allclose(result["RNV"][:, step], tensors["V"][:, : 4 * step] @ weights, rtol=1e-11)


@pytest.mark.parametrize("seed", range(3))
def test_teaching_cascades_equal_each_other_and_the_formula(seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = rng.uniform(0.1, 1.0, size=(2, 9))
    expected = (a @ b) * a.sum()
    for name in ("pedagogical-1", "pedagogical-2", "pedagogical-3"):
        assert interpret(shipped(name), {"A": a, "B": b})["Z"] == pytest.approx(expected, rel=1e-12)


def test_linear_layers_are_six_matrix_products() -> None:
    rng = np.random.default_rng(0)
    cascade = shipped("linear-layers")
    size = {"T": 3, "D": 4, "A": 6, "S": 5}
    tensors = {t.name: rng.normal(size=[size[rank] for rank in t.ranks]) for t in cascade.inputs}
    result = interpret(cascade, tensors)
    pairs = {"QP": "Q", "KP": "K", "VP": "V", "Z": "Z", "F1": "1", "F2": "2"}
    assert set(result) == set(pairs)
    for name, suffix in pairs.items():
        np.testing.assert_allclose(result[name], tensors[f"W{suffix}"] @ tensors[f"X{suffix}"], rtol=1e-12)


@pytest.mark.parametrize(
    ("model", "macs_per_token"),
    [("BERT", 7_077_888), ("TrXL", 12_582_912), ("T5", 3_145_728), ("XLM", 50_331_648)],
)
def test_linear_layers_of_a_model_have_the_published_products(model: str, macs_per_token: int) -> None:
    """(K, N) = (D, A) three times, (A, D), (D, S), (S, D): 4*D*A + 2*D*S multiplications a token."""
    shape = Model.model_validate(yaml.safe_load((CATALOG / "models" / f"{model}.yaml").read_text()))
    width = shape.heads * shape.head_size
    sizes = {"T": 1, "D": shape.hidden, "A": width, "S": shape.ffn_size}
    workload = Workload.model_validate({"cascade": shipped("linear-layers"), "sizes": sizes, "bits": 16})
    multiplications = sum(row.count for row in operation_counts(workload) if row.operator == "mul")
    assert multiplications == macs_per_token


# --- encoder layer, head by head and token by token -----------------------------------------------------------------------
def layer_norm(x: np.ndarray, gain: np.ndarray, shift: np.ndarray, eps: float) -> np.ndarray:
    return (x - x.mean()) / math.sqrt(x.var() + eps) * gain + shift


def gelu(x: np.ndarray) -> np.ndarray:
    return np.array([0.5 * value * math.erfc(-value / math.sqrt(2)) for value in x])


def encoder_layer(w: dict[str, np.ndarray], x: np.ndarray) -> np.ndarray:
    """One sequence, x[d, t]."""
    result = np.empty_like(x)
    for t in range(x.shape[1]):
        attended = w["BZ"].copy()
        for h in range(w["WQ"].shape[0]):
            q = w["WQ"][h] @ x[:, t] + w["BQ"][h]
            keys = w["WK"][h] @ x + w["BK"][h][:, None]
            values = w["WV"][h] @ x + w["BV"][h][:, None]
            scores = np.array([q @ keys[:, m] for m in range(x.shape[1])])
            weights = np.exp(scores) / np.exp(scores).sum()
            attended += w["WZ"][:, h, :] @ (values @ weights)
        middle = layer_norm(x[:, t] + attended, w["GA"], w["BA"], float(w["EPS"]))
        hidden = gelu(w["W1"] @ middle + w["B1"])
        result[:, t] = layer_norm(middle + w["W2"] @ hidden + w["B2"], w["GF"], w["BF"], float(w["EPS"]))
    return result


def test_encoder_layer_equals_a_head_by_head_computation() -> None:
    rng = np.random.default_rng(1)
    cascade = shipped("encoder-layer")
    size = {"D": 6, "H": 3, "E": 2, "F": 5, "M": 4, "P": 4, "S": 7}
    weights = {
        t.name: rng.normal(size=[size[r] for r in t.ranks]) for t in cascade.inputs if t.name in cascade.unbatched
    }
    weights["EPS"] = np.array(1e-3)
    x = rng.normal(size=(2, 6, 4))
    result = interpret(cascade, weights | {"X": x, "XM": x})["Y"]
    expected = np.stack([encoder_layer(weights, sequence) for sequence in x])
    assert relative_error(result, expected) < 1e-12


def test_encoder_layer_weights_do_not_carry_the_batch() -> None:
    cascade = shipped("encoder-layer")
    assert cascade.ranks_of("WQ") == ("H", "E", "D")
    assert cascade.ranks_of("X") == ("B", "D", "P")
    assert cascade.variables_of("QP") == ("b", "h", "e", "p", "d")


# --- operation counts of the published tables -----------------------------------------------------------------------------
def test_one_pass_attention_has_the_published_points() -> None:
    """Table of the 1-pass cascade: points of each Einsum in E, F, M, P, M1 (times B and H)."""
    e, f, m, p, tile, batch, heads = 64, 32, 1000, 96, 256, 3, 2
    sizes = {"B": batch, "H": heads, "E": e, "F": f, "M": m, "P": p, "M0": tile}
    workload = Workload.model_validate({"cascade": shipped("attention-1pass"), "sizes": sizes, "bits": 16})
    m1 = 4  # ceil(1000 / 256)
    expected = {
        "QK": e * m * p,
        "LM": m * p,
        "RM": m1 * p,
        "SLN": m * p,
        "SLD": m * p,
        "SLNV": f * m * p,
        "PRM": m1 * p,
        "SPD": m1 * p,
        "RD": m1 * p,
        "SPNV": f * m1 * p,
        "RNV": f * m1 * p,
        "AV": f * p,
    }
    assert {name: points(workload, name) for name in expected} == {
        name: count * batch * heads for name, count in expected.items()
    }


@pytest.mark.parametrize("name", ["BERT", "TrXL", "T5", "XLM"])
def test_models_have_consistent_widths(name: str) -> None:
    model = Model.model_validate(yaml.safe_load((CATALOG / "models" / f"{name}.yaml").read_text()))
    assert model.name == name and model.source
    assert model.heads * model.head_size == model.hidden
    assert model.ffn_size == 4 * model.hidden
