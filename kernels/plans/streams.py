"""Plans of operators that only stream: copy and exp2 ceilings, softmax and norms of rows, group rationals."""

from dataclasses import replace

from kernels.plans.configurations import configuration_of
from kernels.plans.problems import RationalProblem, RowProblem, StreamProblem
from kernels.plans.types import ITEM_BYTES, Configuration, LaunchPlan, Target, Tile, Work, ceil_div, next_power_of_two

NUMERATOR = 6  # coefficients of a rational of orders 5 and 4
DENOMINATOR = 4
HELD_COLUMNS = 16_384  # rows up to this length are held in registers and read once


def plan_stream(problem: StreamProblem, target: Target) -> LaunchPlan:
    """One program per block of the vector."""
    cut = configuration_of(target.architecture, "stream", problem.dtype)
    item = ITEM_BYTES[problem.dtype]
    blocks = ceil_div(problem.size, cut.block_n)
    tail = problem.size - (blocks - 1) * cut.block_n

    def tile(size: int, count: int) -> Tile:
        work = Work(
            private_read_bytes=size * item,
            write_bytes=size * item,
            exp_count=problem.repeats * cut.block_n,
            fp32_count=problem.repeats * cut.block_n,
        )
        return Tile(work, count, max(1, problem.repeats))

    tiles = (tile(cut.block_n, blocks - 1), tile(tail, 1)) if blocks > 1 else (tile(tail, blocks),)
    return LaunchPlan(
        operator=problem.operator,
        grid=(blocks, 1, 1),
        configuration=cut,
        tiles=tiles,
        target=target,
        useful_flops=problem.size * problem.repeats,
        unique_bytes=2 * problem.size * item,
    )


# Operator: FP32 operations and exponentials per element, reads of the row if it is not held in registers.
ROW_COSTS: dict[str, tuple[int, int, int]] = {
    "softmax": (4, 1, 2),
    "masked_softmax": (7, 1, 2),
    "layernorm": (7, 0, 2),
    "rmsnorm": (4, 0, 2),
}


def plan_rows(problem: RowProblem, target: Target) -> LaunchPlan:
    """One program per row. A row that fits is read once; a longer one twice, in blocks."""
    fp32_per_element, exp_per_element, reads = ROW_COSTS[problem.operator]
    cut = configuration_of(target.architecture, "rows", problem.dtype)
    padded = next_power_of_two(problem.columns, 16)
    is_held = (padded <= HELD_COLUMNS and target.architecture != "interpreter") or padded <= cut.block_n
    cut = cut._replace(block_n=padded if is_held else cut.block_n, warps=8 if padded > 2048 else 4)
    item = ITEM_BYTES[problem.dtype]
    read_item = 4 if problem.operator == "masked_softmax" else item  # scores come in fp32
    steps = 1 if is_held else reads * ceil_div(problem.columns, cut.block_n)
    points = cut.block_n * steps
    read_times = 1 if is_held else reads
    weights = {"layernorm": 2, "rmsnorm": 1}.get(problem.operator, 0) * problem.columns * item
    work = Work(
        private_read_bytes=read_times * problem.columns * read_item,
        shared_read_bytes=weights,
        write_bytes=problem.columns * item,
        exp_count=exp_per_element * points + 1,
        fp32_count=fp32_per_element * points,
    )
    return LaunchPlan(
        operator=problem.operator,
        grid=(problem.rows, 1, 1),
        configuration=cut,
        tiles=(Tile(work, problem.rows, steps, steps, 0.0, 0 if weights else -1),),
        target=target,
        useful_flops=problem.rows * problem.columns * (fp32_per_element + exp_per_element),
        unique_bytes=problem.rows * problem.columns * (read_item + item) + weights,
    )


def plan_row_operator(problem: RowProblem, target: Target) -> tuple[LaunchPlan, ...]:
    """Softmax, a norm, or the gradients of a norm."""
    is_backward = problem.operator in ("layernorm_bwd", "rmsnorm_bwd")
    return plan_norm_backward(problem, target) if is_backward else (plan_rows(problem, target),)


