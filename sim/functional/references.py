"""References for a cascade's results other than its own interpreter: equal cascades, torch, Triton kernels.

A file of the catalog lists equal cascades; a table of the kernels lists the operators that compute a cascade. Operators
run in a separate process, which loads torch and triton.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from einsums.workload import Workload
from sim.functional.inputs import InputSet
from sim.load.document import read_document
from sim.load.structure import structure

ROOT = Path(__file__).resolve().parents[2]
COMPUTATIONS = ROOT / "sim" / "catalog" / "references" / "computations.yaml"
INTERPRETED_SETS = ["ordinary", "rising"]  # kernels are slow in the interpreter
DEVICE_PROBE = "import torch; print(torch.cuda.is_available())"


class Computation(BaseModel):
    """Cascades that compute the same: the defining one, and others."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    definition: str
    cascades: tuple[str, ...]
    source: str


class Computations(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    computations: tuple[Computation, ...]


@lru_cache(maxsize=1)
def computations() -> tuple[Computation, ...]:
    """All equalities in the catalog."""
    return structure(read_document(COMPUTATIONS), Computations).computations


def definition_of(cascade: str) -> str:
    """The cascade that defines what a cascade of the catalog computes; the cascade itself if none is listed."""
    return next((c.definition for c in computations() if cascade in c.cascades), cascade)


def equals_of(cascade: str) -> tuple[str, ...]:
    """Names of all cascades stated to compute the same as this one."""
    for computation in computations():
        members = (computation.definition, *computation.cascades)
        if cascade in members:
            return tuple(name for name in members if name != cascade)
    return ()


class ReferenceResult(NamedTuple):
    """An operator's result on one set of inputs: `kind` is exact, reference or kernel; axes as in the cascade."""

    inputs: str
    kind: str
    operator: str
    steps: str
    tensor: str
    values: np.ndarray


class Backend(NamedTuple):
    """The library and device that run the operators."""

    name: str  # torch or triton
    device: str  # cpu or cuda

    def __str__(self) -> str:
        if self.name == "torch":
            return f"torch on {self.device}"
        return "triton on a GPU" if self.device == "cuda" else "triton's interpreter"


def operator_names(definition: str) -> tuple[str, ...]:
    """Operators that compute what a cascade of the catalog defines."""
    from kernels.cascades import operators_of

    return tuple(operator.name for operator in operators_of(definition))


def is_installed(backend: str) -> bool:
    """Whether the packages of a backend can be imported."""
    return all(find_spec(package) is not None for package in ("torch", "triton")[: 1 + (backend == "triton")])


def run_operators(
    workload: Workload, definition: str, sets: tuple[InputSet, ...], precision: str, backend: str
) -> tuple[Backend, tuple[ReferenceResult, ...]]:
    """Run the operators that compute a cascade (`definition`) on the sets, in a separate process.

    RuntimeError with the process's output if that fails. In Triton's interpreter only the kernel closest to the cascade
    runs, and only on two of the sets.
    """
    from kernels.cascades import operators_of

    cascade = workload.cascade
    operators = tuple(
        operator
        for operator in operators_of(definition)
        if operator.result.tensor in cascade.outputs or operator.steps == cascade.name
    )
    request = {
        "cascade": definition,
        "operators": [operator.name for operator in operators],
        "dtype": precision,
        "axes": {tensor.name: list(cascade.ranks_of(tensor.name)) for tensor in cascade.inputs},
        "sizes": workload.size_by_rank,
        "sets": [one.name for one in sets],
        "kernels": [],
        "kernel_sets": [one.name for one in sets],
    }
    environment = clean_environment()
    if backend == "triton":
        request["kernels"] = [operator.name for operator in operators]
        if not _has_gpu(environment):
            environment["TRITON_INTERPRET"] = "1"
            request |= {"kernels": _closest(cascade.name, operators), "kernel_sets": INTERPRETED_SETS}
    arrays = {f"{one.name}/{name}": array for one in sets for name, array in one.arrays.items()}
    found = run_process(request, arrays, environment)
    device = str(found.pop("device"))
    results = []
    for operator in operators:
        ranks = cascade.ranks_of(operator.result.tensor)
        order = [operator.result.ranks.index(rank) for rank in ranks]
        for key, values in found.items():
            inputs, kind, name = key.split("/")
            if name == operator.name:
                placed = values.transpose(order)
                results.append(ReferenceResult(inputs, kind, name, operator.steps, operator.result.tensor, placed))
    return Backend(backend, device), tuple(results)


def clean_environment() -> dict[str, str]:
    """The environment of the kernels' process: this checkout's packages, and torch on a GPU if there is one."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    environment.pop("TRITON_INTERPRET", None)
    return environment


def _closest(cascade: str, operators: tuple[Any, ...]) -> list[str]:
    """For each result the operator that follows the steps of a cascade; the first if none does."""
    chosen: dict[str, str] = {}
    for operator in sorted((one for one in operators if one.kernel), key=lambda one: one.steps != cascade):
        chosen.setdefault(operator.result.tensor, operator.name)
    return list(chosen.values())


def run_process(
    request: dict[str, Any], arrays: Mapping[str, np.ndarray], environment: dict[str, str]
) -> dict[str, np.ndarray]:
    """The reply of the kernels' process to a request (`kernels.cascade_process`); RuntimeError with its last output."""
    with tempfile.TemporaryDirectory() as folder:
        source, target = Path(folder) / "request.npz", Path(folder) / "result.npz"
        np.savez(source, allow_pickle=False, request=np.array(json.dumps(request)), **arrays)
        command = [sys.executable, "-m", "kernels.cascade_process", str(source), str(target)]
        done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["it said nothing"]
            raise RuntimeError(f"the operators could not be run: {last[0]}")
        with np.load(target) as loaded:
            return {name: loaded[name] for name in loaded.files}


def _has_gpu(environment: Mapping[str, str]) -> bool:
    """Checked by torch in a separate process, because it would have to be imported here."""
    done = subprocess.run(
        [sys.executable, "-c", DEVICE_PROBE], env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() == "True"
