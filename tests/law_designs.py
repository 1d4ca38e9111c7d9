"""Random designs for the laws of the cycle engine: two to four levels of memories, one to four ports, 64 B to 64 KiB.

Mappings grow as in `random_mappings`: fused and not, ragged, kept anywhere, spilled where tiles do not fit. What costs
time is drawn here: bandwidths of both directions together and apart, ports, banks, drains, links, pieces, schedules.
"""

from random import Random
from typing import Any

from arch.types import Architecture
from mappings.types import Mapping
from sim.design.experiment import Experiment
from tests.cycle_designs import timed_schedule
from tests.random_mappings import machine, random_experiment

SIZES_BYTES = (64, 128, 256, 512, 1024, 4096, 16384, 65536)


def law_machine(random: Random) -> Architecture:
    """A machine of one core, its buffers bounded."""
    data = machine(random).model_dump(mode="json", by_alias=True)
    data["cores"] = None
    components = data["components"]
    if random.random() < 0.35:
        (first,) = (c for c in components if c.get("parent") == "DRAM" and c["kind"] == "memory")
        components.append({**first, "name": "L3", "parent": "DRAM"})
        first["parent"] = "L3"
    for component in components:
        if component["kind"] == "array":
            _draw_array(random, component)
        elif component.get("parent") is None:
            _draw_root(random, component)
        elif component.get("per_pe_of") is None:
            _draw_buffer(random, component)
    return Architecture.model_validate(data)


def _draw_root(random: Random, memory: dict[str, Any]) -> None:
    if random.random() < 0.3:
        memory["read_bandwidth"] = f"{random.choice([1, 2, 5])} GB/s"
        memory["write_bandwidth"] = f"{random.choice([1, 3, 4])} GB/s"
    else:
        memory["bandwidth"] = f"{random.choice([1, 2, 3, 5, 16])} GB/s"


def _draw_buffer(random: Random, memory: dict[str, Any]) -> None:
    memory["size"] = f"{random.choice(SIZES_BYTES)} B"
    memory["ports"], memory["banks"] = random.randint(1, 4), random.randint(1, 4)
    if random.random() < 0.3:
        memory["bandwidth"] = f"{random.choice([2, 4, 7])} GB/s"
    elif random.random() < 0.15:
        memory["read_bandwidth"] = f"{random.choice([2, 4, 7])} GB/s"
        memory["write_bandwidth"] = f"{random.choice([2, 4, 7])} GB/s"
    if random.random() < 0.15:
        memory["piece"] = random.randint(1, 3)


def _draw_array(random: Random, array: dict[str, Any]) -> None:
    if random.random() < 0.5:
        array["drain"] = {"along": "rows", "cycles": random.choice(["rows", "rows - 1", "2*rows + 3"])}
    if random.random() < 0.3:
        array["links"] = {
            "down": random.randint(1, 2),
            "along": random.randint(1, 2),
            "shadow": random.random() < 0.3,
            "overlap": random.random() < 0.7,
        }


def law_experiment(seed: int) -> Experiment | None:
    """The design of a seed, or None where its structure is illegal."""
    plain = random_experiment(seed, law_machine)
    if plain.problems:
        return None
    random = Random(seed)
    schedule = timed_schedule(random, plain)
    if random.random() < 0.35:
        schedule = {"kind": "sequential", "transfers": random.choice(["overlapped", "per-phase"])}
    data = plain.mapping.model_dump(mode="json", by_alias=True) | {"schedule": schedule}
    for node in _nodes(data["tree"]):
        for tensor in (tensor for keep in node["keep"] for tensor in keep["tensors"]):
            tensor["reload"] = random.random() < 0.05
    experiment = with_mapping(plain, data)
    return None if experiment.problems else experiment


def with_mapping(experiment: Experiment, data: dict[str, Any]) -> Experiment:
    """The same design with another mapping."""
    mapping = Mapping.model_validate(data)
    return Experiment(
        experiment.name, experiment.cascade, experiment.architecture, mapping, experiment.sizes, experiment.parameters
    )


def _nodes(node: dict[str, Any]) -> list[dict[str, Any]]:
    inside = [inner for item in node.get("body", ()) for inner in _nodes(item)]
    return [node, *inside] if "body" in node else inside
