"""Plans of decode attention: the cache of keys and values is cut into spans, partial results are merged.

The table holds one row (program, sequence, key-value head, first key, last key) per span, in the order of sequence,
head, key. Split-KV gives every (sequence, head) the same number of spans and one program to each. Stream-K lays all key
tiles of all (sequence, head) in one line, cuts it into equal pieces, one per program, and cuts pieces again where a
head ends (Sanovar et al., LeanAttention). The split launch writes a partial output and its log-sum-exp per span; the
merge launch combines the spans of a head. Any cut gives the same result up to rounding.
"""

from itertools import groupby
from typing import NamedTuple

from kernels.plans.attention import merge_runs
from kernels.plans.configurations import configuration_of
from kernels.plans.problems import DecodeProblem
from kernels.plans.types import (
    ITEM_BYTES,
    Configuration,
    LaunchPlan,
    Target,
    Tile,
    Work,
    ceil_div,
    next_power_of_two,
    total_work,
)


class DecodeLine(NamedTuple):
    """Key tiles first..last of one sequence and key-value head."""

    sequence: int
    head: int
    first: int
    last: int


class CacheSpan(NamedTuple):
    """Keys first_key..last_key of one sequence and key-value head, for one program; a row of the table."""

    program: int
    sequence: int
    head: int
    first_key: int
    last_key: int


MERGE_SPANS = 16  # spans that the merge holds at a time


def first_visible_key(problem: DecodeProblem, length: int) -> int:
    """The first key that is inside the window of any query."""
    if problem.left < 0:
        return 0
    return max(0, length - problem.queries - problem.left)


def last_visible_key(problem: DecodeProblem, length: int) -> int:
    return length if problem.right < 0 else max(0, min(length, length + problem.right))


def iter_lines(problem: DecodeProblem, block: int) -> list[DecodeLine]:
    """The key tiles of every sequence and head, in that order."""
    lines: list[DecodeLine] = []
    for sequence, length in enumerate(problem.lengths):
        first = first_visible_key(problem, length) // block
        last = ceil_div(last_visible_key(problem, length), block)
        lines += [DecodeLine(sequence, head, first, max(last, first)) for head in range(problem.kv_heads)]
    return lines


