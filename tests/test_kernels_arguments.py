"""What operators refuse, with what sentence; how they stand to autocast, empty tensors, fp64 and second derivatives."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DEVICE, DTYPES, tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from torch.nn import functional

from kernels import launching, reference
from kernels.attention import attention, attention_with_lse, forward_launch
from kernels.attention_gradients import attention_backward
from kernels.ceilings import copy_launch, exp2_throughput, stream_copy
from kernels.decode import Cache, attention_decode
from kernels.delta import gated_delta_rule
from kernels.linear import gated_linear_attention
from kernels.norm_backward import norm_backward
from kernels.options import AttentionOptions
from kernels.products import gemm
from kernels.rational import group_rational, rational_backward
from kernels.recurrent import recurrent_linear_attention
from kernels.rows import layernorm, rmsnorm, softmax
from kernels.sparse import KeyBlocks, block_sparse_attention
from kernels.unfused import attention_unfused

F64 = torch.float64
EACH_DTYPE = pytest.mark.parametrize("dtype", [F64, *DTYPES.values()], ids=str)


def numbers(*values, **kind):
    return torch.tensor(values, device=DEVICE, **kind)


def attend(*shapes, **options):
    return attention(*(tensor(*shape) for shape in shapes), AttentionOptions(**options))


def decode(lengths=(7, 5), k=(2, 1, 9, 8), v=(2, 1, 9, 8), table=None, **cache):
    return attention_decode(tensor(2, 2, 1, 8), tensor(*k), tensor(*v), Cache(lengths, table, **cache))


def paged(table, lengths=(7, 5)):
    """Five pages of four keys."""
    return decode(lengths, (5, 4, 1, 8), (5, 4, 1, 8), table)


def listed(indices, counts, size=16):
    """Two blocks of queries, three of keys."""
    q, k = tensor(1, 1, 32, 8), tensor(1, 1, 40, 8)
    return block_sparse_attention(q, k, k, KeyBlocks(numbers(indices), numbers(counts), size))


def linear(q=(1, 2, 5, 8), k=(1, 2, 5, 8), v=(1, 2, 5, 4), gate=(1, 2, 5), state=None):
    held = None if state is None else tensor(*state)
    return gated_linear_attention(tensor(*q), tensor(*k), tensor(*v), -tensor(*gate).abs(), held)


def delta(gate=(1, 2, 5), beta=(1, 2, 5), state=None):
    x = tensor(1, 2, 5, 8)
    return gated_delta_rule((x, x, x), tensor(*gate), tensor(*beta), None if state is None else tensor(*state))


def recurrent(gate=(1, 2, 5), beta=None, state=None):
    x, (betas, held) = tensor(1, 2, 5, 8), (None if shape is None else tensor(*shape) for shape in (beta, state))
    return recurrent_linear_attention((x, x, x), tensor(*gate), beta=betas, state=held)


Q, K = (2, 2, 3, 8), (2, 1, 5, 8)
REFUSED = {
    # Ranks, sizes, groups.
    "expected q[B, H, Nq, D], got shape (2, 3, 8)": lambda: attend((2, 3, 8), K, K),
    "expected k[B, Hkv, Nk, D] with B = 2 as in q, got shape (3, 1, 5, 8)": lambda: attend(Q, (3, 1, 5, 8), K),
    "expected k[B, Hkv, Nk, D] with B = 2 as in q and D = 8 as in q, got shape (1, 1, 5, 4)":
        lambda: attend(Q, (1, 1, 5, 4), K),
    "expected v[B, Hkv, Nk, Dv] with Hkv = 1 as in k, got shape (2, 2, 5, 8)": lambda: attend(Q, K, (2, 2, 5, 8)),
    "query heads must be a multiple of key-value heads, got 3 and 2":
        lambda: attend((2, 3, 3, 8), (2, 2, 5, 8), (2, 2, 5, 8)),
    "query heads must be a multiple of key-value heads, got 2 and 0": lambda: attend(Q, (2, 0, 5, 8), (2, 0, 5, 8)),
    "head sizes must be at least 1, got 0 and 8": lambda: attend((2, 2, 3, 0), (2, 1, 5, 0), K),
    "head sizes must be at least 1, got 8 and 0": lambda: attend(Q, K, (2, 1, 5, 0)),
    "expected sinks[H] with H = 2 as in q, got shape (3,)": lambda: attend(Q, K, K, sinks=tensor(3)),
    # Options of attention.
    "scale must be a positive number, got -1.0": lambda: AttentionOptions(scale=-1.0),
    "softcap must be 0 (none) or a positive number, got -2.0": lambda: AttentionOptions(softcap=-2.0),
    "window sides must be -1 (no limit) or from 0 to 2^30, got (-2, 0)": lambda: AttentionOptions(window=(-2, 0)),
    f"window sides must be -1 (no limit) or from 0 to 2^30, got (0, {1 << 40})":
        lambda: AttentionOptions(window=(0, 1 << 40)),
    "lengths must be from 0 to 2^30, got (5, -2)": lambda: AttentionOptions(lengths=((5, -2), (-2, 7))),
    "a packed batch has batch 1 and lengths that add up to its 3 queries and 5 keys, got batch 2 and lengths that add up "
    "to (3, 5)": lambda: attend(Q, K, K, lengths=((3, 5),)),
    "a packed batch has batch 1 and lengths that add up to its 3 queries and 5 keys, got batch 1 and lengths that add up "
    "to (3, 6)": lambda: attend((1, 2, 3, 8), (1, 1, 5, 8), (1, 1, 5, 8), lengths=((3, 6),)),
    "unfused attention takes causal masks, windows and scale, not softcap, sinks or a packed batch":
        lambda: attention_unfused(tensor(*Q), tensor(*K), tensor(*K), AttentionOptions(softcap=1.0)),
    # Caches.
    "lengths must be from 0 to the 9 keys that the cache holds, got (10, 5)": lambda: decode((10, 5)),
    "lengths of a cache must be from 0 to 2^30, got (-1, 5)": lambda: decode((-1, 5)),
    "the cache has 3 lengths for a batch of 2 queries": lambda: decode((7, 5, 1)),
    "expected k[B, Hkv, N, D] with B = 2 as in q, got shape (3, 1, 9, 8)": lambda: decode(k=(3, 1, 9, 8)),
    "expected v[B, Hkv, N, Dv] with N = 9 as in k, got shape (2, 1, 8, 8)": lambda: decode(v=(2, 1, 8, 8)),
    "splits must be 0 (chosen by the plan) or positive, got -1": lambda: decode(splits=-1),
    "check must be 'host' or 'device', got 'never'": lambda: decode(check="never"),
    "expected table[B, P], got shape (2,)": lambda: paged(numbers(0, 1)),
    "expected table[B, P] with B = 2 as in q, got shape (1, 2)": lambda: paged(numbers([0, 1])),
    "lengths must be from 0 to the 8 keys that the cache holds, got (9, 5)":
        lambda: paged(numbers([0, 1], [2, 3]), (9, 5)),
    "table[0, 1] is page 5, expected from 0 to 4": lambda: paged(numbers([0, 5], [2, 3])),
    "table[1, 1] is page -1, expected from 0 to 4": lambda: paged(numbers([0, 4], [2, -1])),
    # Lists of blocks.
    "counts[0, 0, 1] is a count of 4, expected from 0 to 3": lambda: listed([[[0, 1, 2], [0, 1, 2]]], [[1, 4]]),
    "counts[0, 0, 0] is a count of -1, expected from 0 to 3": lambda: listed([[[0, 1, 2], [0, 1, 2]]], [[-1, 3]]),
    "indices[0, 0, 1, 0] is block 3, expected from 0 to 2": lambda: listed([[[0, 9, 9], [3, 1, 2]]], [[1, 1]]),
    "indices[0, 0, 1, 1] is block -1, expected from 0 to 2": lambda: listed([[[0, 9, 9], [2, -1, 2]]], [[1, 2]]),
    "indices[0, 0, 1] lists block 2 more than once": lambda: listed([[[0, 0, 0], [2, 1, 2]]], [[1, 3]]),
    "expected lists for 2 blocks of 16 queries, got counts of shape (1, 1, 3)":
        lambda: listed([[[0], [1], [2]]], [[1, 1, 1]]),
    "expected indices[B, H, blocks, most] with blocks = 2 as in counts, got shape (1, 1, 1, 2)":
        lambda: listed([[[0, 1]]], [[1, 1]]),
    "blocks of 16, 32, 64 or 128 are supported, got 20": lambda: listed([[[0], [1]]], [[1, 1]], 20),
    # Products, rows, rationals.
    "expected b[K, N] with K = 4 as in a, got shape (3, 5)": lambda: gemm(tensor(2, 4), tensor(3, 5)),
    "expected bias[N] with N = 5 as in b, got shape (4,)": lambda: gemm(tensor(2, 4), tensor(4, 5), tensor(4)),
    "unknown activation 'tanh', expected one of none, relu, silu, gelu":
        lambda: gemm(tensor(2, 4), tensor(4, 5), None, "tanh"),
    "repeats must be at least 0, got -1": lambda: exp2_throughput(tensor(4), -1),
    "expected x[..., N], got shape ()": lambda: softmax(tensor(1)[0]),
    "expected weight[N] with N = 4 as in x, got shape (3,)": lambda: rmsnorm(tensor(2, 4), tensor(3)),
    "expected bias[N] with N = 4 as in x, got shape (1,)": lambda: layernorm(tensor(2, 4), tensor(4), tensor(1)),
    "epsilon must be at least 0, got -1.0": lambda: rmsnorm(tensor(2, 4), tensor(4), epsilon=-1.0),
    "expected a gradient of shape (2, 4), got (3, 4)":
        lambda: norm_backward(tensor(2, 4), tensor(4), tensor(3, 4), 1e-5, True),
    "expected x[rows, columns], got shape (2, 3, 8)":
        lambda: group_rational(tensor(2, 3, 8), tensor(2, 6), tensor(2, 4)),
    "expected numerator[groups, 6], got shape (2, 5)": lambda: group_rational(tensor(3, 8), tensor(2, 5), tensor(2, 4)),
    "expected denominator[groups, 4] with groups = 2 as in numerator, got shape (3, 4)":
        lambda: group_rational(tensor(3, 8), tensor(2, 6), tensor(3, 4)),
    "columns must be a multiple of groups, got 8 and 3":
        lambda: group_rational(tensor(3, 8), tensor(3, 6), tensor(3, 4)),
    "expected gradient[rows, columns] with rows = 3 as in x, got shape (2, 8)":
        lambda: rational_backward(tensor(3, 8), tensor(2, 6), tensor(2, 4), tensor(2, 8)),
    "expected out[B, H, Nq, Dv] with Nq = 3 as in q, got shape (2, 2, 4, 8)": lambda: attention_backward(
        [tensor(*Q), tensor(*K), tensor(*K), tensor(2, 2, 4, 8), tensor(2, 2, 3)], [tensor(*Q), tensor(2, 2, 3)], None,
        AttentionOptions().pack(8)),
    # Linear attention: states of another batch, or transposed.
    "expected k[B, H, T, D] with T = 5 as in q, got shape (1, 2, 6, 8)": lambda: linear(k=(1, 2, 6, 8)),
    "expected gate[B, H, T] with T = 5 as in q, got shape (1, 2, 4)": lambda: linear(gate=(1, 2, 4)),
    "expected gate[B, H, T, D] with D = 8 as in q, got shape (1, 2, 5, 4)": lambda: linear(gate=(1, 2, 5, 4)),
    "expected state[B, H, D, Dv] with B = 1 as in q, got shape (2, 2, 8, 4)": lambda: linear(state=(2, 2, 8, 4)),
    "expected state[B, H, D, Dv] with D = 8 as in q and Dv = 4 as in v, got shape (1, 2, 4, 8)":
        lambda: linear(state=(1, 2, 4, 8)),
    "expected gate[B, H, T], got shape (1, 2, 5, 8)": lambda: delta(gate=(1, 2, 5, 8)),
    "expected beta[B, H, T] with T = 5 as in q, got shape (1, 2, 4)": lambda: delta(beta=(1, 2, 4)),
    "expected state[B, H, D, Dv] with H = 2 as in q, got shape (1, 1, 8, 8)": lambda: delta(state=(1, 1, 8, 8)),
    "expected beta[B, H, T], got shape (1, 2, 5, 8)": lambda: recurrent(beta=(1, 2, 5, 8)),
    "expected state[B, H, D, Dv] with D = 8 as in q, got shape (1, 2, 4, 8)": lambda: recurrent(state=(1, 2, 4, 8)),
    # Devices.
    f"expected k on {tensor(1).device} as q is, got meta":
        lambda: attention(tensor(*Q), torch.empty(K, device="meta"), tensor(*K)),
    f"expected bias on {tensor(1).device} as a is, got meta":
        lambda: gemm(tensor(2, 4), tensor(4, 5), torch.empty(5, device="meta")),
    f"expected the table on {tensor(1).device} as q is, or on the CPU, got meta":
        lambda: paged(torch.empty(2, 2, dtype=torch.int32, device="meta")),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED)
def test_values_are_refused(message):
    with pytest.raises(ValueError) as caught:
        REFUSED[message]()
    assert str(caught.value) == message


REFUSED_TYPES = {
    "expected a tensor for k, got list": lambda: attention(tensor(*Q), [1.0], tensor(*K)),
    "expected x of float64, float32, float16 or bfloat16, got torch.int64": lambda: softmax(numbers(1, 2)),
    "expected x of float64, float32, float16 or bfloat16, got torch.complex64":
        lambda: stream_copy(tensor(3).to(torch.complex64)),
    "expected a dense tensor for a, got torch.sparse_coo": lambda: gemm(tensor(2, 2).to_sparse(), tensor(2, 2)),
    "expected table of int32 or int64, got torch.float32": lambda: paged(tensor(2, 2)),
    "q, k and v must have one dtype, got float32, float16 and float32":
        lambda: attention(tensor(*Q), tensor(*K).half(), tensor(*K)),
    "a and b must have one dtype, got float32 and bfloat16": lambda: gemm(tensor(2, 2), tensor(2, 2).bfloat16()),
    "lengths of a cache must be numbers on the host, got a tensor; its tolist() gives them":
        lambda: decode(numbers(7, 5)),
    "lengths of a cache must be a tuple of whole numbers, got (7, 5.0)": lambda: decode((7, 5.0)),
    "lengths must be a pair (queries, keys) for each sequence, got ((1, 2, 3),)":
        lambda: AttentionOptions(lengths=((1, 2, 3),)),
    "window must be two whole numbers, (left, right), got (1.5, 0)": lambda: AttentionOptions(window=(1.5, 0)),
}  # fmt: skip


@pytest.mark.parametrize("message", REFUSED_TYPES)
def test_types_are_refused(message):
    with pytest.raises(TypeError) as caught:
        REFUSED_TYPES[message]()
    assert str(caught.value) == message


@EACH_DTYPE
def test_checks_do_not_depend_on_the_dtype(dtype):
    """The state of another batch and a page that does not exist: in the path with a kernel and in that without."""
    q, v = tensor(1, 2, 5, 8, dtype=dtype), tensor(1, 2, 5, 4, dtype=dtype)
    with pytest.raises(ValueError, match=r"^expected state\[B, H, D, Dv\] with B = 1 as in q"):
        gated_linear_attention(q, q, v, -q[..., 0].abs(), tensor(2, 2, 8, 4))
    cache = tensor(5, 4, 1, 8, dtype=dtype)
    with pytest.raises(ValueError, match=r"^table\[0, 0\] is page 70000, expected from 0 to 4$"):
        attention_decode(q[:, :, :1], cache, cache, Cache((3,), numbers([70000])))


def test_too_many_programs_are_refused():
    x = tensor(4)
    launch = copy_launch(x, torch.empty_like(x))
    tiles = tuple(replace(tile, count=tile.count * 65_536) for tile in launch.plan.tiles)
    with pytest.raises(ValueError) as caught:
        launching.run(launch._replace(plan=replace(launch.plan, grid=(1, 65_536, 1), tiles=tiles)))
    assert str(caught.value) == (
        "stream_copy needs 65536 programs along one side of its grid (heads, or heads of all sequences), a GPU takes "
        "65535: split the batch"
    )


def test_rows_out_of_reach_are_refused():
    """Offsets within a tile are of 32 bits, so a tile of 256 rows may not reach 2^31 elements."""
    q = torch.empty_strided((1, 1, 3, 16), (1 << 26, 1 << 26, 1 << 23, 1), device="meta")
    with pytest.raises(ValueError) as caught:
        forward_launch(q, q[:, :, :1], q[:, :, :1], AttentionOptions())
    assert str(caught.value) == (
        "neighbours of q lie 8388608 elements apart, a kernel takes less than 8388608: pass q.contiguous()"
    )


# --------------------------------------------------------------------------------------------- empty tensors


@EACH_DTYPE
def test_empty_tensors_give_empty_results(dtype):
    def made(*shape):
        return tensor(*shape, dtype=dtype)

    q, none = made(1, 2, 3, 8), made(1, 2, 0, 8)
    assert not attention(q, none, none).any() and attention(none, q, q).shape == (1, 2, 0, 8)
    assert attention(q[:0], q[:0], q[:0]).shape == (0, 2, 3, 8)
    assert attention_unfused(none, q, q).shape == (1, 2, 0, 8) and not attention_unfused(q, none, none).any()
    out, lse = attention_decode(q, none, none, Cache((0,)))
    assert not out.any() and (lse == float("-inf")).all()
    assert attention_decode(q[:0], q[:0], q[:0], Cache(()))[0].shape == (0, 2, 3, 8)
    lists = KeyBlocks(numbers([[[]], [[]]], dtype=torch.int64), numbers([[0], [0]]))
    out, lse = block_sparse_attention(q, none, none, lists)
    assert not out.any() and (lse == float("-inf")).all()
    assert not gemm(made(2, 0), made(0, 3)).any() and gemm(made(0, 4), made(4, 3)).shape == (0, 3)
    assert torch.equal(gemm(made(2, 0), made(0, 3), made(3)), made(3).expand(2, 3))
    for shape in ((0, 4), (4, 0), (2, 0, 3)):
        x, w = made(*shape).requires_grad_(), made(shape[-1]).requires_grad_()
        for operator, leaves in ((softmax, [x]), (rmsnorm, [x, w]), (layernorm, [x, w, w])):
            y = operator(*leaves)
            assert y.shape == shape
            assert all(not g.any() for g in torch.autograd.grad(y.sum(), leaves[:2]))
    assert (
        stream_copy(made(0)).shape == (0,)
        and stream_copy(made(1)[0]).shape == ()
        and exp2_throughput(made(1)[0], 1).dim() == 0
    )
    for shape in ((0, 4), (3, 0)):
        leaves = [made(*shape).requires_grad_(), made(2, 6).requires_grad_(), made(2, 4).requires_grad_()]
        y = group_rational(*leaves)
        assert y.shape == shape and all(not g.any() for g in torch.autograd.grad(y.sum(), leaves))
    state, gate = tensor(1, 2, 8, 8), tensor(1, 2, 0)
    for out, final in (
        gated_linear_attention(none, none, none, gate, state),
        gated_delta_rule((none, none, none), gate, gate, state),
        recurrent_linear_attention((none, none, none), gate, beta=gate, state=state),
    ):
        assert out.shape == (1, 2, 0, 8) and torch.equal(final.float(), state)


# ------------------------------------------------------------------------------ fp64 and second derivatives


def band(q, k, v, sinks):
    return attention_with_lse(q, k, v, AttentionOptions(causal=True, window=(3, 0), softcap=2.0, sinks=sinks))


def packed(q, k, v):
    return attention_with_lse(q, k, v, AttentionOptions(lengths=((1, 3), (2, 2))))


HEADS = ((1, 2, 3, 3), (1, 1, 5, 3), (1, 1, 5, 2))
TWICE = {
    "attention": (attention_with_lse, HEADS),
    "attention-band": (band, (*HEADS, (2,))),
    "attention-packed": (packed, HEADS),
    "softmax": (softmax, ((2, 4),)),
    "layernorm": (layernorm, ((2, 4), (4,), (4,))),
    "rmsnorm": (rmsnorm, ((2, 4), (4,))),
    "rational": (group_rational, ((2, 4), (2, 6), (2, 4))),
    "linear": (
        lambda q, k, v, gate, state: gated_linear_attention(q, k, v, -gate.abs(), state),
        ((1, 1, 4, 3), (1, 1, 4, 3), (1, 1, 4, 2), (1, 1, 4), (1, 1, 3, 2)),
    ),
}  # fmt: skip


def leaves_of(shapes, dtype=F64):
    return [tensor(*shape, dtype=dtype, seed=i + 1).requires_grad_() for i, shape in enumerate(shapes)]


@pytest.mark.parametrize("name", TWICE)
def test_first_and_second_derivatives_in_fp64(name):
    """Against finite differences, whose steps of 1e-6 leave nothing of a path through fp32."""
    operator, shapes = TWICE[name]
    assert torch.autograd.gradcheck(operator, leaves_of(shapes))
    assert torch.autograd.gradgradcheck(operator, leaves_of(shapes))


@pytest.mark.parametrize("name", ["attention", "layernorm", "rational", "softmax"])
def test_second_derivatives_of_kernels(name):
    """In fp32, where first derivatives come from kernels: as those of fp64."""
    operator, shapes = TWICE[name]
    results = []
    for dtype in (torch.float32, F64):
        leaves = leaves_of(shapes, dtype)
        outputs = operator(*leaves)
        first = torch.autograd.grad(
            sum((x**2).sum() for x in (outputs if isinstance(outputs, tuple) else (outputs,))),
            leaves,
            create_graph=True,
        )
        results.append(torch.autograd.grad(sum((x**2).sum() for x in first), leaves))
    for found, expected in zip(*results, strict=True):
        assert torch.allclose(found.double(), expected, rtol=1e-3, atol=1e-4)


def test_fp64_stays_fp64():
    """Beside gates and states of fp32 too: results differ from those of rounded inputs by fp64's rounding alone."""
    q, k, v = (tensor(1, 1, 6, 4, dtype=F64, seed=i) for i in range(3))
    gate, beta, state = -tensor(1, 1, 6).abs(), tensor(1, 1, 6, seed=4).sigmoid(), tensor(1, 1, 4, 4, seed=5)
    for found, expected in (
        (gated_linear_attention(q, k, v, gate, state), gated_linear_attention(q, k, v, gate.double(), state.double())),
        (
            gated_delta_rule((q, k, v), gate, beta, state),
            gated_delta_rule((q, k, v), gate.double(), beta.double(), state.double()),
        ),
    ):
        assert all(torch.equal(x, y) and x.dtype == F64 for x, y in zip(found, expected, strict=True))
    x, w = tensor(3, 5, dtype=F64), tensor(5)
    assert torch.equal(rmsnorm(x, w), rmsnorm(x, w.double())) and rmsnorm(x, w).dtype == F64


