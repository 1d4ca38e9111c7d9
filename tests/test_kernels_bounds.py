"""Does any kernel read or write outside its tensors? Every operator and dtype, with poison around each tensor of each launch."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DTYPES, odd_layout, tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from kernels import launching
from kernels.attention import attention_with_lse
from kernels.ceilings import copy_launch, exp2_throughput, stream_copy
from kernels.decode import Cache, attention_decode
from kernels.delta import gated_delta_rule
from kernels.linear import gated_linear_attention
from kernels.options import AttentionOptions
from kernels.products import gemm
from kernels.rational import group_rational
from kernels.recurrent import recurrent_linear_attention
from kernels.rows import layernorm, rmsnorm, softmax
from kernels.sparse import KeyBlocks, block_sparse_attention
from kernels.unfused import attention_unfused
from tests.kernel_guards import POISONS, Guards
from tests.kernel_straying import reads_before_kernel, writes_behind_kernel


class Maker:
    """Tensors of one dtype, each a slice with other numbers beside its rows, and copies of what they held."""

    def __init__(self, dtype):
        self.dtype = dtype
        self.made = []

    def __call__(self, *shape, seed=0, dtype=None):
        x = odd_layout(tensor(*shape, dtype=dtype or self.dtype, seed=seed), "offset")
        self.made.append((x, x.clone()))
        return x

    def wide(self, *shape, seed=0):
        """Gates, states, coefficients: fp32, or fp64 where all is."""
        return self(*shape, seed=seed, dtype=torch.float64 if self.dtype == torch.float64 else torch.float32)

    def are_unchanged(self):
        return all(torch.equal(x, copy) for x, copy in self.made)


def with_gradients(operator, *leaves):
    """What the operator gives, and the gradients of all of it."""
    leaves = [x.requires_grad_() for x in leaves]
    outputs = operator(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    gradients = [torch.ones_like(x) for x in outputs]
    return [*(x.detach() for x in outputs), *torch.autograd.grad(outputs, leaves, gradients)]


def qkv(make, queries, keys, batch=1, heads=(2, 1), sizes=(24, 40)):
    return (
        make(batch, heads[0], queries, sizes[0]),
        make(batch, heads[1], keys, sizes[0], seed=1),
        make(batch, heads[1], keys, sizes[1], seed=2),
    )


def attend_in_band(make):
    options = AttentionOptions(causal=True, window=(20, 0), softcap=9.0, sinks=make(2, seed=5))
    return with_gradients(lambda *x: attention_with_lse(*x, options), *qkv(make, 37, 75))


def attend_packed(make):
    options = AttentionOptions(causal=True, lengths=((30, 3), (0, 5), (7, 66)))
    return with_gradients(lambda *x: attention_with_lse(*x, options), *qkv(make, 37, 74))


def decode(make):
    return attention_decode(*qkv(make, 3, 45, batch=3), Cache((45, 0, 13)), AttentionOptions(window=(30, 2)))


def decode_pages(make):
    q = make(2, 2, 1, 24)
    k, v = make(5, 16, 1, 24, seed=1), make(5, 16, 1, 40, seed=2)
    table = torch.tensor([[4, 0, 1], [3, 9, -7]], device=q.device)  # the last two do not count
    return attention_decode(q, k, v, Cache((41, 16), table, is_stream_k=True), AttentionOptions(sinks=make(2, seed=5)))


def attend_blocks(make):
    q, k, v = qkv(make, 37, 41, sizes=(24, 24))
    indices = torch.tensor([[2, 0, -9], [1, 99, 99], [0, 1, 2]], device=q.device).expand(1, 2, 3, 3)
    counts = torch.tensor([2, 0, 3], device=q.device).expand(1, 2, 3)
    return block_sparse_attention(q, k, v, KeyBlocks(indices, counts, 16), is_causal=True)


def sequences(make, gate_shape, length=35):
    """q, k, v, log gates and a state: two heads, keys of 24, values of 20."""
    q, k, v = make(1, 2, length, 24) * 0.2, make(1, 2, length, 24, seed=1) * 0.2, make(1, 2, length, 20, seed=2)
    gate = -make.wide(1, 2, length, *gate_shape, seed=3).abs() / 9
    return q, k, v, gate, make.wide(1, 2, 24, 20, seed=4)


def gated(make):
    return gated_linear_attention(*sequences(make, (24,)))


def gated_by_head(make):
    return with_gradients(gated_linear_attention, *sequences(make, (), 18))


def delta(make):
    q, k, v, gate, state = sequences(make, ())
    return gated_delta_rule((q, k, v), gate, make.wide(1, 2, 35, seed=6).sigmoid(), state)


def recurrent(make):
    q, k, v, gate, state = sequences(make, (24,), 5)
    return recurrent_linear_attention((q, k, v), gate, beta=make.wide(1, 2, 5, seed=6).sigmoid(), state=state)


CASES = {
    "attention": lambda make: with_gradients(attention_with_lse, *qkv(make, 37, 75)),
    "attention-band": attend_in_band,
    "attention-packed": attend_packed,
    "attention-unfused": lambda make: (attention_unfused(*qkv(make, 37, 41), AttentionOptions(causal=True)),),
    "decode": decode,
    "decode-pages": decode_pages,
    "blocks": attend_blocks,
    "gemm": lambda make: (gemm(make(37, 50), make(50, 41, seed=1), make(41, seed=2), "silu"),),
    "copy": lambda make: (stream_copy(make(3, 11)),),
    "exp2": lambda make: (exp2_throughput(make(3, 11), 2),),
    "softmax": lambda make: with_gradients(softmax, make(3, 37)),
    "softmax-long": lambda make: (softmax(make(3, 150)),),
    "layernorm": lambda make: with_gradients(layernorm, make(3, 37), make(37, seed=1), make(37, seed=2)),
    "rmsnorm-long": lambda make: with_gradients(rmsnorm, make(2, 150), make(150, seed=1)),
    "rational": lambda make: with_gradients(group_rational, make(5, 21), make(3, 6, seed=1), make(3, 4, seed=2)),
    "linear": gated,
    "linear-by-head": gated_by_head,
    "delta": delta,
    "recurrent": recurrent,
}


@pytest.fixture
def filled(monkeypatch):
    """Memory that is not written to holds NaN, not what lay there before."""
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.mark.parametrize("dtype", [torch.float64, *DTYPES.values()], ids=str)
@pytest.mark.parametrize("name", CASES)
def test_poison_is_neither_read_nor_overwritten(name, dtype, monkeypatch, filled):
    """Results are the same to the bit with NaN and with plausible numbers around every tensor."""
    start, found = launching.start, []
    for poison in POISONS:
        guards, make = Guards(poison, start), Maker(dtype)
        monkeypatch.setattr(launching, "start", guards)
        results = CASES[name](make)
        assert guards.started > 0 or dtype == torch.float64
        assert not any(x.isnan().any() for x in results)
        assert make.are_unchanged()
        found.append(results)
    assert all(torch.equal(x, y) for x, y in zip(*found, strict=True))


def test_guards_notice():
    """A kernel that writes one element behind its output, and one that reads one before its input."""
    source = tensor(10)
    launch = copy_launch(source, torch.zeros_like(source))
    guards = Guards(POISONS[0], launching.start)
    guards(launch)
    with pytest.raises(AssertionError, match="stream_copy wrote outside a tensor"):
        guards(launch._replace(kernel=writes_behind_kernel))
    guards(launch._replace(kernel=reads_before_kernel))
    assert launch.arguments["target"].isnan().tolist() == [True] + 9 * [False]


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_pages_and_blocks_that_do_not_exist_are_not_read(dtype, monkeypatch):
    """As numbers on a GPU that nobody checked: the rows that see them become NaN, the others stay as they are."""
    for module in ("kernels.decode", "kernels.sparse"):
        monkeypatch.setattr(f"{module}.is_read", lambda x, check: False)
    q, k, v = tensor(3, 2, 1, 16, dtype=dtype), tensor(4, 8, 1, 16, dtype=dtype), tensor(4, 8, 1, 16, dtype=dtype)
    right = torch.tensor([[0, 1], [2, 3], [3, 0]], device=q.device)
    wrong = torch.tensor([[0, 1 << 40], [2, 3], [-(1 << 20), 0]], device=q.device)
    expected, _ = attention_decode(q, k, v, Cache((16, 16, 16), right))
    found, lse = attention_decode(q, k, v, Cache((16, 16, 16), wrong))
    assert found.isnan().all((1, 2, 3)).tolist() == lse.isnan().all((1, 2)).tolist() == [True, False, True]
    assert torch.equal(found[1], expected[1])

    q, k, v = (tensor(1, 1, 64, 16, dtype=dtype, seed=i) for i in range(3))
    counts = torch.tensor([[[1, 1, 2, 5]]], device=q.device)
    indices = torch.tensor([[[[0, 0], [-1, 0], [1, 1 << 33], [0, 1]]]], device=q.device)
    found, lse = block_sparse_attention(q, k, v, KeyBlocks(indices, counts, 16))
    expected, _ = block_sparse_attention(q, k, v, KeyBlocks(indices.clamp(0, 0), counts.clamp(1, 1), 16))
    assert found.isnan().all(-1)[0, 0].tolist() == lse.isnan()[0, 0].tolist() == 16 * [False] + 48 * [True]
    assert torch.equal(found[:, :, :16], expected[:, :, :16])
