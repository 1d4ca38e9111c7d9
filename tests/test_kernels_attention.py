"""Does the fused attention kernel compute attention? Against the fp64 reference, over a grid, by fuzz, at the edges."""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import itertools
from dataclasses import replace

import pytest

torch = pytest.importorskip("torch")

from tests.kernel_device import (
    DEVICE,
    DTYPES,
    LIMITS,
    assert_close,
    chooser,
    doubled,
    odd_layout,
    relative_error,
    tensor,
)  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")
from kernels.attention import attention, attention_operator, attention_with_lse, forward_launch, problem_of
from kernels.launching import run
from kernels.options import AttentionOptions
from kernels.plans import TARGETS, Configuration
from kernels.plans.attention import Band, count_read, plan_forward, ranges_of
from kernels.reference import attend

OPTIONS = {
    "full": {},
    "causal": {"causal": True},
    "window": {"window": (20, 5)},
    "causal-window": {"causal": True, "window": (33, -1)},
    "softcap": {"softcap": 15.0},
    "scale": {"scale": 0.3, "causal": True},
}
SHAPES = [(1, 1), (64, 128), (65, 63), (239, 1), (1, 239), (113, 203), (203, 113)]


def make(shape: tuple[int, int], dtype=torch.float32, heads=(2, 1), sizes=(64, 64), seed=0, scale=1.0):
    q = tensor(1, heads[0], shape[0], sizes[0], dtype=dtype, seed=seed, scale=scale)
    k = tensor(1, heads[1], shape[1], sizes[0], dtype=dtype, seed=seed + 1, scale=scale)
    return q, k, tensor(1, heads[1], shape[1], sizes[1], dtype=dtype, seed=seed + 2)


def check(q, k, v, options, factor=1.0):
    out, lse = attention_with_lse(q, k, v, options)
    expected, expected_lse = attend(*doubled(q, k, v), options)
    assert not out.isnan().any()
    assert_close(out, expected, q.dtype, factor)
    assert relative_error(lse, expected_lse) <= 1e-6 * factor
    return out, lse


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_equals_reference(shape, name):
    check(*make(shape), AttentionOptions(**OPTIONS[name]))


@pytest.mark.parametrize("dtype", ["fp16", "bf16"])
@pytest.mark.parametrize("name", OPTIONS)
def test_half_precision(name, dtype):
    """The absolute rule against fp64, and no worse than twice the same computation in plain torch of that dtype."""
    options = AttentionOptions(**OPTIONS[name])
    q, k, v = make((113, 203), DTYPES[dtype])
    out, _ = check(q, k, v, options)
    expected, _ = attend(*doubled(q, k, v), options)
    weights = torch.exp(attend_logits(q, k, options) - attend(q, k, v, options)[1][..., None].nan_to_num(neginf=0.0))
    plain = weights.to(q.dtype) @ v.repeat_interleave(2, 1)
    rounding = 2 * ((expected + 0.3 - 0.3) - expected).abs().max()
    limit = 2 * (plain.double() - expected).abs().max() + rounding
    assert (out.double() - expected).abs().max() <= limit


