"""Does decode attention give the same result however the cache is cut, packed and paged?"""

# ruff: noqa: E402 - the interpreter must be chosen before triton is imported, and files without torch are skipped

import pytest

torch = pytest.importorskip("torch")
from tests.kernel_device import DTYPES, assert_close, chooser, doubled, relative_error, tensor  # isort: skip  # chooses the interpreter before triton is imported

pytest.importorskip("triton")

from kernels.decode import Cache, attention_decode, decode_operator
from kernels.options import AttentionOptions
from kernels.reference import attend_decode

LENGTHS = (203, 0, 77)


def make(dtype=torch.float32, heads=(4, 2), queries=2, room=203, sizes=(64, 40), seed=0):
    batch = len(LENGTHS)
    return (
        tensor(batch, heads[0], queries, sizes[0], dtype=dtype, seed=seed),
        tensor(batch, heads[1], room, sizes[0], dtype=dtype, seed=seed + 1),
        tensor(batch, heads[1], room, sizes[1], dtype=dtype, seed=seed + 2),
    )


def check(q, k, v, cache, options, expected=None):
    out, lse = attention_decode(q, k, v, cache, options)
    expected = expected or attend_decode(*doubled(q, k, v), cache.lengths, options)
    assert_close(out, expected[0], q.dtype)
    assert relative_error(lse, expected[1]) <= 1e-6


OPTIONS = [{}, {"causal": True}, {"causal": True, "window": (40, -1), "softcap": 15.0}]
CUTS = [{}, {"splits": 1}, {"splits": 7}, {"is_stream_k": True}, {"is_stream_k": True, "splits": 5}]


@pytest.mark.parametrize("cut", CUTS, ids=str)
@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_equals_reference_however_it_is_cut(options, cut):
    check(*make(), Cache(LENGTHS, **cut), AttentionOptions(**options))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("heads", [(4, 4), (8, 1), (20, 1)], ids=str)
def test_heads_are_packed(heads, dtype):
    check(*make(DTYPES[dtype], heads, queries=1), Cache(LENGTHS), AttentionOptions())


def test_sinks():
    check(*make(), Cache(LENGTHS, splits=3), AttentionOptions(sinks=tensor(4, seed=3)))


@pytest.mark.parametrize("page", [1, 16, 48])
@pytest.mark.parametrize("cut", [{}, {"is_stream_k": True}], ids=str)
def test_paged_cache(page, cut):
    q, k, v = make()
    pages = -(-203 // page)
    order = torch.randperm(3 * pages, generator=torch.Generator().manual_seed(0))
    table = (order.reshape(3, pages) + 1).int().to(q.device)
    caches = []
    for x in (k, v):
        room = torch.full((3 * pages + 1, page, 2, x.shape[-1]), float("nan"), device=x.device)
        for b in range(3):
            for j in range(LENGTHS[b]):
                room[table[b, j // page], j % page] = x[b, :, j]
        caches.append(room)
    options = AttentionOptions(causal=True)
    expected = attend_decode(*doubled(q, k, v), LENGTHS, options)
    check(q, *caches, Cache(LENGTHS, table, **cut), options, expected)


def test_keys_beyond_the_length_are_not_read():
    q, k, v = make()
    expected = attend_decode(*doubled(q, k, v), LENGTHS)
    for b, length in enumerate(LENGTHS):
        k[b, :, length:] = float("nan")
        v[b, :, length:] = float("nan")
    check(q, k, v, Cache(LENGTHS), AttentionOptions(), expected)


@pytest.mark.parametrize("seed", range(15))
def test_fuzz(seed):
    choose = chooser(seed)
    lengths = tuple(choose.choice([0, 1, 31, 32, 33, choose.randint(0, 200)]) for _ in LENGTHS)
    kv_heads = choose.choice([1, 2])
    heads = (kv_heads * choose.choice([1, 3]), kv_heads)
    q, k, v = make(
        choose.choice(list(DTYPES.values())), heads, choose.randint(1, 4), 200, (choose.choice([8, 40, 128]), 64), seed
    )
    cache = Cache(lengths, None, choose.choice([0, 1, 4]), choose.random() < 0.5)
    options = AttentionOptions(causal=choose.random() < 0.5, window=(choose.choice([-1, 0, 50]), -1))
    check(q, k, v, cache, options)


def test_operator_is_well_formed():
    q, k, v = make()
    torch.library.opcheck(decode_operator, ([q, k, v], None, None, AttentionOptions().pack(64), [0, 0, 0, *LENGTHS]))
