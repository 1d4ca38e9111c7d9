"""Plans of matrix products, and of attention as three launches with the scores in memory."""

from kernels.plans.configurations import configuration_of
from kernels.plans.problems import GemmProblem, RowProblem, UnfusedAttentionProblem
from kernels.plans.streams import plan_rows
from kernels.plans.types import (
    ITEM_BYTES,
    WARP_GROUP_ROWS,
    Configuration,
    LaunchPlan,
    Target,
    Tile,
    Work,
    ceil_div,
)

GROUP_M = 8  # tile rows visited together, so that neighbours in time share operands in L2


def gemm_configuration(problem: GemmProblem, target: Target) -> Configuration:
    cut = configuration_of(target.architecture, "gemm", problem.dtype)
    return cut if problem.has_tma_layout else cut._replace(uses_tma=False)


def product_operand_elements(cut: Configuration, target: Target) -> int:
    """Elements that one step reads from shared memory: groups of 64 rows read their rows and all columns; single warps
    divide rows and columns as evenly as they can."""
    if target.architecture == "sm90" and not cut.is_synchronous:
        return cut.block_k * (cut.block_m + max(1, cut.block_m // WARP_GROUP_ROWS) * cut.block_n)
    along_rows = 1 << (cut.warps.bit_length() // 2)
    along_columns = max(1, cut.warps // along_rows)
    return cut.block_k * (cut.block_m * along_columns + cut.block_n * along_rows)


def plan_gemm(problem: GemmProblem, target: Target, cut: Configuration | None = None) -> LaunchPlan:
    """Persistent: one program per SM loops over the output tiles, `GROUP_M` tile rows at a time."""
    cut = cut or gemm_configuration(problem, target)
    item, out = ITEM_BYTES[problem.dtype], ITEM_BYTES[problem.output_dtype]
    rows, columns = ceil_div(problem.rows, cut.block_m), ceil_div(problem.columns, cut.block_n)
    steps = ceil_div(problem.depth, cut.block_k)
    count = rows * columns * problem.batch
    padded = rows * cut.block_m * columns * cut.block_n
    real = problem.rows * problem.columns
    # Edge tiles move less; the difference is spread evenly, so that totals are exact to one byte of rounding per tile.
    a_bytes = columns * problem.rows * problem.depth * item // max(1, rows * columns)
    b_bytes = rows * problem.columns * problem.depth * item // max(1, rows * columns)
    work = Work(
        shared_read_bytes=a_bytes + b_bytes // cut.cluster,
        write_bytes=real * out // max(1, rows * columns),
        tensor_flops=2 * cut.block_m * cut.block_n * cut.block_k * steps,
        fp32_count=cut.block_m * cut.block_n,
        operand_bytes=steps * product_operand_elements(cut, target) * item,
    )
    return LaunchPlan(
        operator="gemm",
        grid=(min(count, target.sm_count), 1, 1),
        configuration=cut,
        tiles=(Tile(work, count, steps, steps, 1 - real / padded if padded else 0.0),) if count else (),
        target=target,
        shared_bytes=cut.stages * (cut.block_m + cut.block_n) * cut.block_k * item,
        useful_flops=2 * real * problem.depth * problem.batch,
        unique_bytes=problem.batch * ((problem.rows + problem.columns) * problem.depth * item + real * out),
        is_persistent=True,
        is_accumulating=True,
    )


def plan_unfused(problem: UnfusedAttentionProblem, target: Target) -> tuple[LaunchPlan, ...]:
    """Scores = Q K^T, softmax of their rows under the mask, output = P V; scores are held in fp32, P in the input's
    precision."""
    attention = problem.attention
    if attention.lengths:
        raise ValueError("unfused attention takes sequences of one length, got a packed ragged batch")
    heads = attention.batch * attention.heads
    scores = GemmProblem(attention.queries, attention.keys, attention.head_size, attention.dtype, heads, "fp32", False)
    # K^T has no unit stride along its columns; P and V come through descriptors where rows of P are aligned.
    is_aligned = attention.has_tma_layout and attention.keys * attention.item_bytes % 16 == 0
    values = GemmProblem(
        attention.queries, attention.value_size, attention.keys, attention.dtype, heads, attention.dtype, is_aligned
    )
    rows = RowProblem("masked_softmax", heads * attention.queries, attention.keys, attention.dtype)
    softmax = plan_rows(rows, target)
    return plan_gemm(scores, target), softmax, plan_gemm(values, target)
