"""How many files does a contribution touch? Each test makes one on a copy of the rooms, and uses it there."""

import csv
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim import load_experiment, simulate

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


def ran(checkout: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The changed command, run. Loops run as they are: compiling a copy takes longer."""
    command, plain = [sys.executable, "-m", "sim", *arguments], {**os.environ, "NUMBA_DISABLE_JIT": "1"}
    return subprocess.run(command, cwd=checkout, env=plain, capture_output=True, text=True, check=False)


def einfuse(checkout: Path, *arguments: str) -> str:
    """What the changed command prints; it must succeed."""
    done = ran(checkout, *arguments)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def documented_changes(title: str) -> list[tuple[str, str, str]]:
    """The changes that a section of docs/contributing.md shows: file, text before, text after."""
    section = (
        (ROOT / "docs" / "contributing.md").read_text("utf-8").partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    )
    changes = []
    for file, body in re.findall(r"^```diff\n--- a/(\S+)\n\+\+\+ b/\S+\n(.*?)^```$", section, re.MULTILINE | re.DOTALL):
        lines = body.splitlines(keepends=True)
        before, after = ("".join(line[1:] for line in lines if line[0] in marks) for marks in (" -", " +"))
        changes.append((file, before, after))
    return changes


def apply(checkout: Path, changes: list[tuple[str, str, str]]) -> None:
    for file, before, after in changes:
        text = (checkout / file).read_text("utf-8")
        assert text.count(before) == 1, (file, before)
        (checkout / file).write_text(text.replace(before, after), "utf-8")


SWEEP = """\
name: wires
experiment: fusemax-binding
fixed: {model: BERT, seq_len: 1024}
axes:
  wire: {path: architecture.components.GLB.wire_energy, values: [0, 12], unit: pJ}
  registers: {path: architecture.components.RF2D.wire_energy, values: [1 pJ]}
objectives: [{minimize: energy_pj}]
record: [all]
"""


def test_a_number_of_a_memory_is_a_row_and_a_formula(checkout: Path) -> None:
    changes = documented_changes("A number of a memory")
    assert {file for file, _, _ in changes} == {"arch/components.py", "sim/lower/machine.py"}
    apply(checkout, changes)
    wired = ("--set", "architecture.components.GLB.wire_energy=12 pJ")
    wired += ("--set", "architecture.components.RF2D.wire_energy=1 pJ")
    design = ("simulate", "fusemax-binding", "--set", "seq_len=1024", "--json")
    before = simulate(load_experiment("fusemax-binding", seq_len=1024))
    assert json.loads(einfuse(checkout, *design)) == before.to_json()  # the hash included
    after = json.loads(einfuse(checkout, *design, *wired))
    machine = before.experiment.architecture
    charged = {"GLB": 12.0, "RF2D": 1.0 / machine.array("PE2D").pes}  # one register file of all is charged
    for name, more in {memory.name: charged.get(memory.name, 0.0) for memory in machine.memories}.items():
        rows = sum(before.traffic_bytes[name].values()) * 8 / machine.memory(name).row_bits
        moved = after["energy_by_component_pj"][name] - before.energy_by_component_pj[name]
        assert moved == pytest.approx(rows * more, rel=1e-9), name
    cycles = json.loads(einfuse(checkout, *design, *wired, "--engine", "cycle"))
    assert cycles["energy_by_component_pj"] == after["energy_by_component_pj"]
    (checkout / "wires.yaml").write_text(SWEEP)
    einfuse(checkout, "sweep", "wires.yaml", "--out", "out", "--workers", "1")
    with (checkout / "out" / "points.csv").open(encoding="utf-8") as file:
        points = list(csv.DictReader(file))
    assert [float(point["energy_pj.GLB"]) for point in points] == [
        before.energy_by_component_pj["GLB"],
        after["energy_by_component_pj"]["GLB"],
    ]
    assert float(points[1]["energy_pj"]) == after["energy_pj"]


def documented(heading: str) -> str:
    """The code of a section of docs/contributing.md."""
    text = (ROOT / "docs" / "contributing.md").read_text("utf-8")
    section = text.split(f"## {heading}\n")[1].split("\n## ")[0]
    (code,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    return code


def test_a_command_is_a_module_and_a_name(checkout: Path) -> None:
    (checkout / "sim" / "commands" / "power.py").write_text(documented("A command"), "utf-8")
    edited(checkout / "sim" / "__main__.py", '    "check",\n', '    "power",\n')
    result = simulate(load_experiment("fusemax-binding", seq_len=4096))
    wanted = f"{result.energy_pj * 1e-12 / result.latency_s:.4g} W\n"
    assert einfuse(checkout, "power", "fusemax-binding", "--set", "seq_len=4096") == wanted
    assert re.search(
        r"^  power +Mean power of one design point, in watts\.$", einfuse(checkout, "--help"), re.MULTILINE
    )
    wrong = ran(checkout, "power", "./none.yaml")
    assert (wrong.returncode, wrong.stdout, wrong.stderr) == (2, "", "none.yaml: no such file\n")


RESULTS = """\
figure,model,seq_len,design,kernel,metric,value,unit,einsum,accounting
1,BERT,1024,slow,both,latency_s,8.0,s,,only
1,BERT,1024,fast,both,latency_s,2.0,s,,only
1,BERT,1024,slow,both,energy_pj,6.0,pJ,,only
1,BERT,1024,fast,both,energy_pj,3.0,pJ,,only
"""


def test_a_chart_is_a_function_in_one_file(checkout: Path) -> None:
    charts = checkout / "sim" / "report" / "reproduction" / "charts.py"
    edited(charts, "# In the order of the page", documented("A chart") + "\n\n")
    edited(charts, "_roof)\n", "_product, ")
    folder = checkout / "out"
    folder.mkdir()
    (folder / "results.csv").write_text(RESULTS, "utf-8")
    einfuse(checkout, "plot", "out")
    page = (folder / "charts.html").read_text("utf-8")
    assert "<b>both: energy times time.</b> Relative to slow; below 1 is better." in page
    drawing = (folder / "figures" / "product-both.svg").read_text("utf-8")
    assert "<!-- 1.00 -->" in drawing and "<!-- 0.12 -->" in drawing  # of 48 and 6


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
