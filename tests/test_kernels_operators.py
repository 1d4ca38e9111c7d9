"""Do the other kernels compute their operators? Products, rows, streams, rationals, sparse, linear and unfused attention."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DTYPES, assert_close, chooser, doubled, relative_error, tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from kernels import reference
from kernels.attention import attention, problem_of
from kernels.ceilings import copy_operator, exp2_operator, exp2_throughput, stream_copy
from kernels.delta import delta_operator, gated_delta_rule
from kernels.launching import target_of
from kernels.linear import gated_linear_attention, linear_operator
from kernels.norm_backward import norm_backward
from kernels.options import AttentionOptions
from kernels.plans import UnfusedAttentionProblem, plan
from kernels.products import gemm, gemm_operator
from kernels.rational import group_rational, rational_backward, rational_operator
from kernels.recurrent import recurrent_linear_attention, recurrent_operator
from kernels.rows import layernorm, norm_operator, rmsnorm, softmax, softmax_operator
from kernels.sparse import KeyBlocks, block_sparse_attention, block_sparse_operator
from kernels.unfused import attention_unfused, unfused_launches, unfused_operator
from tests.kernel_rounding import round_kernel

EACH_DTYPE = pytest.mark.parametrize("dtype", list(DTYPES.values()), ids=str)


@EACH_DTYPE
@pytest.mark.parametrize("shape", [(1, 1, 1), (64, 64, 32), (65, 63, 33), (150, 133, 90), (7, 200, 300)], ids=str)
def test_gemm(shape, dtype):
    a, b = tensor(shape[0], shape[2], dtype=dtype), tensor(shape[2], shape[1], dtype=dtype, seed=1)
    expected = reference.gemm(*doubled(a, b))
    assert_close(gemm(a, b), expected, dtype)
    assert_close(gemm(a.mT.contiguous().mT, b.mT.contiguous().mT), expected, dtype)


@pytest.mark.parametrize("activation", ["none", "relu", "silu", "gelu"])
def test_epilogues(activation):
    a, b, bias = tensor(70, 40), tensor(40, 90, seed=1), tensor(90, seed=2)
    assert_close(gemm(a, b, bias, activation), reference.gemm(*doubled(a, b, bias), activation), torch.float32)


@EACH_DTYPE
@pytest.mark.parametrize("columns", [1, 100, 128, 129, 1000])
def test_rows(columns, dtype):
    """Held rows and rows in blocks; a mean far from zero does not cancel."""
    x, w, b = (
        tensor(5, columns, dtype=dtype, scale=3.0),
        tensor(columns, dtype=dtype, seed=1),
        tensor(columns, dtype=dtype, seed=2),
    )
    assert_close(softmax(x), reference.softmax(*doubled(x)), dtype)
    assert_close(softmax(x * 30), reference.softmax(*doubled(x * 30)), dtype, 40.0 if dtype == torch.float32 else 1.0)
    assert_close(rmsnorm(x, w), reference.rmsnorm(*doubled(x, w)), dtype)
    far = x + 50
    assert_close(
        layernorm(far, w, b), reference.layernorm(*doubled(far, w, b)), dtype, 20.0 if dtype == torch.float32 else 1.0
    )


def test_softmax_gradient():
    x = tensor(4, 30).requires_grad_()
    y = softmax(x)
    gradient = tensor(4, 30, seed=1)
    (found,) = torch.autograd.grad(y, x, gradient)
    wide = x.detach().double().requires_grad_()
    (expected,) = torch.autograd.grad(torch.softmax(wide, -1), wide, gradient.double())
    assert_close(found, expected, torch.float32)


@EACH_DTYPE
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (2, 129), (33, 20), (1, 300)])
@pytest.mark.parametrize("is_centred", [True, False], ids=["layernorm", "rmsnorm"])
def test_norm_gradients(rows, columns, is_centred, dtype):
    """Held rows and rows in blocks, more rows than one partial sum holds; against torch's autograd in fp64."""
    x = (tensor(2, rows, columns, dtype=dtype, scale=3.0) + 2).requires_grad_()
    w, b = (tensor(columns, dtype=dtype, seed=i).requires_grad_() for i in (1, 2))
    y = layernorm(x, w, b) if is_centred else rmsnorm(x, w)
    leaves = [x, w, b] if is_centred else [x, w]
    gradient = tensor(2, rows, columns, dtype=dtype, seed=3)
    found = torch.autograd.grad(y, leaves, gradient)
    wide_leaves = [t.detach().double().requires_grad_() for t in leaves]
    norm = torch.nn.functional.layer_norm if is_centred else torch.nn.functional.rms_norm
    wide_y = norm(wide_leaves[0], (columns,), *wide_leaves[1:], eps=1e-5)
    expected = torch.autograd.grad(wide_y, wide_leaves, gradient.double())
    for name, one, right in zip("xwb", found, expected, strict=False):
        if columns == 1 and (is_centred or name == "x"):  # it does not depend on x: both are rounding about zero
            assert float((one.double() - right).abs().max()) < 1e-2
        else:
            assert_close(one, right, dtype, 3.0)


