"""Contenders of products, linear attention, operators along rows, rationals, and of the ceilings.

Our kernels against cuBLAS, flash-linear-attention where installed, torch's own operators, and the same formula compiled
by torch. Operators that only stream are compared with a copy of the same number of bytes, which is their ceiling.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor

from kernels import reference
from kernels.bench.contenders import (
    FamilyOfCases,
    Inputs,
    NotMeantError,
    Prepared,
    ProblemSample,
    own,
    random,
    require_meant,
)
from kernels.ceilings import copy_launch, exp2_launch
from kernels.delta import delta_launches
from kernels.linear import linear_launches
from kernels.plans.problems import (
    DeltaRuleProblem,
    GemmProblem,
    LinearAttentionProblem,
    RationalProblem,
    RecurrentAttentionProblem,
    RowProblem,
    StreamProblem,
)
from kernels.products import gemm_launch
from kernels.rational import RationalGradientTensors, RationalTensors, rational_launch, rational_plan
from kernels.records import QKV, Gates
from kernels.recurrent import recurrent_launch
from kernels.rows import NormTensors, norm_launch, softmax_launch

SAMPLE_ROWS = 64
COEFFICIENTS = 10  # of a rational: six above, four below


def last_rows(problem: Any, inputs: Inputs) -> ProblemSample:
    """The last rows of the first input; the others are shared by all rows."""

    def cut(x: Tensor) -> Tensor:
        return x[-SAMPLE_ROWS:]

    return ProblemSample(problem, (cut(inputs[0]), *inputs[1:]), cut)


# ------------------------------------------------------------------------------------------------ products


def gemm_inputs(problem: GemmProblem, device: torch.device, seed: int) -> Inputs:
    """a [M, K] and b [K, N]."""
    return (
        random((problem.rows, problem.depth), problem.dtype, device, seed),
        random((problem.depth, problem.columns), problem.dtype, device, seed + 1),
    )


def own_gemm(problem: GemmProblem, inputs: Inputs) -> Prepared:
    a, b = inputs
    c = a.new_empty(problem.rows, problem.columns)
    return own((gemm_launch((a[None, None], b[None, None], c[None, None])),), (c,))


def cublas(problem: GemmProblem, inputs: Inputs) -> Prepared:
    del problem
    a, b = inputs
    return Prepared(lambda: (torch.mm(a, b),))


# ------------------------------------------------------------------------------------------------- streams


def stream_inputs(problem: StreamProblem, device: torch.device, seed: int) -> Inputs:
    return (random((problem.size,), problem.dtype, device, seed),)


def own_stream(problem: StreamProblem, inputs: Inputs) -> Prepared:
    (source,) = inputs
    target = torch.empty_like(source)
    is_copy = problem.operator == "stream_copy"
    launch = copy_launch(source, target) if is_copy else exp2_launch(source, target, problem.repeats)
    return own((launch,), (target,))


def stream_reference(problem: StreamProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    return (reference.repeat_exp2(inputs[0], problem.repeats),)


def torch_copy(problem: Any, inputs: Inputs) -> Prepared:
    """A copy of the first input: as many bytes read and written."""
    del problem
    source = inputs[0]
    target = torch.empty_like(source)
    return Prepared(lambda: (target.copy_(source),))


# ------------------------------------------------------------------------------------------------ ceilings


def ceiling_inputs(problem: GemmProblem | StreamProblem, device: torch.device, seed: int) -> Inputs:
    if isinstance(problem, GemmProblem):
        return gemm_inputs(problem, device, seed)
    return stream_inputs(problem, device, seed)


def own_ceiling(problem: GemmProblem | StreamProblem, inputs: Inputs) -> Prepared:
    return own_gemm(problem, inputs) if isinstance(problem, GemmProblem) else own_stream(problem, inputs)


def ceiling_reference(problem: GemmProblem | StreamProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    if isinstance(problem, GemmProblem):
        return (reference.gemm(*inputs),)
    return stream_reference(problem, inputs)


def cublas_ceiling(problem: GemmProblem | StreamProblem, inputs: Inputs) -> Prepared:
    if not isinstance(problem, GemmProblem):
        raise NotMeantError("not a product")
    return cublas(problem, inputs)


def torch_copy_ceiling(problem: GemmProblem | StreamProblem, inputs: Inputs) -> Prepared:
    require_meant(isinstance(problem, StreamProblem) and problem.operator == "stream_copy", "not a copy")
    return torch_copy(problem, inputs)


# -------------------------------------------------------------------------------------------------- linear


LinearProblem = LinearAttentionProblem | RecurrentAttentionProblem | DeltaRuleProblem


def linear_inputs(problem: LinearProblem, device: torch.device, seed: int) -> Inputs:
    """q, k [B, H, T, D] of norm one, v [B, H, T, Dv], log gates (a sigmoid's logarithm over 16, as in the published
    models); with the delta rule also write strengths, and token by token also these and a state."""
    head = (problem.batch, problem.heads, problem.length)
    q, k = (
        torch.nn.functional.normalize(random((*head, problem.key_size), problem.dtype, device, seed + i), dim=-1)
        for i in (0, 1)
    )
    v = random((*head, problem.value_size), problem.dtype, device, seed + 2)
    is_wide = not isinstance(problem, DeltaRuleProblem) and problem.is_gate_per_channel
    wide = (problem.key_size,) if is_wide else ()
    gate = torch.nn.functional.logsigmoid(random((*head, *wide), "fp32", device, seed + 3)) / 16
    if isinstance(problem, LinearAttentionProblem):
        return q, k, v, gate
    beta = random(head, "fp32", device, seed + 4).sigmoid()
    if isinstance(problem, DeltaRuleProblem):
        return q, k, v, gate, beta
    return q, k, v, gate, beta, random((*head[:2], problem.key_size, problem.value_size), "fp32", device, seed + 5)


def own_linear(problem: LinearProblem, inputs: Inputs) -> Prepared:
    q, k, v, gate, *more = inputs
    qkv = QKV(q, k, v)
    if isinstance(problem, RecurrentAttentionProblem):
        beta = more[0] if problem.has_delta else None
        launch, out, final = recurrent_launch(qkv, Gates(gate, beta), more[1])
        return own((launch,), (out, final))
    if isinstance(problem, DeltaRuleProblem):
        launches, out, _ = delta_launches(qkv, Gates(gate, more[0]), None)
    else:
        launches, out, _ = linear_launches(qkv, gate, None)
    return own(launches, (out,))


def linear_reference(problem: LinearProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    if isinstance(problem, LinearAttentionProblem):
        return (reference.chunked_gated_linear_attention(*inputs)[0],)
    q, k, v, gate, beta, *states = inputs
    if isinstance(problem, DeltaRuleProblem):
        return (reference.gated_delta_rule(q, k, v, (gate, beta))[0],)
    (state,) = states
    if problem.has_delta:
        return reference.gated_delta_rule(q, k, v, (gate, beta), state)
    return reference.gated_linear_attention(q, k, v, gate, state)


def last_head(problem: LinearProblem, inputs: Inputs) -> ProblemSample:
    return ProblemSample(problem, tuple(x[-1:, -1:] for x in inputs), lambda x: x[-1:, -1:])


def fla(problem: LinearProblem, inputs: Inputs) -> Prepared:
    """flash-linear-attention's kernels, in its own layout [B, T, H, D]."""
    require_meant(inputs[0].is_cuda, "runs on a GPU only")
    q, k, v, gate, *more = (
        x.transpose(1, 2).contiguous() if x.dim() < 5 and i < 5 else x for i, x in enumerate(inputs)
    )
    if isinstance(problem, LinearAttentionProblem):
        if problem.is_gate_per_channel:
            from fla.ops.gla import chunk_gla as chunked
        else:
            from fla.ops.simple_gla import chunk_simple_gla as chunked
        return Prepared(lambda: (chunked(q, k, v, g=gate, scale=1.0)[0].transpose(1, 2),))
    if isinstance(problem, DeltaRuleProblem):
        from fla.ops.gated_delta_rule import chunk_gated_delta_rule

        betas = more[0]
        return Prepared(lambda: (chunk_gated_delta_rule(q, k, v, gate, betas, scale=1.0)[0].transpose(1, 2),))
    beta, state = more[0], inputs[5]
    if problem.has_delta:
        from fla.ops.gated_delta_rule import fused_recurrent_gated_delta_rule

        def step() -> tuple[Tensor, Tensor]:
            return fused_recurrent_gated_delta_rule(
                q, k, v, g=gate, beta=beta, scale=1.0, initial_state=state, output_final_state=True
            )
    else:
        from fla.ops.gla import fused_recurrent_gla

        def step() -> tuple[Tensor, Tensor]:
            return fused_recurrent_gla(q, k, v, gk=gate, scale=1.0, initial_state=state, output_final_state=True)

    def call() -> tuple[Tensor, ...]:
        out, final = step()
        return out.transpose(1, 2), final

    return Prepared(call)


