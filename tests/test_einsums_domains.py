"""Is what a cascade declares of its inputs checked, written again, and kept by what is drawn?"""

from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from einsums import Cascade, cascade_data
from einsums.interpreter_inputs import iter_trials, moved_inside
from sim.functional.inputs import input_sets
from sim.functional.program import program_of_cascade


def declared(domain: Any) -> dict[str, Any]:
    return {
        "name": "declared",
        "ranks": {"M": "", "P": ""},
        "inputs": {"A": ["M", "P"], "B": ["M"]},
        "domain": domain,
        "outputs": ["Y"],
        "einsums": "Y[p] = A[m,p] * B[m]",
    }


@pytest.mark.parametrize(
    ("domain", "message"),
    [
        ({"A": "finit"}, "unknown domain 'finit' of A (did you mean 'finite'?)"),
        (
            {"A": "even"},
            "unknown domain 'even' of A (known: finite, positive, non-negative, mask, length(M), index(M))",
        ),
        ({"AA": "finite"}, "domain lists 'AA', which is no input (did you mean 'A'?)"),
        ({"Y": "positive"}, "domain lists 'Y', which is no input (known: A, B)"),
    ],
)
def test_misspelt_domain_is_refused(domain: Any, message: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Cascade.model_validate(declared(domain))
    assert [str(item["ctx"]["error"]) for item in caught.value.errors()] == [message]


def test_domain_is_written_as_it_is_read() -> None:
    cascade = Cascade.model_validate(declared({"A": "positive"}))
    assert (cascade.domain_of("A"), cascade.domain_of("B")) == ("positive", None)
    assert cascade_data(cascade)["domain"] == {"A": "positive"}
    assert Cascade.model_validate(cascade_data(cascade)) == cascade


def test_cascade_without_a_domain_dumps_as_before_there_were_any() -> None:
    assert "domains" not in Cascade.model_validate(declared({})).model_dump()
    assert "domains" in Cascade.model_validate(declared({"A": "finite"})).model_dump()


def test_numbers_move_into_a_domain() -> None:
    drawn = np.array([-2.0, 0.0, 3.0])
    assert moved_inside(drawn, "positive").tolist() == [2, 1, 3]
    assert moved_inside(drawn, "non-negative").tolist() == [2, 0, 3]
    assert moved_inside(drawn, "finite") is drawn
    assert moved_inside(drawn, None) is drawn


HOLDS = {
    "finite": lambda a: np.isfinite(a).all(),
    "positive": lambda a: np.isfinite(a).all() and (a > 0).all(),
    "non-negative": lambda a: np.isfinite(a).all() and (a >= 0).all(),
}


@pytest.mark.parametrize("domain", HOLDS)
def test_trials_and_verified_inputs_stay_inside(domain: str) -> None:
    cascade = Cascade.model_validate(declared({"A": domain}))
    trials = {trial.name: trial.inputs for trial in iter_trials(cascade, "M")}
    assert all(HOLDS[domain](inputs["A"]) for inputs in trials.values())
    assert "-inf in B" in trials and "-inf in A" not in trials
    assert np.isinf(trials["-inf in B"]["B"]).any()
    assert ("0 in A" in trials) == (domain != "positive")
    sets = input_sets(program_of_cascade(cascade, {"M": 40, "P": 3}).workload, 0)
    assert all(HOLDS[domain](one.arrays["A"]) for one in sets)
    assert any((one.arrays["B"] < 0).any() for one in sets)
