"""Inputs of a user's own: arrays from a file or a function, in place of those that are drawn.

Arrays are named after the inputs of the cascade and have its batch ranks, then the input's own, as axes. They give the
sizes of these ranks.
"""

import io
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from einsums.domains import range_problem
from einsums.interpreter import real_numbers
from einsums.names import near_or_all
from einsums.types import Cascade
from einsums.workload import Workload
from sim.functional.inputs import Array, InputSet
from sim.load.files import read_bytes
from sim.load.problems import InputError, InputProblem

LARGEST_INPUTS = 2**30  # bytes of a file of arrays

Generator = Callable[[Mapping[str, int], np.random.Generator], Mapping[str, np.ndarray]]
Given = Mapping[str, np.ndarray] | Generator


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of `numpy.savez`; InputError for anything else."""
    try:
        content = read_bytes(path, "arrays (npz)", LARGEST_INPUTS)
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            if not isinstance(arrays, np.lib.npyio.NpzFile):
                raise ValueError("it holds one array without a name")
            return {name: arrays[name] for name in arrays.files}
    except FileNotFoundError:
        raise InputError([InputProblem(str(path), None, "", "no such file")]) from None
    except InputError:
        raise
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, KeyError) as error:
        message = f"expected arrays as numpy.savez writes them ({str(error).splitlines()[0]})"
        raise InputError([InputProblem(str(path), None, "", message)]) from None


def sizes_given(cascade: Cascade, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes of root ranks that arrays have; ValueError for arrays that do not fit the cascade or each other."""
    names = tuple(tensor.name for tensor in cascade.inputs)
    for name in arrays:
        if name not in names:
            raise ValueError(f"'{cascade.name}' has no input '{name}'{near_or_all(name, names)}")
    found: dict[str, tuple[str, int]] = {}
    for name in names:
        if name not in arrays:
            raise ValueError(f"'{cascade.name}' needs the input '{name}', which is not among those given")
        shape, ranks = np.shape(arrays[name]), cascade.ranks_of(name)
        if len(shape) != len(ranks):
            raise ValueError(f"input {name} needs {len(ranks)} axes ({', '.join(ranks)}), got {len(shape)}")
        for rank, size in zip(ranks, shape, strict=True):
            root = cascade.scope.first_name.get(rank, rank)
            owner, known = found.setdefault(root, (name, size))
            if known != size:
                raise ValueError(f"rank {root} is {known} in {owner} but {size} in {name}")
            if size == 0:
                raise ValueError(f"input {name} is empty: rank {rank} has size 0")
    return {rank: size for rank, (_, size) in found.items()}


def given_set(workload: Workload, given: Given, seed: int) -> InputSet:
    """The given inputs as one set; ValueError for values that are no real numbers or outside their domain."""
    cascade = workload.cascade
    arrays = given(workload.size_by_rank, np.random.default_rng(seed)) if callable(given) else given
    sizes_given(cascade, arrays)
    expected = {tensor.name: tuple(map(workload.size, cascade.ranks_of(tensor.name))) for tensor in cascade.inputs}
    checked: dict[str, Array] = {}
    for name, shape in expected.items():
        values = real_numbers(name, arrays[name])
        if values.shape != shape:
            raise ValueError(f"input {name} has the shape {list(values.shape)}, expected {list(shape)}")
        problem = range_problem(cascade.domain_of(name) or "", np.unique(values).tolist(), workload.size_by_rank)
        if problem:
            raise ValueError(f"input {name} {problem}")
        checked[name] = values
    return InputSet("given", checked)
