"""The meaning of a cascade, in numpy: slow, clear, float64. Every other engine is checked against this one.

For each Einsum, every tensor is gathered over the iteration space, the expression is evaluated at all points,
points that do not exist (beyond the end of a ragged partition, or by the rule of `existence`) become the identity of
the reduction, and the rest is reduced and placed. Einsums that form an iteration advance together, one step at a time.

The table in `operators.py` defines what an operator computes, with two conventions: 0 * inf = 0 and 0 / 0 = 0.
Coordinates of a result that do not exist hold NaN; an iterative value passes a step that does not exist unchanged.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from pydantic import ValidationError

from einsums.domains import range_problem
from einsums.interpreter_machine import Evaluator
from einsums.interpreter_space import Array
from einsums.names import near_or_all
from einsums.problems import listed
from einsums.types import Cascade
from einsums.workload import Workload


class Execution(NamedTuple):
    """Every tensor that a cascade writes, and how many points of each Einsum existed, all batch elements together."""

    tensors: dict[str, Array]
    points: dict[str, int]


def interpret(
    cascade: Cascade, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int] | None = None
) -> dict[str, np.ndarray]:
    """Every tensor the cascade writes, as float64 arrays with the batch axes first.

    Inputs carry any number of batch axes, the same for all (none for unbatched ones), then whole ranks in
    declared order. `sizes` gives the inner parts of partitions and ranks that no input has. An iterative
    tensor has one coordinate more than its rank.
    """
    return _evaluated(cascade, inputs, sizes, False).tensors


def execute(cascade: Cascade, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int] | None = None) -> Execution:
    """As `interpret`, with the points of each Einsum that existed."""
    return _evaluated(cascade, inputs, sizes, True)


def _evaluated(
    cascade: Cascade, inputs: Mapping[str, np.ndarray], sizes: Mapping[str, int] | None, counts: bool
) -> Execution:
    tensors = _checked_inputs(cascade, inputs)
    workload = _workload(cascade, tensors, dict(sizes or {}))
    _check_domains(workload, tensors)
    machine = Evaluator(workload, tensors, _batch_shape(cascade, tensors), counts)
    with np.errstate(all="ignore"):
        for step in cascade.nest:
            machine.run(step, {})
    return Execution({einsum.name: machine.tensors[einsum.name] for einsum in cascade.einsums}, machine.points)


# --- inputs -------------------------------------------------------------------------------------------------
def _checked_inputs(cascade: Cascade, inputs: Mapping[str, np.ndarray]) -> dict[str, Array]:
    names = [tensor.name for tensor in cascade.inputs]
    for name in inputs:
        if name not in names:
            raise ValueError(f"{cascade.name} has no input '{name}'{near_or_all(name, names)}")
    missing = [name for name in names if name not in inputs]
    if missing:
        raise ValueError(f"{cascade.name} needs the input {listed(missing)}")
    arrays = {name: real_numbers(name, inputs[name]) for name in names}
    for tensor in cascade.inputs:
        axes, ranks = arrays[tensor.name].ndim, len(tensor.ranks)
        if axes < ranks or (axes > ranks and cascade.is_unbatched(tensor.name)):
            prefix = "" if cascade.is_unbatched(tensor.name) else "batch axes and "
            raise ValueError(f"input {tensor.name} needs {prefix}{ranks} axes ({listed(tensor.ranks)}), found {axes}")
    return arrays


def real_numbers(name: str, values: Any) -> Array:
    """An input as float64; ValueError if it holds anything but real numbers."""
    array = np.asarray(values)
    if array.dtype.kind not in "biuf":
        raise ValueError(f"input {name} must hold real numbers, found {array.dtype.name}")
    return array.astype(np.float64, copy=False)


def _batch_shape(cascade: Cascade, arrays: Mapping[str, Array]) -> tuple[int, ...]:
    first, shape = "", ()
    for tensor in cascade.inputs:
        if cascade.is_unbatched(tensor.name):
            continue
        found = arrays[tensor.name].shape[: arrays[tensor.name].ndim - len(tensor.ranks)]
        if first and found != shape:
            raise ValueError(f"the batch axes of {tensor.name} are {found}, but those of {first} are {shape}")
        first, shape = tensor.name, found
    return shape


def _workload(cascade: Cascade, arrays: Mapping[str, Array], sizes: dict[str, int]) -> Workload:
    """Sizes from the shapes of inputs, completed by `sizes`; batch ranks without axes count as one."""
    found: dict[str, tuple[str, int]] = {}
    for tensor in cascade.inputs:
        shape = arrays[tensor.name].shape[arrays[tensor.name].ndim - len(tensor.ranks) :]
        for own, size in zip(tensor.ranks, shape, strict=True):
            rank = cascade.scope.first_name.get(own, own)
            owner, known = found.setdefault(rank, (tensor.name, size))
            if known != size:
                raise ValueError(f"rank {rank} is {known} in {owner} but {size} in {tensor.name}")
    batch = _batch_shape(cascade, arrays)
    if len(batch) == len(cascade.batch):
        found |= {rank: ("the batch axes", size) for rank, size in zip(cascade.batch, batch, strict=True)}
    for given, size in sizes.items():
        rank = cascade.scope.first_name.get(given, given)
        if found.get(rank, ("", size))[1] != size:
            owner, known = found[rank]
            raise ValueError(f"rank {given} is {known} in {owner} but {size} in the given sizes")
    found |= _whole_ranks(cascade, found, sizes)
    known_sizes = {rank: size for rank, (_, size) in found.items()}
    every = dict.fromkeys(cascade.batch, 1) | known_sizes | sizes
    try:
        return Workload.model_validate({"cascade": cascade, "bits": 64, "sizes": every})
    except ValidationError as error:
        raise ValueError("\n".join(str(item["ctx"]["error"]) for item in error.errors())) from None


def _whole_ranks(
    cascade: Cascade, found: dict[str, tuple[str, int]], sizes: Mapping[str, int]
) -> dict[str, tuple[str, int]]:
    """Sizes of partitioned ranks that inputs have in parts alone: the product of the parts."""
    known = {rank: size for rank, (_, size) in found.items()} | dict(sizes)
    return {
        partition.rank: ("its parts", int(np.prod([known[part] for part in partition.parts])))
        for partition in cascade.partitions
        if partition.rank not in known and all(part in known for part in partition.parts)
    }


def _check_domains(workload: Workload, arrays: Mapping[str, Array]) -> None:
    """Lengths no longer than their rank, indices inside it."""
    for item in workload.cascade.domains:
        problem = range_problem(item.values, np.unique(arrays[item.tensor]).tolist(), workload.size_by_rank)
        if problem:
            raise ValueError(f"input {item.tensor} {problem}")
