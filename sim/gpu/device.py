"""A many-core machine as the time model sees it: rates of one core's pipes, shared bandwidths, constants."""

from dataclasses import dataclass, replace
from math import isfinite

from arch.cores import Calibration
from arch.types import Architecture, Array
from kernels.plans import Target
from sim.lower.machine import Machines

# Products of a narrower type run faster by the ratio of widths, if the tensor arrays support the type.
TENSOR_SPEED = {"fp16": 1.0, "bf16": 1.0, "fp8": 2.0}
WITHOUT_FP8 = ("sm80",)


@dataclass(frozen=True, slots=True)
class GpuDevice:
    """Rates are per core and cycle where stated, otherwise for the whole machine; none of them is calibrated."""

    name: str
    target: Target
    calibration: Calibration
    cores: int
    clock_hz: float
    tensor_flops_per_cycle: float  # of a core, 16-bit inputs
    special_per_cycle: float  # of a core: exponentials, reciprocals
    vector_per_cycle: float  # of a core: FP32 operations, a fused multiply-add counted once
    operand_bytes_per_cycle: float  # of a core's memory
    cache_bytes_per_s: float  # of the memory above the cores
    cache_bytes: float
    memory_bytes_per_s: float  # of the outermost memory, by its data sheet
    memory_bytes: float

    @property
    def peak_flops_per_s(self) -> float:
        """For 16-bit inputs."""
        return self.cores * self.tensor_flops_per_cycle * self.clock_hz

    @property
    def cache_bytes_per_cycle(self) -> float:
        """One core's share of the bandwidth above the cores."""
        return self.cache_bytes_per_s / self.cores / self.clock_hz

    @property
    def sustained_memory_bytes_per_s(self) -> float:
        return self.memory_bytes_per_s * self.calibration.memory_rate

    def is_same_hardware(self, other: "GpuDevice") -> bool:
        """Whether both describe one machine; names and constants, which are a model's, may differ."""
        named = replace(other.target, name=self.target.name)
        return self == replace(other, name=self.name, target=named, calibration=self.calibration)

    def tensor_speed(self, dtype: str) -> float:
        """Speed of products of that type relative to 16-bit ones; fp32 has no tensor arrays, only vector lanes."""
        if dtype == "fp32":
            return 2 * self.vector_per_cycle / self.tensor_flops_per_cycle
        if dtype == "fp8" and self.target.architecture in WITHOUT_FP8:
            raise ValueError(f"{self.name} has no products of fp8")
        return TENSOR_SPEED[dtype]


def device_of(machine: Architecture) -> GpuDevice:
    """ValueError for a machine that has no cores, or was never calibrated."""
    cores, calibration = machine.cores, machine.calibration
    if cores is None or calibration is None:
        missing = "cores" if cores is None else "calibration"
        raise ValueError(
            f"architecture '{machine.name}' has no {missing}: kernels are timed on machines with cores and calibration"
        )
    if cores.pipes is None or cores.generation is None or cores.group_memory_bits is None:
        raise ValueError(
            f"the cores of architecture '{machine.name}' have no generation, pipes and group_memory: kernels are timed "
            "on machines that have them"
        )
    core_memory = machine.memory(cores.memory)
    cache = core_memory.parent or machine.root.name
    pipes = {role: machine.array(name) for role, name in cores.pipes}
    numbers = Machines.of([machine])
    return GpuDevice(
        name=machine.name,
        target=Target(
            name=machine.name,
            architecture=cores.generation,
            sm_count=cores.count,
            shared_bytes_per_cta=int(cores.group_memory_bits // 8),
            shared_bytes_per_sm=int(_size_bytes(numbers, core_memory.name)),
            l2_bytes=int(_size_bytes(numbers, cache)),
        ),
        calibration=calibration,
        cores=cores.count,
        clock_hz=machine.clock_hz,
        tensor_flops_per_cycle=2 * _rate(pipes["tensor"], ("mul", "add")),
        special_per_cycle=_rate(pipes["special"], ("exp",)),
        vector_per_cycle=_rate(pipes["vector"], ("mul", "add")),
        operand_bytes_per_cycle=_bytes_per_s(numbers, core_memory.name) / machine.clock_hz,
        cache_bytes_per_s=_bytes_per_s(numbers, cache),
        cache_bytes=_size_bytes(numbers, cache),
        memory_bytes_per_s=_bytes_per_s(numbers, machine.root.name),
        memory_bytes=_size_bytes(numbers, machine.root.name),
    )


def _rate(array: Array, operators: tuple[str, ...]) -> float:
    return array.pes / array.cycles_per_point(operators)


def _size_bytes(machines: Machines, memory: str) -> float:
    found = float(machines.capacity_bytes(memory)[0])
    if not isfinite(found):
        raise ValueError(f"memory '{memory}' has no size, which timing kernels needs")
    return found


def _bytes_per_s(machines: Machines, memory: str) -> float:
    found = float(machines.bandwidth_bytes_per_s(memory)[0])
    if not isfinite(found):
        raise ValueError(f"memory '{memory}' has no bandwidth, which timing kernels needs")
    return found
