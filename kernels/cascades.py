"""Which cascade each operator computes, and the operator's layout of the cascade's tensors, to compare the two.

Names of cascades are those of the catalog. `steps` is the cascade whose steps the kernel follows, `computes` the one
that defines the result; ranks are those of the cascade, in the order of the operator's axes. The catalog's attention
cascades do not scale their scores, so neither do the operators here.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from kernels.plans.problems import UNLIMITED

if TYPE_CHECKING:  # this table is read where torch is not installed
    from torch import Tensor

    from kernels.options import AttentionOptions

Function = Callable[..., "Tensor"]


class Operand(NamedTuple):
    """A tensor of a cascade and its ranks in the order of the operator's axes."""

    tensor: str
    ranks: tuple[str, ...]


class KernelOperator(NamedTuple):
    """One operator; its kernel, if it has one, and its reference are called with the operands in order, then `sizes`.

    A result that is not an output of the cascade is a tensor of the cascade whose steps the operator follows. `sizes`
    are ranks of the cascade that no operand has, such as the window of attention.
    """

    name: str
    computes: str
    steps: str
    operands: tuple[Operand, ...]
    result: Operand
    reference: Function
    kernel: Function | None
    sizes: tuple[str, ...] = ()


def _operands(text: str) -> tuple[Operand, ...]:
    """`Q[B,H,P,E] K[B,H,M,E]` as operands."""
    found = []
    for item in text.split():
        tensor, _, ranks = item.removesuffix("]").partition("[")
        found.append(Operand(tensor, tuple(rank for rank in ranks.split(",") if rank)))
    return tuple(found)


def _masked(causal: bool, window: int = 0) -> "AttentionOptions":
    """Options of unscaled attention. window: how many keys a query sees, its own position the last; 0: no limit."""
    from kernels.options import AttentionOptions

    return AttentionOptions(scale=1.0, causal=causal, window=(window - 1 if window else UNLIMITED, UNLIMITED))


def _attend(q: "Tensor", k: "Tensor", v: "Tensor", window: int = 0, causal: bool = False) -> "Tensor":
    from kernels.reference import attend

    return attend(q, k, v, _masked(causal, window))[0]


def _scores(q: "Tensor", k: "Tensor") -> "Tensor":
    from kernels.reference import gemm

    return gemm(q, k.mT)


def _probabilities(q: "Tensor", k: "Tensor", v: "Tensor") -> "Tensor":
    from kernels.options import AttentionOptions
    from kernels.reference.scaled import attend_dense

    return attend_dense(q, k, v, AttentionOptions(scale=1.0))[2].to(q.dtype)


def _attention(q: "Tensor", k: "Tensor", v: "Tensor", window: int = 0, causal: bool = False) -> "Tensor":
    from kernels.attention import attention

    return attention(q, k, v, _masked(causal, window))


def _attention_unfused(q: "Tensor", k: "Tensor", v: "Tensor", window: int = 0, causal: bool = False) -> "Tensor":
    from kernels.unfused import attention_unfused

    return attention_unfused(q, k, v, _masked(causal, window))


def _grouped(attend: Function, q: "Tensor", k: "Tensor", v: "Tensor", heads: int) -> "Tensor":
    """Attention of q [B, G, J, P, E]: the J heads of a group share its keys and values."""
    return _in_groups(attend(q.flatten(1, 2), k, v), q, heads)


def _in_groups(found: "Tensor", q: "Tensor", heads: int) -> "Tensor":
    """Results of all heads [B, GJ, ...] by group, as q [B, G, J, ...] has them. The last group may have fewer than J of
    the `heads`; there are no results of the others (NaN).
    """
    found[:, heads:] = float("nan")
    return found.unflatten(1, q.shape[1:3])


def _decode_reference(q: "Tensor", k: "Tensor", v: "Tensor", lengths: "Tensor", heads: int) -> "Tensor":
    """Attention of one query in each head, q [B, G, J, E], to the first `lengths` [B] keys of each sequence."""
    from kernels.reference.scaled import attend_decode

    found, _ = attend_decode(q.flatten(1, 2)[:, :, None], k, v, tuple(map(int, lengths)), _masked(causal=False))
    return _in_groups(found[:, :, 0], q, heads)


def _decode(q: "Tensor", k: "Tensor", v: "Tensor", lengths: "Tensor", heads: int) -> "Tensor":
    from kernels.decode import Cache, attention_decode

    cache = Cache(tuple(map(int, lengths)))
    found, _ = attention_decode(q.flatten(1, 2)[:, :, None], k, v, cache, _masked(causal=False))
    return _in_groups(found[:, :, 0], q, heads)


def _gemm_reference(a: "Tensor", b: "Tensor") -> "Tensor":
    from kernels.reference import gemm

    return gemm(a, b)


def _gemm(a: "Tensor", b: "Tensor") -> "Tensor":
    from kernels.products import gemm

    return gemm(a, b)


def _softmax_reference(x: "Tensor") -> "Tensor":
    from kernels.reference import softmax

    return softmax(x)


def _softmax(x: "Tensor") -> "Tensor":
    from kernels.rows import softmax

    return softmax(x)


def _layernorm_reference(x: "Tensor", weight: "Tensor", bias: "Tensor", epsilon: "Tensor") -> "Tensor":
    from kernels.reference import layernorm

    return layernorm(x, weight, bias, epsilon=float(epsilon))


