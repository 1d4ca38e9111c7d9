"""Random machines with a design that runs on them and a sweep around it, from a seed.

Trees of two to five memories, cores at any of them, registers beside elements, memories that spill, areas given, by
formula and by technology, and leakage anywhere. The design is the small matrix product of `tests/small_design.py`.
"""

from pathlib import Path
from random import Random
from typing import Any

import yaml

from sim.explore.load_sweep import load_plan
from sim.explore.plan import Plan
from tests.small_design import write_design

COMPONENTS = "architecture.components"


def random_plan(folder: Path, seed: int) -> Plan:
    """A sweep of at most eight points around a random machine, with every file in `folder`."""
    random = Random(seed)
    folder.mkdir(exist_ok=True)
    write_design(folder)
    machine = random_machine(random)
    _write(folder / "machine.yaml", machine)
    _write(folder / "mapping.yaml", random_mapping(random, machine))
    _write(folder / "experiment.yaml", _experiment(random))
    sweep = {
        "name": "around",
        "experiment": "experiment.yaml",
        "axes": random_axes(random, machine),
        "objectives": [{"minimize": "latency_s"}],
        "record": ["all"],
    }
    _write(folder / "sweep.yaml", sweep)
    return load_plan(str(folder / "sweep.yaml"))


def _write(path: Path, data: dict[str, Any]) -> None:
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")


def _experiment(random: Random) -> dict[str, Any]:
    return {
        "name": "around",
        "model": "model.yaml",
        "seq_len": random.choice([16, 37, 64]),
        "batch": random.choice([1, 3]),
        "architecture": "machine.yaml",
        "mapping": "mapping.yaml",
    }


def inner_memories(machine: dict[str, Any]) -> list[str]:
    """Shared memories below the root, outermost first."""
    return [name for name, body in machine["components"].items() if "parent" in body and name.startswith("L")]


def random_machine(random: Random) -> dict[str, Any]:
    components: dict[str, Any] = {"DRAM": _memory(random) | {"bandwidth": f"{random.randint(1, 40)} GiB/s"}}
    parent = "DRAM"
    for level in range(random.randint(1, 4), 0, -1):
        body = _memory(random) | {"parent": parent, "size": f"{random.choice([96, 700, 12288, 524288])} B"}
        components[f"L{level}"] = _priced_by_table(random, body)
        parent = f"L{level}"
    operations = {
        "SQUARE": {"macc": {"operators": ["mul", "add"], "also": [["mul"]]}},
        "ROW": {"max": {}, "div": {}},
    }
    sides = {"SQUARE": random.choice([(4, 4), (8, 8), (3, 8), (1, 8)]), "ROW": (1, random.choice([4, 8]))}
    for array, (rows, columns) in sides.items():
        priced = {name: body | _operation(random) for name, body in operations[array].items()}
        components[array] = _leaking(random, {
            "kind": "array", "parent": parent, "rows": rows, "columns": columns, "registers": f"RF_{array}",
            "operations": priced, "interconnect_area": f"{random.choice([0, 3.5])} um2", "source": "made up",
        })  # fmt: skip
        registers = _memory(random) | {"parent": parent, "per_pe_of": array, "depth": random.choice([2, 5])}
        registers |= {"width": registers.pop("row"), "area": random.choice(["5 um2", "0.25*size_bits + ports"])}
        if random.random() < 0.4:
            registers["energy_instances"] = random.randint(1, rows * columns)
        if random.random() < 0.3:
            registers["drains_charged"] = False
        components[f"RF_{array}"] = registers
    machine = {"name": "around", "clock": f"{random.choice([0.47, 1, 1.3])} GHz", "node": "45 nm", "source": "made up"}
    machine |= {"word": f"{random.choice([8, 16, 32])} bit", "components": components}
    if random.random() < 0.5:
        shared = [name for name in components if name.startswith("L")]
        pipes = {"tensor": "SQUARE", "special": "ROW", "vector": "ROW"}
        machine["cores"] = {
            "count": random.randint(1, 7), "memory": random.choice(shared), "generation": "sm80", "pipes": pipes,
            "group_memory": "1 KiB", "source": "made up",
        }  # fmt: skip
    return _leaking(random, machine)


def _memory(random: Random) -> dict[str, Any]:
    row = f"{random.choice([16, 24, 64, 128])} bit"
    energies = {key: f"{random.choice([0, 0.3, 7, 249.6])} pJ" for key in ("read_energy", "write_energy")}
    body = {"kind": "memory", "row": row, **energies, "source": "made up"}
    if random.random() < 0.5:
        body |= {"banks": random.randint(1, 4), "ports": random.randint(1, 4)}
    if random.random() < 0.3:
        body["bandwidth"] = f"{random.randint(1, 90)} GB/s"
    if random.random() < 0.5:
        body["area"] = random.choice(["120.5 um2", "0.02 mm2", "1000*banks"])
    return _leaking(random, body)


