"""Random small cascades, machines and mappings, built to be legal as far as their structure goes.

A mapping is made the way a person makes one: take a run of Einsums, choose ranks that all of them share, loop over those in
some tiles, keep some tensors there, cut the run into smaller runs and go on; what the loops leave of an Einsum goes to the
sides of its array and to loops of its own. What a careful person would not write is left to the checks to refuse.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import yaml

from arch.components import SIDES, Array
from arch.types import Architecture
from einsums.graph import consumers_of
from einsums.operators import OPERATORS, REDUCERS
from einsums.types import Cascade, Einsum
from mappings.elements import iter_element_findings
from mappings.types import Mapping
from sim.design.experiment import Experiment

CATALOG = Path(__file__).parents[1] / "einsums" / "catalog"
SHIPPED = (
    "attention-1pass", "attention-2pass", "attention-2pass-deferred", "attention-3pass", "attention-3pass-deferred",
    "attention-naive", "pedagogical-1", "pedagogical-2", "pedagogical-3", "linear-layers",
)  # fmt: skip
MOST_POINTS = 900  # of one Einsum: the oracle runs them in Python


@cache
def shipped_cascade(name: str) -> Cascade:
    data = yaml.safe_load((CATALOG / f"{name}.yaml").read_text())
    return Cascade.model_validate(data)


def chain_cascade(random: Random) -> Cascade:
    """A chain of products, each over some ranks of the last, with a running value or a partitioned rank now and then."""
    if random.random() < 0.35:
        return running_cascade(random)
    ranks = ["I", "J", "K", "L"][: random.randint(2, 4)]
    inputs, lines = {}, []
    have, last = random.sample(ranks, random.randint(1, len(ranks))), "A"
    inputs["A"] = list(have)
    for n in range(random.randint(1, 4)):
        other = random.sample(ranks, random.randint(1, min(3, len(ranks))))
        inputs[f"W{n}"] = list(other)
        union = list(dict.fromkeys([*have, *other]))
        out = random.sample(union, random.randint(0 if n else 1, len(union)))
        text = ",".join(r.lower() for r in out)
        operator = random.choice(["*", "*", "-"]) if len(out) == len(union) else "*"
        lines.append(f"T{n}[{text}] = {_spell(last, have)} {operator} {_spell(f'W{n}', other)}")
        have, last = out, f"T{n}"
        if not have:
            break
    batch = ["B"] if random.random() < 0.3 else []
    ranks = [rank for rank in ranks if any(rank in of for of in inputs.values())]
    data = {"name": "chain", "ranks": dict.fromkeys(ranks, ""), "batch": batch, "inputs": inputs, "outputs": [last]}
    return Cascade.model_validate(data | {"einsums": "\n".join(lines)})


def running_cascade(random: Random) -> Cascade:
    """A running maximum over tiles of a partitioned rank, read old, new or last, with its reduction inside or before."""
    lines = ["S[i1,i0,j] = A[k,i1*I0+i0] * C[k,j]"]
    if random.random() < 0.5:
        lines += ["L[i1,j] = S[i1,i0,j] :: max(i0)", "R[i1+1,j] = max(R[i1,j], L[i1,j])"]
    else:
        lines += ["R[i1+1,j] = max(R[i1,j], S[i1,i0,j]) :: max(i0)"]
    outputs: list[str] = []
    for name, line in (
        ("X", "X[i1,i0,j] = S[i1,i0,j] - R[i1+1,j]"), ("Y", "Y[i1,j] = R[i1+1,j] - R[i1,j]"), ("Z", "Z[j] = R[I1,j] * D[j]"),
        ("U", "U[i0,j] = S[i1,i0,j] * C[k,j]"),
    ):  # fmt: skip
        if random.random() < 0.6 or (name == "Z" and not outputs):
            lines.append(line)
            outputs.append(name)
    data = {
        "name": "running", "ranks": {"I": "", "J": "", "K": ""}, "partition": {"I": ["I1", "I0"]}, "init": {"R": "-inf"},
        "inputs": {"A": ["K", "I"], "C": ["K", "J"], "D": ["J"]}, "outputs": outputs, "einsums": "\n".join(lines),
    }  # fmt: skip
    if "Z" not in outputs:
        data["inputs"].pop("D")  # type: ignore[attr-defined]
    return Cascade.model_validate(data)


def _spell(tensor: str, ranks: list[str]) -> str:
    return f"{tensor}[{','.join(r.lower() for r in ranks)}]"


def machine(random: Random) -> Architecture:
    """Two or three memories and one or two arrays with registers; unbounded unless something may spill."""
    price = {"read_energy": "2 pJ", "write_energy": "3 pJ", "source": "made up"}
    memories = ["DRAM", "GLB"] if random.random() < 0.6 else ["DRAM", "L2", "GLB"]
    components: dict[str, Any] = {}
    parent = None
    for name in memories:
        components[name] = {"kind": "memory", "row": "64 bit", **price} | ({"parent": parent} if parent else {})
        parent = name
    if random.random() < 0.5:
        components["GLB"]["size"] = f"{random.choice([64, 320, 1024, 4096])} bit"
    if random.random() < 0.3:
        components["GLB"]["drains_charged"] = False
    operators = [o.name for o in OPERATORS] + [r.name for r in REDUCERS if r.name not in {o.name for o in OPERATORS}]
    operations = {
        name: {"cycles": 1 + n % 3, "energy": "1 pJ", "source": "made up"} for n, name in enumerate(operators)
    }
    for number in range(random.randint(1, 2)):
        beside = {"kind": "memory", "row": "16 bit", "per_pe_of": f"PE{number}", **price}
        components[f"PE{number}"] = {
            "kind": "array", "parent": "GLB", "rows": random.randint(1, 4), "columns": random.randint(1, 4),
            "lanes": random.choice([1, 1, 2, 3]), "registers": f"RF{number}", "operations": operations, "source": "made up",
        }  # fmt: skip
        if has_local := random.random() < 0.4:
            shared = random.sample(SIDES, random.choice([0, 1, 1, 2, 3]))
            components[f"LB{number}"] = beside | {"parent": "GLB", "shared_along": shared}
        components[f"RF{number}"] = beside | {"parent": f"LB{number}" if has_local else "GLB"}
    data: dict[str, Any] = {
        "name": "small",
        "clock": "1 GHz",
        "word": "16 bit",
        "node": "45 nm",
        "source": "made up",
        "components": components,
    }
    if random.random() < 0.3 and "size" not in components["GLB"]:
        reduces = random.random() < 0.6
        data["cores"] = {"count": random.randint(2, 4), "memory": "GLB", "reduces": reduces, "source": "made up"}
    return Architecture.model_validate(data)


@dataclass
class Builder:
    """Grows the fusion tree of one cascade on one machine."""

    random: Random
    cascade: Cascade
    architecture: Architecture
    sizes: dict[str, int]  # of whole ranks and of inner parts
    depth: dict[str, int] = field(default_factory=dict)

    def tree(self) -> dict[str, Any]:
        return self.node(list(self.cascade.einsums), {}, {})

    def dealt(self, tree: dict[str, Any]) -> list[str]:
        """Of the loops around everything, those that cores may share, up to one that is reduced."""
        found: list[str] = []
        for variable in (next(iter(loop)) for loop in tree["loops"]):
            reduced = [e for e in self.cascade.einsums if variable in e.reduced_variables]
            if self.is_running(variable) or (
                reduced and not (self.architecture.cores and self.architecture.cores.reduces)
            ):
                break
            found.append(variable)
            if reduced or self.random.random() < 0.2:
                break
        return found

    def node(self, einsums: list[Einsum], left: dict[str, int], kept: dict[str, int]) -> dict[str, Any]:
        """`left`: coordinates that the loops so far leave of a variable; `kept`: depth of a tensor's innermost place."""
        left, kept = dict(left), dict(kept)
        loops = self.shared_loops(einsums, left)
        runs = self.cut(einsums, left)
        if len(runs) == 1 < len(einsums):  # nowhere to cut before all advance a running value together
            loops += [{v: "1"} for v in self.backward(einsums[0], einsums, left)]
            left |= dict.fromkeys(self.backward(einsums[0], einsums, left), 1)
            runs = self.cut(einsums, left)
        keep = self.keeps(einsums, kept)
        body: list[dict[str, Any]] = []
        for run in runs:
            if len(run) == 1 and self.random.random() < 0.6:
                body.append(self.leaf(run[0], left, body))
            else:
                body.append(self.node(run, left, kept) if run != einsums or loops else self.leaf(run[0], left, body))
        node: dict[str, Any] = {"loops": loops, "body": body}
        return node | ({"keep": keep} if keep else {})

    def cut(self, einsums: list[Einsum], left: dict[str, int]) -> list[list[Einsum]]:
        allowed = [n for n in range(1, len(einsums)) if not self.is_tied(einsums[:n], einsums[n:], left)]
        pieces = min(self.random.choice([2, 2, 3, len(einsums)]), len(allowed) + 1)
        places = sorted(self.random.sample(allowed, pieces - 1))
        return [einsums[a:b] for a, b in zip([0, *places], [*places, len(einsums)], strict=True)]

    def is_tied(self, before: list[Einsum], after: list[Einsum], left: dict[str, int]) -> bool:
        return any(self.backward(einsum, after, left) for einsum in before)

    def backward(self, reader: Einsum, later: list[Einsum], left: dict[str, int]) -> list[str]:
        """Variables whose steps a reader must share with a later Einsum that makes a running value it reads, and does not yet."""
        made = {e.name for e in later if e != reader}
        ranks = {
            rank.lower() for tensor, rank in self.cascade.iterative for a in reader.loads if a.tensor == tensor in made
        }
        return [v for v in ranks if left.get(v) != 1]

    def outer_part_open(self, variable: str, left: dict[str, int], own: list[str]) -> bool:
        """Whether an outer part of the variable's rank still has several steps to go."""
        rank = self.cascade.rank_of_variable(variable)
        partition = self.cascade.partition_of(self.cascade.root_of(rank))
        if partition is None or rank not in partition.parts:
            return False
        outer = partition.parts[: partition.parts.index(rank)]
        return any(left.get(o.lower(), 0) != 1 for o in outer if o.lower() in own)

    def shared_loops(self, einsums: list[Einsum], left: dict[str, int]) -> list[dict[str, str]]:
        common = [v for v in self.variables(einsums[0]) if all(v in self.variables(e) for e in einsums)]
        self.random.shuffle(common)
        common.sort(key=lambda v: self.is_running(v) and len(einsums) > 1)  # recurrences like their loop innermost
        loops = []
        for variable in [*common, *common[:1]]:
            rushed = self.is_running(variable) and len(einsums) > 1
            size = left.get(variable, self.size(variable))
            if left.get(variable) == 1 or self.random.random() < (0.1 if rushed else 0.5):
                continue
            if self.is_reduced_between(variable, einsums) or self.outer_part_open(
                variable, left, self.variables(einsums[0])
            ):
                continue
            tile = 1 if rushed and self.random.random() < 0.8 else self.random.choice([1, self.random.randint(1, size)])
            left[variable] = tile
            loops.append({variable: str(tile)})
        return loops

    def is_running(self, variable: str) -> bool:
        return any(rank.lower() == variable for _, rank in self.cascade.iterative)

    def is_reduced_between(self, variable: str, einsums: list[Einsum]) -> bool:
        """Whether one of these reduces over the variable what another of them reads, or what it reads itself."""
        names = {e.name for e in einsums}
        reducing = [e.name for e in einsums if variable in e.reduced_variables]
        return any(names & set(consumers_of(self.cascade, name)) for name in reducing)

    def keeps(self, einsums: list[Einsum], kept: dict[str, int]) -> dict[str, list[Any]]:
        keep: dict[str, list[Any]] = {}
        touched = sorted({a.tensor for e in einsums for a in (*e.loads, e.output)})
        for tensor in touched:
            if self.random.random() < 0.5:
                continue
            places = [
                m.name for m in self.architecture.memories if self.architecture.depth_of(m.name) > kept.get(tensor, 0)
            ]
            if places:
                memory = self.random.choice(places)
                kept[tensor] = self.architecture.depth_of(memory)
                copies = self.random.choice([1, 1, 2])
                keep.setdefault(memory, []).append({"tensor": tensor, "copies": copies} if copies > 1 else tensor)
        return keep

    def leaf(self, einsum: Einsum, left: dict[str, int], before: list[dict[str, Any]]) -> dict[str, Any]:
        left = dict(left)
        array = self.random.choice(self.architecture.arrays)
        open_ = [v for v in self.variables(einsum) if left.get(v) != 1]
        spatial, limits = self.sides(array, [v for v in open_ if self.may_be_spatial(v, einsum)])
        loops = self.own_loops(einsum, left, limits)
        bypass = [t for t in self.touched(einsum) if self.random.random() < 0.05]
        forwarded = [] if not before or "einsum" not in before[-1] else self.streams(einsum, before)
        return {
            "einsum": einsum.name,
            "array": array.name,
            "loops": loops,
            "spatial": spatial,
            "forwarded": forwarded,
        } | ({"bypass": bypass} if bypass else {})

    def touched(self, einsum: Einsum) -> list[str]:
        return list(dict.fromkeys(access.tensor for access in (*einsum.loads, einsum.output)))

    def sides(self, array: Array, open_: list[str]) -> tuple[dict[str, list[Any]], dict[str, int]]:
        """What the sides carry, and how many coordinates of each variable: one or two ranks a side, some on two sides."""
        spatial: dict[str, list[Any]] = {}
        limits: dict[str, int] = {}
        for side in SIDES:
            room = array.length(side)
            for _ in range(self.random.choice([0, 1, 1, 1, 2])):
                again = [v for v in limits if v not in str(spatial.get(side))]
                choices = [v for v in open_ if v not in limits] or (again if self.random.random() < 0.3 else [])
                if room < 2 or not choices:
                    break
                variable, here = self.random.choice(choices), self.random.choice([room, self.random.randint(1, room)])
                is_counted = variable in limits or self.random.random() < 0.1
                spatial.setdefault(side, []).append({variable: here} if is_counted else variable)
                limits[variable] = limits.get(variable, 1) * here
                room //= here
        return spatial, limits

    def may_be_spatial(self, variable: str, einsum: Einsum) -> bool:
        """An outer part goes to a side only where the Einsum has no inner ones, steps only where they may run at once."""
        if any(load.tensor == einsum.name for load in einsum.loads) and self.is_running(variable):
            return False
        rank = self.cascade.rank_of_variable(variable)
        partition = self.cascade.partition_of(self.cascade.root_of(rank))
        inner = [p.lower() for p in partition.parts[partition.parts.index(rank) + 1 :]] if partition else []
        return not any(part in self.variables(einsum) for part in inner)

    def streams(self, einsum: Einsum, before: list[dict[str, Any]]) -> list[str]:
        """Operands that an Einsum beside this one has at hand."""
        beside = [self.cascade.einsum(item["einsum"]) for item in before if "einsum" in item]
        at_hand = {a.tensor for e in beside for a in (*e.loads, e.output)}
        return [
            t
            for t in dict.fromkeys(load.tensor for load in einsum.loads)
            if t in at_hand and self.random.random() < 0.15
        ]

    def own_loops(self, einsum: Einsum, left: dict[str, int], limit: dict[str, int]) -> list[dict[str, str]]:
        loops: list[dict[str, str]] = []
        pending = [v for v in self.variables(einsum) if left.get(v) != 1]
        while pending:
            choices = [v for v in pending if not self.outer_part_open(v, left, self.variables(einsum))]
            variable = self.random.choice(choices)
            size = left.get(variable, self.size(variable))
            goal = limit.get(variable, 1)
            if variable in limit and size <= goal and self.random.random() < 0.8:
                pending.remove(variable)
                continue
            done = self.random.random() < 0.7
            tile = self.random.randint(1, goal) if done and goal > 1 else 1 if done else self.random.randint(1, size)
            tile = max(2, tile) if goal > 1 and size > 1 else tile
            if goal > 1 and size == 1:
                pending.remove(variable)
                continue
            left[variable] = tile
            loops.append({variable: str(tile)})
            if tile <= goal:
                pending.remove(variable)
        return loops

    def variables(self, einsum: Einsum) -> list[str]:
        return list(self.cascade.variables_of(einsum.name))

    def size(self, variable: str) -> int:
        rank = self.cascade.rank_of_variable(variable)
        partition = self.cascade.partition_of(self.cascade.root_of(rank))
        if partition is None or rank in partition.inner:
            return self.sizes[rank]
        inner = 1
        for part in partition.inner:
            inner *= self.sizes[part]
        return -(-self.sizes[partition.rank] // inner)


def random_experiment(seed: int, make_machine: Callable[[Random], Architecture] = machine) -> Experiment:
    """The combination of a seed; its structure may still have problems."""
    random = Random(seed)
    cascade = shipped_cascade(random.choice(SHIPPED)) if random.random() < 0.6 else chain_cascade(random)
    return mapped(cascade, make_machine(random), random, seed)


def mapped(cascade: Cascade, architecture: Architecture, random: Random, seed: int) -> Experiment:
    """A cascade of random sizes on a machine, in a random mapping."""
    roots = tuple(dict.fromkeys(cascade.root_of(rank) for rank in cascade.leaf_ranks()))
    most = 3 if len(roots) > 4 else 8
    while True:
        sizes = {rank: random.choice([1, 2, 3, 4, 5, 7, random.randint(1, most + 3)]) for rank in roots}
        sizes |= {name: sizes[first] for name, first in cascade.scope.first_name.items()}
        if max(_points(cascade, e, sizes) for e in cascade.einsums) <= MOST_POINTS:
            break
    inner = {part: random.randint(1, 4) for partition in cascade.partitions for part in partition.inner}
    for partition in cascade.partitions:
        if any(set(t.ranks) & set(partition.inner) and partition.parts[0] not in t.ranks for t in cascade.tensors):
            # A tensor over inner parts alone: the counting convention is exact for full tiles only, see test_sim_oracle.
            sizes[partition.rank] = inner[partition.inner[0]] * random.randint(1, 3)
    builder = Builder(random, cascade, architecture, sizes | inner)
    schedule: dict[str, Any] = {"kind": "sequential", "transfers": random.choice(["overlapped", "per-phase"])}
    tree = builder.tree()
    if random.random() < 0.4:
        lanes: dict[str, list[str]] = {}
        for einsum, array in _bindings(tree):
            lanes.setdefault(array, []).append(einsum)
        schedule = {"kind": "phases", "transfers": schedule["transfers"], "phases": [lanes]}
    bounded = [m.name for m in architecture.memories if m.per_pe_of is None and m.size_bits is not None]
    data = {
        "name": f"random-{seed}", "cascade": cascade.name, "tiles": inner, "tree": tree, "schedule": schedule,
        "capacity": dict.fromkeys(bounded, "spill"),
    }  # fmt: skip
    if architecture.cores is not None:
        data["cores"] = builder.dealt(tree)
    experiment = Experiment(
        f"random-{seed}", cascade, architecture, Mapping.model_validate(data), tuple(sizes.items()), ()
    )
    unclear = {found.path for found in iter_element_findings(cascade, experiment.tree, architecture)}
    if unclear:
        _drop_keeps(data["tree"], "tree", unclear)
        experiment = replace(experiment, mapping=Mapping.model_validate(data))
    return experiment


def _drop_keeps(node: dict[str, Any], path: str, unclear: set[str]) -> None:
    """Take out what would be kept beside elements of which nothing says which of them has it."""
    for memory, tensors in list(node.get("keep", {}).items()):
        kept = [one for i, one in enumerate(tensors) if f"{path}.keep.{memory}[{i}]" not in unclear]
        node["keep"][memory] = kept
        if not kept:
            del node["keep"][memory]
    for i, item in enumerate(node.get("body", ())):
        _drop_keeps(item, f"{path}.body[{i}]", unclear)


def _points(cascade: Cascade, einsum: Einsum, sizes: dict[str, int]) -> int:
    number = 1
    for root in {cascade.root_of(cascade.rank_of_variable(v)) for v in cascade.variables_of(einsum.name)}:
        number *= sizes[root]
    return number


def _bindings(item: dict[str, Any]) -> list[tuple[str, str]]:
    if "einsum" in item:
        return [(item["einsum"], item["array"])]
    return [pair for child in item["body"] for pair in _bindings(child)]


def is_fused(experiment: Experiment) -> bool:
    """Whether Einsums share a loop over a rank that is no batch rank."""
    batch = {rank.lower() for rank in experiment.cascade.batch}
    tree = experiment.tree
    shared = [loop for leaf in tree.leaves for loop in leaf.loops[: leaf.shared]]
    return any(shared.count(loop) > 1 and tree.loops[loop].variable not in batch for loop in shared)
