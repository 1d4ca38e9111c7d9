"""Designs small enough to be counted by hand: a matrix product, and a machine of one buffer and 2 x 2 elements."""

from typing import Any

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping
from sim import Experiment

PRODUCT = {
    "name": "product", "ranks": dict.fromkeys("KMN", ""), "inputs": {"A": ["K", "M"], "B": ["K", "N"]}, "outputs": ["Z"],
    "einsums": "Z[m,n] = A[k,m] * B[k,n]",
}  # fmt: skip


def small_machine(**of_buffer: Any) -> Architecture:
    """One buffer and 2 x 2 elements, every access and operation at 1 pJ; `of_buffer`: more keys of the buffer."""
    price: dict[str, Any] = {"read_energy": "1 pJ", "write_energy": "1 pJ", "row": "16 bit", "source": "made up"}
    macc = {"operators": ["mul", "add"], "also": [["mul"], ["max"], ["sub", "exp"], ["add"], ["div"]], "cycles": 1,
            "energy": "1 pJ", "source": "made up"}  # fmt: skip
    components = {
        "DRAM": {"kind": "memory", **price},
        "GLB": {"kind": "memory", "parent": "DRAM", **price, **of_buffer},
        "PE": {"kind": "array", "parent": "GLB", "rows": 2, "columns": 2, "registers": "RF", "operations": {"macc": macc},
               "source": "made up"},
        "RF": {"kind": "memory", "parent": "GLB", "per_pe_of": "PE", **price},
    }  # fmt: skip
    data = {"name": "small", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "made up"}
    return Architecture.model_validate(data | {"components": components})


def experiment_of(
    cascade: dict[str, Any], tree: dict[str, Any], sizes: dict[str, int], machine: Architecture | None = None
) -> Experiment:
    """A design point with nothing left open."""
    mapping = {"name": "by-hand", "cascade": cascade["name"], "tree": tree, "schedule": {"kind": "sequential"}}
    machine = machine or small_machine()
    nouns = Cascade.model_validate(cascade), machine, Mapping.model_validate(mapping)
    return Experiment("by-hand", *nouns, tuple(sizes.items()), ())
