"""Random legal mappings of attention on a machine with a wide array and a row of elements beside it.

A mapping is one of those that people write: passes over keys, fused on tiles of queries, with the choices that they differ
in made at random: how many tiles of keys are worked on at once, the tiles, the order of loops, what is kept where and how
often, which array runs the softmax, and the schedule. What is illegal is drawn again.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from arch.types import Architecture
from einsums.types import Cascade
from mappings.types import Mapping, Schedule
from sim.binding.answer import Binding, bind
from sim.binding.graph import task_graphs
from sim.binding.search import SearchOptions, bounds_of
from sim.design.experiment import Experiment
from sim.load.nouns import load_architecture
from sim.simulation.flow import IllegalMapping, count
from tests.random_mappings import shipped_cascade

ROOT = Path(__file__).parents[1]
SIZES = {"B": 4, "H": 12, "E": 64, "F": 64, "M": 1024, "P": 1024}  # BERT
MOST_CYCLES = 400  # of an interval that `bind` searches
Tree = dict[str, Any]


@dataclass(frozen=True)
class Parts:
    """What the components of a machine are called. `stage`: where results of the wide array wait for the row."""

    file: str
    wide: str
    row: str
    buffer: str
    stage: str
    wide_registers: str
    row_registers: str

    @property
    def architecture(self) -> Architecture:
        return _architecture(self.file)


@cache
def _architecture(file: str) -> Architecture:

    return load_architecture(file)


FUSEMAX = Parts("fusemax-cloud", "PE2D", "PE1D", "GLB", "STAGE", "RF2D", "RF1D")
PLAIN = Parts(str(ROOT / "tests/data/machines/plain.yaml"), "MATRIX", "VECTOR", "SRAM", "SRAM", "RFM", "RFV")


def leaf(einsum: str, array: str, loops: list[Any], spatial: dict[str, str], forwarded: tuple[str, ...] = ()) -> Tree:
    return {"einsum": einsum, "array": array, "loops": loops, "spatial": spatial} | (
        {"forwarded": list(forwarded)} if forwarded else {}
    )


@dataclass(frozen=True)
class Grower:
    """Draws one mapping. `keys`: tiles of keys at once; `queries`: a tile of queries; `chunk`: tiles of queries that share keys."""

    random: Random
    parts: Parts
    keys: int
    queries: int
    chunk: int

    @classmethod
    def of(cls, random: Random, parts: Parts) -> "Grower":
        columns = parts.architecture.array(parts.wide).columns
        queries = columns // random.choice([1, 1, 1, 2])
        return cls(random, parts, random.choice([1, 1, 2, 4]), queries, random.choice([1, 2, 4]))

    @property
    def rows(self) -> int:
        return int(self.parts.architecture.array(self.parts.wide).rows)

    def likely(self, share: float) -> bool:
        return self.random.random() < share

    def kept(self, tensor: str, share: float = 1.0) -> list[Any]:
        """A keep of a tensor, with a second copy now and then; nothing where it is not drawn."""
        if not self.likely(share):
            return []
        return [{"tensor": tensor, "copies": 2}] if self.likely(0.3) else [tensor]

    def wide(self, einsum: str, key: str, loops: tuple[str, ...] = (), forwarded: tuple[str, ...] = ()) -> Tree:
        """An Einsum on the wide array: keys on the rows, queries on the columns."""
        own: list[Any] = list(loops)
        if self.keys > 1:
            own.insert(self.random.choice([0, 0, len(own)]), {key: self.rows})
        return leaf(einsum, self.parts.wide, own, {"rows": key, "columns": "p"}, forwarded)

    def row(self, einsum: str, *loops: str) -> Tree:
        """An Einsum on the row of elements, a query in each."""
        return leaf(einsum, self.parts.row, list(loops), {"columns": "p"})

    def either(self, einsum: str, key: str, on_wide: bool) -> Tree:
        return self.wide(einsum, key) if on_wide else self.row(einsum, key)

    def place(self, on_wide: bool) -> str:
        """Where a result waits that is reduced over keys."""
        return self.parts.stage if on_wide else self.parts.row_registers

    # One pass: running values

    def one_pass(self) -> tuple[str, Tree, dict[str, str]]:
        parts = self.parts
        max_wide, exp_wide = self.likely(0.7), self.likely(0.7)
        scores = parts.wide_registers if max_wide and exp_wide and self.likely(0.8) else parts.buffer
        keep: dict[str, list[Any]] = {}
        for tensor, memory in (
            ("QK", scores),
            ("SLN", parts.wide_registers if exp_wide and self.likely(0.8) else parts.buffer),
            ("LM", self.place(max_wide)),
            ("SLD", self.place(exp_wide)),
            *((name, parts.row_registers) for name in ("RM", "PRM", "SPD", "RD")),
        ):
            keep.setdefault(memory, []).append(tensor)
        summed = [self.wide("SLNV", "m0"), self.row("SPNV"), self.row("RNV")]
        if self.likely(0.6):
            tail = [{"loops": ["f"], "keep": {parts.stage: ["SLNV"], parts.row_registers: ["SPNV"]}, "body": summed}]
        else:
            for one in summed:
                one["loops"] = ["f", *one["loops"]]
            keep.setdefault(parts.stage, []).append("SLNV")
            keep.setdefault(parts.buffer, []).append("SPNV")
            tail = summed
        inner = {
            "loops": [{"p": self.queries}],
            "keep": keep,
            "body": [
                self.wide("QK", "m0", ("e",)),
                self.either("LM", "m0", max_wide),
                self.row("RM"),
                self.either("SLN", "m0", exp_wide),
                self.either("SLD", "m0", exp_wide),
                *(self.row(name) for name in ("PRM", "SPD", "RD")),
                *tail,
            ],
        }
        held = self.random.choice(["tile", "tile", "head"])  # how long keys and values stay
        own = {parts.buffer: [*self.kept("K", 0.85), *self.kept("V", 0.85)]}
        keys = {"loops": ["m1"], "keep": own if held == "tile" else {}, "body": [inner]}
        chunk = {
            "loops": [{"p": self.queries * self.chunk}],
            "keep": {parts.buffer: [*self.kept("Q", 0.85), "RM", "RD", *self.kept("RNV")]},
            "body": [keys, {"loops": [{"p": self.queries}], "body": [self.row("AV", "f")]}],
        }
        whole = {parts.buffer: ["K", "V"]} if held == "head" else {}
        tree = {"loops": ["b", "h"], "keep": whole, "body": [chunk]}
        return "attention-1pass", tree, {"M0": str(self.rows * self.keys)}

    # Several passes: what is made for all keys waits in between

    def passes(self) -> tuple[str, Tree, dict[str, str]]:
        name = self.random.choice(["attention-2pass-deferred", "attention-3pass", "attention-3pass-deferred"])
        two = name == "attention-2pass-deferred"
        over = "m1" if two else {"m": self.rows * self.keys}
        waiting, nodes = self.two_passes() if two else self.three_passes(name)
        body: list[Tree] = []
        for loaded, keep, leaves in nodes:
            inner = {"loops": [{"p": self.queries}], "keep": keep, "body": leaves}
            own = {self.parts.buffer: self.kept(loaded, 0.85)} if loaded else {}
            body.append({"loops": [over], "keep": own, "body": [inner]})
        if name != "attention-3pass":
            body.append({"loops": [{"p": self.queries}], "body": [self.row("AV", "f")]})
        held = {self.parts.buffer: [*self.kept("Q", 0.8), *waiting]}
        chunk = {"loops": [{"p": self.queries * self.chunk}], "keep": held, "body": body}
        return name, {"loops": ["b", "h"], "body": [chunk]}, {"M0": str(self.rows * self.keys)} if two else {}

    def two_passes(self) -> tuple[list[Any], list[tuple[str, dict[str, list[Any]], list[Tree]]]]:
        parts, on_chip = self.parts, self.likely(0.6)
        first = [
            self.wide("QK", "m0", ("e",)), self.wide("LM", "m0"), self.wide("SLN", "m0"),
            self.wide("SLD", "m0", forwarded=("SLN",)), self.row("GM"),
        ]  # fmt: skip
        second = [self.row("PLM"), self.wide("SN", "m0"), self.row("SD"), self.wide("SNV", "m0", ("f",))]
        nodes = [
            ("K", {parts.wide_registers: ["QK"]}, first),
            ("V", {parts.wide_registers: ["SN"], parts.row_registers: ["PLM"]}, second),
        ]
        waiting = [{"tensor": "GM", "copies": 2}, *self.kept("SD"), *self.kept("SNV"), "LM", "SLD"]
        return waiting + (["SLN"] if on_chip else []), nodes

    def three_passes(self, name: str) -> tuple[list[Any], list[tuple[str, dict[str, list[Any]], list[Tree]]]]:
        parts, scores, exps = self.parts, self.likely(0.6), self.likely(0.6)
        wide = self.likely(0.6)
        first = [self.wide("QK", "m", ("e",)), self.wide("GM", "m", forwarded=("QK",)) if wide else self.row("GM", "m")]
        apart = self.likely(0.5)
        second = [
            self.either("SN", "m", wide),
            self.wide("SD", "m", forwarded=("SN",)) if wide else self.row("SD", "m"),
        ]
        nodes: list[tuple[str, dict[str, list[Any]], list[Tree]]] = [("K", {}, first)]
        waiting = ["GM", "SD", *(["QK"] if scores else [])]
        if name == "attention-3pass":
            last = [self.row("A", "m"), self.wide("AV", "m", ("f",))]
            nodes += [("", {}, second), ("V", {parts.buffer: ["A"]}, last)]
            return [*waiting, "AV", *(["SN"] if exps else [])], nodes
        product = self.wide("SNV", "m", ("f",))
        if apart:
            return [*waiting, "SNV", *(["SN"] if exps else [])], [*nodes, ("", {}, second), ("V", {}, [product])]
        memory = parts.wide_registers if wide else parts.buffer
        second[1].pop("forwarded", None)
        return [*waiting, "SNV"], [*nodes, ("V", {memory: ["SN"]}, [*second, product])]

    # Whole rows of scores, as unfused designs and FLAT have them

    def whole_rows(self) -> tuple[str, Tree, dict[str, str]]:
        parts, room = self.parts, self.random.choice(["chip", "chip", "away"])
        rows, columns = self.rows, parts.architecture.array(parts.wide).columns
        order = self.random.choice([[{"p": columns}, {"m": rows}, "e"], [{"m": rows}, {"p": columns}, "e"]])
        last = self.random.choice([[{"p": columns}, {"m": rows}, "f"], [{"m": rows}, {"p": columns}, "f"]])
        row = {"loops": [{"m": columns}], "spatial": {"columns": "m"}}
        softmax = {
            "loops": ["p"],
            "keep": {parts.row_registers: ["GM", "SD"]} | ({parts.buffer: ["QK", "SN"]} if room == "away" else {}),
            "body": [
                {"einsum": "GM", "array": parts.row, **row},
                {"einsum": "SN", "array": parts.row, **row},
                {"einsum": "SD", "array": parts.row, **row, "forwarded": ["SN"]},
                {"einsum": "A", "array": parts.row, **row},
            ],
        }
        tiles = [*self.kept("Q", 0.5), *self.kept("K", 0.5), *self.kept("V", 0.5), *self.kept("AV", 0.5)]
        shared = ["QK", "SN", "A"] if room == "chip" else []
        tree = {
            "loops": ["b", "h", {"p": self.queries * self.chunk}],
            "keep": {parts.buffer: [*tiles, *shared]},
            "share": {parts.buffer: [shared]} if shared else {},
            "body": [
                leaf("QK", parts.wide, order, {"columns": "p", "rows": "m"}),
                softmax,
                leaf("AV", parts.wide, last, {"columns": "p", "rows": "m"}),
            ],
        }
        return "attention-3pass", tree, {}

    # Schedules

    def schedule(self, experiment: Experiment) -> dict[str, Any] | None:
        """One after the other, phases of neighbours (the last results of a tile beside the first of the next now and then), stages
        by hand, or what `bind` finds; None where that finds nothing.
        """
        kind = self.random.choice(["sequential", "phases", "phases", "stages", "bind", "bind"])
        leaves = experiment.tree.leaves
        if kind == "sequential":
            return {"kind": "sequential", "transfers": self.random.choice(["overlapped", "overlapped", "per-phase"])}
        if kind == "bind":
            return found_schedule(experiment)
        if kind == "stages":
            stages, stage, last = {}, 0, leaves[0].array
            for one in leaves:
                stage += self.random.choice([1, 1, 2]) if one.array != last else self.random.choice([0, 0, 0, 1])
                stages[one.einsum], last = stage, one.array
            return {"kind": "pipelined", "stages": stages}
        phases: list[dict[str, list[str]]] = [{}]
        share = self.random.choice([0.0, 0.3, 0.6, 1.0])
        for one in leaves:
            if phases[-1] and self.likely(share):
                phases.append({})
            phases[-1].setdefault(one.array, []).append(one.einsum)
        late = [name for name in ("RD", "RNV", "AV") if name in {one.einsum for one in leaves}]
        if len(phases) > 1 and len(late) == 3 and self.likely(0.5):
            phases = [{a: [e for e in names if e not in late] for a, names in phase.items()} for phase in phases]
            phases = [{a: names for a, names in phase.items() if names} for phase in phases]
            phases = [phase for phase in phases if phase]
            phases[0][self.parts.row] = late + phases[0].get(self.parts.row, [])
        return {"kind": "phases", "transfers": "overlapped", "phases": phases}


_bindings: dict[
    str, Binding | None
] = {}  # by the hash of the design without its schedule, at which `bind` does not look


def found_binding(experiment: Experiment) -> Binding | None:
    """What `bind` finds; None where it finds nothing, or would have to place an interval of more cycles one by one."""
    sequential = experiment.mapping.model_copy(update={"schedule": Schedule(kind="sequential")})
    key = replace(experiment, mapping=sequential).hash
    if key not in _bindings:
        _bindings[key] = _searched(experiment)
    return _bindings[key]


def _searched(experiment: Experiment) -> Binding | None:
    try:
        if all(bounds_of(graph)[0].cycles <= MOST_CYCLES for graph in task_graphs(experiment)):
            return bind(experiment, SearchOptions(effort=20_000))
    except (ValueError, IllegalMapping):
        pass
    return None


def found_schedule(experiment: Experiment) -> dict[str, Any] | None:
    """The stages that `bind` finds."""
    found = found_binding(experiment)
    return None if found is None else found.schedule().model_dump(mode="json")


def drawn(random: Random, parts: Parts) -> Experiment | None:
    """One mapping, or None for one that is illegal."""
    grower = Grower.of(random, parts)
    name, tree, tiles = random.choice([grower.one_pass, grower.one_pass, grower.passes, grower.whole_rows])()
    data = {"name": "drawn", "cascade": name, "tiles": tiles, "tree": tree, "schedule": {"kind": "sequential"}}
    plain = experiment_of(shipped_cascade(name), parts, data)
    if not is_legal(plain):
        return None
    schedule = grower.schedule(plain)
    found = None if schedule is None else experiment_of(plain.cascade, parts, data | {"schedule": schedule})
    return found if found is not None and is_legal(found) else None


def experiment_of(cascade: Cascade, parts: Parts, mapping: Tree) -> Experiment:
    sizes = tuple((rank, size) for rank, size in SIZES.items())
    return Experiment("drawn", cascade, parts.architecture, Mapping.model_validate(mapping), sizes, ())


def is_legal(experiment: Experiment) -> bool:
    if experiment.problems:
        return False
    try:
        count(experiment)
    except IllegalMapping:
        return False
    return True


def iter_mappings(seed: int, parts: Parts) -> Iterator[Experiment]:
    """Legal mappings without end, each different from those before it."""
    random, seen = Random(seed), set()
    while True:
        found = drawn(random, parts)
        if found is not None and found.hash not in seen:
            seen.add(found.hash)
            yield found
