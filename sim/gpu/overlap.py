"""How far the pipes of a core overlap: a closed network of groups that take turns at them.

A group (warps that advance together) needs each pipe once in an inner step, one after the other, and then starts over.
With one group there is no overlap: a step takes the sum of its demands. With many, the busiest pipe sets the pace. In
between, groups meet at the same pipe and wait; the mean wait is that of a closed queueing network with one customer per
group, solved exactly by mean value analysis (Reiser and Lavenberg, J. ACM 27, 1980):

    R_k(n) = D_k (1 + Q_k(n-1)),   X(n) = n / (Z + sum_k R_k(n)),   Q_k(n) = X(n) R_k(n)

D_k: demand of a step at pipe k; Z: time that a group spends outside all pipes; Q_k: mean number at pipe k. The law has
no parameters. Kernels differ only in the number of groups: how many CTAs a core holds, and whether the groups of a CTA
run apart (their schedule class).

Where steps only add to an accumulator, none waits for another, and the busiest pipe sets the pace at once.
"""

from collections.abc import Sequence

from kernels.plans import LaunchPlan

# Schedule class: groups of a CTA that run apart from each other. Any number of warps that issue one matrix instruction
# together and wait for it together are one group; consumers that take turns are two: those at the tensor cores, and the
# others.
GROUPS = {"serial": 1, "pipelined": 1, "warp-specialised": 1, "ping-pong": 2}
QUARTERS = 4  # of a core: each has its own issue, registers and pipes
# Where other warps load, and signal through hardware barriers, consumers do not wait for the loop itself.
WITHOUT_LOOP_WAITS = ("warp-specialised", "ping-pong")


def pass_cycles(demands: Sequence[float], wait: float, groups: int) -> float:
    """Mean time between two passes of the network with that many groups in it, in the units of the demands."""
    queued = [0.0] * len(demands)
    passed = 0.0
    for group in range(1, groups + 1):
        residence = [demand * (1 + queue) for demand, queue in zip(demands, queued, strict=True)]
        passed = group / (wait + sum(residence))
        queued = [passed * time for time in residence]
    return 1 / passed


def step_cycles(demands: Sequence[float], wait: float, groups: int, ctas: int) -> float:
    """Time in which a core with `ctas` CTAs of `groups` groups each completes one inner step of a CTA.

    `demands` are those of the whole CTA; each group has its part of them, and the whole wait.
    """
    parts = [demand / groups for demand in demands]
    return groups * pass_cycles(parts, wait, groups * ctas)


def groups_of(plan: LaunchPlan) -> int:
    """With single-warp matrix instructions, each quarter of a core has its share of the warps, one group each."""
    if plan.is_synchronous:
        return max(1, plan.configuration.warps // QUARTERS)
    return GROUPS[plan.schedule]


def loop_wait_cycles(plan: LaunchPlan, step_latency_cycles: float) -> float:
    return 0.0 if plan.schedule in WITHOUT_LOOP_WAITS else step_latency_cycles
