"""Plans of attention that does not visit every pair: gated linear attention in chunks, block-sparse attention."""

from functools import cache

from kernels.plans.attention import merge_runs
from kernels.plans.configurations import configuration_of
from kernels.plans.problems import BlockSparseProblem, LinearAttentionProblem, RecurrentAttentionProblem
from kernels.plans.types import ITEM_BYTES, LaunchPlan, Target, Tile, Work, ceil_div, next_power_of_two


def plan_linear(problem: LinearAttentionProblem, target: Target) -> tuple[LaunchPlan, LaunchPlan]:
    """The states at the start of each chunk, from one program per head and block of value channels that loops over the
    chunks; then the outputs, one program per sub-chunk of tokens."""
    cut = configuration_of(target.architecture, "gla", problem.dtype, next_power_of_two(problem.key_size, 16))
    item = ITEM_BYTES[problem.dtype]
    key, value = next_power_of_two(problem.key_size, 16), next_power_of_two(problem.value_size, 16)
    cut = cut._replace(block_n=min(cut.block_n, value))
    chunk, part = cut.block_m, cut.block_k
    heads = problem.batch * problem.heads
    chunks, across = ceil_div(problem.length, chunk), ceil_div(problem.value_size, cut.block_n)
    gate = problem.key_size if problem.is_gate_per_channel else 1
    state_bytes = problem.key_size * min(cut.block_n, problem.value_size) * 4
    states = Work(
        private_read_bytes=problem.length * min(cut.block_n, problem.value_size) * item + state_bytes,
        shared_read_bytes=problem.length * (problem.key_size * item + gate * 4),
        write_bytes=(chunks + 1) * state_bytes,
        tensor_flops=2 * chunks * chunk * key * cut.block_n,
        exp_count=chunks * (chunk + 1) * key,
        fp32_count=chunks * (3 * chunk * key + key * cut.block_n),
    )
    parts = ceil_div(problem.length, part)

    @cache  # a head has many sub-chunks of few kinds
    def output(earlier: int, tokens: int) -> Tile:
        """A sub-chunk of some tokens, with so many sub-chunks of its chunk before it."""
        seen = earlier * part + tokens
        points = part * part * earlier
        work = Work(
            private_read_bytes=tokens * problem.key_size * item,
            shared_read_bytes=seen * (problem.key_size * item + gate * 4 + min(cut.block_n, problem.value_size) * item)
            + state_bytes,
            write_bytes=tokens * min(cut.block_n, problem.value_size) * item,
            tensor_flops=2 * part * key * cut.block_n
            + 2 * points * (key + cut.block_n)
            + 2 * part * part * cut.block_n,
            exp_count=part * key * (1 + 2 * earlier + part),
            fp32_count=part * key * (4 * (earlier + 1) + 3 * part),
        )
        return Tile(work, 1, earlier + 1, 1, 1 - seen / (part * (earlier + 1)))

    row = [
        output(index % (chunk // part), min(part, problem.length - index * part)).with_key(index // (chunk // part))
        for index in range(parts)
    ]
    elements = heads * problem.length
    # Neighbours differ, so there are no runs to merge; a head's tiles are built once for all blocks of value channels.
    tiles = tuple(
        tile
        for head in range(heads)
        for tile in across * [tile.with_key(head * chunks + tile.reuse_key) for tile in row]
    )
    sizes = 2 * problem.key_size + 2 * problem.value_size
    first = LaunchPlan(
        operator="gla_states",
        grid=(across, heads, 1),
        configuration=cut,
        tiles=merge_runs([Tile(states, across, chunks, chunks, 0.0, head) for head in range(heads)]),
        target=target,
        useful_flops=2 * elements * problem.key_size * problem.value_size,
        unique_bytes=elements * ((problem.key_size + problem.value_size) * item + gate * 4)
        + heads * (chunks + 1) * problem.key_size * problem.value_size * 4,
    )
    second = LaunchPlan(
        operator="gla_outputs",
        grid=(parts, across, heads),
        configuration=cut,
        tiles=tiles,
        target=target,
        useful_flops=elements
        * (2 * problem.key_size * problem.value_size + chunk * (problem.key_size + problem.value_size)),
        unique_bytes=elements * (sizes * item + gate * 4) + heads * chunks * problem.key_size * problem.value_size * 4,
    )
    return first, second


def plan_recurrent(problem: RecurrentAttentionProblem, target: Target) -> LaunchPlan:
    """One program per head and block of value channels, which holds its part of the state and loops over the tokens."""
    key = next_power_of_two(problem.key_size, 16)
    cut = configuration_of(target.architecture, "recurrent", problem.dtype, key)
    cut = cut._replace(block_n=min(cut.block_n, next_power_of_two(problem.value_size, 16)))
    item, heads = ITEM_BYTES[problem.dtype], problem.batch * problem.heads
    across = ceil_div(problem.value_size, cut.block_n)
    width = min(cut.block_n, problem.value_size)
    gate = problem.key_size if problem.is_gate_per_channel else 1
    beta = 1 if problem.has_delta else 0
    state_bytes = problem.key_size * width * 4
    # Per element of the state and token: decay, the outer product, the product with q; with the delta rule also the
    # preceding product with k.
    per_element = 4 if problem.has_delta else 3
    work = Work(
        private_read_bytes=problem.length * width * item + state_bytes,
        shared_read_bytes=problem.length * (2 * problem.key_size * item + (gate + beta) * 4),
        write_bytes=problem.length * width * item + state_bytes,
        exp_count=problem.length * (key if problem.is_gate_per_channel else 1),
        fp32_count=problem.length * per_element * key * cut.block_n,
    )
    elements = heads * problem.length
    return LaunchPlan(
        operator="recurrent",
        grid=(across, heads, 1),
        configuration=cut,
        tiles=tuple(Tile(work, across, problem.length, 0, 0.0, head) for head in range(heads)),
        target=target,
        useful_flops=2 * elements * per_element * problem.key_size * problem.value_size,
        unique_bytes=elements * (2 * (problem.key_size + problem.value_size) * item + (gate + beta) * 4)
        + 2 * heads * problem.key_size * problem.value_size * 4,
    )


def plan_block_sparse(problem: BlockSparseProblem, target: Target) -> LaunchPlan:
    """One program per block of queries and head, which loops over the key blocks of its list."""
    padded = next_power_of_two(problem.head_size, 16)
    cut = configuration_of(target.architecture, "block_sparse", problem.dtype, padded)
    block = problem.block_size
    cut = cut._replace(block_m=block, block_n=block)
    item = ITEM_BYTES[problem.dtype]
    group = problem.heads // problem.kv_heads
    blocks = ceil_div(problem.queries, block)
    tiles = []
    for index, count in enumerate(problem.counts):
        head = index // blocks
        rows = min(block, problem.queries - index % blocks * block)
        points = count * block * block
        work = Work(
            private_read_bytes=rows * problem.head_size * item + 4 * (count + 1),
            shared_read_bytes=2 * count * block * problem.head_size * item,
            write_bytes=rows * (problem.head_size * item + 4),
            tensor_flops=4 * points * padded,
            exp_count=points + (count + 2) * block,
            fp32_count=5 * points + (count + 1) * block * padded,
        )
        tiles.append(Tile(work, 1, count, count, 0.0, head // group))
    visited = sum(problem.counts)
    elements = problem.batch * problem.head_size * item
    return LaunchPlan(
        operator="block_sparse",
        grid=(blocks, problem.heads, problem.batch),
        configuration=cut,
        tiles=merge_runs(tiles),
        target=target,
        shared_bytes=(block + 2 * block * cut.stages) * padded * item,
        useful_flops=4 * visited * block * block * problem.head_size,
        unique_bytes=2 * elements * (problem.heads * problem.queries + problem.kv_heads * problem.keys),
    )
