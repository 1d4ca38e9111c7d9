"""Simpler models of the same launches: a roofline, the pipes one after another, and operator by operator.

None of them is calibrated: they use the data sheet's rates.
"""

from kernels.plans import AttentionProblem, UnfusedAttentionProblem
from kernels.plans.planning import plan
from sim.gpu.cases import GpuCase
from sim.gpu.device import GpuDevice
from sim.gpu.predict import dtype_of
from sim.gpu.prepared import prepare

KERNEL_LAUNCH_S = 3.5e-6  # between 2 and 5 us (arXiv 2402.13499)


def roofline_s(case: GpuCase, device: GpuDevice) -> float:
    """Useful operations at the tensor arrays' peak, or compulsory bytes at the memory's: the longer."""
    rate = device.peak_flops_per_s * device.tensor_speed(dtype_of(case.problem))
    return max(case.useful_flops / rate, case.compulsory_bytes / device.memory_bytes_per_s)


def serial_pipes_s(case: GpuCase, device: GpuDevice) -> float:
    """Executed operations at each pipe's peak, one pipe after the other, all cores always busy."""
    launches = prepare(case.problem, device.target, case.implementation, case.is_backward, case.configuration)
    speed = device.tensor_speed(dtype_of(case.problem))
    total = 0.0
    for launch in launches:
        work = launch.plan.work
        cycles = (
            work.tensor_flops / device.tensor_flops_per_cycle / speed
            + work.exp_count / device.special_per_cycle
            + work.fp32_count / device.vector_per_cycle
        )
        memory_s = launch.traffic.memory_bytes / device.memory_bytes_per_s
        total += max(cycles / device.cores / device.clock_hz, memory_s)
    return total


def per_operator_s(case: GpuCase, device: GpuDevice) -> float:
    """Each operator separately, at its own roofline and with its own launch, as in models without fusion (LLMCompass,
    arXiv 2312.03134): attention as scores, softmax and values through memory; backward five products and two
    element-wise operators."""
    problem = case.problem
    if not isinstance(problem, AttentionProblem) or problem.lengths or problem.dtype == "fp8":
        return roofline_s(case, device) + KERNEL_LAUNCH_S
    launches = plan(UnfusedAttentionProblem(problem), device.target)
    total = 0.0
    for launch, repeats in zip(launches, (3, 2, 2) if case.is_backward else (1, 1, 1), strict=True):
        compute = launch.useful_flops / (
            device.peak_flops_per_s
            if launch.work.tensor_flops
            else 2 * device.vector_per_cycle * device.cores * device.clock_hz
        )
        total += repeats * (max(compute, launch.unique_bytes / device.memory_bytes_per_s) + KERNEL_LAUNCH_S)
    return total


BASELINES = {"roofline": roofline_s, "serial pipes": serial_pipes_s, "per operator": per_operator_s}