def test_results_have_the_dtypes_that_fakes_state():
    """Of fp32 operands beside fp64 gates and states, in the reference as in the kernel."""
    q, gate, state = tensor(1, 1, 3, 4), -tensor(1, 1, 3, dtype=F64).abs(), tensor(1, 1, 4, 4, dtype=F64)
    out, final = reference.gated_linear_attention(q, q, q, gate, state)
    assert out.dtype == final.dtype == torch.float32


# ---------------------------------------------------------------------------------------------- autocast


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, F64], ids=str)
def test_autocast_is_that_of_torch(dtype):
    """Which dtype comes out, and that operands were rounded before: torch's own operators beside ours."""
    q, x, w = tensor(1, 2, 5, 16, dtype=dtype), tensor(3, 16, dtype=dtype), tensor(16)
    with torch.autocast(DEVICE, torch.bfloat16):
        pairs = [
            (attention(q, q.float(), q.bfloat16()) if dtype != F64 else attention(q, q, q),
             functional.scaled_dot_product_attention(q, q, q)),
            (gemm(x, x.mT), torch.mm(x, x.mT)),
            (softmax(x), torch.softmax(x, -1)),
            (layernorm(x, w.to(dtype), w.to(dtype)), functional.layer_norm(x, (16,), w.to(dtype), w.to(dtype))),
        ]  # fmt: skip
        decoded, _ = attention_decode(q, q, q, Cache((5,)))
        gated, _ = gated_linear_attention(q, q, q, -q[..., 0].abs())
    lower = F64 if dtype == F64 else torch.bfloat16
    assert decoded.dtype == gated.dtype == lower
    for found, expected in pairs:
        assert found.dtype == expected.dtype
        assert torch.allclose(found.double(), expected.double(), rtol=2e-2, atol=2e-2)
