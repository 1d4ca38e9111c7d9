"""Random small designs with everything that costs time: bandwidths, ports, drains, phases, pipelines.

They are the designs of `random_mappings`, with machines that are slow in random places and schedules that overlap.
"""

from random import Random
from typing import Any

from arch.types import Architecture
from mappings.types import Mapping
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from tests.random_mappings import random_experiment

# The stages that a search finds for one-pass attention on a 2D and a 1D array.
ONE_PASS_STAGES = {
    "QK": 0, "LM": 0, "RM": 2, "PRM": 2, "SLN": 2, "SLD": 2, "SLNV": 2, "SPD": 4, "RD": 4, "SPNV": 5, "RNV": 5,
}  # fmt: skip


def timed_machine(random: Random, architecture: Architecture) -> Architecture:
    """The same machine with bandwidths, ports, banks and drains."""
    data = architecture.model_dump(mode="json", by_alias=True)
    for component in data["components"].values() if isinstance(data["components"], dict) else data["components"]:
        if component["kind"] == "memory" and component.get("parent") is None:
            component["bandwidth"] = f"{random.choice([1, 2, 3, 5, 16])} GB/s"
        elif component["kind"] == "memory" and component.get("per_pe_of") is None:
            component["size"] = component.get("size") or "1 MiB"
            component["ports"], component["banks"] = random.randint(1, 3), random.randint(1, 4)
            if random.random() < 0.3:
                component["bandwidth"] = f"{random.choice([2, 4, 7])} GB/s"
        elif component["kind"] == "array" and random.random() < 0.5:
            component["drain"] = {"along": "rows", "cycles": random.choice(["rows", "rows - 1", "2*rows + 3"])}
    return Architecture.model_validate(data)


def timed_schedule(random: Random, experiment: Experiment) -> dict[str, Any]:
    """A schedule of the same tree: as it is, in phases of neighbours, or as a pipeline."""
    leaves = experiment.tree.leaves
    kind = random.choice(["same", "phases", "phases", "pipelined"])
    if kind == "same":
        return experiment.mapping.schedule.model_dump(mode="json")
    if kind == "pipelined":
        stage, stages = 0, {}
        for leaf in leaves:
            stage += random.choice([0, 0, 1, 2])
            stages[leaf.einsum] = stage
        return {"kind": "pipelined", "stages": stages}
    phases: list[dict[str, Any]] = []
    for leaf in leaves:
        if not phases or random.random() < 0.6:
            phases.append({})
        phases[-1].setdefault(leaf.array, []).append(leaf.einsum)
        if random.random() < 0.15:
            phases.append({"drain": leaf.einsum})
            phases.append({})
    return {"kind": "phases", "transfers": "overlapped", "phases": [phase for phase in phases if phase]}


def timed_experiment(seed: int) -> Experiment | None:
    """The design of a seed, or None where its structure is illegal, or for several cores (`core_designs`)."""
    random = Random(seed)
    plain = random_experiment(seed)
    if plain.problems or plain.architecture.cores is not None:
        return None
    mapping = plain.mapping.model_dump(mode="json", by_alias=True) | {"schedule": timed_schedule(random, plain)}
    architecture = timed_machine(random, plain.architecture)
    experiment = Experiment(
        plain.name, plain.cascade, architecture, Mapping.model_validate(mapping), plain.sizes, plain.parameters
    )
    return None if experiment.problems else experiment


def long_design(seed: int) -> Experiment:
    """A shipped design with many small tiles: long chains of repetitions and folds in one record, beside transfers that
    take longer than either.
    """
    random = Random(seed)
    name = LONG[seed % len(LONG)]
    rows = random.randint(1, 4)
    columns = rows if name == "flat" else random.randint(1, 4)
    head, heads = random.randint(1, 24), random.randint(1, 3)
    hidden = heads * head
    model = {
        "name": "long", "hidden": hidden, "heads": heads, "head_size": head, "ffn_size": 2 * hidden, "source": "made up",
    }  # fmt: skip
    memory, array = "architecture.components.GLB", "architecture.components.PE2D"
    changes: dict[str, Any] = {
        "model": model,
        "seq_len": random.choice([24, 48, 96, 144, random.randint(20, 160)]),
        "batch": random.randint(1, 3),
        f"{array}.rows": rows,
        f"{array}.columns": columns,
        "architecture.components.PE1D.columns": columns,
        f"{memory}.size": random.choice(["1 KiB", "3 KiB", "16 KiB", "256 KiB"]),
        f"{memory}.row": f"{random.choice([16, 64, 256])} bit",
        f"{memory}.ports": random.randint(1, 6),
        "architecture.components.DRAM.bandwidth": f"{random.choice([0.3, 1, 4, 30, 400])} GB/s",
    }
    if random.random() < 0.3:
        changes[f"{memory}.bandwidth"] = f"{random.choice([1, 5, 20])} GB/s"
    if name == "flat":
        changes["parameters.P1"] = rows * random.randint(1, 8)
        changes["parameters.QK_stationarity"] = random.choice(["input", "weight", "output"])
        changes["parameters.A_loc"] = random.choice(["onchip", "offchip"])
    if random.random() < 0.3:
        changes[f"{memory}.piece"] = random.randint(1, 4)
    if name in ("unfused", "linear-flat") and random.random() < 0.7:
        changes["mapping.schedule.transfers"] = "overlapped"
    return load_experiment(name, changes)


LONG = ("attention-3pass-fused", "attention-2pass-fused", "flat", "unfused", "fusemax-architecture", "linear-flat")
SHIPPED = ("fusemax-binding", "fusemax-architecture", "fusemax-cascade", "flat", "unfused", "linear-fusemax")


def small_design(seed: int) -> Experiment:
    """A shipped design on a small machine, sizes that nothing divides, memory that is slow, small or short of ports."""
    random = Random(seed)
    name = SHIPPED[seed % len(SHIPPED)]
    rows, columns = random.randint(2, 9), random.randint(2, 9)
    if name in ("flat",):
        columns = rows
    head = random.randint(1, 6)
    heads = random.randint(1, 4)
    length = random.randint(3, 90)
    model = {
        "name": "small", "hidden": heads * head, "heads": heads, "head_size": head,
        "ffn_size": 2 * heads * head, "source": "made up",
    }  # fmt: skip
    kib = random.choice([1, 2, 3, 8, 64])
    changes: dict[str, Any] = {
        "model": model,
        "seq_len": length,
        "batch": random.randint(1, 5),
        "architecture.components.PE2D.rows": rows,
        "architecture.components.PE2D.columns": columns,
        "architecture.components.PE1D.columns": columns,
        "architecture.components.GLB.size": f"{kib} KiB",
        "architecture.components.GLB.row": f"{random.choice([16, 32, 64])} bit",
        "architecture.components.GLB.ports": random.randint(1, 5),
        "architecture.components.DRAM.bandwidth": f"{random.choice([0.5, 1, 4, 30])} GB/s",
    }
    if name == "flat":
        changes |= {
            f"parameters.{p}_loc": random.choice(["onchip", "offchip"]) for p in ("Q", "K", "QK", "A", "V", "AV")
        }
        changes |= {f"parameters.{p}_stationarity": random.choice(["input", "weight", "output"]) for p in ("QK", "AV")}
        changes["parameters.P1"] = rows * random.randint(1, 3)
    return load_experiment(name, changes)
