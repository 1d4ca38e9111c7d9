"""How many files does a contribution touch? Each test makes one on a copy of the rooms, and uses it there."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("einsums", "arch", "mappings", "sim", "kernels")


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the rooms that can be changed."""
    for room in ROOMS:
        shutil.copytree(ROOT / room, tmp_path / room, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def edited(path: Path, before: str, added: str) -> None:
    """The only edit: text before the first place where `before` stands."""
    text = path.read_text("utf-8")
    assert before in text
    path.write_text(text.replace(before, added + before, 1), "utf-8")


def einfuse(checkout: Path, *arguments: str) -> str:
    """What the changed command prints; it must succeed."""
    command = [sys.executable, "-m", "sim", *arguments]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# `a @@ b`: the root of the sum of squares, as tightly binding as a sum, which for lengths grows with both.
ROW = """\
    Operator("hypot", 2, Notation("@@", 5, _L), "rsqrt", np.hypot, _FP64, _E.INCREASING, "torch.hypot", None),
"""
CASCADE = """\
name: lengths
ranks: {N: position}
inputs: {X: [N]}
outputs: [Z]
einsums: |
  A[n] = abs(X[n])
  Y[n] = A[n] @@ 2 * A[n] @@ 1
  Z[]  = Y[n] :: max(n)
"""
PROGRAM = """\
import numpy as np
from einsums import Workload, interpret, operation_counts
from sim import load_cascade
cascade = load_cascade("lengths.yaml")
print(*cascade.einsums, sep="; ")
counts = operation_counts(Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": {"N": 3}}))
print(*(f"{count.einsum} {count.operator} {count.count}" for count in counts), sep="; ")
print(interpret(cascade, {"X": np.array([2.0, -1.0])})["Z"])
"""


def test_an_operator_is_one_row(checkout: Path) -> None:
    """Parsed, printed, counted, interpreted, run in fp64 and bf16 within its bound, and run in torch."""
    pytest.importorskip("torch")
    edited(checkout / "einsums" / "operators.py", ")  # fmt: skip\n\nREDUCERS", ROW)
    (checkout / "lengths.yaml").write_text(CASCADE)
    done = subprocess.run([sys.executable, "-c", PROGRAM], cwd=checkout, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    einsums, counts, value = done.stdout.splitlines()
    assert einsums == "A[n] = abs(X[n]); Y[n] = A[n] @@ 2 * A[n] @@ 1; Z[] = Y[n] :: max(n)"
    assert counts == "A abs 3; Y mul 3; Y hypot 6; Z max 3"
    assert float(value) == pytest.approx((2**2 + 4**2 + 1**2) ** 0.5, rel=1e-15)
    precisions = ("--precision", "fp64", "--precision", "bf16")
    out = einfuse(checkout, "verify", "lengths.yaml", *precisions, "--backend", "torch")
    # three tensors on five sets of inputs in two precisions, by the engine and by torch
    assert "pass: 60 comparisons, " in out
