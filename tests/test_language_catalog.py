"""Shipped cascades with names and conditions, each against torch in fp64: odd sizes, P != M, empty rows, masked tiles."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml

from einsums import Cascade, count_passes, execute, interpret, rewrite

CATALOG = Path(__file__).parents[1] / "einsums" / "catalog"
Tensors = dict[str, torch.Tensor]


def shipped(name: str) -> Cascade:
    return Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))


def drawn(seed: int, **shapes: tuple[int, ...]) -> Tensors:
    generator = torch.Generator().manual_seed(seed)
    return {name: torch.randn(shape, generator=generator, dtype=torch.float64) for name, shape in shapes.items()}


def run(name: str, tensors: Tensors, **sizes: int) -> dict[str, torch.Tensor]:
    found = interpret(shipped(name), {key: value.numpy() for key, value in tensors.items()}, sizes)
    return {key: torch.from_numpy(value) for key, value in found.items()}


def assert_equal(ours: torch.Tensor, reference: torch.Tensor, tolerance: float = 1e-12) -> None:
    assert ours.shape == reference.shape
    assert torch.isfinite(reference).all() and torch.isfinite(ours).all()
    assert float((ours - reference).abs().max()) <= tolerance * max(1.0, float(reference.abs().max()))


def masked(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Softmax attention of [.., E, P], [.., E, M], [.., F, M] by torch's own, where mask[p, m]; 0 for a row without keys."""
    rows = (x.transpose(-1, -2) for x in (q, k, v))
    found = torch.nn.functional.scaled_dot_product_attention(*rows, attn_mask=mask, scale=1.0)
    seen = mask.any(-1)
    return torch.where(seen[..., None], found, 0.0).transpose(-1, -2)


def positions(queries: int, keys: int) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.arange(queries)[:, None], torch.arange(keys)[None, :]


# --- attention with masks of coordinates --------------------------------------------------------------------
SHAPES = [(5, 13), (13, 13), (17, 11), (1, 9), (9, 1)]  # (P, M); P > M leaves rows empty at the beginning
TILES = [1, 4, 5, 16]


def attention(seed: int, queries: int, keys: int) -> Tensors:
    return drawn(seed, Q=(2, 3, 5, queries), K=(2, 3, 5, keys), V=(2, 3, 7, keys))


def windowed(p: torch.Tensor, m: torch.Tensor, queries: int, keys: int, window: int) -> torch.Tensor:
    at = p + keys - queries
    return (m <= at) & (m > at - window)


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["3pass", "2pass", "1pass"])
def test_causal_attention(form: str, shape: tuple[int, int], tile: int) -> None:
    queries, keys = shape
    given = attention(tile, queries, keys)
    p, m = positions(queries, keys)
    sizes = {} if form == "3pass" else {"M0": tile}
    found = run(f"causal-attention-{form}", given, **sizes)["AV"]
    assert_equal(found, masked(*given.values(), m <= p + keys - queries))


@pytest.mark.parametrize("form", ["3pass", "2pass", "1pass"])
def test_scores_beyond_the_range_of_exp(form: str) -> None:
    given = attention(3, 7, 11)
    given["Q"] = given["Q"] * 1000
    p, m = positions(7, 11)
    found = run(f"causal-attention-{form}", given, **({} if form == "3pass" else {"M0": 4}))["AV"]
    assert_equal(found, masked(*given.values(), m <= p + 4))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("window", [1, 3, 6])
def test_sliding_attention(window: int, shape: tuple[int, int], tile: int) -> None:
    """A window of 3 leaves whole first tiles masked for late queries."""
    queries, keys = shape
    given = attention(window, queries, keys)
    found = run("sliding-attention", given, W=window, M0=tile)["AV"]
    assert_equal(found, masked(*given.values(), windowed(*positions(queries, keys), queries, keys, window)))


@pytest.mark.parametrize("tile", TILES)
def test_sliding_attention_with_meta_tokens(tile: int) -> None:
    given = attention(tile, 15, 15)
    p, m = positions(15, 15)
    found = run("sliding-meta-attention", given, W=4, R=3, M0=tile)["AV"]
    assert_equal(found, masked(*given.values(), ((m <= p) & (m > p - 4)) | (m < 3)))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("name", "rank"), [("block-attention", "W"), ("dilated-attention", "S")])
