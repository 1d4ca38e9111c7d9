"""Launch plans: what a kernel does on a machine, tile by tile, before anything is launched. Standard library only."""

from kernels.plans.configurations import configuration_of
from kernels.plans.planning import plan
from kernels.plans.problems import (
    AttentionProblem,
    BlockSparseProblem,
    DecodeProblem,
    DeltaRuleProblem,
    GemmProblem,
    LinearAttentionProblem,
    RationalProblem,
    RecurrentAttentionProblem,
    RowProblem,
    StreamProblem,
    UnfusedAttentionProblem,
)
from kernels.plans.types import TARGETS, Configuration, LaunchPlan, Target, Tile, Work

__all__ = [
    "TARGETS",
    "AttentionProblem",
    "BlockSparseProblem",
    "Configuration",
    "DecodeProblem",
    "DeltaRuleProblem",
    "GemmProblem",
    "LaunchPlan",
    "LinearAttentionProblem",
    "RationalProblem",
    "RecurrentAttentionProblem",
    "RowProblem",
    "StreamProblem",
    "Target",
    "Tile",
    "UnfusedAttentionProblem",
    "Work",
    "configuration_of",
    "plan",
]
