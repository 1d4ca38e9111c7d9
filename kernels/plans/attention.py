"""Plans of softmax attention, forward and backward.

The mask is a band: query i sees keys i + offset - left ... i + offset + right. For a tile of queries the keys fall into
a masked left edge, an interior where every pair is visible, and a masked right edge; `ranges_of` computes where they
begin and end, with the same arithmetic as the kernel (kernels/numerics.py).
"""

from dataclasses import dataclass, replace
from itertools import groupby
from typing import NamedTuple

from kernels.plans.configurations import configuration_of
from kernels.plans.problems import AttentionProblem
from kernels.plans.types import (
    Configuration,
    LaunchPlan,
    Target,
    Tile,
    Work,
    ceil_div,
    next_power_of_two,
    operand_readers,
)

FP32_PER_SCORE = 4  # scale and subtract (one FMA), maximum, sum, conversion of P
FP32_PER_MASK = 2  # compare and select, in the steps that evaluate a mask
FP32_PER_SOFTCAP = 6
EXP_PER_SOFTCAP = 2  # tanh from exp2 and a reciprocal


class Band(NamedTuple):
    """Coordinates that a coordinate c sees: c + offset - left ... c + offset + right, within [0, limit)."""

    offset: int
    left: int
    right: int
    limit: int


class Ranges(NamedTuple):
    """first <= inner_first <= inner_last <= last: visited by blocks; in between, all pairs are visible."""

    first: int
    inner_first: int
    inner_last: int
    last: int