# ---------------------------------------------------------------------------------------------------- rows


def row_inputs(problem: RowProblem, device: torch.device, seed: int) -> Inputs:
    """x [rows, columns], then weight and bias if the operator has them."""
    weights = {"softmax": 0, "rmsnorm": 1, "layernorm": 2}[problem.operator]
    return (
        random((problem.rows, problem.columns), problem.dtype, device, seed),
        *(random((problem.columns,), problem.dtype, device, seed + 1 + i) for i in range(weights)),
    )


def own_rows(problem: RowProblem, inputs: Inputs) -> Prepared:
    x, *weights = inputs
    target = torch.empty_like(x)
    if problem.operator == "softmax":
        return own((softmax_launch(x, target),), (target,))
    is_centred = problem.operator == "layernorm"
    return own((norm_launch(NormTensors(x, weights[0], weights[-1], target), 1e-5, is_centred),), (target,))


def row_reference(problem: RowProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    operators: dict[str, Callable[..., Tensor]] = {
        "softmax": reference.softmax,
        "layernorm": reference.layernorm,
        "rmsnorm": reference.rmsnorm,
    }
    return (operators[problem.operator](*inputs),)


def torch_rows(problem: RowProblem, inputs: Inputs) -> Prepared:
    x, *weights = inputs
    columns = (problem.columns,)
    match problem.operator:
        case "softmax":
            return Prepared(lambda: (torch.softmax(x, -1),))
        case "layernorm":
            return Prepared(lambda: (torch.nn.functional.layer_norm(x, columns, *weights),))
    return Prepared(lambda: (torch.nn.functional.rms_norm(x, columns, *weights, eps=1e-5),))


def compiled(formula: Callable[[Any, Inputs], tuple[Tensor, ...]], problem: Any, inputs: Inputs) -> Prepared:
    """The reference's formula compiled by torch."""
    require_meant(inputs[0].is_cuda, "compiled on a GPU only")
    call = torch.compile(partial(formula, problem), dynamic=False)
    return Prepared(lambda: call(inputs))


# ------------------------------------------------------------------------------------------------ rational


def rational_inputs(problem: RationalProblem, device: torch.device, seed: int) -> Inputs:
    """x [rows, columns], coefficients [groups, 6] and [groups, 4], and backward the gradient of y."""
    x = random((problem.rows, problem.columns), problem.dtype, device, seed)
    above, below = (random((problem.groups, n), "fp32", device, seed + n) for n in (6, 4))
    gradient = (random((problem.rows, problem.columns), problem.dtype, device, seed + 1),)
    return (x, above, below, *(gradient if problem.is_backward else ()))


def own_rational(problem: RationalProblem, inputs: Inputs) -> Prepared:
    """Backward: the gradient of x. The call includes adding up the partial sums of the coefficients' gradients."""
    x = inputs[0]
    plan = rational_plan(x, problem.groups, problem.is_backward)
    result = torch.empty_like(x)
    if not problem.is_backward:
        x, above, below = inputs
        return own((rational_launch(plan, RationalTensors(x, above, below, result)),), (result,))
    x, above, below, gradient = inputs
    programs = plan.grid[0] * plan.grid[1]
    partial_sums = torch.empty(programs, problem.groups, COEFFICIENTS, dtype=torch.float32, device=x.device)
    tensors = RationalGradientTensors(x, above, below, gradient, result, partial_sums)
    made = own((rational_launch(plan, tensors),), (result,))
    signs = inputs[2].sign()

    def call() -> tuple[Tensor, ...]:
        (grad_x,) = made.call()
        total = partial_sums.sum(0)
        return grad_x, total[:, :6], total[:, 6:] * signs

    return Prepared(call, made.launches)


def rational_reference(problem: RationalProblem, inputs: Inputs) -> tuple[Tensor, ...]:
    if problem.is_backward:
        return reference.group_rational_backward(*inputs)
    return (reference.group_rational(*inputs),)


def rational_sample(problem: RationalProblem, inputs: Inputs) -> ProblemSample:
    """No part of the backward is independent (coefficients sum over all rows), so all of it is compared."""
    if problem.is_backward:
        return ProblemSample(problem, inputs, lambda x: x)
    return last_rows(problem, inputs)


GEMM = FamilyOfCases(
    gemm_inputs,
    lambda problem, inputs: (reference.gemm(*inputs),),
    {"einfuse": own_gemm},
    {"cublas": cublas},
    last_rows,
)
CEILINGS = FamilyOfCases(
    ceiling_inputs,
    ceiling_reference,
    {"einfuse": own_ceiling},
    {"cublas": cublas_ceiling, "torch-copy": torch_copy_ceiling},
    last_rows,
)
LINEAR = FamilyOfCases(
    linear_inputs,
    linear_reference,
    {"einfuse": own_linear},
    {"fla": fla},
    last_head,
)
ROWS = FamilyOfCases(
    row_inputs,
    row_reference,
    {"einfuse": own_rows},
    {"torch": torch_rows, "torch-compile": partial(compiled, row_reference)},
    last_rows,
    {"torch-copy": torch_copy},
)
RATIONAL = FamilyOfCases(
    rational_inputs,
    rational_reference,
    {"einfuse": own_rational},
    {"torch-compile": partial(compiled, rational_reference)},
    rational_sample,
    {"torch-copy": torch_copy},
)