def test_norm_gradients_of_the_reference():
    """In fp64 the operators take the reference's formulas: against finite differences."""
    x, w, b = (tensor(*shape, dtype=torch.float64, seed=3).requires_grad_() for shape in ((3, 5), (5,), (5,)))
    assert torch.autograd.gradcheck(layernorm, (x, w, b)) and torch.autograd.gradcheck(rmsnorm, (x, w))


@EACH_DTYPE
@pytest.mark.parametrize("size", [1, 1023, 1024, 3001])
def test_streams(size, dtype):
    x = tensor(size, dtype=dtype)
    assert torch.equal(stream_copy(x), x)
    assert_close(exp2_throughput(x, 5), reference.repeat_exp2(x.double(), 5), dtype)
    assert torch.equal(exp2_throughput(x, 0), x)


def test_rounding_to_bf16_is_that_of_torch():
    """Every kind of bit pattern: ties, subnormals, infinities, NaN."""
    bits = torch.randint(-(2**31), 2**31, (4096,), generator=torch.Generator().manual_seed(0), dtype=torch.int64)
    bits[:6] = torch.tensor([0x3F808000, 0x3F818000, 0x7F800000, 0x7FC00001, 0x00018000, 0x7F7FFFFF])
    x = bits.to(torch.int32).view(torch.float32).to(tensor(1).device)
    found = torch.empty_like(x)
    round_kernel[(4,)](x, found, 1024)
    expected = x.to(torch.bfloat16).float()
    assert torch.equal(found.isnan(), expected.isnan())
    assert torch.equal(found[~expected.isnan()], expected[~expected.isnan()])


@EACH_DTYPE
@pytest.mark.parametrize("shape", [(1, 8, 8), (50, 96, 8), (33, 300, 3)], ids=str)
def test_rational(shape, dtype):
    rows, columns, groups = shape
    x = tensor(rows, columns, dtype=dtype).requires_grad_()
    a, c = tensor(groups, 6, seed=1).requires_grad_(), tensor(groups, 4, seed=2).requires_grad_()
    y = group_rational(x, a, c)
    gradient = tensor(rows, columns, dtype=dtype, seed=3)
    wide = doubled(x.detach(), a.detach(), c.detach())
    assert_close(y, reference.group_rational(*wide), dtype)
    found = torch.autograd.grad(y, [x, a, c], gradient)
    expected = reference.group_rational_backward(*wide, gradient.double())
    assert_close(found[0], expected[0], dtype)
    for part, right in zip(found[1:], expected[1:], strict=True):
        assert_close(part, right, torch.float32, 3.0)


@EACH_DTYPE
@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": (10, 3)}, {"scale": 0.5}], ids=str)
def test_unfused_equals_fused(options, dtype):
    options = AttentionOptions(**options)
    q, k, v = (tensor(1, h, n, d, dtype=dtype, seed=h + d) for h, n, d in ((2, 70, 40), (1, 130, 40), (1, 130, 24)))
    found = attention_unfused(q, k, v, options)
    assert_close(found, reference.attend(*doubled(q, k, v), options)[0], dtype)
    assert_close(found, attention(q, k, v, options).double(), dtype, 2.0)