def ranges_of(first_row: int, last_row: int, band: Band, block: int) -> Ranges:
    """The part of the other side that rows first_row..last_row (inclusive) visit, in blocks aligned to `block`."""
    offset, left, right, limit = band
    last = limit if right < 0 else min(limit, max(last_row + offset + right + 1, 0))
    first = 0 if left < 0 else max(first_row + offset - left, 0) // block * block
    inner_first = first if left < 0 else max(ceil_div(max(last_row + offset - left, 0), block) * block, first)
    inner_last = limit if right < 0 else min(limit, max(first_row + offset + right + 1, 0))
    inner_last = max(inner_last // block * block, first)
    inner_first = min(inner_first, inner_last)
    return Ranges(first, inner_first, inner_last, max(last, first))


def count_steps(ranges: Ranges, block: int) -> tuple[int, int]:
    """Blocks visited, and how many of these evaluate the mask."""
    total = ceil_div(ranges.last - ranges.first, block)
    inner = (ranges.inner_last - ranges.inner_first) // block if ranges.last > ranges.first else 0
    return total, total - inner


def count_read(ranges: Ranges, band: Band, block: int) -> int:
    """Rows of the other side that are read: whole blocks, up to the last existing row."""
    if ranges.last == ranges.first:
        return 0
    return min(band.limit, ceil_div(ranges.last, block) * block) - ranges.first


def count_visible(first_row: int, last_row: int, band: Band) -> int:
    """Visible pairs of rows first_row..last_row: the end of what a row sees less its start, summed over the rows."""
    offset, left, right, limit = band
    rows = last_row - first_row + 1
    ends = rows * limit if right < 0 else _sum_within(first_row, last_row, offset + right + 1, limit)
    starts = 0 if left < 0 else _sum_within(first_row, last_row, offset - left, limit)
    return ends - starts  # a row that sees nothing begins and ends at the same border


def _sum_within(first_row: int, last_row: int, shift: int, limit: int) -> int:
    """The sum of row + shift over the rows, each cut to 0..limit."""
    return _sum_up_to(last_row + shift, limit) - _sum_up_to(first_row + shift - 1, limit)


def _sum_up_to(last: int, limit: int) -> int:
    """0 + 1 + ... + last, where numbers above the limit count as the limit."""
    inside = max(0, min(last, limit))
    return inside * (inside + 1) // 2 + max(0, last - limit) * limit


@dataclass(frozen=True, slots=True)
class Widths:
    """Head sizes as the kernel pads them, and bytes of an element."""

    head: int
    value: int
    padded_head: int
    padded_value: int
    item_bytes: int


def widths_of(problem: AttentionProblem) -> Widths:
    return Widths(
        problem.head_size,
        problem.value_size,
        next_power_of_two(problem.head_size, 16),
        next_power_of_two(problem.value_size, 16),
        problem.item_bytes,
    )


def forward_configuration(problem: AttentionProblem, target: Target) -> Configuration:
    widths = widths_of(problem)
    # A specialised kernel has one loop, so every step would evaluate a mask: it is only for the unmasked case with keys
    # in whole blocks.
    candidate = configuration_of(
        target.architecture, "attention_fwd", problem.dtype, max(widths.padded_head, widths.padded_value)
    )
    is_plain = not problem.lengths and problem.left < 0 and problem.right < 0
    is_whole = is_plain and problem.keys % candidate.block_n == 0
    chosen = configuration_of(
        target.architecture,
        "attention_fwd",
        problem.dtype,
        max(widths.padded_head, widths.padded_value),
        not is_whole or not problem.has_tma_layout,
    )
    return chosen if problem.has_tma_layout else chosen._replace(uses_tma=False, is_specialised=False)


def forward_tile(
    rows: tuple[int, int], band: Band, problem: AttentionProblem, cut: Configuration, readers: int
) -> Tile:
    """The tile of queries rows[0]..rows[1] (inclusive); `readers` of the keys and values in shared memory."""
    widths = widths_of(problem)
    ranges = ranges_of(*rows, band, cut.block_n)
    steps, masked = count_steps(ranges, cut.block_n)
    points = steps * cut.block_m * cut.block_n
    count = rows[1] - rows[0] + 1
    tail_rows = cut.block_m  # division by the denominator, LSE
    exp_per_point, fp32_per_point = 1, FP32_PER_SCORE
    if problem.has_softcap:
        exp_per_point, fp32_per_point = 1 + EXP_PER_SOFTCAP, FP32_PER_SCORE + FP32_PER_SOFTCAP
    work = Work(
        private_read_bytes=count * widths.head * widths.item_bytes,
        shared_read_bytes=count_read(ranges, band, cut.block_n) * (widths.head + widths.value) * widths.item_bytes,
        write_bytes=count * (widths.value * widths.item_bytes + 4),
        tensor_flops=2 * points * (widths.padded_head + widths.padded_value),
        exp_count=points * exp_per_point + steps * cut.block_m + 2 * tail_rows,
        fp32_count=points * fp32_per_point
        + masked * cut.block_m * cut.block_n * FP32_PER_MASK
        + (steps + 1) * cut.block_m * widths.padded_value,
        # Q is read by the owner of its rows, K and V by every reader; P comes from registers.
        operand_bytes=steps
        * widths.item_bytes
        * (cut.block_m * widths.padded_head + readers * cut.block_n * (widths.padded_head + widths.padded_value)),
    )
    fraction = 1 - count_visible(*rows, band) / points if points else 0.0
    return Tile(work, 1, steps, masked, fraction)


def iter_forward_tiles(problem: AttentionProblem, cut: Configuration, readers: int) -> list[tuple[int, int, Tile]]:
    """(sequence, block, tile) of one head, the longest first where tiles differ in length."""
    tiles: list[tuple[int, int, Tile]] = []
    by_length: dict[tuple[int, int], list[tuple[int, Tile]]] = {}
    for sequence, (queries, keys) in enumerate(problem.segments):
        if (queries, keys) not in by_length:
            band = Band(keys - queries, problem.left, problem.right, keys)
            by_length[queries, keys] = [
                (
                    block,
                    forward_tile(
                        (block * cut.block_m, min(queries, (block + 1) * cut.block_m) - 1), band, problem, cut, readers
                    ),
                )
                for block in range(ceil_div(queries, cut.block_m))
            ]
        tiles += [(sequence, block, tile) for block, tile in by_length[queries, keys]]
    return tiles


def plan_forward(problem: AttentionProblem, target: Target, cut: Configuration | None = None) -> LaunchPlan:
    """One program per tile of queries, head and sequence; causal tiles start with the longest."""
    cut = cut or forward_configuration(problem, target)
    widths = widths_of(problem)
    listed = iter_forward_tiles(problem, cut, operand_readers(cut, target))
    group = problem.heads // problem.kv_heads
    if problem.lengths:
        listed.sort(key=lambda item: (-item[2].steps, item[0], item[1]))
        grid = (len(listed), problem.heads, 1)
        table = tuple((sequence, block) for sequence, block, _ in listed)
        ordered = [(sequence, head, tile) for head in range(problem.heads) for sequence, _, tile in listed]
    else:
        blocks = [tile for sequence, _, tile in listed if sequence == 0]
        blocks = blocks[::-1] if problem.right >= 0 else blocks
        grid = (len(blocks), problem.heads, problem.batch)
        table = ()
        ordered = [
            (sequence, head, tile)
            for sequence in range(problem.batch)
            for head in range(problem.heads)
            for tile in blocks
        ]
    keyed = [tile.with_key(sequence * problem.kv_heads + head // group) for sequence, head, tile in ordered]
    visible = problem.heads * sum(
        count_visible(0, queries - 1, Band(keys - queries, problem.left, problem.right, keys))
        for queries, keys in problem.segments
    )
    return LaunchPlan(
        operator="attention_fwd",
        grid=grid,
        configuration=cut,
        tiles=merge_runs(keyed),
        target=target,
        shared_bytes=forward_shared_bytes(widths, cut, target),
        useful_flops=2 * visible * (problem.head_size + problem.value_size),
        unique_bytes=attention_unique_bytes(problem),
        table=table,
    )


def forward_shared_bytes(widths: Widths, cut: Configuration, target: Target) -> int:
    """Queries stay in registers on Ampere and in shared memory on Hopper; a specialised kernel also stages its output,
    one with its own schedule in space that it no longer needs."""
    queries = cut.block_m * widths.padded_head if target.architecture == "sm90" else 0
    staged = cut.block_m * widths.padded_value // 2 if cut.is_specialised and not cut.schedule else 0
    streamed = cut.block_n * (widths.padded_head + widths.padded_value) * cut.stages
    return (queries + streamed + staged) * widths.item_bytes


def attention_unique_bytes(problem: AttentionProblem) -> int:
    """Q, K, V read once, O and LSE written once."""
    queries = sum(q for q, _ in problem.segments) * problem.heads
    keys = sum(k for _, k in problem.segments) * problem.kv_heads
    sizes = problem.head_size + problem.value_size
    return (queries + keys) * sizes * problem.item_bytes + 4 * queries


def merge_runs(tiles: list[Tile]) -> tuple[Tile, ...]:
    """Consecutive equal tiles merged into one with a count."""
    merged: list[Tile] = []
    for tile, run in groupby(tiles):
        count = sum(t.count for t in run)
        merged.append(tile if count == tile.count else replace(tile, count=count))
    return tuple(merged)


def plan_backward(
    problem: AttentionProblem, target: Target, cut: Configuration | None = None
) -> tuple[LaunchPlan, LaunchPlan, LaunchPlan]:
    """Delta = rowsum(dO O) - dLSE; then dK and dV per tile of keys; then dQ per tile of queries. No atomics."""
    widths = widths_of(problem)
    padded = max(widths.padded_head, widths.padded_value)
    of_keys = cut or configuration_of(target.architecture, "attention_bwd_dkv", problem.dtype, padded)
    of_queries = cut or configuration_of(target.architecture, "attention_bwd_dq", problem.dtype, padded)
    if not problem.has_tma_layout:
        of_keys = of_keys._replace(uses_tma=False)
    of_queries = of_queries._replace(uses_tma=False)
    return (
        plan_delta(problem, target, of_queries),
        plan_key_gradients(problem, target, of_keys),
        plan_query_gradients(problem, target, of_queries),
    )


def plan_delta(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    rows = problem.batch * problem.heads * problem.queries
    blocks = ceil_div(problem.queries, cut.block_m)
    work = Work(
        private_read_bytes=cut.block_m * (2 * problem.value_size * problem.item_bytes + 4),
        write_bytes=cut.block_m * 4,
        fp32_count=cut.block_m * 2 * next_power_of_two(problem.value_size, 16),
    )
    return LaunchPlan(
        operator="attention_bwd_delta",
        grid=(blocks, problem.heads, problem.batch),
        configuration=cut,
        tiles=(Tile(work, blocks * problem.heads * problem.batch),),
        target=target,
        useful_flops=2 * rows * problem.value_size,
        unique_bytes=rows * (2 * problem.value_size * problem.item_bytes + 8),
    )


class TileWalks(NamedTuple):
    """For one head: the tile of each (sequence, block), their order, and the heads that are traversed in this way."""

    tiles: list[Tile]
    table: list[tuple[int, int]]
    heads: int
    useful_flops: int


class TileWalk(NamedTuple):
    """The work of one tile over the other side, the steps, and how many of these evaluate the mask."""

    work: Work
    steps: int
    masked: int


def plan_key_gradients(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    """Each tile of keys loops over the queries that see it, of every query head of its group."""
    widths = widths_of(problem)
    group = problem.heads // problem.kv_heads
    tiles, table, useful = [], [], 0
    for sequence, (queries, keys) in enumerate(problem.segments):
        band = Band(queries - keys, problem.right, problem.left, queries)
        for block in range(ceil_div(keys, cut.block_m)):
            rows = (block * cut.block_m, min(keys, (block + 1) * cut.block_m) - 1)
            visible = count_visible(*rows, band)
            work, steps, masked = backward_work(rows, band, cut, widths)
            streamed_bytes = work.shared_read_bytes * group
            scaled = replace(
                work.times(group),
                private_read_bytes=work.private_read_bytes,
                shared_read_bytes=streamed_bytes,
                write_bytes=(rows[1] - rows[0] + 1) * (widths.head + widths.value) * widths.item_bytes,
                # S, dP, dV, dK
                tensor_flops=group * steps * cut.block_m * cut.block_n * 4 * (widths.padded_head + widths.padded_value),
            )
            points = steps * cut.block_m * cut.block_n
            tiles.append(Tile(scaled, 1, steps * group, masked * group, 1 - visible / points if points else 0.0))
            table.append((sequence, block))
            useful += 4 * problem.heads * visible * (problem.head_size + problem.value_size)
    return backward_plan("attention_bwd_dkv", problem, target, cut, TileWalks(tiles, table, problem.kv_heads, useful))


def plan_query_gradients(problem: AttentionProblem, target: Target, cut: Configuration) -> LaunchPlan:
    """Each tile of queries loops over the keys that it sees, a second time."""
    widths = widths_of(problem)
    tiles, table, useful = [], [], 0
    for sequence, (queries, keys) in enumerate(problem.segments):
        band = Band(keys - queries, problem.left, problem.right, keys)
        for block in range(ceil_div(queries, cut.block_m)):
            rows = (block * cut.block_m, min(queries, (block + 1) * cut.block_m) - 1)
            visible = count_visible(*rows, band)
            work, steps, masked = backward_work(rows, band, cut, widths)
            points = steps * cut.block_m * cut.block_n
            full = replace(
                work,
                write_bytes=(rows[1] - rows[0] + 1) * widths.head * widths.item_bytes,
                tensor_flops=points * (4 * widths.padded_head + 2 * widths.padded_value),  # S, dP, dQ
            )
            tiles.append(Tile(full, 1, steps, masked, 1 - visible / points if points else 0.0))
            table.append((sequence, block))
            useful += problem.heads * visible * 2 * problem.head_size
    return backward_plan("attention_bwd_dq", problem, target, cut, TileWalks(tiles, table, problem.heads, useful))


def backward_work(rows: tuple[int, int], band: Band, cut: Configuration, widths: Widths) -> TileWalk:
    """Bytes and element-wise operations of one traversal; the caller adds the products and the writes."""
    ranges = ranges_of(*rows, band, cut.block_n)
    steps, masked = count_steps(ranges, cut.block_n)
    points = steps * cut.block_m * cut.block_n
    row_bytes = (widths.head + widths.value) * widths.item_bytes
    work = Work(
        private_read_bytes=(rows[1] - rows[0] + 1) * row_bytes,
        shared_read_bytes=count_read(ranges, band, cut.block_n) * (row_bytes + 8),
        exp_count=points,
        fp32_count=points * 6,  # scale and subtract, dP - delta, product, two conversions, select
    )
    return TileWalk(work, steps, masked)


def backward_plan(
    operator: str,
    problem: AttentionProblem,
    target: Target,
    cut: Configuration,
    walks: TileWalks,
) -> LaunchPlan:
    tiles, table, heads, useful_flops = walks
    widths = widths_of(problem)
    ordered = [
        tile.with_key(sequence * heads + head)
        for head in range(heads)
        for tile, (sequence, _) in zip(tiles, table, strict=True)
    ]
    held = cut.block_m + cut.block_n * cut.stages
    return LaunchPlan(
        operator=operator,
        grid=(len(tiles), heads, 1),
        configuration=cut,
        tiles=merge_runs(ordered),
        target=target,
        shared_bytes=held * (widths.padded_head + widths.padded_value) * widths.item_bytes,
        useful_flops=useful_flops,
        unique_bytes=2 * attention_unique_bytes(problem),
        table=tuple(table),
    )
