"""Which problems of kernels can be planned: a plan lists every tile, so the number of tiles has a bound."""

from dataclasses import fields
from math import ceil

from kernels.plans import AttentionProblem, Configuration, DecodeProblem, GemmProblem, StreamProblem
from kernels.plans.problems import LinearAttentionProblem, Problem, RowProblem

LARGEST = 2**40  # of any size; products stay far from the limits of numbers
MOST_TILES = 2**18  # of one launch; planning so many takes a few seconds
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
_STREAM = 1024


def check_size(problem: Problem) -> None:
    """ValueError for a problem with a size beyond any tensor, or with more tiles than can be planned."""
    for field in fields(problem):
        value = getattr(problem, field.name)
        largest = max(map(abs, _whole_numbers(value)), default=0)
        if field.name in _SIZES and value < 1:
            raise ValueError(f"'{field.name}' is {value}, expected at least 1")
        if largest > LARGEST:
            raise ValueError(f"'{field.name}' is larger than {LARGEST}")
    tiles, most = _tiles_of(problem)
    if tiles > most:
        raise ValueError(f"about {tiles:,} tiles, at most {most:,} can be planned")


def check_configuration(cut: Configuration) -> None:
    """ValueError for a tiling that no kernel has."""
    for name, (least, most) in _RANGES.items():
        value = getattr(cut, name)
        if not least <= value <= most:
            raise ValueError(f"'{name}' is {value}, expected {least} to {most}")


def _tiles_of(problem: Problem) -> tuple[int, int]:
    """About how many tiles of 64 x 64 a problem has, and how many it may have."""
    match problem:
        case AttentionProblem():
            return problem.batch * problem.heads * ceil(problem.queries / _TILE), MOST_TILES
        case DecodeProblem():
            return len(problem.lengths) * problem.kv_heads * max(1, problem.splits), MOST_TILES
        case GemmProblem():
            return problem.batch * ceil(problem.rows / _TILE) * ceil(problem.columns / _TILE), MOST_TILES
        case LinearAttentionProblem():
            return problem.batch * problem.heads * ceil(problem.length / _TILE), MOST_TILES
        case StreamProblem():
            return ceil(problem.size / _STREAM), MOST_GROUPS
        case RowProblem():
            return problem.rows, MOST_GROUPS
    return 1, MOST_TILES


def _whole_numbers(value: object) -> list[int]:
    """The whole numbers of a field: itself, or all in a list of lists."""
    if isinstance(value, tuple):
        return [number for part in value for number in _whole_numbers(part)]
    return [value] if isinstance(value, int) else []
