"""Memories that say what they hold: a buffer for weights, one for the other operands, one for sums."""

from pathlib import Path

import pytest

from sim import IllegalMapping, load_architecture, load_experiment, simulate
from tests.small_design import CASCADE, MACHINE, run, write_design

DESIGN = ["simulate", "./experiment.yaml"]
# W is the same for the whole batch, X is not; S is summed on the square array, T is a maximum and Z a quotient of the row.
WEIGHTED = CASCADE.replace("inputs: {X: [K, P], Y: [K, M]}", "inputs: {X: [K, P], Y: [K, M]}\nunbatched: [Y]")
BUFFERS = """\
  WEIGHTS: {kind: memory, parent: DRAM, row: 128 bit, holds: [weights], read_energy: 1 pJ, write_energy: 1 pJ, source: a test}
  SUMS: {kind: memory, parent: GLB, row: 128 bit, holds: [sums of SQUARE], read_energy: 1 pJ, write_energy: 1 pJ, source: a test}
  ROWS: {kind: memory, parent: GLB, row: 128 bit, holds: [operands of ROW, outputs], read_energy: 1 pJ, write_energy: 1 pJ, source: a test}
  GIVEN: {kind: memory, parent: GLB, row: 128 bit, holds: [inputs], read_energy: 1 pJ, write_energy: 1 pJ, source: a test}
"""
MAPPING = """\
name: buffered
cascade: cascade.yaml
tree:
  loops: [b, {p: 8}]
  keep: KEEP
  body:
    - {einsum: S, array: SQUARE, loops: [{m: 8}, k], spatial: {rows: m, columns: p}}
    - {einsum: T, array: ROW, loops: [m], spatial: {columns: p}}
    - {einsum: Z, array: ROW, loops: [m], spatial: {columns: p}}
schedule: {kind: sequential}
"""


@pytest.fixture
def design(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    (tmp_path / "cascade.yaml").write_text(WEIGHTED)
    (tmp_path / "machine.yaml").write_text(MACHINE + BUFFERS)
    return tmp_path


def keeping(keep: str) -> tuple[int, str]:
    Path("mapping.yaml").write_text(MAPPING.replace("KEEP", keep))
    status, _, err = run(DESIGN)
    return status, err.replace("warning: energy or area of 'GLB' is interpolated in its technology table\n", "")


@pytest.mark.parametrize(
    "keep", ["WEIGHTS: [Y]", "SUMS: [S]", "ROWS: [S, T, Z]", "GIVEN: [X, Y]", "GLB: [X, Y, S, T, Z]"]
)
def test_what_a_memory_is_there_for(keep: str, design: Path) -> None:
    assert keeping(f"{{{keep}}}") == (0, "")


@pytest.mark.parametrize(
    ("keep", "message"),
    [
        ("WEIGHTS: [X]", "'WEIGHTS' holds weights, and 'X' is an input"),
        ("WEIGHTS: [S]", "'WEIGHTS' holds weights, and 'S' is a result of SQUARE"),
        ("SUMS: [Y]", "'SUMS' holds sums of SQUARE, and 'Y' is a weight"),
        ("SUMS: [T]", "'SUMS' holds sums of SQUARE, and 'T' is a result of ROW"),
        ("ROWS: [X]", "'ROWS' holds operands of ROW and outputs, and 'X' is an input"),
        ("GIVEN: [Z]", "'GIVEN' holds inputs, and 'Z' is a result of ROW"),
    ],
)
def test_what_it_is_not_there_for(keep: str, message: str, design: Path) -> None:
    memory = keep.partition(":")[0]
    assert keeping(f"{{{keep}}}") == (1, f"mapping.yaml:5: $.tree.keep.{memory}[0]: {message}\n")


def test_registers_that_hold_sums_are_bypassed_by_the_rest(design: Path) -> None:
    machine = (MACHINE + BUFFERS).replace("per_pe_of: SQUARE", "per_pe_of: SQUARE\n    holds: [results of SQUARE]")
    Path("machine.yaml").write_text(machine)
    remedy = "list it under 'bypass' of Einsum 'S'"
    assert keeping("{}") == (
        1,
        f"mapping.yaml:7: $.tree.body[0]: 'RFS' holds results of SQUARE, and 'X' is an input: {remedy}\n"
        f"mapping.yaml:7: $.tree.body[0]: 'RFS' holds results of SQUARE, and 'Y' is a weight: {remedy}\n",
    )
    text = MAPPING.replace("SQUARE, loops", "SQUARE, bypass: [X, Y], loops").replace("KEEP", "{}")
    Path("mapping.yaml").write_text(text)
    assert run(DESIGN)[0] == 0


@pytest.mark.parametrize(
    ("holds", "message"),
    [
        (
            "[result of SQUARE]",
            "expected 'operands of ARRAY', 'results of ARRAY', 'sums of ARRAY', 'inputs', 'weights' or 'outputs', got "
            "'result of SQUARE' (did you mean 'results'?)",
        ),
        (
            "[weights of SQUARE]",
            "expected 'operands of ARRAY', 'results of ARRAY', 'sums of ARRAY', 'inputs', 'weights' or 'outputs', got "
            "'weights of SQUARE'",
        ),
        ("[sums of SQUAR]", "unknown array 'SQUAR' (did you mean 'SQUARE'?)"),
    ],
)
def test_phrases_are_checked(holds: str, message: str, design: Path) -> None:
    Path("machine.yaml").write_text((MACHINE + BUFFERS).replace("[sums of SQUARE]", holds))
    status, out, err = run(["check", "machine.yaml"])
    place = "holds" if "unknown" in message else "holds[0]"
    assert (status, out, err) == (1, f"machine.yaml:55: $.components.SUMS.{place}: {message}\n", "")


def test_what_is_held_survives_a_dump(design: Path) -> None:
    machine = load_architecture("machine.yaml")
    assert type(machine).model_validate(machine.model_dump(by_alias=True)) == machine
    dumped = {memory.name: memory.model_dump(by_alias=True).get("holds") for memory in machine.memories}
    assert dumped["ROWS"] == ("operands of ROW", "outputs")
    assert dumped["GLB"] is None


def test_the_staging_between_two_arrays_holds_no_operands_of_the_first() -> None:
    """Queries, keys and values in a memory that is cheap and close, which is there for what leaves the 2D array."""
    keep = {"mapping.tree.keep": {"GLB": ["RM", "RD", "RNV"], "STAGE": ["Q"]}}
    with pytest.raises(IllegalMapping) as caught:
        simulate(load_experiment("fusemax-binding", keep))
    assert (
        str(caught.value) == "--set: $.mapping.tree.keep.STAGE[0]: 'STAGE' holds results of PE2D, and 'Q' is an input"
    )
