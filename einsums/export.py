"""A cascade as plain data, in the form in which a user writes one: the inverse of `Cascade.model_validate`."""

import math
from typing import Any

from einsums.nodes import Einsum
from einsums.nouns import Rank
from einsums.types import Cascade


def cascade_data(cascade: Cascade) -> dict[str, Any]:
    """Mappings, lists, text and numbers that read back as the same cascade; empty parts are left out."""
    data: dict[str, Any] = {
        "name": cascade.name,
        "description": cascade.description,
        "source": cascade.source,
        "ranks": {rank.name: _rank(rank) for rank in cascade.ranks},
        "partition": {item.rank: list(item.parts) for item in cascade.partitions},
        "batch": list(cascade.batch),
        "inputs": {tensor.name: list(tensor.ranks) for tensor in cascade.inputs},
        "unbatched": list(cascade.unbatched),
        "domain": {item.tensor: item.values for item in cascade.domains},
        "init": {item.tensor: item.source or _number(item.value) for item in cascade.initial},
        "boundary": {i.tensor: "skip" if i.value is None else _number(i.value) for i in cascade.boundaries},
        "density": {item.einsum: item.share for item in cascade.densities},
        "outputs": list(cascade.outputs),
        "sizes": {rule.rank: rule.expression for rule in cascade.sizes},
        "einsums": einsum_text(cascade.einsums),
    }
    return {key: value for key, value in data.items() if value}


def einsum_text(einsums: tuple[Einsum, ...]) -> str:
    """One Einsum per line, with the equals signs aligned."""
    width = max(len(str(einsum.output)) for einsum in einsums)
    lines = (str(einsum).split(" = ", 1) for einsum in einsums)
    return "".join(f"{left:{width}} = {right}\n" for left, right in lines)


def _rank(rank: Rank) -> str | dict[str, str]:
    if not rank.same:
        return rank.description
    return {"same": rank.same} | ({"description": rank.description} if rank.description else {})


def _number(value: float) -> float | int | str:
    """Infinities as the text that a cascade accepts; whole numbers as integers."""
    if math.isinf(value):
        return "-inf" if value < 0 else "inf"
    return int(value) if value.is_integer() and abs(value) < 2**53 else value
