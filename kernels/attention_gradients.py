"""The gradients of softmax attention as an operator, and their own gradients."""

from typing import Any

import torch
from torch import Tensor

from kernels.arguments import bind_ranks, require_one_dtype
from kernels.attention_backward import backward_launches
from kernels.derivatives import gradients_of
from kernels.launching import run, runs_triton
from kernels.options import AttentionOptions, check_attention
from kernels.reference.scaled import attend_backward


@torch.library.custom_op("einfuse::attention_backward", mutates_args=())
def attention_backward(
    saved: list[Tensor], gradients: list[Tensor], sinks: Tensor | None, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """dQ, dK, dV, dSinks (empty without sinks) from saved = [q, k, v, out, lse] and gradients = [of out, of lse]."""
    options = AttentionOptions.unpack(numbers, sinks)
    q, k, v, out, lse = saved
    check_attention(q, k, v, options)
    bind_ranks(
        "q[B,H,Nq,D] v[B,Hkv,Nk,Dv] out[B,H,Nq,Dv] lse[B,H,Nq] grad_out[B,H,Nq,Dv] grad_lse[B,H,Nq]",
        q, v, out, lse, *gradients,
    )  # fmt: skip
    require_one_dtype("q out grad_out", q, out, gradients[0])
    if not runs_triton(q):
        grad_q, grad_k, grad_v, grad_sinks = attend_backward(q, k, v, (gradients[0], gradients[1]), options)
        laid_out = [torch.empty_like(x).copy_(g) for x, g in ((q, grad_q), (k, grad_k), (v, grad_v))]
        return laid_out[0], laid_out[1], laid_out[2], lse.new_empty(0) if grad_sinks is None else grad_sinks
    grad_lse = gradients[1].float().contiguous()
    saved = [q, k, v, out, lse.contiguous()]
    launches, results, delta = backward_launches(saved, [gradients[0], grad_lse], options)
    run(*launches)
    if sinks is None:
        return results[0], results[1], results[2], lse.new_empty(0)
    # The sink is one more column: dS = P (0 - delta).
    weight = torch.exp(sinks.float()[None, :, None] - lse)
    grad_sinks = -(weight * delta).sum((0, 2)).to(sinks.dtype)
    return results[0], results[1], results[2], grad_sinks


@attention_backward.register_fake
def _(
    saved: list[Tensor], gradients: list[Tensor], sinks: Tensor | None, numbers: list[float]
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    q, k, v, _, lse = saved
    grad_sinks = lse.new_empty(0) if sinks is None else torch.empty_like(sinks)
    return torch.empty_like(q), torch.empty_like(k), torch.empty_like(v), grad_sinks


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, ...]) -> None:
    (q, k, v, _, _), gradients, sinks, ctx.numbers = inputs
    ctx.save_for_backward(q, k, v, *gradients, *([] if sinks is None else [sinks]))


def _differentiate(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
    """Gradients through the saved output and log-sum-exp go to q, k and v, of which both are functions."""

    def again(
        q: Tensor, k: Tensor, v: Tensor, grad_out: Tensor, *grad_lse_and_sinks: Tensor
    ) -> tuple[Tensor | None, ...]:
        grad_lse, *sinks = grad_lse_and_sinks
        options = AttentionOptions.unpack(ctx.numbers, sinks[0] if sinks else None)
        return attend_backward(q, k, v, (grad_out, grad_lse), options)

    found = gradients_of(again, ctx.saved_tensors, gradients)
    return [*found[:3], None, None], [*found[3:5]], found[5] if len(found) > 5 else None, None


attention_backward.register_autograd(_differentiate, setup_context=_keep)
