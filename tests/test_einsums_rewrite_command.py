"""Does `einfuse rewrite` say and write what was derived?"""

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from einsums import count_passes, interpret
from sim.__main__ import app
from sim.commands.rewrite import cascade_yaml
from sim.load.nouns import load_cascade


def run(*arguments: str) -> tuple[int, str, str]:
    found = CliRunner().invoke(app, ["rewrite", *arguments])
    return found.exit_code, found.stdout, found.stderr


def test_derived_cascade_is_written_and_read_again(tmp_path: Path) -> None:
    path = tmp_path / "derived.yaml"
    status, text, _ = run("attention-3pass", "--passes", "1", "-o", str(path))
    assert status == 0
    assert text.startswith("attention-3pass: 3 passes over M, now 1 pass (wanted: at most 1)\n\n1. deferral: ")
    derived = load_cascade(str(path))
    assert derived.name == "attention-3pass-rewritten-1pass" and count_passes(derived, "M") == 1
    rng = np.random.default_rng(1)
    q, k, v = rng.normal(size=(4, 3)), 20 * rng.normal(size=(4, 11)), rng.normal(size=(5, 11))
    weights = np.exp(k.T @ q - (k.T @ q).max(axis=0))
    expected = v @ (weights / weights.sum(axis=0))
    found = interpret(derived, {"Q": q, "K": k, "V": v}, {"M0": 4})["AV"]
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-13)


def test_json_is_one_document_with_the_derived_cascade() -> None:
    status, text, _ = run("pedagogical-1", "--passes", "1", "--json")
    found = json.loads(text)
    assert status == 0
    assert (found["passes_before"], found["passes"], found["reached"], found["rank"]) == (2, 1, True, "K")
    (step,) = found["steps"]
    assert step["einsums"] == ["SA", "Z"] and step["comparison"]["counterexample"] is None
    assert {"operator": "mul", "before": 8192, "after": 4097} in step["operations"]
    assert found["derived"]["einsums"] == "Y[]  = A[k] * B[k]\nSA[] = A[k]\nZ[]  = SA[] * Y[]\n"


def test_status_is_1_and_the_dependence_is_named_where_the_passes_cannot_be_had() -> None:
    status, text, _ = run("softmax", "--passes", "1")
    assert status == 1
    assert text.startswith("softmax: 3 passes over M, now 2 passes (wanted: at most 1)\n")
    assert "2 passes over M remain: " in text
    assert "A is an output with an element for each of M, and each needs it" in text


def test_conditional_identity_is_admitted_on_request() -> None:
    assert run("pedagogical-1", "--passes", "1", "--form", "stepwise", "--conditional")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ("attention-3pass", "--passes", "0"),
            "--passes: passes must be an integer of at least 1 (every element is visited once), found 0",
        ),
        (
            ("attention-3pass", "--passes", "1", "--rank", "X"),
            "--rank: no rank in attention-3pass is called 'X' (known: E, F, M, P)",
        ),
        (
            ("attention-3pass", "--passes", "1", "--form", "runing"),
            "--form: unknown form 'runing' (did you mean 'running'?)",
        ),
    ],
)
def test_bad_input_is_said_in_one_sentence(arguments: tuple[str, ...], message: str) -> None:
    status, text, error = run(*arguments)
    assert (status, text, error) == (2, "", message + "\n")


def test_file_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    path = tmp_path / "no" / "such.yaml"
    status, _, error = run("pedagogical-1", "--passes", "1", "-o", str(path))
    assert status == 2
    assert error == f"--output: cannot write '{path}' (No such file or directory)\n"


@pytest.mark.parametrize("name", ["attention-1pass", "encoder-layer", "cross-entropy-sharded", "pedagogical-3"])
def test_cascade_survives_its_yaml(name: str, tmp_path: Path) -> None:
    path = tmp_path / f"{name}.yaml"
    path.write_text(cascade_yaml(load_cascade(name)))
    assert load_cascade(str(path)) == load_cascade(name)


@pytest.mark.parametrize("name", ["attention-3pass", "layernorm"])
def test_worked_example_of_the_document_is_what_the_command_prints(name: str) -> None:
    """All but the line that says how close the numbers came, whose last digits belong to the numpy installed."""
    document = (Path(__file__).parent.parent / "docs" / "rewriting.md").read_text()
    pasted = document.split(f"$ einfuse rewrite {name} --passes 1\n")[1].split("\n```")[0].split("\n\n[...]")[0]
    printed = run(name, "--passes", "1")[1].splitlines()
    shown = [line for line in pasted.splitlines() if "checked" not in line and " inputs (" not in line]
    assert len(shown) > 10 and shown == [
        line for line in printed[: len(pasted.splitlines())] if "checked" not in line and " inputs (" not in line
    ]
