"""Plans of the gated delta rule by chunks: the systems of all chunks, then a pass over the chunks with the state."""

from kernels.plans.configurations import configuration_of
from kernels.plans.problems import DeltaRuleProblem
from kernels.plans.types import ITEM_BYTES, LaunchPlan, Target, Tile, Work, ceil_div, next_power_of_two


def plan_delta_rule(problem: DeltaRuleProblem, target: Target) -> tuple[LaunchPlan, LaunchPlan]:
    """One program per chunk and head that inverts the chunk's system; then one per head and block of value channels."""
    key, value = next_power_of_two(problem.key_size, 16), next_power_of_two(problem.value_size, 16)
    cut = configuration_of(target.architecture, "delta", problem.dtype, key)
    cut = cut._replace(block_n=min(cut.block_n, value))
    item, heads, chunk = ITEM_BYTES[problem.dtype], problem.batch * problem.heads, cut.block_m
    chunks, across = ceil_div(problem.length, chunk), ceil_div(problem.value_size, cut.block_n)
    width = min(cut.block_n, problem.value_size)
    tokens, elements = problem.length, heads * problem.length
    inverse_bytes, state_bytes = chunk * chunk * 4, problem.key_size * width * 4
    solve = Work(
        private_read_bytes=tokens * (problem.key_size * item + 8) // max(1, chunks),
        write_bytes=inverse_bytes,
        tensor_flops=2 * chunk * chunk * key,
        exp_count=chunk * chunk,
        # Of every row but the first: its line out of the system, times the rows above, into the inverse.
        fp32_count=4 * chunk * chunk + (chunk - 1) * 5 * chunk * chunk,
    )
    scan = Work(
        private_read_bytes=tokens * width * item + state_bytes,
        shared_read_bytes=tokens * (2 * problem.key_size * item + 8) + chunks * inverse_bytes,
        write_bytes=tokens * width * item + state_bytes,
        # K S, Q S, K^T U of the state; Q K^T; the inverse times what is to be written, the scores times what was.
        tensor_flops=chunks * 2 * chunk * (3 * key * cut.block_n + chunk * key + 2 * chunk * cut.block_n),
        exp_count=chunks * (chunk * chunk + 2 * chunk + 1),
        fp32_count=chunks * (3 * chunk * key + 3 * chunk * cut.block_n + 2 * chunk * chunk + key * cut.block_n),
    )
    sizes = 2 * (problem.key_size + problem.value_size) * item + 8
    first = LaunchPlan(
        operator="delta_solve",
        grid=(chunks, heads, 1),
        configuration=cut,
        tiles=(Tile(solve, chunks * heads, chunk - 1),) if chunks * heads else (),
        target=target,
        useful_flops=elements * chunk * problem.key_size + heads * chunks * chunk**3 // 3,
        unique_bytes=elements * (problem.key_size * item + 8) + heads * chunks * inverse_bytes,
    )
    second = LaunchPlan(
        operator="delta_scan",
        grid=(across, heads, 1),
        configuration=cut,
        tiles=tuple(Tile(scan, across, chunks, chunks, 0.0, head) for head in range(heads)),
        target=target,
        useful_flops=elements
        * (6 * problem.key_size * problem.value_size + chunk * (problem.key_size + 2 * problem.value_size)),
        unique_bytes=elements * sizes
        + heads * (chunks * inverse_bytes + 2 * problem.key_size * problem.value_size * 4),
    )
    return first, second
