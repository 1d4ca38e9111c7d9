"""The grid of tile configurations that the tuner tries, the rules they must obey, and the text of the table.

Rules of stock Triton on Hopper (known from compiling, without timing): warps are specialised only with descriptors made
on the device, in a single loop and with four warps; the two loops of a masked kernel are not specialised; head sizes
above 128 leave no shared memory for it. Standard library only.
"""

from collections.abc import Iterator
from itertools import product

from kernels.plans.attention import plan_forward, plan_key_gradients, plan_query_gradients
from kernels.plans.configurations import ANY, FULL, HALF, TABLE, TunedRow
from kernels.plans.decode import plan_decode
from kernels.plans.problems import AttentionProblem, DecodeProblem, GemmProblem, Problem
from kernels.plans.products import plan_gemm
from kernels.plans.types import Configuration, Dtype, LaunchPlan, Target

LENGTH, SHORT = 4096, 256
MOST_SPECIALISED_SIZE = 128
# Operator: block_m, block_n, block_k, warps and stages that are combined.
GRID: dict[str, tuple[tuple[int, ...], ...]] = {
    "attention_fwd": ((64, 128), (32, 64, 128), (0,), (4, 8), (2, 3)),
    "attention_bwd_dkv": ((64, 128), (32, 64), (0,), (4, 8), (1, 2, 3)),
    "attention_bwd_dq": ((64, 128), (32, 64), (0,), (4, 8), (1, 2, 3)),
    "attention_decode": ((16,), (32, 64, 128), (0,), (4, 8), (2, 3, 4)),
    "gemm": ((64, 128), (128, 256), (32, 64), (4, 8), (3, 4)),
}
TUNED = ("block_m", "block_n", "block_k", "warps", "stages", "uses_tma", "is_specialised")
WIDTH = 120  # of a line of the table's source
NAMES_OF_DTYPES = {HALF: "HALF", FULL: "FULL", ANY: "ANY"}


def is_allowed(row: TunedRow, cut: Configuration) -> bool:
    """Whether a configuration obeys the rules of its row's machine and kernel."""
    if cut.uses_tma and row.architecture != "sm90":
        return False
    if not cut.is_specialised:
        return True
    is_plain_forward = row.operator == "attention_fwd" and row.is_masked is False
    return is_plain_forward and cut.uses_tma and cut.warps == 4 and row.head_size <= MOST_SPECIALISED_SIZE


def rows_to_tune(architecture: str, operators: tuple[str, ...] = ()) -> tuple[TunedRow, ...]:
    """Rows of 16-bit operators that have a grid, in the order of the table."""
    return tuple(
        row
        for row in TABLE
        if row.architecture == architecture
        and row.operator in (operators or tuple(GRID))
        and row.operator in GRID
        and set(HALF) <= set(row.dtypes)
    )


def iter_candidates(row: TunedRow, target: Target) -> Iterator[Configuration]:
    """Candidates for a row: the table's own first, then the grid as far as rules and shared memory allow."""
    yield row.configuration
    has_tma = row.configuration.uses_tma
    for block_m, block_n, block_k, warps, stages in product(*GRID[row.operator]):
        for is_specialised in (False, True):
            # Whatever does not depend on tiles (such as a separate masked loop) is kept from the row.
            tiles = Configuration(block_m, block_n, block_k, warps, stages, has_tma, is_specialised)
            cut = row.configuration._replace(registers=0, **{name: getattr(tiles, name) for name in TUNED})
            is_new = cut != row.configuration._replace(registers=0)
            if is_new and is_allowed(row, cut) and fits(row, cut, target):
                yield cut


def fits(row: TunedRow, cut: Configuration, target: Target) -> bool:
    """Whether its shared memory fits; the length does not matter."""
    try:
        plan_with(row, problem_of(row, SHORT), target, cut)
    except ValueError:  # from the plan: more shared memory than available
        return False
    return True


def problem_of(row: TunedRow, length: int = LENGTH) -> Problem:
    """The problem that a row is timed on: eight thousand tokens or more, enough to fill the machine."""
    dtype: Dtype = "bf16"
    size = row.head_size
    match row.operator:
        case "gemm":
            return GemmProblem(2 * length, 2 * length, 2 * length, dtype)
        case "attention_decode":
            return DecodeProblem((8 * length,) * 8, 16, 2, 1, size, size, dtype)
    heads = max(1, 2048 // size)
    return AttentionProblem(
        4, heads, heads, length, length, size, size, dtype, right=-1 if row.is_masked is False else 0
    )


def plan_with(row: TunedRow, problem: Problem, target: Target, cut: Configuration) -> tuple[LaunchPlan, ...]:
    """The launches of the row's operator in this configuration."""
    match problem:
        case AttentionProblem() if row.operator == "attention_fwd":
            return (plan_forward(problem, target, cut),)
        case AttentionProblem() if row.operator == "attention_bwd_dkv":
            return (plan_key_gradients(problem, target, cut),)
        case AttentionProblem() if row.operator == "attention_bwd_dq":
            return (plan_query_gradients(problem, target, cut),)
        case DecodeProblem():
            return plan_decode(problem, target, cut)
        case GemmProblem():
            return (plan_gemm(problem, target, cut),)
    raise AssertionError(row.operator)


def row_text(row: TunedRow) -> str:
    """A row as in the table's source: tiles as positional arguments, the rest by name, without trailing defaults."""
    fields, defaults = Configuration._fields, Configuration._field_defaults
    by_place = len(TUNED) + 1
    values = list(row.configuration[:by_place])
    while len(values) > 2 and values[-1] == defaults.get(fields[len(values) - 1]):
        values.pop()
    written = [repr(value) for value in values]
    named = zip(fields[by_place:], row.configuration[by_place:], strict=True)
    written += [f"{name}={value!r}" for name, value in named if value != defaults[name]]
    parts = [f'"{row.architecture}"', f'"{row.operator}"', NAMES_OF_DTYPES[row.dtypes]]
    parts += [repr(row.head_size), repr(row.is_masked), f"Configuration({', '.join(written)})"]
    line = f"    TunedRow({', '.join(parts)}),\n"
    if len(line.rstrip()) <= WIDTH:
        return line
    return "    TunedRow(\n" + "".join(f"        {part},\n" for part in parts) + "    ),\n"


def rewrite_table(source: str, changes: dict[TunedRow, Configuration]) -> str:
    """The source of the table with only these rows replaced; ValueError if a row is not found exactly once."""
    for row, cut in changes.items():
        before = row_text(row)
        if source.count(before) != 1:
            raise ValueError(f"the table's source holds {source.count(before)} lines '{before.strip()}', expected one")
        source = source.replace(before, row_text(row._replace(configuration=cut)))
    return source