PARTIAL_ROWS = 64  # rows whose weight gradients one program adds up


def plan_norm_backward(problem: RowProblem, target: Target) -> tuple[LaunchPlan, LaunchPlan]:
    """dX, one program per row, which also leaves the row's statistics; then partial sums of dWeight and dBias, one
    program per block of rows and columns, added up afterwards without atomics."""
    is_centred = problem.operator == "layernorm_bwd"
    forward = replace(problem, operator="layernorm" if is_centred else "rmsnorm")
    rows_plan = plan_rows(forward, target)
    cut, item = rows_plan.configuration, ITEM_BYTES[problem.dtype]
    is_held = cut.block_n >= problem.columns
    steps = 1 if is_held else 3 * ceil_div(problem.columns, cut.block_n)
    elements = problem.rows * problem.columns
    row = Work(
        # X and dY; a long row is read once each for its statistics, its two sums, and its result.
        private_read_bytes=problem.columns * item * (2 if is_held else 5),
        shared_read_bytes=problem.columns * item,
        write_bytes=problem.columns * item + 8,
        exp_count=1,
        fp32_count=14 * cut.block_n * max(1, steps // 3),
    )
    gradients = LaunchPlan(
        operator=problem.operator,
        grid=(problem.rows, 1, 1),
        configuration=cut,
        tiles=(Tile(row, problem.rows, steps, steps, 0.0, 0),),
        target=target,
        useful_flops=11 * elements,
        unique_bytes=3 * elements * item + problem.columns * item + 8 * problem.rows,
    )
    across = min(cut.block_n, 128)
    down, wide = ceil_div(problem.rows, PARTIAL_ROWS), ceil_div(problem.columns, across)
    count = down * wide
    block = Work(
        private_read_bytes=2 * elements * item // max(1, count),
        shared_read_bytes=8 * PARTIAL_ROWS,
        write_bytes=8 * across,
        fp32_count=4 * PARTIAL_ROWS * across,
    )
    partial = LaunchPlan(
        operator="norm_weights",
        grid=(down, wide, 1),
        configuration=Configuration(PARTIAL_ROWS, across, 0, 4),
        tiles=(Tile(block, count, 1, 1, 1 - elements / (count * PARTIAL_ROWS * across) if count else 0.0),),
        target=target,
        useful_flops=4 * elements,
        unique_bytes=2 * elements * item + 8 * problem.rows + 8 * down * problem.columns,
    )
    return gradients, partial


def plan_rational(problem: RationalProblem, target: Target) -> LaunchPlan:
    """One program per block of rows and columns of one group; the backward adds one partial sum per program."""
    cut = configuration_of(target.architecture, "rational", problem.dtype)
    item = ITEM_BYTES[problem.dtype]
    width = problem.columns // problem.groups
    cut = cut._replace(block_n=min(cut.block_n, next_power_of_two(width, 16)))
    across = ceil_div(width, cut.block_n)
    blocks = ceil_div(problem.rows, cut.block_m)
    count = blocks * across * problem.groups
    coefficients = NUMERATOR + DENOMINATOR
    elements = problem.rows * problem.columns
    passes = 3 if problem.is_backward else 2
    points = cut.block_m * cut.block_n
    partial = coefficients * 4 if problem.is_backward else 0
    work = Work(
        private_read_bytes=(passes - 1) * elements * item // max(1, count),
        shared_read_bytes=coefficients * 4,
        write_bytes=elements * item // max(1, count) + partial,
        exp_count=points,  # one reciprocal
        fp32_count=points * (38 if problem.is_backward else 12),
    )
    return LaunchPlan(
        operator="rational_bwd" if problem.is_backward else "rational",
        grid=(blocks, across, problem.groups),
        configuration=cut,
        tiles=(Tile(work, count, 1, 1, 1 - elements / (points * count) if count else 0.0),),
        target=target,
        useful_flops=elements * (60 if problem.is_backward else 19),
        unique_bytes=passes * elements * item + count * partial,
    )