def _layernorm(x: "Tensor", weight: "Tensor", bias: "Tensor", epsilon: "Tensor") -> "Tensor":
    from kernels.rows import layernorm

    return layernorm(x, weight, bias, epsilon=float(epsilon))


def _rmsnorm_reference(x: "Tensor", weight: "Tensor", epsilon: "Tensor") -> "Tensor":
    from kernels.reference import rmsnorm

    return rmsnorm(x, weight, epsilon=float(epsilon))


def _rmsnorm(x: "Tensor", weight: "Tensor", epsilon: "Tensor") -> "Tensor":
    from kernels.rows import rmsnorm

    return rmsnorm(x, weight, epsilon=float(epsilon))


def _attention_operators(prefix: str, causal: bool) -> tuple[KernelOperator, ...]:
    """Attention whose cascades are called `prefix`1pass and so on; causal is the kernels' own option."""
    operands, computes = _operands("Q[B,H,P,E] K[B,H,M,E] V[B,H,M,F]"), f"{prefix}3pass"
    result = Operand("AV", ("B", "H", "P", "F"))
    attend, fused, unfused = (partial(one, causal=causal) for one in (_attend, _attention, _attention_unfused))
    return (
        KernelOperator("attention", computes, f"{prefix}1pass", operands, result, attend, fused),
        KernelOperator("attention_unfused", computes, computes, operands, result, attend, unfused),
    )


def _windowed_operators() -> tuple[KernelOperator, ...]:
    """Causal attention to the last W keys."""
    ways = _attention_operators("causal-attention-", causal=True)
    return tuple(one._replace(computes="sliding-attention", steps="sliding-attention", sizes=("W",)) for one in ways)


def _grouped_operators() -> tuple[KernelOperator, ...]:
    """Causal attention of groups of heads that share keys."""
    name, operands = "grouped-attention", _operands("Q[B,G,J,P,E] K[B,G,M,E] V[B,G,M,F]")
    result = Operand("AV", ("B", "G", "J", "P", "F"))
    attend, fused, unfused = (
        partial(_grouped, partial(one, causal=True)) for one in (_attend, _attention, _attention_unfused)
    )
    return (
        KernelOperator("attention", name, name, operands, result, attend, fused, ("H",)),
        KernelOperator("attention_unfused", name, name, operands, result, attend, unfused, ("H",)),
    )


def _product(result: str, left: str, right: str) -> KernelOperator:
    (made,) = _operands(result)
    return KernelOperator(
        f"gemm {made.tensor}",
        "linear-layers",
        "linear-layers",
        _operands(f"{left} {right}"),
        made,
        _gemm_reference,
        _gemm,
    )


def _norm(cascade: str, operands: str, reference: Function, kernel: Function) -> KernelOperator:
    name = kernel.__name__.removeprefix("_")
    return KernelOperator(name, cascade, cascade, _operands(operands), Operand("Y", ("N", "D")), reference, kernel)


OPERATORS: tuple[KernelOperator, ...] = (
    *_attention_operators("attention-", causal=False),
    *_attention_operators("causal-attention-", causal=True),
    *_windowed_operators(),
    *_grouped_operators(),
    KernelOperator(
        "scores", "attention-3pass", "attention-3pass", _operands("Q[B,H,P,E] K[B,H,M,E]"),
        Operand("QK", ("B", "H", "P", "M")), _scores, None,
    ),
    KernelOperator(
        "probabilities", "attention-3pass", "attention-3pass", _operands("Q[B,H,P,E] K[B,H,M,E] V[B,H,M,F]"),
        Operand("A", ("B", "H", "P", "M")), _probabilities, None,
    ),
    KernelOperator(
        "decode", "decode-attention", "decode-attention", _operands("Q[B,G,J,E] K[B,G,M,E] V[B,G,M,F] LEN[B]"),
        Operand("AV", ("B", "G", "J", "F")), _decode_reference, _decode, ("H",),
    ),
    _product("QP[A,T]", "WQ[A,D]", "XQ[D,T]"),
    _product("KP[A,T]", "WK[A,D]", "XK[D,T]"),
    _product("VP[A,T]", "WV[A,D]", "XV[D,T]"),
    _product("Z[D,T]", "WZ[D,A]", "XZ[A,T]"),
    _product("F1[S,T]", "W1[S,D]", "X1[D,T]"),
    _product("F2[D,T]", "W2[D,S]", "X2[S,T]"),
    KernelOperator(
        "softmax", "softmax", "softmax", _operands("X[B,H,P,M]"), Operand("A", ("B", "H", "P", "M")),
        _softmax_reference, _softmax,
    ),
    _norm("layernorm", "X[N,D] GA[D] BE[D] EPS[]", _layernorm_reference, _layernorm),
    _norm("layernorm-linear", "X[N,D] GA[D] BE[D] EPS[]", _layernorm_reference, _layernorm),
    _norm("rmsnorm-linear", "X[N,D] GA[D] EPS[]", _rmsnorm_reference, _rmsnorm),
)  # fmt: skip


def operators_of(cascade: str) -> tuple[KernelOperator, ...]:
    """Operators whose result is that of a cascade, by catalog name."""
    return tuple(operator for operator in OPERATORS if operator.computes == cascade)