def attend_logits(q, k, options):
    """Logits in the dtype of q, masked."""
    logits = (q * options.scale_for(q.shape[3])) @ k.repeat_interleave(q.shape[1] // k.shape[1], 1).mT
    if options.softcap:
        logits = options.softcap * torch.tanh(logits / options.softcap)
    rows = torch.arange(q.shape[2], device=q.device)[:, None] + k.shape[2] - q.shape[2]
    columns = torch.arange(k.shape[2], device=q.device)
    left, right = options.bounds
    hidden = torch.zeros_like(logits[0, 0], dtype=torch.bool)
    hidden |= (columns < rows - left) & (left >= 0)
    hidden |= (columns > rows + right) & (right >= 0)
    return logits.masked_fill(hidden, float("-inf")).float()


@pytest.mark.parametrize("sizes", [(8, 8), (16, 40), (40, 16), (96, 64), (128, 128), (80, 256)], ids=str)
def test_head_sizes(sizes):
    check(*make((70, 90), sizes=sizes), AttentionOptions(causal=True))


@pytest.mark.parametrize("heads", [(4, 4), (4, 2), (4, 1)], ids=str)
def test_grouped_heads_equal_repeated_ones(heads):
    q, k, v = make((66, 90), heads=heads)
    out = attention(q, k, v)
    group = heads[0] // heads[1]
    repeated = attention(q, k.repeat_interleave(group, 1), v.repeat_interleave(group, 1))
    assert torch.equal(out, repeated)


@pytest.mark.parametrize("layouts", list(itertools.product(["bhnd", "bnhd"], ["offset", "last"])), ids="-".join)
def test_strides_do_not_matter(layouts):
    q, k, v = make((70, 75), heads=(2, 2))
    plain = attention(q, k, v)
    assert torch.equal(
        attention(odd_layout(q, layouts[0]), odd_layout(k, layouts[1]), odd_layout(v, layouts[0])), plain
    )


def test_broadcast_keys():
    q, k, v = make((70, 75), heads=(2, 1))
    assert torch.equal(attention(q, k.expand(1, 2, 75, 64), v.expand(1, 2, 75, 64)), attention(q, k, v))


def test_output_keeps_the_layout_of_the_queries():
    q, k, v = make((70, 75), heads=(2, 2))
    assert attention(odd_layout(q, "bnhd"), k, v).stride() == odd_layout(q, "bnhd").stride()


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"window": (2, 0)}], ids=str)
def test_sinks(options):
    """Rows without keys give 0, and the sink as their log-sum-exp."""
    q, k, v = make((70, 40), heads=(4, 2))
    options = AttentionOptions(sinks=tensor(4, scale=2.0), **options)
    out, lse = check(q, k, v, options)
    if options.causal:
        assert not out[:, :, :30].any()
        assert torch.allclose(lse[:, :, :30], options.sinks[None, :, None].expand(1, 4, 30))


def test_rows_without_keys():
    out, lse = check(*make((100, 30)), AttentionOptions(causal=True))
    assert not out[:, :, :70].any()
    assert (lse[:, :, :70] == float("-inf")).all()


@pytest.mark.parametrize("options", [{}, {"causal": True}, {"causal": True, "window": (20, 0)}], ids=str)
def test_packed_sequences_equal_separate_ones(options):
    lengths = ((70, 70), (0, 0), (1, 130), (33, 0), (65, 20), (0, 9))
    q, k, v = make((169, 229), heads=(2, 1))
    packed = AttentionOptions(lengths=lengths, **options)
    out, lse = check(q, k, v, packed)
    alone = replace(packed, lengths=())
    row = column = 0
    for queries, keys in lengths:
        rows, columns = slice(row, row + queries), slice(column, column + keys)
        if queries and keys:
            part, part_lse = attention_with_lse(q[:, :, rows], k[:, :, columns], v[:, :, columns], alone)
            assert relative_error(out[:, :, rows], part) <= 1e-6
            assert relative_error(lse[:, :, rows], part_lse) <= 1e-6
        row, column = row + queries, column + keys


def test_no_keys_and_no_queries():
    q, k, v = make((5, 0))
    assert not attention(q, k, v).any()
    assert attention(*make((0, 5))).shape == (1, 2, 0, 64)


@pytest.mark.parametrize("scale", [30.0, 100.0])
def test_large_inputs(scale):
    """Logits of thousands: exponentials would overflow without the maximum. Their own rounding bounds the error."""
    q, k, v = make((70, 90), scale=scale**0.5)
    largest = float((q.double() @ k.double().mT).abs().max()) / 8
    check(q, k, v, AttentionOptions(), factor=max(1.0, 4 * largest * 2**-23 / 1e-6))


def test_one_huge_logit():
    q, k, v = make((64, 90))
    k[0, 0, 17] = 100 * q[0, 0, 5]
    out = attention(q, k, v)
    assert relative_error(out[0, 0, 5], v[0, 0, 17]) < 1e-6


def test_equal_logits_average():
    q, k, v = make((64, 90))
    out = attention(torch.zeros_like(q), k, v)
    assert relative_error(out, v.double().mean(2, keepdim=True).expand(1, 2, 64, 64)) < 1e-6


def test_order_of_keys_does_not_matter():
    q, k, v = make((64, 150))
    order = torch.randperm(150, generator=torch.Generator().manual_seed(1)).to(DEVICE)
    assert relative_error(attention(q, k[:, :, order], v[:, :, order]), attention(q, k, v).double()) < 1e-6


def test_nan_reaches_only_the_rows_that_see_it():
    q, k, v = make((100, 100))
    q[0, 0, 3] = float("nan")
    k[0, 0, 90] = float("nan")
    out = attention(q, k, v, AttentionOptions(causal=True))
    bad = out.isnan().any(-1)
    assert bad[0, 0].nonzero().flatten().tolist() == [3, *range(90, 100)]
    assert bad[0, 1].nonzero().flatten().tolist() == [*range(90, 100)]