def choose_splits(problem: DecodeProblem, target: Target, block: int) -> int:
    """Enough programs to fill the machine about once, each with at least two key tiles."""
    pairs = len(problem.lengths) * problem.kv_heads
    longest = max((ceil_div(length, block) for length in problem.lengths), default=1)
    return max(1, min(ceil_div(2 * target.sm_count, max(1, pairs)), longest // 2, 128))


def split_spans(problem: DecodeProblem, target: Target, block: int) -> tuple[CacheSpan, ...]:
    splits = problem.splits or choose_splits(problem, target, block)
    spans: list[CacheSpan] = []
    for line in iter_lines(problem, block):
        length = problem.lengths[line.sequence]
        per_split = ceil_div(max(1, line.last - line.first), splits)
        for start in range(line.first, max(line.last, line.first + 1), per_split):
            end = min(start + per_split, line.last) * block
            spans.append(CacheSpan(len(spans), line.sequence, line.head, start * block, min(end, length)))
    return tuple(spans)


def stream_k_spans(problem: DecodeProblem, target: Target, block: int) -> tuple[CacheSpan, ...]:
    lines = iter_lines(problem, block)
    total = sum(line.last - line.first for line in lines)
    programs = max(1, min(problem.splits or 2 * target.sm_count, total))
    spans: list[CacheSpan] = []
    position = 0  # key tiles before the current one, over all lines
    for line in lines:
        length = problem.lengths[line.sequence]
        start = line.first
        if start == line.last:  # nothing to read: an empty span still records that the result is zero
            program = spans[-1].program if spans else 0
            spans.append(CacheSpan(program, line.sequence, line.head, start * block, start * block))
        while start < line.last:
            program = position * programs // total
            # The first position that belongs to the next program.
            boundary = ceil_div((program + 1) * total, programs)
            end = min(line.last, start + boundary - position)
            spans.append(CacheSpan(program, line.sequence, line.head, start * block, min(end * block, length)))
            position += end - start
            start = end
    return tuple(spans)


def decode_configuration(problem: DecodeProblem, target: Target) -> Configuration:
    padded = next_power_of_two(max(problem.head_size, problem.value_size), 16)
    cut = configuration_of(target.architecture, "attention_decode", problem.dtype, padded)
    return cut._replace(block_m=next_power_of_two(problem.rows, 16))


def span_tile(problem: DecodeProblem, cut: Configuration, keys: int) -> Tile:
    item = ITEM_BYTES[problem.dtype]
    steps = ceil_div(keys, cut.block_n)
    points = steps * cut.block_m * cut.block_n
    head, value = next_power_of_two(problem.head_size, 16), next_power_of_two(problem.value_size, 16)
    work = Work(
        private_read_bytes=keys * (problem.head_size + problem.value_size) * item
        + problem.rows * problem.head_size * item
        + (4 * keys if problem.page_size else 0),
        write_bytes=problem.rows * (problem.value_size + 1) * 4,
        tensor_flops=2 * points * (head + value),
        exp_count=points * (3 if problem.has_softcap else 1) + (steps + 2) * cut.block_m,
        fp32_count=points * (12 if problem.has_softcap else 6) + (steps + 1) * cut.block_m * value,
        # Few rows: the warps divide the keys, so that each is read once.
        operand_bytes=steps * item * (cut.block_m * head + cut.block_n * (head + value)),
    )
    fraction = 1 - problem.rows * keys / points if points else 0.0
    return Tile(work, 1, steps, steps, fraction)


def merge_tile(problem: DecodeProblem, spans: int) -> Tile:
    """One query row: its partial outputs and their log-sum-exps in, the output out."""
    value = next_power_of_two(problem.value_size, 16)
    padded = ceil_div(spans, MERGE_SPANS) * MERGE_SPANS
    work = Work(
        private_read_bytes=spans * (problem.value_size + 1) * 4,
        write_bytes=problem.value_size * ITEM_BYTES[problem.dtype] + 4,
        exp_count=padded + 3,
        fp32_count=padded * (value + 3),
    )
    return Tile(work, problem.rows, ceil_div(spans, MERGE_SPANS))


def plan_decode(
    problem: DecodeProblem, target: Target, cut: Configuration | None = None
) -> tuple[LaunchPlan, LaunchPlan]:
    """The split launch and the merge launch."""
    cut = cut or decode_configuration(problem, target)
    cutter = stream_k_spans if problem.is_stream_k else split_spans
    spans = cutter(problem, target, cut.block_n)
    item = ITEM_BYTES[problem.dtype]
    sizes = problem.head_size + problem.value_size
    keys = sum(span.last_key - span.first_key for span in spans)
    rows = len(problem.lengths) * problem.kv_heads * problem.rows
    programs = [tuple(group) for _, group in groupby(spans, key=lambda span: span.program)]
    lengths = {span.last_key - span.first_key for span in spans}
    by_length = {length: span_tile(problem, cut, length) for length in lengths}
    tiles = [join_tiles([by_length[span.last_key - span.first_key] for span in group]) for group in programs]
    split = LaunchPlan(
        operator="attention_decode_split",
        grid=(len(programs), 1, 1),
        configuration=cut,
        tiles=merge_runs(tiles),
        target=target,
        # Few rows take HMMA, whose pipeline holds one stage less than it is given.
        shared_bytes=(cut.block_m * next_power_of_two(problem.head_size, 16) + cut.block_n * max(1, cut.stages - 1) * (
            next_power_of_two(problem.head_size, 16) + next_power_of_two(problem.value_size, 16))) * item,
        useful_flops=2 * problem.rows * keys * sizes,
        unique_bytes=keys * sizes * item + rows * problem.head_size * item
        + len(spans) * problem.rows * (problem.value_size + 1) * 4,
        is_streaming=True,
        table=spans,
    )  # fmt: skip
    per_head = [len(tuple(group)) for _, group in groupby(spans, key=lambda span: (span.sequence, span.head))]
    by_count = {count: merge_tile(problem, count) for count in set(per_head)}
    merge = LaunchPlan(
        operator="attention_decode_merge",
        grid=(problem.rows, len(per_head), 1),
        configuration=Configuration(1, MERGE_SPANS),
        tiles=merge_runs([by_count[count] for count in per_head]),
        target=target,
        unique_bytes=len(spans) * problem.rows * (problem.value_size + 1) * 4 + rows * (problem.value_size * item + 4),
    )
    return split, merge


def join_tiles(tiles: list[Tile]) -> Tile:
    """One program that processes several spans one after another."""
    if len(tiles) == 1:
        return tiles[0]
    steps = sum(tile.steps for tile in tiles)
    weighted = sum(tile.masked_fraction * tile.steps for tile in tiles)
    return Tile(
        total_work(tile.work for tile in tiles),
        1,
        steps,
        sum(tile.masked_steps for tile in tiles),
        weighted / steps if steps else 0.0,
    )
