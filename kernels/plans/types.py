"""Launch plans: the target machine, the tiling, and what each tile moves and computes.

A `LaunchPlan` has two readers. The launcher takes grid, tile sizes, warps and stages from it; the simulator takes the
list of tiles with their bytes and operations. A simulated and a measured run of one plan are therefore the same
experiment.

Operations are counted as the machine executes them: tiles are padded to their block, head sizes to a power of two.
Bytes count existing elements only. `useful_flops` of the plan is the minimum that the mathematics needs.
"""

from collections.abc import Iterable
from dataclasses import dataclass, fields
from operator import attrgetter, mul
from typing import Literal, NamedTuple

Dtype = Literal["fp32", "fp16", "bf16", "fp8"]
Architecture = Literal["interpreter", "sm80", "sm90"]
Schedule = Literal["serial", "pipelined", "warp-specialised", "ping-pong"]

ITEM_BYTES: dict[str, int] = {"fp32": 4, "fp16": 2, "bf16": 2, "fp8": 1}
WARP_GROUP_ROWS = 64  # of a matrix instruction that a group of four warps issues together


@dataclass(frozen=True, slots=True)
class Target:
    """The facts of a machine that shape a launch."""

    name: str
    architecture: Architecture
    sm_count: int
    shared_bytes_per_cta: int
    shared_bytes_per_sm: int
    l2_bytes: int


# Sources: CUDA C++ programming guide, compute capabilities 8.0 and 9.0; NVIDIA H100 and A100 white papers.
TARGETS: dict[str, Target] = {
    "h100": Target("h100", "sm90", 132, 232_448, 233_472, 50 << 20),
    "h200": Target("h200", "sm90", 132, 232_448, 233_472, 50 << 20),
    "a100": Target("a100", "sm80", 108, 166_912, 167_936, 40 << 20),
    # Programs run one after another; two "SMs" keep split counts small but above one.
    "interpreter": Target("interpreter", "interpreter", 2, 1 << 30, 1 << 30, 1 << 30),
}


class Configuration(NamedTuple):
    """How a kernel is tiled: block sizes, warps, pipeline stages, and the Hopper features that it uses.

    `registers` is the count per thread reported by ptxas (0 if not compiled). `schedule` is given if it does not follow
    from stages and specialisation: consumers that take turns on the tensor cores, or loads that run ahead although each
    operand has one place. `is_synchronous`: uses matrix instructions of a single warp, which waits for them, on a
    machine that also has asynchronous ones. `has_masked_loop`: steps that evaluate a mask form a separate loop, whose
    pipeline has to refill. `prefetches_tiles`: programs are persistent and fetch the next tile while they finish one.
    `cluster`: CTAs that share one load of the wider operand of a product.
    """

    block_m: int
    block_n: int
    block_k: int = 0
    warps: int = 4
    stages: int = 1
    uses_tma: bool = False
    is_specialised: bool = False
    registers: int = 0
    schedule: Schedule | None = None
    is_synchronous: bool = False
    has_masked_loop: bool = False
    prefetches_tiles: bool = False
    cluster: int = 1

    @property
    def threads(self) -> int:
        # A specialised kernel adds a producer warp group and splits its rows over two consumer groups.
        return 32 * (3 * self.warps if self.is_specialised else self.warps)


@dataclass(frozen=True, slots=True)
class Work:
    """Data movement and computation: bytes at the level of L2, floating-point operations by unit."""

    private_read_bytes: int = 0  # read by no other tile
    shared_read_bytes: int = 0  # read by every tile with the same `reuse_key`
    write_bytes: int = 0
    tensor_flops: int = 0
    exp_count: int = 0  # special-function unit: exp2, log2, reciprocal
    fp32_count: int = 0  # FP32 lanes, a fused multiply-add counted once
    operand_bytes: int = 0  # read from shared memory as operands of matrix instructions

    def times(self, count: int) -> "Work":
        return Work(*(count * getattr(self, name) for name in _AMOUNTS))


_AMOUNTS = tuple(field.name for field in fields(Work))


