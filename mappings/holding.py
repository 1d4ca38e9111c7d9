"""Does a memory keep what it is there for? Machine files may say what a memory holds (`arch/holding.py`)."""

from collections.abc import Iterator
from typing import NamedTuple

from arch.holding import Holding
from arch.types import Architecture
from einsums.types import Cascade
from mappings.tree import ResolvedTree


class HoldingFinding(NamedTuple):
    """Where in the mapping a memory gets what it does not hold, and a sentence about it."""

    path: str
    message: str


def iter_holding_findings(
    cascade: Cascade, tree: ResolvedTree, architecture: Architecture | None
) -> Iterator[HoldingFinding]:
    """Kept tiles, and operands and results that pass through registers, of tensors that the memory does not hold."""
    if architecture is None:
        return
    for keep in tree.keeps:
        memory = architecture.memory(keep.memory)
        if memory.holds and not any(is_held(cascade, tree, keep.tensor, one) for one in memory.holds):
            only = " and ".join(str(one) for one in memory.holds)
            is_other = _is(cascade, tree, keep.tensor)
            yield HoldingFinding(keep.path, f"'{keep.memory}' holds {only}, and '{keep.tensor}' is {is_other}")
    for leaf in tree.leaves:
        registers = architecture.memory(architecture.array(leaf.array).registers)
        einsum = cascade.einsum(leaf.einsum)
        passing = dict.fromkeys(access.tensor for access in (*einsum.reads, einsum.output))
        for tensor in (name for name in passing if registers.holds and name not in leaf.bypass):
            if not any(is_held(cascade, tree, tensor, one) for one in registers.holds):
                only = " and ".join(str(one) for one in registers.holds)
                what = f"'{registers.name}' holds {only}, and '{tensor}' is {_is(cascade, tree, tensor)}"
                remedy = f"list it under 'bypass' of Einsum '{leaf.einsum}'"
                yield HoldingFinding(leaf.path, f"{what}: {remedy}")


def is_held(cascade: Cascade, tree: ResolvedTree, tensor: str, holding: Holding) -> bool:
    """Whether a phrase names a tensor."""
    is_input = any(given.name == tensor for given in cascade.inputs)
    made = tree.leaf_of(tensor)
    match holding.kind:
        case "inputs":
            return is_input
        case "weights":
            return is_input and cascade.is_unbatched(tensor)
        case "outputs":
            return tensor in cascade.outputs
        case "operands":
            return any(leaf.array == holding.array and _reads(cascade, leaf.einsum, tensor) for leaf in tree.leaves)
    is_made_there = made is not None and made.array == holding.array
    return is_made_there and (holding.kind == "results" or bool(cascade.einsum(tensor).reduced_variables))


def _reads(cascade: Cascade, einsum: str, tensor: str) -> bool:
    return any(load.tensor == tensor for load in cascade.einsum(einsum).reads)


def _is(cascade: Cascade, tree: ResolvedTree, tensor: str) -> str:
    """What a tensor is, in the words of machine files."""
    made = tree.leaf_of(tensor)
    if made is None:
        return "a weight" if cascade.is_unbatched(tensor) else "an input"
    return f"a result of {made.array}"
