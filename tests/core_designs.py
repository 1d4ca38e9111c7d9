"""Small machines of several cores, and designs on them, for the cycle engine."""

from random import Random
from typing import Any

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping
from sim import Experiment
from tests.by_hand import PRODUCT
from tests.cycle_designs import timed_machine
from tests.random_mappings import random_experiment

PRICE: dict[str, Any] = {"read_energy": "1 pJ", "write_energy": "1 pJ", "row": "16 bit", "source": "made up"}
ONE_PE = {"PE": (1, 1)}
LEAF = {"einsum": "Z", "array": "PE"}
MACC = {"operators": ["mul", "add"], "also": [["mul"]], "cycles": 1, "energy": "0 pJ", "source": "made up"}


def machine(
    cores: int | None, at: str, memories: dict[str, dict[str, Any]], arrays: dict[str, tuple[int, int]]
) -> Architecture:
    """A line of memories, outermost first, with arrays below the last of them; a core has all from memory `at` on.

    A word is 16 bit and a cycle 1 ns: a GB/s moves half a word a cycle.
    """
    components: dict[str, Any] = {}
    parent: dict[str, str] = {}
    for name, more in memories.items():
        components[name] = {"kind": "memory", **PRICE, **parent, **more}
        parent = {"parent": name}
    for name, (rows, columns) in arrays.items():
        sides: dict[str, Any] = {"rows": rows, "columns": columns, "operations": {"macc": MACC}}
        components[name] = {"kind": "array", **parent, "registers": f"R{name}", "source": "made up", **sides}
        components[f"R{name}"] = {"kind": "memory", **parent, "per_pe_of": name, **PRICE}
    data: dict[str, Any] = {"name": "cores", "clock": "1 GHz", "word": "16 bit", "node": "45 nm", "source": "made up"}
    if cores is not None:
        data["cores"] = {"count": cores, "memory": at, "reduces": True, "source": "made up"}
    return Architecture.model_validate(data | {"components": components})


def design(
    cascade: dict[str, Any], tree: dict[str, Any], sizes: dict[str, int], on: Architecture, dealt: list[str]
) -> Experiment:
    """A design point whose outermost loops are dealt to the cores of a machine."""
    mapping = {"name": "by-hand", "cascade": cascade["name"], "tree": tree, "schedule": {"kind": "sequential"}}
    nouns = Cascade.model_validate(cascade), on, Mapping.model_validate(mapping | {"cores": dealt})
    return Experiment("by-hand", *nouns, tuple(sizes.items()), ())


def with_cores(experiment: Experiment, count: int) -> Experiment:
    """The same on a machine with as many cores."""
    data = experiment.architecture.model_dump(mode="json", by_alias=True)
    data["cores"]["count"] = count
    nouns = experiment.cascade, Architecture.model_validate(data), experiment.mapping
    return Experiment(experiment.name, *nouns, experiment.sizes, experiment.parameters)


def random_design(seed: int, longer: int = 1) -> Experiment | None:
    """The random mapping of a seed on a machine of two to four cores that is slow in random places, its ranks some
    times longer; None where that is none, or illegal.
    """
    random, plain = Random(seed), random_experiment(seed)
    if plain.problems or plain.architecture.cores is None or not plain.mapping.cores:
        return None
    if plain.mapping.schedule.transfers != "overlapped":
        return None
    sizes = tuple((rank, longer * size) for rank, size in plain.sizes)
    on = timed_machine(random, plain.architecture)
    found = Experiment(plain.name, plain.cascade, on, plain.mapping, sizes, plain.parameters)
    return None if found.problems else found


def many_rounds(seed: int) -> Experiment:
    """A matrix product of a seed whose rows, columns or steps of a reduced rank are dealt to two to seven cores for many
    rounds, the last of them seldom full: tiles in a memory above the cores or in their own, a DRAM that may
    take its time to the first word.
    """
    random = Random(seed)
    cores, rows, columns, steps = (
        random.randint(2, 7),
        random.randint(20, 60),
        random.randint(1, 4),
        random.randint(2, 6),
    )
    dram: dict[str, Any] = {"bandwidth": f"{random.choice([1, 2, 3, 6, 20, 90])} GB/s"}
    if random.random() < 0.3:
        dram["latency"] = f"{random.randint(1, 40)} ns"
    above: dict[str, Any] = {"size": random.choice(["256 B", "2 KiB", "64 KiB"])}
    if random.random() < 0.4:
        above |= {"ports": random.randint(1, 4), "banks": 4}
    elif random.random() < 0.5:
        above["bandwidth"] = f"{random.choice([2, 5, 30])} GB/s"
    on = machine(cores, "L1", {"DRAM": dram, "L2": above, "L1": {}}, ONE_PE)
    inner = {"loops": [{"k": "2"}], "keep": {"L1": ["A", "B"]}, "body": [{**LEAF, "loops": ["k", "m", "n"]}]}
    kind = random.choice(["rows", "columns", "rows and columns", "sums"])
    own = {"L1": ["Z"], **({"L2": [random.choice(["A", "B"])]} if random.random() < 0.3 else {})}
    if kind == "sums":
        tree = {"loops": ["m"], "body": [{"loops": [{"k": "2"}], "keep": {"L1": ["A", "B", "Z"]},
                "body": [{**LEAF, "loops": ["k", "n"]}]}]}  # fmt: skip
        return design(PRODUCT, tree, {"K": 2 * steps, "M": rows, "N": columns}, on, ["m", "k"])
    step = random.choice(["1", "2", "3"])
    loops = {"rows": [{"m": step}], "columns": [{"n": "1"}], "rows and columns": [{"m": step}, {"n": "1"}]}[kind]
    tree = {"loops": loops, "keep": own, "body": [inner]}
    if kind == "rows and columns" and "L2" not in own and random.random() < 0.6:
        tree = {"loops": loops[:1], "keep": {"L2": ["A"]}, "body": [{"loops": loops[1:], "keep": own, "body": [inner]}]}
    sizes = {"K": 2 * steps, "M": rows if kind != "columns" else 2, "N": columns if kind != "columns" else rows}
    return design(PRODUCT, tree, sizes, on, [next(iter(loop)) for loop in loops])