def _priced_by_table(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    """Perhaps the same memory by a technology; what it gives itself stays."""
    if random.random() < 0.5:
        return body
    given = {key: value for key, value in body.items() if not key.endswith("_energy") and key != "area"}
    return given | {"technology": "sram-45nm"}


def _operation(random: Random) -> dict[str, Any]:
    energy, area = f"{random.choice([0.4, 2, 3.3])} pJ", f"{random.choice([0, 2, 9.25])} um2"
    return {"cycles": random.choice([1, 2, 1.5]), "energy": energy, "area": area, "source": "made up"}


def _leaking(random: Random, body: dict[str, Any]) -> dict[str, Any]:
    leakage = f"{random.choice([0, 1, 35])} {random.choice(['W', 'mW', 'uW', 'nW'])}"
    return body | {"leakage": leakage} if random.random() < 0.4 else body


def random_mapping(random: Random, machine: dict[str, Any]) -> dict[str, Any]:
    memories = inner_memories(machine)
    keep: dict[str, list[str]] = {}
    for tensor in ("S", "X", "Y"):
        if tensor == "S" or random.random() < 0.5:
            keep.setdefault(random.choice(memories), []).append(tensor)
    square, row = machine["components"]["SQUARE"], machine["components"]["ROW"]
    pointwise = {"array": "ROW", "loops": [{"m": str(row["columns"])}], "spatial": {"columns": "m"}}
    sides = {"rows": "m", "columns": "p"}
    body = [
        {"einsum": "S", "array": "SQUARE", "loops": [{"m": "SQUARE.rows"}, "k"], "spatial": sides},
        {
            "loops": ["p"],
            "keep": {"RF_ROW": ["T"]},
            "body": [{"einsum": einsum, **pointwise} for einsum in ("T", "Z")],
        },
    ]
    mapping: dict[str, Any] = {"name": "around", "cascade": "cascade.yaml"}
    mapping["tree"] = {"loops": ["b", {"p": "SQUARE.columns"}], "keep": keep, "body": body}
    mapping["capacity"] = {name: "spill" for name in memories if random.random() < 0.7}
    mapping["schedule"] = random.choice([
        {"kind": "sequential"},
        {"kind": "phases", "transfers": "overlapped", "phases": [{"SQUARE": ["S"]}, {"ROW": ["T", "Z"]}]},
        {"kind": "phases", "transfers": "per-phase", "phases": [{"SQUARE": ["S"], "ROW": ["T", "Z"]}]},
    ])  # fmt: skip
    if "cores" in machine:
        mapping["cores"] = random.choice([["b"], ["b", "p"]])
    assert square["kind"] == row["kind"] == "array"
    return mapping


def random_axes(random: Random, machine: dict[str, Any]) -> dict[str, Any]:
    """Two numbers of the machine, or one and the area that another one absorbs."""
    inner = random.choice(inner_memories(machine))
    choices = {
        f"{COMPONENTS}.{inner}.size": ["3 KiB", "200 KiB"],
        f"{COMPONENTS}.SQUARE.rows": [2, 6],
        f"{COMPONENTS}.SQUARE.columns": [5, 8],
        f"{COMPONENTS}.SQUARE.leakage": ["0 W", "3 mW"],
        f"{COMPONENTS}.SQUARE.operations.macc.energy": ["1 pJ", "2.5 pJ"],
        f"{COMPONENTS}.RF_SQUARE.depth": [1, 9],
        f"{COMPONENTS}.RF_ROW.leakage": ["17 uW", "3 nW"],
        f"{COMPONENTS}.DRAM.bandwidth": ["1 GiB/s", "77 GiB/s"],
        f"{COMPONENTS}.DRAM.read_energy": ["1 pJ", "31.7 pJ"],
        "architecture.clock": ["0.3 GHz", "2 GHz"],
        "architecture.word": ["8 bit", "16 bit"],
        "architecture.leakage": ["0 W", "1.7 W"],
    }
    paths = random.sample(sorted(choices), 2)
    axes: dict[str, Any] = {f"axis{n}": {"path": path, "values": choices[path]} for n, path in enumerate(paths)}
    if random.random() < 0.3:
        absorb = f"{COMPONENTS}.SQUARE.rows"
        axes = {name: axis for name, axis in axes.items() if axis["path"] != absorb}
        axes["area"] = {"values": ["base", f"{random.choice([4000, 30000, 1e6]):g} um2"], "absorb": absorb}
    return axes