@pytest.mark.parametrize("name", ["causal", "window", "causal-window"])
@pytest.mark.parametrize("blocks", [(32, 16), (16, 32), (64, 64)], ids=str)
def test_kernel_visits_what_the_plan_says(name, blocks):
    """Keys that the plan does not visit hold NaN, and every tile is launched alone with its own poison."""
    options = AttentionOptions(**OPTIONS[name])
    q, k, v = make((75, 101), heads=(1, 1), sizes=(16, 16))
    plan = plan_forward(problem_of(q, k, v, options), TARGETS["interpreter"], Configuration(*blocks))
    expected, _ = attend(*doubled(q, k, v), options)
    left, right = options.bounds
    for first in range(0, 75, blocks[0]):
        rows = slice(first, min(75, first + blocks[0]))
        band = Band(101 - 75, left, right, 101)
        ranges = ranges_of(first, rows.stop - 1, band, blocks[1])
        end = ranges.first + count_read(ranges, band, blocks[1])
        poisoned_k, poisoned_v = k.clone(), v.clone()
        for x in (poisoned_k, poisoned_v):
            x[:, :, : ranges.first] = float("nan")
            x[:, :, end:] = float("nan")
        launch, out, _ = forward_launch(q, poisoned_k, poisoned_v, options, plan)
        run(launch)
        assert_close(out[:, :, rows], expected[:, :, rows], torch.float32)


@pytest.mark.parametrize("seed", range(40))
def test_fuzz(seed):
    choose = chooser(seed)
    lengths = [choose.choice([1, 63, 64, 65, 127, 131, choose.randint(0, 250)]) for _ in range(2)]
    kv_heads = choose.choice([1, 2])
    heads = (kv_heads * choose.choice([1, 2, 3]), kv_heads)
    sizes = (choose.choice([8, 16, 40, 64, 80, 128]), choose.choice([8, 40, 64, 128]))
    dtype = choose.choice([torch.float32, torch.float32, torch.float16, torch.bfloat16])
    options = AttentionOptions(
        causal=choose.random() < 0.4,
        window=(choose.choice([-1, 0, 7, 64, 100]), choose.choice([-1, 0, 3, 70])),
        softcap=choose.choice([0.0, 0.0, 5.0, 30.0]),
        scale=choose.choice([None, 0.1]),
        sinks=tensor(heads[0], seed=seed) if choose.random() < 0.3 else None,
    )
    q, k, v = make(tuple(lengths), dtype, heads, sizes, seed)
    q, k, v = (odd_layout(x, choose.choice(["bhnd", "bnhd", "offset", "last"])) for x in (q, k, v))
    check(q, k, v, options)


def test_operator_is_well_formed():
    q, k, v = make((20, 30))
    numbers = AttentionOptions(causal=True).pack(64)
    torch.library.opcheck(attention_operator, (q, k, v, None, numbers))
    for x in (q, k, v):
        x.requires_grad_()
    torch.library.opcheck(attention_operator, (q, k, v, tensor(2), numbers))


def test_flops_are_counted_by_visible_pairs():
    from torch.utils.flop_counter import FlopCounterMode

    q, k, v = make((64, 64), heads=(2, 2))
    with FlopCounterMode(display=False) as counter:
        attention(q, k, v)
    assert counter.get_total_flops() == 4 * 2 * 64 * 64 * 64
    with FlopCounterMode(display=False) as counter:
        attention(q, k, v, AttentionOptions(causal=True))
    assert counter.get_total_flops() == 4 * 2 * (64 * 65 // 2) * 64


def test_limits_would_catch_a_dropped_correction():
    """Without the correction by exp(old maximum - new maximum), the error is far above the limit."""
    q, k, v = make((64, 128), heads=(1, 1))
    logits = (q @ k.mT / 8).double()
    peaks = [logits[..., :64].amax(-1, keepdim=True), logits.amax(-1, keepdim=True)]
    parts = [torch.exp(logits[..., :64] - peaks[0]), torch.exp(logits[..., 64:] - peaks[1])]
    weights = torch.cat(parts, -1)
    wrong = weights @ v.double() / weights.sum(-1, keepdim=True)
    assert relative_error(wrong, attend(*doubled(q, k, v))[0]) > 10 * max(LIMITS.values())
