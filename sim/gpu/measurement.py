"""A measurement file of our own benchmark as cases: one for each implementation that was timed and can be planned.

Problems and configurations stand in the file as the launch plans name them, so that they are rebuilt field by field.
"""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import kernels.plans.problems as problems
from kernels.plans import Configuration
from kernels.plans.planning import Problem
from sim.gpu.cases import Case
from sim.problems import InputError, InputProblem

SCHEMA = "einfuse.measurement/1"
# Family: names of implementations in measurement files, and in the table of implementations. Others have no plan.
LIBRARIES = {"cublas": "library", "torch-copy": "library"}
ATTENTION = {"sdpa-flash": "fa2", "flash-attn": "fa2", "sdpa-cudnn": "cudnn"}
IMPLEMENTATIONS = {
    "attention_fwd": ATTENTION | {"flex": "flex-attention"},
    "attention_bwd": ATTENTION,
    "gemm": LIBRARIES,
    "ceilings": LIBRARIES,
}
# Families whose plans a configuration in the file may recut.
CUT_FAMILIES = ("attention_fwd", "gemm")


def load_measurement(path: Path, machine: str) -> tuple[Case, ...]:
    """The cases of a file, timed on that machine; InputError where it is no measurement or holds none we can plan."""
    try:
        document = json.loads(path.read_text("utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise _refused(path, "", f"cannot be read ({getattr(error, 'strerror', None) or error})") from None
    except json.JSONDecodeError as error:
        raise InputError([InputProblem(str(path), error.lineno, "", f"not JSON ({error.msg})")]) from None
    found = document.get("schema") if isinstance(document, dict) else None
    if found != SCHEMA:
        raise _refused(path, "$.schema", f"expected '{SCHEMA}', got {found!r}")
    cases: list[Case] = []
    for number, one in enumerate(document.get("cases", ())):
        try:
            cases += _cases_of(one, machine, path.name)
        except (KeyError, TypeError, ValueError) as error:
            raise _refused(path, f"$.cases[{number}]", f"is no measured case ({error})") from None
    if not cases:
        raise _refused(path, "$.cases", "holds no case of an implementation that can be planned")
    return tuple(cases)


def _refused(path: Path, place: str, sentence: str) -> InputError:
    return InputError([InputProblem(str(path), None, place, sentence)])


def _cases_of(one: dict[str, Any], machine: str, source: str) -> list[Case]:
    if noun_of(one["problem"]["kind"]) is None:
        return []  # an operator that has no plan here
    problem = problem_of(one["problem"])
    found = []
    for result in one.get("results", ()):
        name = result["implementation"]
        implementation = "own" if result["is_own"] else IMPLEMENTATIONS.get(one["family"], {}).get(name)
        if implementation is None:
            continue
        found.append(
            Case(
                f"{one['id']}/{name}",
                one["family"],
                "held-out",
                machine,
                implementation,
                problem,
                bool(one.get("is_backward", False)) and isinstance(problem, problems.AttentionProblem),
                result["timing"]["median_s"],
                float(one["flops"]),
                float(one["bytes"]),
                source,
                _cut_of(one["family"], result),
            )
        )
    return found


def noun_of(kind: Any) -> Any:
    """The problem's type, or None."""
    return getattr(problems, kind, None) if isinstance(kind, str) and kind.endswith("Problem") else None


def problem_of(data: dict[str, Any]) -> Problem:
    """A problem from its fields and its `kind`; ValueError for an unknown kind or field."""
    data = dict(data)
    kind = data.pop("kind", None)
    noun = noun_of(kind)
    if noun is None:
        raise ValueError(f"unknown kind of problem {kind!r}")
    known = {field.name for field in fields(noun)}
    if unknown := sorted(data.keys() - known):
        raise ValueError(f"unknown field '{unknown[0]}' of {noun.__name__}")
    made: Problem = noun(**{name: _frozen(value) for name, value in data.items()})
    return made


def _frozen(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_frozen(part) for part in value)
    return problem_of({"kind": "AttentionProblem", **value}) if isinstance(value, dict) else value


def _cut_of(family: str, result: dict[str, Any]) -> Configuration | None:
    launches = result.get("launches", ())
    if family not in CUT_FAMILIES or not result["is_own"] or len(launches) != 1:
        return None
    return Configuration(**launches[0]["configuration"])
