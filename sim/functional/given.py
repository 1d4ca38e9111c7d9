"""Inputs of a user's own: arrays from a file or a function, in place of those that are drawn.

Arrays are named after the inputs of the cascade and have its batch ranks, then the input's own, as axes. They give the
sizes of these ranks.
"""

from collections.abc import Callable, Mapping

import numpy as np

from arch.quantity import clipped
from einsums.domains import range_problem
from einsums.interpreter import real_numbers
from einsums.names import near_or_all
from einsums.types import Cascade
from einsums.workload import Workload
from sim.functional.inputs import Array, InputSet

Generator = Callable[[Mapping[str, int], np.random.Generator], Mapping[str, np.ndarray]]
Given = Mapping[str, np.ndarray] | Generator


class UnfitInputsError(ValueError):
    """An array that is not what a cascade needs, by the name of the input."""

    def __init__(self, name: str, sentence: str) -> None:
        super().__init__(sentence)
        self.name = name


def sizes_given(cascade: Cascade, arrays: Mapping[str, np.ndarray]) -> dict[str, int]:
    """The sizes of root ranks that arrays have; UnfitInputsError for arrays that do not fit the cascade or each
    other.
    """
    names = tuple(tensor.name for tensor in cascade.inputs)
    for name in arrays:
        if name not in names:
            sentence = f"'{cascade.name}' has no input '{clipped(name)}'{near_or_all(name, names)}"
            raise UnfitInputsError(name, sentence)
    found: dict[str, tuple[str, int]] = {}
    for name in names:
        if name not in arrays:
            raise UnfitInputsError(name, f"'{cascade.name}' needs the input '{name}', which is not among those given")
        shape, ranks = np.shape(arrays[name]), cascade.ranks_of(name)
        if len(shape) != len(ranks):
            axes = f"{len(ranks)} {'axis' if len(ranks) == 1 else 'axes'} ({', '.join(ranks)})" if ranks else "no axis"
            raise UnfitInputsError(name, f"input {name} needs {axes}, got {len(shape)}")
        for rank, size in zip(ranks, shape, strict=True):
            root = cascade.scope.first_name.get(rank, rank)
            owner, known = found.setdefault(root, (name, size))
            if known != size:
                raise UnfitInputsError(name, f"rank {root} is {known} in {owner} but {size} in {name}")
            if size == 0:
                raise UnfitInputsError(name, f"input {name} is empty: rank {rank} has size 0")
    return {rank: size for rank, (_, size) in found.items()}


def given_set(workload: Workload, given: Given, seed: int) -> InputSet:
    """The given inputs as one set; UnfitInputsError for values that are no real numbers or outside their domain."""
    cascade = workload.cascade
    arrays = given(workload.size_by_rank, np.random.default_rng(seed)) if callable(given) else given
    sizes_given(cascade, arrays)
    expected = {tensor.name: tuple(map(workload.size, cascade.ranks_of(tensor.name))) for tensor in cascade.inputs}
    checked: dict[str, Array] = {}
    for name, shape in expected.items():
        try:
            values = real_numbers(name, arrays[name])
        except ValueError as error:
            raise UnfitInputsError(name, str(error)) from None
        if values.shape != shape:
            raise UnfitInputsError(name, f"input {name} has the shape {list(values.shape)}, expected {list(shape)}")
        problem = range_problem(cascade.domain_of(name) or "", np.unique(values).tolist(), workload.size_by_rank)
        if problem:
            raise UnfitInputsError(name, f"input {name} {problem}")
        checked[name] = values
    return InputSet("given", checked)
