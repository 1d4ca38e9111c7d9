"""Do the benchmarks still run? Each one's quick form, without a word about its speed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.small_design import HANGS_S

ROOT = Path(__file__).resolve().parent.parent
SCRIPTS = sorted((ROOT / "benchmarks").glob("*.py"))


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_quick_run(script):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    run = subprocess.run(
        [sys.executable, script, "--quick"], capture_output=True, text=True, env=environment, timeout=HANGS_S
    )
    assert run.returncode == 0, run.stderr
    assert any(character.isdigit() for character in run.stdout)


def test_the_table_of_the_documents_is_what_the_engine_says():
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, ROOT / "benchmarks" / "cycle_engine.py", "--table"]
    run = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=HANGS_S, check=True)
    assert run.stdout.strip() in (ROOT / "docs" / "cycle-validation.md").read_text("utf-8")


def test_there_are_benchmarks():
    assert [script.stem for script in SCRIPTS][:1] != []
