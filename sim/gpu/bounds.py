"""Which problems of kernels can be planned: a plan lists every tile, so the number of tiles has a bound."""

from dataclasses import fields
from math import ceil

from kernels.plans import AttentionProblem, Configuration, DecodeProblem, GemmProblem, StreamProblem
from kernels.plans.problems import (
    BlockSparseProblem,
    DeltaRuleProblem,
    LinearAttentionProblem,
    Problem,
    RationalProblem,
    RecurrentAttentionProblem,
    RowProblem,
    UnfusedAttentionProblem,
)

LARGEST = 2**40  # of any size; products stay far from the limits of numbers
MOST_TILES = 2**18  # of one launch; planning so many takes one to two seconds of a processor
MOST_BLOCKS = 2**16  # of one sequence, which may all differ: 4 million tokens
MOST_GROUPS = 2**24  # of launches whose tiles are alike and counted
# Fields of problems that are sizes; others have numbers that mean something else, such as -1 for no limit.
_SIZES = frozenset((
    "batch", "heads", "kv_heads", "queries", "keys", "head_size", "value_size", "key_size", "rows", "columns", "depth",
    "size", "length", "groups",
))  # fmt: skip
# Numbers of a configuration: from, to.
_RANGES = {
    "block_m": (16, 4096),
    "block_n": (16, 4096),
    "block_k": (0, 4096),
    "warps": (1, 64),
    "stages": (1, 64),
    "registers": (0, 4096),
    "cluster": (1, 64),
}
_TILE = 64
_PART = 16  # tokens of a tile of linear attention
_STREAM = 1024


def check_size(problem: Problem, is_backward: bool = False, cut: Configuration | None = None) -> None:
    """ValueError for a problem with a size beyond any tensor, or with more tiles than can be planned. Tiles are of
    64 x 64, unless the blocks of `cut` are smaller.
    """
    block = (min(_TILE, cut.block_m), min(_TILE, cut.block_n)) if cut else (_TILE, _TILE)
    if isinstance(problem, UnfusedAttentionProblem):
        _check_fields(problem.attention)
    _check_fields(problem)
    if isinstance(problem, AttentionProblem):
        _check_blocks(problem, is_backward, block[0])
    tiles, most = _tiles_of(problem, is_backward, block)
    if tiles > most:
        raise ValueError(f"about {tiles:,} tiles, at most {most:,} can be planned")


def _check_fields(problem: Problem) -> None:
    for field in fields(problem):
        value = getattr(problem, field.name)
        largest = max(map(abs, _whole_numbers(value)), default=0)
        if field.name in _SIZES and value < 1:
            raise ValueError(f"'{field.name}' is {value}, expected at least 1")
        if largest > LARGEST:
            raise ValueError(f"'{field.name}' is larger than {LARGEST}")


def _check_blocks(problem: AttentionProblem, is_backward: bool, block: int) -> None:
    """Every block of a sequence is planned by itself, and under a mask has work of its own."""
    blocks = max(ceil(_along(*segment, is_backward) / block) for segment in problem.segments)
    if blocks > MOST_BLOCKS:
        raise ValueError(f"about {blocks:,} blocks of a sequence, at most {MOST_BLOCKS:,} can be planned")


def _along(queries: int, keys: int, is_backward: bool) -> int:
    """The longer side that a launch cuts into tiles: the backward has one for either side."""
    return max(queries, keys) if is_backward else queries


def check_configuration(cut: Configuration) -> None:
    """ValueError for a tiling that no kernel has."""
    for name, (least, most) in _RANGES.items():
        value = getattr(cut, name)
        if not least <= value <= most:
            raise ValueError(f"'{name}' is {value}, expected {least} to {most}")


def _tiles_of(problem: Problem, is_backward: bool, block: tuple[int, int]) -> tuple[int, int]:
    """About how many tiles a problem has, and how many it may have."""
    match problem:
        case AttentionProblem():
            along = _along(problem.queries, problem.keys, is_backward)
            return problem.batch * problem.heads * ceil(along / block[0]), MOST_TILES
        case UnfusedAttentionProblem(attention):
            heads = attention.batch * attention.heads
            scores = ceil(attention.queries / _TILE) * ceil(attention.keys / _TILE)
            return heads * max(attention.queries, scores), MOST_GROUPS
        case BlockSparseProblem():
            return problem.batch * problem.heads * ceil(problem.queries / problem.block_size), MOST_TILES
        case DecodeProblem():
            return len(problem.lengths) * problem.kv_heads * max(1, problem.splits), MOST_TILES
        case GemmProblem():
            return problem.batch * ceil(problem.rows / block[0]) * ceil(problem.columns / block[1]), MOST_TILES
        case LinearAttentionProblem():
            across = ceil(problem.value_size / _TILE)
            return problem.batch * problem.heads * ceil(problem.length / _PART) * across, MOST_TILES
        case RecurrentAttentionProblem() | DeltaRuleProblem():
            along = max(ceil(problem.length / _TILE), ceil(problem.value_size / _TILE))
            return problem.batch * problem.heads * along, MOST_TILES
        case StreamProblem():
            return ceil(problem.size / _STREAM), MOST_GROUPS
        case RationalProblem():
            return ceil(problem.rows / _TILE) * max(problem.groups, ceil(problem.columns / _TILE)), MOST_GROUPS
        case RowProblem():
            return max(problem.rows, ceil(problem.rows / _TILE) * ceil(problem.columns / _TILE)), MOST_GROUPS


def _whole_numbers(value: object) -> list[int]:
    """The whole numbers of a field: itself, or all in a list of lists."""
    if isinstance(value, tuple):
        return [number for part in value for number in _whole_numbers(part)]
    return [value] if isinstance(value, int) else []