def total_work(parts: Iterable[Work]) -> Work:
    parts = tuple(parts)
    return Work(*(sum(map(attrgetter(name), parts)) for name in _AMOUNTS))


@dataclass(frozen=True, slots=True)
class Tile:
    """`count` consecutive programs that do the same work."""

    work: Work
    count: int = 1
    steps: int = 1  # iterations of the inner loop
    masked_steps: int = 0  # of these, how many evaluate a mask
    masked_fraction: float = 0.0  # of the computed points, the share that a mask discards
    reuse_key: int = -1  # tiles with equal keys read the same shared bytes; -1: none

    def with_key(self, reuse_key: int) -> "Tile":
        return Tile(self.work, self.count, self.steps, self.masked_steps, self.masked_fraction, reuse_key)


@dataclass(frozen=True, slots=True)
class LaunchPlan:
    """One kernel launch: `tiles` in the order of the programs (x fastest).

    Where `is_persistent`, the grid holds one program per place and tile i goes to program i modulo the grid.
    """

    operator: str
    grid: tuple[int, int, int]
    configuration: Configuration
    tiles: tuple[Tile, ...]
    target: Target
    shared_bytes: int = 0  # of one CTA, estimated from the operands that the pipeline holds
    useful_flops: int = 0
    unique_bytes: int = 0  # of distinct elements read and written: the least that HBM must move
    is_persistent: bool = False
    is_streaming: bool = False  # a tile's private reads are spread over its steps
    is_accumulating: bool = False  # steps only add to an accumulator: none waits for the one before
    table: tuple[tuple[int, ...], ...] = ()  # rows that the kernel looks up, where tiles are irregular

    def __post_init__(self) -> None:
        if self.shared_bytes > self.target.shared_bytes_per_cta:
            raise ValueError(
                f"{self.operator} needs {self.shared_bytes} bytes of shared memory per CTA, {self.target.name} has "
                f"{self.target.shared_bytes_per_cta}: take smaller blocks or fewer stages"
            )
        programs = self.grid[0] * self.grid[1] * self.grid[2]
        assert self.is_persistent or self.tile_count == programs, (self.operator, self.tile_count, self.grid)

    @property
    def tile_count(self) -> int:
        return sum(tile.count for tile in self.tiles)

    @property
    def work(self) -> Work:
        counts = [tile.count for tile in self.tiles]
        amounts = ([getattr(tile.work, name) for tile in self.tiles] for name in _AMOUNTS)
        return Work(*(sum(map(mul, one, counts)) for one in amounts))

    @property
    def schedule(self) -> Schedule:
        if self.configuration.schedule is not None:
            return self.configuration.schedule
        if self.configuration.is_specialised:
            return "warp-specialised"
        return "pipelined" if self.configuration.stages > 1 else "serial"

    @property
    def is_synchronous(self) -> bool:
        """Whether a warp waits for its own matrix instructions: always before Hopper."""
        return self.configuration.is_synchronous or self.target.architecture != "sm90"

    @property
    def ctas_per_sm(self) -> int:
        """CTAs that fit on an SM, limited by shared memory, registers (64 Ki) and threads (2048)."""
        threads = self.configuration.threads
        limits = [32, 2048 // threads]
        if self.shared_bytes:
            # The system reserves 1 KiB of shared memory per CTA.
            limits.append(self.target.shared_bytes_per_sm // (self.shared_bytes + 1024))
        if self.configuration.registers:
            limits.append(65_536 // (self.configuration.registers * threads))
        return max(1, min(limits))


def operand_readers(cut: Configuration, target: Target) -> int:
    """The number of warps, or of groups of four warps, that read the operand shared by all rows of a block.

    Rows are divided among warps if each has its own instructions, and among groups of 64 rows otherwise.
    """
    if cut.is_synchronous or target.architecture != "sm90":
        return cut.warps
    return max(1, cut.block_m // WARP_GROUP_ROWS)


def ceil_div(a: int, b: int) -> int:
    return -(-a // b)


def next_power_of_two(n: int, least: int = 1) -> int:
    return max(least, 1 << max(0, n - 1).bit_length())