def test_blocks_and_strides(name: str, rank: str, shape: tuple[int, int]) -> None:
    given = attention(7, *shape)
    p, m = positions(*shape)
    mask = (m // 4 == p // 4) if rank == "W" else (m % 4 == p % 4) & (m <= p)
    assert_equal(run(name, given, **{rank: 4})["AV"], masked(*given.values(), mask))


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("shape", SHAPES)
def test_grouped_attention(shape: tuple[int, int], tile: int) -> None:
    queries, keys = shape
    given = drawn(1, Q=(2, 3, 2, 5, queries), K=(2, 3, 5, keys), V=(2, 3, 7, keys))
    found = run("grouped-attention", given, M0=tile)["AV"]
    p, m = positions(queries, keys)
    k, v = (given[name][:, :, None].expand(-1, -1, 2, -1, -1) for name in ("K", "V"))
    assert_equal(found, masked(given["Q"], k, v, m <= p + keys - queries))


def other_mask(form: str, condition: str, **more: object) -> Cascade:
    """A form of causal attention with another condition on keys and queries in place of its own."""
    data = yaml.safe_load((CATALOG / f"causal-attention-{form}.yaml").read_text())
    key = "m" if form == "3pass" else "m1*M0 + m0"
    own = f"where {key} <= p + M - P"
    assert data["einsums"].count(own) == 1
    data["einsums"] = data["einsums"].replace(own, "where " + condition.replace("KEY", key))
    for name, values in more.items():
        data[name] = data.get(name, {}) | values if isinstance(values, dict) else values
    return Cascade.model_validate(data)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("form", ["3pass", "2pass", "1pass"])
def test_windowed_attention_in_all_forms(form: str, shape: tuple[int, int]) -> None:
    queries, keys = shape
    condition = "KEY <= p + M - P and p + M - P - W < KEY"
    found = other_mask(form, condition, ranks={"W": "window"})
    given = attention(21, queries, keys)
    sizes = {"W": 3} | ({} if form == "3pass" else {"M0": 4})
    ours = interpret(found, {name: value.numpy() for name, value in given.items()}, sizes)["AV"]
    mask = windowed(*positions(queries, keys), queries, keys, 3)
    assert_equal(torch.from_numpy(ours), masked(*given.values(), mask))
    assert count_passes(found, "M") == int(form[0])


@pytest.mark.parametrize("tile", TILES)
@pytest.mark.parametrize("form", ["3pass", "2pass", "1pass"])
def test_ragged_attention_in_all_forms(form: str, tile: int) -> None:
    """Each query has its own number of keys, from none to all."""
    more = {"inputs": {"LEN": ["P"]}, "domain": {"LEN": "length(M)"}, "unbatched": ["LEN"]}
    found = other_mask(form, "KEY < LEN[p]", **more)
    given = attention(22, 6, 11)
    lengths = torch.tensor([4, 0, 11, 1, 7, 0])
    tensors = {name: value.numpy() for name, value in given.items()} | {"LEN": lengths.numpy()}
    ours = interpret(found, tensors, {} if form == "3pass" else {"M0": tile})["AV"]
    assert_equal(torch.from_numpy(ours), masked(*given.values(), positions(6, 11)[1] < lengths[:, None]))
    assert count_passes(found, "M") == int(form[0])


# --- masks of data ------------------------------------------------------------------------------------------
LENGTHS = [3, 0, 9, 5, 1]


@pytest.mark.parametrize("tile", TILES)
def test_decoding_with_caches_of_different_lengths(tile: int) -> None:
    given = drawn(2, Q=(5, 2, 3, 4), K=(5, 2, 4, 9), V=(5, 2, 6, 9)) | {"LEN": torch.tensor(LENGTHS)}
    found = run("decode-attention", given, M0=tile, J=3)["AV"]
    mask = (torch.arange(9)[None] < given["LEN"][:, None])[:, None, None, None]
    k, v = (given[name][:, :, None].expand(-1, -1, 3, -1, -1) for name in ("K", "V"))
    assert_equal(found, masked(given["Q"][..., None], k, v, mask)[..., 0])


def test_ragged_attention_has_no_padding() -> None:
    given = drawn(3, Q=(2, 5, 4, 9), K=(2, 5, 4, 9), V=(2, 5, 6, 9))
    lengths = torch.tensor(LENGTHS)
    inputs = {key: value.numpy() for key, value in (given | {"LEN": lengths}).items()}
    done = execute(shipped("ragged-attention"), inputs, {})
    found = torch.from_numpy(done.tensors["AV"])
    for sequence, length in enumerate(LENGTHS):
        q, k, v = (given[name][:, sequence, :, :length] for name in ("Q", "K", "V"))
        expected = torch.softmax(k.transpose(-1, -2) @ q, -2)
        assert_equal(found[:, sequence, :, :length], v @ expected) if length else None
        assert torch.isnan(found[:, sequence, :, length:]).all()  # what lies beyond does not exist
    heads, squares = 2, sum(length**2 for length in LENGTHS)
    assert done.points["QK"] == heads * 4 * squares and done.points["SN"] == heads * squares
    assert done.points["AV"] == heads * 6 * sum(LENGTHS)


def test_lengths_longer_than_their_rank_are_refused() -> None:
    given = drawn(3, Q=(1, 2, 4, 9), K=(1, 2, 4, 9), V=(1, 2, 6, 9)) | {"LEN": torch.tensor([4, 10])}
    with pytest.raises(ValueError, match=r"^input LEN holds 10, a length longer than rank P, which has 9 coordinates$"):
        run("ragged-attention", given)


def test_packed_attention_equals_each_sequence_alone() -> None:
    lengths = [4, 1, 6]
    given = drawn(4, Q=(2, 5, 11), K=(2, 5, 11), V=(2, 3, 11))
    given["DOC"] = torch.repeat_interleave(torch.arange(3), torch.tensor(lengths))
    inputs = {key: value.numpy() for key, value in given.items()}
    done = execute(shipped("packed-attention"), inputs, {})
    start = 0
    for length in lengths:
        q, k, v = (given[name][..., start : start + length] for name in ("Q", "K", "V"))
        p, m = positions(length, length)
        assert_equal(torch.from_numpy(done.tensors["AV"][..., start : start + length]), masked(q, k, v, m <= p))
        start += length
    assert done.points["SN"] == 2 * sum(length * (length + 1) // 2 for length in lengths)


# --- gradients, cached ratios, one head a channel -----------------------------------------------------------
@pytest.mark.parametrize("shape", [(7, 7), (5, 9)])
def test_gradients_of_causal_attention(shape: tuple[int, int]) -> None:
    queries, keys = shape
    given = attention(5, queries, keys)
    q, k, v = (tensor.requires_grad_() for tensor in given.values())
    p, m = positions(queries, keys)
    scores = (q.transpose(-1, -2) @ k).masked_fill(~(m <= p + keys - queries), -math.inf)
    out = v @ torch.softmax(scores, -1).transpose(-1, -2)
    upstream = torch.randn(out.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    out.backward(upstream)
    saved = {"O": out.detach(), "DO": upstream, "L": torch.logsumexp(scores, -1).detach()}
    found = run("causal-attention-backward", {key: x.detach() for key, x in given.items()} | saved)
    for name, tensor in (("DQ", q), ("DK", k), ("DV", v)):
        assert_equal(found[name], tensor.grad)


def test_cached_ratio_and_residual() -> None:
    given = attention(6, 9, 9)
    q, k, v = given.values()
    p, m = positions(9, 9)
    inside = (m - p).abs() <= 2
    weights = torch.exp(q.transpose(-1, -2) @ k)
    full = weights / weights.sum(-1, keepdim=True)
    found = run("ratio-attention-refresh", given, W=2)
    assert_equal(found["AV"], v @ full.transpose(-1, -2))
    assert_equal(found["RHO"], (full * inside).sum(-1))
    assert_equal(found["RES"], v @ (full * ~inside).transpose(-1, -2))
    sparse = run("ratio-attention-sparse", given | {"RHO": found["RHO"], "RES": found["RES"]}, W=2)
    assert_equal(sparse["AV"], found["AV"])  # with the same keys the sparse step gives the full one back
    assert_equal(sparse["RN"], found["RHO"] + 0.04)


def test_channel_attention() -> None:
    names = ("WQ", "BQ", "WK", "BK", "WV", "BV", "GA")
    given = drawn(7, X=(2, 9, 3), **dict.fromkeys(names, (3,)))
    given["GA"] = given["GA"] * 4
    x = given["X"]
    q, k, v = (x * given[f"W{name}"] + given[f"B{name}"] for name in "QKV")
    scores = torch.einsum("btc,buc->bctu", q, k) * torch.exp(given["GA"].clamp(-5, 5))[:, None, None]
    found = run("channel-attention", given)["O"]
    assert_equal(found, torch.einsum("bctu,buc->btc", torch.softmax(scores, -1), v))


# --- recurrences --------------------------------------------------------------------------------------------
def test_linear_attention() -> None:
    given = drawn(8, Q=(2, 3, 11, 4), K=(2, 3, 11, 4), V=(2, 3, 11, 5))
    q, k, v = torch.relu(given["Q"]), torch.relu(given["K"]), given["V"]
    scores = q @ k.transpose(-1, -2)
    for name, weights in (("linear-attention", scores), ("linear-attention-causal", scores.tril())):
        assert_equal(run(name, given)["O"], weights @ v / (weights.sum(-1, keepdim=True) + 1e-6))


def gated(given: Tensors) -> tuple[torch.Tensor, torch.Tensor]:
    """Step by step: numerators and denominators."""
    state, total = given["H0"].clone(), given.get("Z0", torch.zeros(2, 3, 4, dtype=torch.float64)).clone()
    numerators, denominators = [], []
    for t in range(given["Q"].shape[2]):
        gate = torch.exp(given["LG"][:, :, t])
        state = gate[..., None] * state + given["K"][:, :, t, :, None] * given["V"][:, :, t, None]
        total = gate * total + given["K"][:, :, t]
        numerators.append((given["Q"][:, :, t, None] @ state)[..., 0, :])
        denominators.append((given["Q"][:, :, t] * total).sum(-1))
    return torch.stack(numerators, 2), torch.stack(denominators, 2)


def test_gated_linear_attention_recurrent_and_in_chunks() -> None:
    given = drawn(9, Q=(2, 3, 12, 4), K=(2, 3, 12, 4), V=(2, 3, 12, 5), LG=(2, 3, 12, 4), H0=(2, 3, 4, 5), Z0=(2, 3, 4))
    given["LG"] = -given["LG"].abs()
    given |= {name: given[name].abs() for name in ("Q", "K", "Z0")}
    numerators, denominators = gated(given)
    assert_equal(run("gated-linear-attention", given)["O"], numerators / denominators[..., None])
    for chunk in (1, 3, 4, 12):
        split = {n: given[n].reshape(2, 3, 12 // chunk, chunk, -1) for n in ("Q", "K", "V", "LG")} | {"H0": given["H0"]}
        found = run("gated-linear-attention-chunked", split)["O"]
        assert_equal(found.reshape(2, 3, 12, 5), numerators)


def test_selective_scan() -> None:
    given = drawn(10, X=(2, 9, 3), WC=(4, 3), DTR=(2, 9, 3), A=(3, 5), BM=(2, 9, 5), CM=(2, 9, 5), SK=(3,), Z=(2, 9, 3))
    given["A"] = -given["A"].abs()
    weights = given["WC"].T[:, None]
    padded = torch.nn.functional.pad(given["X"].transpose(1, 2), (3, 0))
    u = torch.nn.functional.silu(torch.nn.functional.conv1d(padded, weights, groups=3).transpose(1, 2))
    step = torch.nn.functional.softplus(given["DTR"])
    state, rows = torch.zeros(2, 3, 5, dtype=torch.float64), []
    for t in range(9):
        decay = torch.exp(step[:, t, :, None] * given["A"])
        state = decay * state + step[:, t, :, None] * given["BM"][:, t, None] * u[:, t, :, None]
        rows.append((state * given["CM"][:, t, None]).sum(-1))
    expected = (torch.stack(rows, 1) + given["SK"] * u) * torch.nn.functional.silu(given["Z"])
    assert_equal(run("selective-scan", given)["Y"], expected)


# --- parts of models ----------------------------------------------------------------------------------------
def test_block_decoder() -> None:
    given = drawn(11, EMB=(2, 5, 4, 3), WQ=(2, 6, 4, 3), WK=(2, 6, 4, 3), WV=(2, 7, 4, 3))
    x = given["EMB"].reshape(2, 5, 12)  # the tokens of a block behind each other
    q, k, v = (torch.einsum("bld,hed->bhel", x, given[n].reshape(2, -1, 12)) for n in ("WQ", "WK", "WV"))
    p, m = positions(5, 5)
    assert_equal(run("block-decoder-global", given)["AV"], masked(q, k, v, m <= p))
    given = drawn(12, Q=(2, 3, 5, 4, 6), K=(2, 3, 5, 4, 6), V=(2, 3, 5, 4, 7), KR=(2, 3, 5, 2, 6), VR=(2, 3, 5, 2, 7))
    keys, values = (torch.cat((given[f"{n}R"], given[n]), -2) for n in "KV")
    p, m = positions(4, 6)
    rows = (given["Q"].transpose(-1, -2), keys.transpose(-1, -2), values.transpose(-1, -2))
    assert_equal(run("block-decoder-local", given)["AV"], masked(*rows, m <= p + 2).transpose(-1, -2))


def test_norms() -> None:
    given = drawn(13, X=(2, 7, 5), GA=(7,), BE=(7,)) | {"EPS": torch.tensor(1e-5, dtype=torch.float64)}
    x = given["X"].transpose(-1, -2)
    found = run("layernorm-moments", given)["Y"].transpose(-1, -2)
    assert_equal(found, torch.nn.functional.layer_norm(x, (7,), given["GA"], given["BE"], 1e-5))
    del given["BE"]
    found = run("rmsnorm", given)["Y"].transpose(-1, -2)
    assert_equal(found, torch.nn.functional.rms_norm(x, (7,), given["GA"], 1e-5))


def test_batch_normalisation_folds_into_the_next_linear_layer() -> None:
    """RepBN: s x + alpha x + t, then W, is one linear layer with other weights."""
    text = "N[d,p] = (X[d,p] - MU[d]) * SC[d] + BE[d] + AL[d] * X[d,p]; Y[o,p] = W[o,d] * N[d,p]"
    folded = "Y[o,p] = WF[o,d] * X[d,p]; YB[o,p] = Y[o,p] + CF[o]"
    vectors = {name: ["D"] for name in ("MU", "SC", "BE", "AL")}
    common = {"name": "bn", "ranks": {"D": "", "P": "", "O": ""}}
    one = Cascade.model_validate(
        common | {"inputs": {"X": ["D", "P"], "W": ["O", "D"]} | vectors, "einsums": text, "outputs": ["Y"]}
    )
    inputs = {"X": ["D", "P"], "WF": ["O", "D"], "CF": ["O"]}
    two = Cascade.model_validate(common | {"inputs": inputs, "einsums": folded, "outputs": ["YB"]})
    given = {k: v.numpy() for k, v in drawn(14, X=(6, 5), W=(3, 6), MU=(6,), SC=(6,), BE=(6,), AL=(6,)).items()}
    weights = given["W"] * (given["SC"] + given["AL"])
    offset = given["W"] @ (given["BE"] - given["MU"] * given["SC"])
    expected = interpret(one, given)["Y"]
    np.testing.assert_allclose(
        interpret(two, {"X": given["X"], "WF": weights, "CF": offset})["YB"], expected, atol=1e-12
    )
    assert count_passes(two, "D") == 1


def test_encoder_layer_from_one_tensor() -> None:
    one, two = shipped("encoder-layer-self"), shipped("encoder-layer")
    sizes = {"D": 6, "H": 2, "E": 3, "F": 3, "P": 7, "M": 7, "S": 5}
    shapes = {t.name: tuple(sizes[rank] for rank in t.ranks) for t in two.inputs}
    given = {key: value.numpy() for key, value in drawn(15, **{n: s for n, s in shapes.items() if n != "EPS"}).items()}
    given["EPS"] = np.float64(1e-12)
    given["XM"] = given["X"]
    expected = interpret(two, given)["Y"]
    del given["XM"]
    np.testing.assert_allclose(interpret(one, given)["Y"], expected, rtol=1e-12, atol=1e-12)


def test_decoder_layer() -> None:
    sizes = {"D": 8, "G": 2, "J": 3, "E": 4, "F": 5, "P": 7, "S": 6}
    shapes = {
        t.name: tuple(sizes[rank] for rank in t.ranks) for t in shipped("decoder-layer").inputs if t.name != "EPS"
    }
    given = drawn(16, **shapes) | {"EPS": torch.tensor(1e-6, dtype=torch.float64)}
    x = given["X"].T
    normed = torch.nn.functional.rms_norm(x, (8,), given["GA"], 1e-6)
    q = torch.einsum("gjed,pd->gjep", given["WQ"], normed)
    k, v = (torch.einsum("ged,pd->gep", given[name], normed)[:, None].expand(-1, 3, -1, -1) for name in ("WK", "WV"))
    p, m = positions(7, 7)
    after = x + torch.einsum("dgjf,gjfp->pd", given["WO"], masked(q, k, v, m <= p))
    normed = torch.nn.functional.rms_norm(after, (8,), given["GF"], 1e-6)
    gate = torch.nn.functional.silu(normed @ given["W1"].T) * (normed @ given["W3"].T)
    assert_equal(run("decoder-layer", given)["Y"], (after + gate @ given["W2"].T).T)


# --- passes, and the derived form ---------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "rank", "passes"),
    [
        ("causal-attention-3pass", "M", 3),
        ("causal-attention-2pass", "M", 2),
        ("causal-attention-1pass", "M", 1),
        ("sliding-attention", "M", 1),
        ("sliding-meta-attention", "M", 1),
        ("grouped-attention", "M", 1),
        ("decode-attention", "M", 1),
        ("causal-attention-backward", "M", 1),
        ("ratio-attention-refresh", "M", 2),
        ("channel-attention", "U", 2),
        ("linear-attention", "S", 1),  # over the keys
        ("linear-attention", "T", 2),  # over tokens, which queries and keys come from
        ("linear-attention-causal", "T", 1),
        ("gated-linear-attention", "T", 1),
        ("selective-scan", "T", 1),
        ("rmsnorm", "D", 2),
        ("layernorm-moments", "D", 2),
    ],
)
def test_passes(name: str, rank: str, passes: int) -> None:
    assert count_passes(shipped(name), rank) == passes


def test_the_one_pass_form_of_causal_attention_is_derived() -> None:
    """Every step is compared on numbers; rows without keys and wholly masked tiles are among them."""
    found = rewrite(shipped("causal-attention-3pass"), 1, "M")
    assert (found.passes_before, found.passes) == (3, 1)
    assert all(step.comparison.is_equal for step in found.steps)
    assert set(found.cascade.einsums) == set(shipped("causal-attention-1pass").einsums)


@pytest.mark.parametrize("window", [2, 5])
def test_the_derived_form_of_windowed_attention_survives_masked_first_tiles(window: int) -> None:
    text = yaml.safe_load((CATALOG / "causal-attention-3pass.yaml").read_text())
    text["ranks"]["W"] = "window"
    text["einsums"] = text["einsums"].replace("m <= p + M - P", "m <= p and p - W < m")
    derived = rewrite(Cascade.model_validate(text), 1, "M").cascade
    given = attention(window, 19, 13)
    p, m = positions(19, 13)
    for tile in TILES:
        inputs = {key: value.numpy() for key, value in given.items()}
        found = torch.from_numpy(interpret(derived, inputs, {"W": window, "M0": tile})["AV"])
        assert_equal(found, masked(*given.values(), windowed(p, m, 13, 13, window)))
