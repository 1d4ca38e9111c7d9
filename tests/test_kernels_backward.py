"""Are the gradients of the fused kernel right? Against the closed formulas in fp64, and by finite differences of the operator."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DTYPES, assert_close, chooser, doubled, odd_layout, tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from kernels.attention import attention_with_lse
from kernels.attention_gradients import attention_backward
from kernels.options import AttentionOptions
from kernels.reference import attend_backward


def check(shape, options, dtype=torch.float32, heads=(2, 1), sizes=(64, 64), seed=0, layout="bhnd"):
    q = tensor(1, heads[0], shape[0], sizes[0], dtype=dtype, seed=seed)
    k = tensor(1, heads[1], shape[1], sizes[0], dtype=dtype, seed=seed + 1)
    v = tensor(1, heads[1], shape[1], sizes[1], dtype=dtype, seed=seed + 2)
    leaves = [odd_layout(x, layout).requires_grad_() for x in (q, k, v)]
    if options.sinks is not None:
        leaves.append(options.sinks.requires_grad_())
    out, lse = attention_with_lse(*leaves[:3], options)
    gradients = (tensor(*out.shape, dtype=dtype, seed=seed + 3), tensor(*lse.shape, seed=seed + 4))
    # A row without keys has a constant log-sum-exp.
    gradients[1].masked_fill_(lse.isinf(), 0.0)
    found = torch.autograd.grad([out, lse], leaves, gradients)
    with torch.no_grad():
        expected = attend_backward(*doubled(q, k, v), tuple(doubled(*gradients)), options)
    for a, b in zip(found, expected, strict=False):
        # Without sinks the absolute rule; a sum over all rows in fp32 carries more rounding.
        assert not a.isnan().any()
        assert_close(a, b, dtype, 2.0)


CASES = [
    ((65, 63), {}),
    ((113, 203), {"causal": True}),
    ((203, 113), {"causal": True}),
    ((100, 100), {"window": (20, 5)}),
    ((130, 70), {"causal": True, "window": (33, -1), "softcap": 10.0}),
    ((1, 130), {"causal": True}),
    ((90, 1), {}),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize(("shape", "options"), CASES, ids=str)
def test_equals_reference(shape, options, dtype):
    check(shape, AttentionOptions(**options), DTYPES[dtype])


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
def test_heads_of_a_group_add_up(heads):
    check((66, 70), AttentionOptions(causal=True), heads=heads, sizes=(40, 16))


def test_sinks():
    check((66, 40), AttentionOptions(causal=True, sinks=tensor(2, seed=7)))


def test_packed_sequences():
    check((104, 160), AttentionOptions(causal=True, lengths=((70, 70), (0, 0), (33, 20), (1, 70))))


@pytest.mark.parametrize("layout", ["bnhd", "offset", "last"])
def test_strides_do_not_matter(layout):
    check((66, 70), AttentionOptions(causal=True), heads=(2, 2), layout=layout)


@pytest.mark.parametrize("seed", range(10))
def test_fuzz(seed):
    choose = chooser(seed)
    options = AttentionOptions(
        causal=choose.random() < 0.4,
        window=(choose.choice([-1, 0, 40]), choose.choice([-1, 0, 30])),
        softcap=choose.choice([0.0, 5.0]),
    )
    shape = (choose.randint(1, 150), choose.randint(1, 150))
    check(
        shape,
        options,
        choose.choice(list(DTYPES.values())),
        sizes=(choose.choice([16, 40]), choose.choice([16, 64])),
        seed=seed,
    )


def test_is_deterministic_and_well_formed():
    q, k, v, out = (tensor(1, 2, 70, 32, seed=i) for i in range(4))
    lse = tensor(1, 2, 70, seed=9).abs() + 5
    arguments = ([q, k, v, out, lse], [out, lse], None, AttentionOptions().pack(32))
    first, second = attention_backward(*arguments), attention_backward(*arguments)
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))
    torch.library.opcheck(attention_backward, arguments)
    q.requires_grad_()
    torch.library.opcheck(attention_backward, (*arguments[:2], tensor(2), arguments[3]))
