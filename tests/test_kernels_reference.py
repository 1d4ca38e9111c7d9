"""Do the torch references say what attention, its relatives and their gradients are? Against torch itself, in fp64."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from torch.nn import functional

from kernels import reference
from kernels.options import AttentionOptions

F64 = torch.float64


def qkv(queries=7, keys=11, heads=(4, 2), size=8, value=6):
    return (
        tensor(2, heads[0], queries, size, dtype=F64),
        tensor(2, heads[1], keys, size, dtype=F64, seed=1),
        tensor(2, heads[1], keys, value, dtype=F64, seed=2),
    )


def mask_of(queries, keys, options):
    """By the definition, pair by pair."""
    left, right = options.bounds
    mask = torch.zeros(queries, keys, dtype=torch.bool)
    for i in range(queries):
        for j in range(keys):
            place = i + keys - queries
            mask[i, j] = (left < 0 or j >= place - left) and (right < 0 or j <= place + right)
    return mask.to(tensor(1).device)


OPTIONS = [{}, {"causal": True}, {"window": (2, 3)}, {"window": (2, -1), "causal": True}, {"scale": 0.7}]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_attention_equals_torch(options):
    options = AttentionOptions(**options)
    q, k, v = qkv()
    mask = mask_of(7, 11, options)
    expected = functional.scaled_dot_product_attention(
        q, k.repeat_interleave(2, 1), v.repeat_interleave(2, 1), mask, scale=options.scale
    )
    assert torch.allclose(reference.attend(q, k, v, options)[0], expected, rtol=1e-12, atol=1e-12)


def test_log_sum_exp_softcap_and_sink():
    q, k, v = qkv(heads=(2, 2))
    sinks = tensor(2, dtype=F64, seed=5)
    out, lse = reference.attend(q, k, v, AttentionOptions(softcap=2.0, sinks=sinks))
    logits = 2.0 * torch.tanh(q @ k.mT / 8**0.5 / 2.0)
    with_sink = torch.cat([logits, sinks[None, :, None, None].expand(2, 2, 7, 1)], -1)
    assert torch.allclose(lse, torch.logsumexp(with_sink, -1))
    assert torch.allclose(out, torch.softmax(with_sink, -1)[..., :-1] @ v)


GRADIENT_OPTIONS = [*OPTIONS, {"softcap": 3.0, "causal": True}, {"lengths": ((3, 5), (0, 1), (4, 5))}]


@pytest.mark.parametrize("has_sinks", [False, True])
@pytest.mark.parametrize("options", GRADIENT_OPTIONS, ids=str)
def test_backward_equals_autograd(options, has_sinks):
    inputs = [x[:1].clone().requires_grad_() for x in qkv()]
    sinks = tensor(4, dtype=F64, seed=4).requires_grad_() if has_sinks else None
    options = AttentionOptions(sinks=sinks, **options)
    out, lse = reference.attend(*inputs, options)
    gradients = (tensor(*out.shape, dtype=F64, seed=8), tensor(*lse.shape, dtype=F64, seed=9))
    leaves = [*inputs, *([sinks] if has_sinks else [])]
    expected = torch.autograd.grad([out, lse], leaves, gradients)
    with torch.no_grad():
        found = reference.attend_backward(*inputs, gradients, options)
    for a, b in zip(found, expected, strict=False):
        assert torch.allclose(a, b, rtol=1e-10, atol=1e-10)


def test_linear_attention_is_a_quotient_of_sums():
    q, k, v = (x.abs() for x in qkv(heads=(2, 2)))
    scores = q @ k.mT
    expected = scores @ v / (scores.sum(-1, keepdim=True) + 1e-6)
    assert torch.allclose(reference.linear_attention(q, k, v), expected)


@pytest.mark.parametrize("is_wide", [True, False])
def test_three_spellings_of_gated_linear_attention(is_wide):
    q, k, v = (
        tensor(1, 2, 37, 5, dtype=F64),
        tensor(1, 2, 37, 5, dtype=F64, seed=1),
        tensor(1, 2, 37, 4, dtype=F64, seed=2),
    )
    gate = -tensor(1, 2, 37, 5, dtype=F64, seed=3).abs() * 3
    gate = gate if is_wide else gate[..., 0]
    out, state = reference.gated_linear_attention(q, k, v, gate)
    chunked, chunked_state = reference.chunked_gated_linear_attention(q, k, v, gate, 8)
    assert torch.allclose(out, reference.quadratic_gated_linear_attention(q, k, v, gate), rtol=1e-10, atol=1e-12)
    assert torch.allclose(out, chunked, rtol=1e-10, atol=1e-12)
    assert torch.allclose(state, chunked_state, rtol=1e-10, atol=1e-12)


def test_gate_of_one_is_a_cumulative_sum():
    q, k, v = qkv(6, 6, (2, 2))
    expected = (q @ k.mT).tril() @ v
    assert torch.allclose(reference.gated_linear_attention(q, k, v, torch.zeros_like(q[..., 0]))[0], expected)


def test_listed_blocks_are_a_mask():
    q, k, v = qkv(8, 12, (2, 2))
    indices = torch.tensor([[0, 2], [1, 0]], device=q.device).expand(2, 2, 2, 2)
    counts = torch.tensor([2, 1], device=q.device).expand(2, 2, 2)
    mask = reference.mask_of_blocks(indices, counts, (8, 12), 4)
    expected = torch.zeros(8, 12, dtype=torch.bool, device=q.device)
    expected[:4, :4] = expected[:4, 8:] = expected[4:, 4:8] = True
    assert torch.equal(mask, expected.expand(2, 2, 8, 12))
    out = functional.scaled_dot_product_attention(q, k, v, mask)
    assert torch.allclose(reference.attend_blocks(q, k, v, mask)[0], out)


def test_rational_gradients():
    x, a, c = tensor(5, 12, dtype=F64), tensor(3, 6, dtype=F64, seed=1), tensor(3, 4, dtype=F64, seed=2)
    for leaf in (x, a, c):
        leaf.requires_grad_()
    y = reference.group_rational(x, a, c)
    gradient = tensor(5, 12, dtype=F64, seed=3)
    expected = torch.autograd.grad(y, [x, a, c], gradient)
    for found, right in zip(reference.group_rational_backward(x, a, c, gradient), expected, strict=True):
        assert torch.allclose(found, right)
    assert torch.autograd.gradcheck(reference.group_rational, (x, a, c))


def test_rows_and_products_equal_torch():
    x, w, b = tensor(4, 9, dtype=F64), tensor(9, dtype=F64, seed=1), tensor(9, dtype=F64, seed=2)
    assert torch.allclose(reference.softmax(x), torch.softmax(x, -1))
    assert torch.allclose(reference.layernorm(x, w, b), functional.layer_norm(x, (9,), w, b))
    assert torch.allclose(reference.rmsnorm(x, w), functional.rms_norm(x, (9,), w, 1e-5))
    m = tensor(9, 5, dtype=F64, seed=3)
    assert torch.allclose(reference.gemm(x, m, m[0], "gelu"), functional.gelu(x @ m + m[0], approximate="tanh"))
    assert torch.allclose(reference.gemm(x, m, None, "silu"), functional.silu(x @ m))
    with pytest.raises(ValueError) as caught:
        reference.gemm(x, m, None, "tanh")
    assert str(caught.value) == "unknown activation 'tanh', expected none, relu, silu or gelu"


def test_pages_are_gathered_in_order():
    cache = tensor(6, 4, 2, 3, dtype=F64)
    gathered = reference.gather_pages(cache, torch.tensor([[5, 0], [2, 2]]))
    assert torch.equal(gathered[0, :, :4], cache[5].transpose(0, 1))
    assert torch.equal(gathered[1, :, 4:], cache[2].transpose(0, 1))


def test_delta_rule_replaces_what_a_key_holds():
    """Householder form: H = (I - beta k^T k) exp(g) H + beta k^T v, with matrices written out; and beta 1 without decay
    makes the state give back exactly what was last written under a key of norm one."""
    q, k, v = (tensor(1, 1, 9, size, dtype=F64, seed=i) for i, size in enumerate((4, 4, 3)))
    k = functional.normalize(k, dim=-1)
    gate, beta = -tensor(1, 1, 9, 4, dtype=F64, seed=3).abs(), torch.sigmoid(tensor(1, 1, 9, dtype=F64, seed=4))
    out, final = reference.gated_delta_rule(q, k, v, (gate, beta))
    held = torch.zeros(4, 3, dtype=F64, device=q.device)
    for t in range(9):
        key, strength = k[0, 0, t], beta[0, 0, t]
        keep = torch.eye(4, dtype=F64, device=q.device) - strength * torch.outer(key, key)
        held = keep @ torch.diag(gate[0, 0, t].exp()) @ held + strength * torch.outer(key, v[0, 0, t])
        assert torch.allclose(q[0, 0, t] @ held, out[0, 0, t], atol=1e-12)
    assert torch.allclose(held, final[0, 0], atol=1e-12)
    kept, _ = reference.gated_delta_rule(k, k, v, (torch.zeros_like(gate), torch.ones_like(beta)))
    assert torch.allclose(kept, v, atol=1e-12)
