"""Trial of one tile configuration on a GPU: compile, compare with the reference, time, read registers and spills."""

from statistics import median
from typing import Any

import torch
from torch import Tensor

from kernels.attention import forward_launch
from kernels.attention_backward import backward_launches
from kernels.bench.attention_cases import BACKWARD, DECODE, FORWARD, options_of
from kernels.bench.choosing import Trial
from kernels.bench.contenders import FamilyOfCases, Inputs, Prepared, own
from kernels.bench.grid import plan_with, problem_of
from kernels.bench.other_cases import GEMM
from kernels.bench.stopwatch import CudaStopwatch
from kernels.bench.workbench import cast, computed, limit_of, relative_error
from kernels.decode import Cache, decode_launches
from kernels.launching import run
from kernels.options import AttentionOptions
from kernels.plans.configurations import TunedRow
from kernels.plans.planning import plan
from kernels.plans.problems import Problem
from kernels.plans.types import Configuration, LaunchPlan, Target
from kernels.products import gemm_launch
from kernels.records import QKV

FAMILY_BY_OPERATOR: dict[str, FamilyOfCases] = {
    "attention_fwd": FORWARD,
    "attention_bwd_dkv": BACKWARD,
    "attention_bwd_dq": BACKWARD,
    "attention_decode": DECODE,
    "gemm": GEMM,
}
WARM_CALLS, TIMED_CALLS = 5, 15


def prepare(row: TunedRow, problem: Any, inputs: Inputs, plans: tuple[LaunchPlan, ...]) -> tuple[Prepared, slice]:
    """The operator with the row's launches replaced, and the outputs and launches that the row concerns.

    The other launches of a backward are those of the table: all of it runs, but only the row's launch is timed.
    """
    match row.operator:
        case "attention_fwd":
            q, k, v = inputs
            launch, out, _ = forward_launch(q, k, v, options_of(problem), plans[0])
            return own((launch,), (out,)), slice(0, 1)
        case "attention_decode":
            launches, out, _ = decode_launches(QKV(*inputs), Cache(problem.lengths), AttentionOptions(), plans)
            return own(launches, (out,)), slice(0, 2)
        case "gemm":
            a, b = inputs
            c = a.new_empty(problem.rows, problem.columns)
            return own((gemm_launch((a[None, None], b[None, None], c[None, None]), plan=plans[0]),), (c,)), slice(0, 1)
    q, k, v, grad_out = inputs
    first, out, lse = forward_launch(q, k, v, options_of(problem))
    own((first,), (out,)).call()
    no_gradient = torch.zeros_like(lse)
    place = 1 if row.operator == "attention_bwd_dkv" else 2
    of_table = plan(problem, first.plan.target, True)
    mixed = tuple(plans[0] if i == place else planned for i, planned in enumerate(of_table))
    saved, gradients = [q, k, v, out, lse], [grad_out, no_gradient]
    all_three, results, _ = backward_launches(saved, gradients, options_of(problem), mixed)
    return own(all_three, tuple(results), (out, lse, no_gradient)), slice(place, place + 1)


class TunerTrials:
    """Trials of a row; inputs and references are made once."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.stopwatch = CudaStopwatch()
        self.held: tuple[TunedRow, Problem, Inputs, tuple[Tensor, ...]] | None = None

    def __call__(self, row: TunedRow, cut: Configuration) -> Trial:
        problem, inputs, expected = self.hold(row)
        family = FAMILY_BY_OPERATOR[row.operator]
        prepared, timed = prepare(row, problem, inputs, plan_with(row, problem, self.target, cut))
        found = computed(prepared, inputs)
        part = family.sample(problem, inputs)
        error = relative_error(tuple(part.cut(x) for x in found), expected)
        if not error <= limit_of(problem):
            raise ValueError(f"wrong: relative error {error:.3g}, at most {limit_of(problem):.3g}")
        launches = prepared.launches[timed]
        for _ in range(WARM_CALLS):
            run(*launches)
        laters = [self.stopwatch.time(lambda: run(*launches), True) for _ in range(TIMED_CALLS)]
        self.stopwatch.settle()
        first = launches[0]
        compiled = first.kernel.warmup(
            **first.arguments, **first.constants, grid=first.plan.grid, num_warps=first.plan.configuration.warps,
            num_stages=first.plan.configuration.stages,
        )  # fmt: skip
        compiled._init_handles()
        return Trial(median(later() for later in laters), compiled.n_regs, compiled.n_spills)

    def hold(self, row: TunedRow) -> tuple[Problem, Inputs, tuple[Tensor, ...]]:
        if self.held is None or self.held[0] != row:
            self.held = None
            torch.cuda.empty_cache()
            family, problem = FAMILY_BY_OPERATOR[row.operator], problem_of(row)
            inputs = family.inputs(problem, torch.device("cuda"), 0)
            part = family.sample(problem, inputs)
            expected = family.reference(part.problem, cast(part.inputs, torch.float32))
            self.held = (row, problem, inputs, expected)
        _, problem, inputs, expected = self.held
        return problem, inputs, expected