@pytest.mark.parametrize("keys", [128, 130])
def test_unfused_launches_are_those_of_the_plan(keys):
    q, k, v = (tensor(1, h, n, 40, dtype=torch.bfloat16, seed=h) for h, n in ((2, 70), (1, keys), (1, keys)))
    launches, _ = unfused_launches(q, k, v, AttentionOptions())
    planned = plan(UnfusedAttentionProblem(problem_of(q, k, v, AttentionOptions())), target_of(q))
    assert tuple(launch.plan for launch in launches) == planned


def test_unfused_rows_without_keys():
    q, k, v = tensor(1, 1, 40, 16), tensor(1, 1, 10, 16, seed=1), tensor(1, 1, 10, 16, seed=2)
    assert not attention_unfused(q, k, v, AttentionOptions(causal=True))[:, :, :30].any()


@EACH_DTYPE
@pytest.mark.parametrize("seed", range(3))
def test_block_sparse(seed, dtype):
    choose = chooser(seed)
    block, queries, keys = choose.choice([16, 32, 64]), choose.randint(1, 150), choose.randint(1, 150)
    q, k, v = (tensor(2, h, n, 48, dtype=dtype, seed=seed + h) for h, n in ((4, queries), (2, keys), (2, keys)))
    rows, columns = -(-queries // block), -(-keys // block)
    generator = torch.Generator().manual_seed(seed)
    indices = torch.stack([torch.randperm(columns, generator=generator) for _ in range(8 * rows)])
    indices = indices.reshape(2, 4, rows, columns).to(q.device)
    counts = torch.randint(0, columns + 1, (2, 4, rows), generator=generator).to(q.device)
    is_causal = choose.random() < 0.5
    out, lse = block_sparse_attention(q, k, v, KeyBlocks(indices, counts, block), is_causal=is_causal)
    mask = reference.mask_of_blocks(indices, counts, (queries, keys), block)
    expected, expected_lse = reference.attend_blocks(*doubled(q, k, v), mask, is_causal)
    assert_close(out, expected, dtype)
    assert relative_error(lse, expected_lse) <= 1e-6


def test_all_blocks_are_dense_attention():
    q, k, v = (tensor(1, 2, 100, 32, seed=i) for i in range(3))
    indices = torch.arange(7, device=q.device).expand(1, 2, 7, 7)
    counts = torch.full((1, 2, 7), 7, device=q.device)
    out, _ = block_sparse_attention(q, k, v, KeyBlocks(indices, counts, 16))
    assert_close(out, attention(q, k, v).double(), torch.float32)


LINEAR = [(1, 16, 16, True), (65, 40, 70, True), (64, 64, 64, False), (130, 16, 32, False)]


@EACH_DTYPE
@pytest.mark.parametrize(("length", "keys", "values", "is_wide"), LINEAR)
def test_gated_linear_attention(length, keys, values, is_wide, dtype):
    q, k = (tensor(1, 2, length, keys, dtype=dtype, seed=i, scale=keys**-0.25) for i in range(2))
    v = tensor(1, 2, length, values, dtype=dtype, seed=2)
    gate = -tensor(1, 2, length, keys, seed=3).abs() * 3
    gate = gate if is_wide else gate[..., 0]
    state = tensor(1, 2, keys, values, seed=4)
    out, final = gated_linear_attention(q, k, v, gate, state)
    expected, expected_final = reference.gated_linear_attention(*doubled(q, k, v, gate, state))
    assert_close(out, expected, dtype)
    assert_close(final, expected_final, torch.float32, 3.0)


@EACH_DTYPE
@pytest.mark.parametrize(
    ("length", "keys", "values", "has_state"), [(1, 16, 16, True), (20, 16, 16, False), (70, 24, 40, True)]
)
def test_gradients_of_gated_linear_attention(length, keys, values, has_state, dtype):
    """Of both outputs, by autograd through the token-by-token reference in fp64."""
    q, k = (tensor(1, 2, length, keys, dtype=dtype, seed=i, scale=keys**-0.25) for i in range(2))
    v = tensor(1, 2, length, values, dtype=dtype, seed=2)
    gate = -tensor(1, 2, length, seed=3).abs() * 0.3
    state = tensor(1, 2, keys, values, seed=4) if has_state else None
    leaves = [x.requires_grad_() for x in (q, k, v, gate, *([state] if has_state else []))]
    gradients = (tensor(1, 2, length, values, dtype=dtype, seed=5), tensor(1, 2, keys, values, seed=6))
    found = torch.autograd.grad(gated_linear_attention(q, k, v, gate, state), leaves, gradients)
    wide_leaves = [x.detach().double().requires_grad_() for x in leaves]
    outputs = reference.gated_linear_attention(*wide_leaves)
    expected = torch.autograd.grad(outputs, wide_leaves, doubled(*gradients))
    for one, right in zip(found, expected, strict=True):
        assert_close(one, right, dtype, 3.0)


def test_formulas_of_linear_gradients():
    """In fp64, without a kernel: against finite differences."""
    q, k, v = (tensor(1, 1, 5, size, dtype=torch.float64, seed=size).requires_grad_() for size in (3, 3, 2))
    k = tensor(1, 1, 5, 3, dtype=torch.float64, seed=9).requires_grad_()
    gate = (-tensor(1, 1, 5, dtype=torch.float64, seed=4).abs()).requires_grad_()
    state = tensor(1, 1, 3, 2, dtype=torch.float64, seed=5).requires_grad_()
    assert torch.autograd.gradcheck(gated_linear_attention, (q, k, v, gate, state))
    assert torch.autograd.gradcheck(lambda *x: gated_linear_attention(*x)[0], (q, k, v, gate))


def test_gate_per_channel_has_no_gradient():
    q = tensor(1, 1, 4, 16).requires_grad_()
    out, _ = gated_linear_attention(q, q, q, -q.detach().abs())
    with pytest.raises(ValueError) as caught:
        out.sum().backward()
    assert str(caught.value) == (
        "gradients of gated linear attention need one gate per head; with a gate per key channel it has none"
    )


def test_strong_gates_do_not_overflow():
    """exp(-decay) would overflow fp32 within two tokens; nothing here exceeds one."""
    q, k, v = (tensor(1, 1, 80, 16, seed=i) for i in range(3))
    gate = torch.full((1, 1, 80, 16), -60.0, device=q.device)
    out, _ = gated_linear_attention(q, k, v, gate)
    assert_close(out, reference.gated_linear_attention(*doubled(q, k, v, gate))[0], torch.float32)


RECURRENT = [(1, 16, 16, True), (3, 40, 70, False), (30, 16, 24, True)]


@EACH_DTYPE
@pytest.mark.parametrize("has_delta", [False, True])
@pytest.mark.parametrize(("length", "keys", "values", "is_wide"), RECURRENT)
def test_recurrent_linear_attention(length, keys, values, is_wide, has_delta, dtype):
    """Also in two parts, the state handed on."""
    q, k = (torch.nn.functional.normalize(tensor(1, 2, length, keys, seed=i), dim=-1).to(dtype) for i in range(2))
    v = tensor(1, 2, length, values, dtype=dtype, seed=2)
    gate = -tensor(1, 2, length, keys, seed=3).abs()
    gate = gate if is_wide else gate[..., 0]
    beta = torch.sigmoid(tensor(1, 2, length, seed=4)) if has_delta else None
    state = tensor(1, 2, keys, values, seed=5)
    out, final = recurrent_linear_attention((q, k, v), gate, beta=beta, state=state)
    wide_q, wide_k, wide_v, wide_gate, wide_beta, wide_state = doubled(q, k, v, gate, beta, state)
    if has_delta:
        expected = reference.gated_delta_rule(wide_q, wide_k, wide_v, (wide_gate, wide_beta), wide_state)
    else:
        expected = reference.gated_linear_attention(wide_q, wide_k, wide_v, wide_gate, wide_state)
    assert_close(out, expected[0], dtype)
    assert_close(final, expected[1], torch.float32, 3.0)
    cut = length // 2
    first, middle = recurrent_linear_attention(
        tuple(x[:, :, :cut] for x in (q, k, v)),
        gate[:, :, :cut],
        beta=None if beta is None else beta[:, :, :cut],
        state=state,
    )
    second, last = recurrent_linear_attention(
        tuple(x[:, :, cut:] for x in (q, k, v)),
        gate[:, :, cut:],
        beta=None if beta is None else beta[:, :, cut:],
        state=middle,
    )
    assert torch.equal(torch.cat([first, second], 2), out) and torch.equal(last, final)


@EACH_DTYPE
@pytest.mark.parametrize(("length", "keys", "values"), [(1, 16, 16), (32, 16, 70), (75, 40, 24)])
def test_gated_delta_rule(length, keys, values, dtype):
    """Chunks of 32 in the interpreter: part of one, one, two and a part."""
    q, k = (torch.nn.functional.normalize(tensor(1, 2, length, keys, seed=i), dim=-1).to(dtype) for i in range(2))
    v = tensor(1, 2, length, values, dtype=dtype, seed=2)
    gate, beta = -tensor(1, 2, length, seed=3).abs() * 0.3, torch.sigmoid(tensor(1, 2, length, seed=4))
    state = tensor(1, 2, keys, values, seed=5)
    out, final = gated_delta_rule((q, k, v), gate, beta, state)
    wide_q, wide_k, wide_v, wide_gate, wide_beta, wide_state = doubled(q, k, v, gate, beta, state)
    expected = reference.gated_delta_rule(wide_q, wide_k, wide_v, (wide_gate, wide_beta), wide_state)
    assert_close(out, expected[0], dtype)
    assert_close(final, expected[1], dtype)


@pytest.mark.parametrize(("gate", "alike"), [(0.0, True), (-60.0, False), (-60.0, True)])
def test_delta_rule_neither_cancels_nor_overflows(gate, alike):
    """Equal keys without decay: powers of the system would reach 1e8 here and cancel. Strong gates: no exponent grows."""
    q, k = (torch.nn.functional.normalize(tensor(1, 1, 40, 16, seed=i), dim=-1) for i in range(2))
    k = k[:, :, :1].expand_as(k).contiguous() if alike else k
    v, beta = tensor(1, 1, 40, 16, seed=2), torch.full((1, 1, 40), 0.9, device=q.device)
    gates = torch.full((1, 1, 40), gate, device=q.device)
    out, final = gated_delta_rule((q, k, v), gates, beta)
    wide_q, wide_k, wide_v, wide_gate, wide_beta = doubled(q, k, v, gates, beta)
    expected = reference.gated_delta_rule(wide_q, wide_k, wide_v, (wide_gate, wide_beta))
    assert_close(out, expected[0], torch.float32, 2.0)
    assert_close(final, expected[1], torch.float32, 2.0)


def test_recurrence_equals_chunks():
    q, k, v = (tensor(1, 1, 40, 16, seed=i) * 0.5 for i in range(3))
    gate = -tensor(1, 1, 40, seed=3).abs()
    found, final = recurrent_linear_attention((q, k, v), gate)
    expected, expected_final = gated_linear_attention(q, k, v, gate)
    assert relative_error(found, expected) < 2e-6 and relative_error(final, expected_final) < 2e-6


def test_operators_are_well_formed():
    x = tensor(6, 32)
    q, k, v = (tensor(1, 2, 20, 16, seed=i) for i in range(3))
    lists = [torch.zeros(1, 2, 2, 1, dtype=torch.int32, device=x.device)]
    lists.append(lists[0][..., 0] + 1)
    cases = [
        (gemm_operator, (x, x.mT.contiguous(), None, "none")),
        (copy_operator, (x,)),
        (exp2_operator, (x, 2)),
        (softmax_operator, (x.clone().requires_grad_(),)),
        (norm_operator, (tensor(6, 32).requires_grad_(), tensor(32).requires_grad_(), None, 1e-5)),
        (norm_backward, (x.clone().requires_grad_(), x[0].clone(), x + 1, 1e-5, True)),
        (rational_operator, (x, tensor(4, 6), tensor(4, 4, seed=1))),
        (rational_backward, (x.clone().requires_grad_(), tensor(4, 6), tensor(4, 4, seed=1), x + 1)),
        (unfused_operator, (q, k, v, AttentionOptions().pack(16))),
        (block_sparse_operator, ([q, k, v], lists, 16, False, False)),
        (linear_operator, ([q, k, v], -q.abs(), None, False)),
        (linear_operator, ([x.clone().requires_grad_() for x in (q, k, v)], -q[..., 0].abs(), None, False)),
        (delta_operator, ([q, k, v], -q[..., 0].abs(), q[..., 0].sigmoid(), None)),
        (recurrent_operator, ([q, k, v], -q.abs(), q[..., 0].sigmoid(), None)),
    ]
    for operator, arguments in cases:
        torch.library.opcheck(operator, arguments)
