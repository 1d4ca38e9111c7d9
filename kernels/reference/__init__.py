"""Definitions of the operators in plain torch: one naive function each, in fp64, fp32, or fp32 over 16-bit inputs."""

from kernels.reference.linear import (
    chunked_gated_linear_attention,
    gated_delta_rule,
    gated_linear_attention,
    linear_attention,
    quadratic_gated_linear_attention,
)
from kernels.reference.pointwise import group_rational, group_rational_backward, repeat_exp2
from kernels.reference.products import apply_activation, gemm
from kernels.reference.rows import layernorm, norm_backward, rmsnorm, softmax
from kernels.reference.scaled import attend, attend_backward, attend_decode, gather_pages
from kernels.reference.sparse import attend_blocks, mask_of_blocks

__all__ = [
    "apply_activation",
    "attend",
    "attend_backward",
    "attend_blocks",
    "attend_decode",
    "chunked_gated_linear_attention",
    "gated_delta_rule",
    "gated_linear_attention",
    "gather_pages",
    "gemm",
    "group_rational",
    "group_rational_backward",
    "layernorm",
    "linear_attention",
    "mask_of_blocks",
    "norm_backward",
    "quadratic_gated_linear_attention",
    "repeat_exp2",
    "rmsnorm",
    "softmax",
]
