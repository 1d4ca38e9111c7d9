"""Measured kernels as cases: a problem, how it was run, on which machine, and the time it took.

Published cases are rows of `kernels/published/cases.csv`; `split.csv` lists those that constants may be fitted to.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from arch.quantity import LEAST, MOST, quoted
from einsums.names import near_or_all
from kernels.plans import AttentionProblem, Configuration, DecodeProblem, GemmProblem, StreamProblem
from kernels.plans.problems import UNLIMITED, Problem
from kernels.plans.types import ITEM_BYTES, Dtype
from sim.gpu.bounds import LARGEST, MOST_TILES, check_size
from sim.load.nouns import CATALOGS, read_table
from sim.load.problems import InputError, InputProblem

PUBLISHED = Path(__file__).resolve().parents[2] / "kernels" / "published"
Role = Literal["calibration", "held-out"]
METRICS = ("tflops", "gbs", "ms")
MASKS = {"full": UNLIMITED, "causal": 0}
BACKWARD_FLOPS = 2.5  # times the forward's, the convention of the published benchmarks
SPLITS_OF_PUBLISHED_DECODE = 22  # flash-attention pull request 1236


@dataclass(frozen=True, slots=True)
class GpuCase:
    """A problem on the machine that it was measured on.

    `family` groups cases that are judged together, `series` names the kernel in a drawing; `configuration` overrides
    the implementation's tiling.
    """

    name: str
    family: str
    role: Role
    machine: str
    implementation: str
    problem: Problem
    is_backward: bool
    measured_s: float
    useful_flops: float
    compulsory_bytes: float
    source: str
    series: str = ""
    configuration: Configuration | None = None


COLUMNS = (
    "case", "source", "kind", "machine", "implementation", "operator", "dtype", "batch", "heads", "kv_heads", "queries",
    "keys", "head_size", "mask", "metric", "value",
)  # fmt: skip


def load_published() -> tuple[GpuCase, ...]:
    """Every published case, in the order of the file; InputError for an invalid row."""
    roles = {row["case"]: row["role"] for row in read_table(PUBLISHED / "split.csv")}
    return load_table(PUBLISHED / "cases.csv", roles)


def load_table(path: Path, roles: dict[str, str] | None = None) -> tuple[GpuCase, ...]:
    """Cases from a table with the same columns; all are held out if no roles are given."""
    rows = read_table(path)
    missing = [name for name in COLUMNS if not rows or name not in rows[0]]
    if missing:
        raise InputError(
            [InputProblem(str(path), 1, "", f"expected the columns {', '.join(COLUMNS)}: no '{missing[0]}'")]
        )
    cases: list[GpuCase] = []
    problems: list[InputProblem] = []
    for number, row in enumerate(rows, start=2):
        try:
            cases.append(_case_of(row, roles if roles is not None else {row["case"]: "held-out"}))
        except ValueError as error:
            problems.append(InputProblem(str(path), number, "", str(error)))
    if problems:
        raise InputError(problems)
    return tuple(cases)


def _case_of(row: dict[str, str], roles: dict[str, str]) -> GpuCase:
    if roles.get(row["case"]) not in get_args(Role):
        raise ValueError(f"'{row['case']}' is neither calibration nor held-out in split.csv")
    CATALOGS["architecture"].find(row["machine"])  # a ValueError that names this row
    role: Role = "calibration" if roles[row["case"]] == "calibration" else "held-out"
    problem, flops, moved = _problem_of(row)
    is_backward = row["operator"].endswith("_bwd")
    check_size(problem, is_backward)
    value = _number(row["value"])
    match row["metric"]:
        case "tflops":
            measured_s = flops / value / 1e12
        case "gbs":
            measured_s = moved / value / 1e9
        case "ms":
            measured_s = value / 1e3
        case other:
            raise ValueError(f"unknown metric '{other}'{near_or_all(other, METRICS)}")
    return GpuCase(
        row["case"], _family_of(row), role, row["machine"], row["implementation"], problem, is_backward, measured_s,
        flops, moved, row["source"], row["implementation"],
    )  # fmt: skip


def _family_of(row: dict[str, str]) -> str:
    if row["kind"] == "disputed":
        return "disputed"
    return f"{row['operator']}_fp8" if row["dtype"] == "fp8" else row["operator"]


def _problem_of(row: dict[str, str]) -> tuple[Problem, float, float]:
    """The problem, operations by the published convention, and the bytes of its operands and results."""
    sizes = [_count(row[key]) for key in ("batch", "heads", "kv_heads", "queries", "keys", "head_size")]
    batch, heads, kv_heads, queries, keys, size = sizes
    dtype = _dtype(row["dtype"])
    item = ITEM_BYTES[dtype]
    match row["operator"]:
        case "attention_fwd" | "attention_bwd":
            if row["mask"] not in MASKS:
                raise ValueError(f"unknown mask '{row['mask']}'{near_or_all(row['mask'], MASKS)}")
            attention = AttentionProblem(
                batch, heads, kv_heads, queries, keys, size, size, dtype, right=MASKS[row["mask"]]
            )
            flops = 4.0 * batch * heads * size * _visible_pairs(row["mask"], queries, keys)
            moved = 2.0 * batch * (heads * queries + kv_heads * keys) * size * item
            if row["operator"] == "attention_bwd":
                return attention, BACKWARD_FLOPS * flops, 2 * moved
            return attention, flops, moved
        case "attention_decode":
            if batch > MOST_TILES:
                raise ValueError(f"expected a batch of at most {MOST_TILES}, got {batch}")
            decode = DecodeProblem(
                (keys,) * batch, heads, kv_heads, queries, size, size, dtype, splits=SPLITS_OF_PUBLISHED_DECODE
            )
            return decode, 4.0 * batch * heads * queries * keys * size, 2.0 * batch * kv_heads * keys * size * item
        case "gemm":
            moved = (queries * size + keys * size + queries * keys) * item
            return GemmProblem(queries, keys, size, dtype), 2.0 * queries * keys * size, float(moved)
        case "stream_copy":
            return StreamProblem("stream_copy", queries, dtype), 0.0, 2.0 * queries * item
        case other:
            known = ("attention_fwd", "attention_bwd", "attention_decode", "gemm", "stream_copy")
            raise ValueError(f"unknown operator '{other}'{near_or_all(other, known)}")


def _visible_pairs(mask: str, queries: int, keys: int) -> float:
    """By the convention of published rates: a triangle is half a square, without its diagonal. The last query sees the
    last key, so queries see all the keys that come before their own; queries before the first key see none."""
    if mask == "full":
        return float(queries) * keys
    square = min(queries, keys)
    return square * (keys - square) + square * square / 2


def _dtype(text: str) -> Dtype:
    for known in get_args(Dtype):
        if text == known:
            found: Dtype = known
            return found
    raise ValueError(f"unknown dtype '{text}'{near_or_all(text, get_args(Dtype))}")


def _count(text: str) -> int:
    is_short = text.isdecimal() and len(text) <= len(str(LARGEST))
    if is_short and 1 <= int(text) <= LARGEST:
        return int(text)
    wanted = f"at most {LARGEST}" if text.isdecimal() and text.strip("0") else "at least 1"
    raise ValueError(f"expected a whole number of {wanted}, got {quoted(text)}")


def _number(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not LEAST <= value <= MOST:
        raise ValueError(f"expected a positive number, got {quoted(text)}")
    return value
