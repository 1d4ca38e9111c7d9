"""The laws of the tile-level cycle engine, each a function from a design that has run to what breaks it."""

from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from dataclasses import dataclass
from functools import cached_property
from math import isfinite
from typing import Any

import numpy as np

from arch.quantity import exact_quantity, parse_quantity
from arch.types import Architecture
from sim.cycle.answer import DesignTiming, NestRun, design_of, time_design
from sim.cycle.choice import CycleDesign
from sim.cycle.cores import deal
from sim.cycle.keeps import NestKeep
from sim.design.experiment import Experiment
from sim.engine.columns import FlowColumn
from sim.lower.demands import Way
from sim.simulation.flow import Counted, IllegalMapping, count

Served = Counter[tuple[str, str, str]]  # (memory, read | write, tensor): words


@dataclass(frozen=True)
class Ran:
    """A design with its counts and its timing."""

    experiment: Experiment
    counted: Counted
    design: CycleDesign
    timing: DesignTiming

    @cached_property
    def memories(self) -> tuple[str, ...]:
        return self.experiment.structure.machine.memories

    @cached_property
    def shared(self) -> frozenset[str]:
        """Memories that lie beside no element of an array."""
        return frozenset(m.name for m in self.experiment.architecture.memories if m.per_pe_of is None)


def run(experiment: Experiment, fast: bool = True) -> Ran | None:
    """None where sizes or the schedule are illegal."""
    try:
        counted = count(experiment)
        design = design_of(experiment, counted.tables, counted.evaluation)
        return Ran(experiment, counted, design, time_design(design, fast))
    except (IllegalMapping, ValueError):
        return None


# --- words served are words counted ---------------------------------------------------------------------------


def words_counted(ran: Ran) -> Served:
    """What the analytical engine counts in memories beside no elements."""
    found: Served = Counter()
    tables, tensors = ran.counted.tables, [tensor.name for tensor in ran.experiment.cascade.tensors]
    flows, words = tables.shape.flows, ran.counted.evaluation.flow_bytes[0] / tables.machine.word_bytes[0]
    for row, amount in zip(flows.tolist(), words.tolist(), strict=True):
        memory = ran.memories[row[FlowColumn.MEMORY]]
        if memory in ran.shared:
            key = memory, ("read", "write")[row[FlowColumn.WRITE]], tensors[row[FlowColumn.TENSOR]]
            found[key] += amount
    return found


def words_served(ran: Ran) -> Served:
    """What the cycle engine moved, by the memories that serve it."""
    found: Served = Counter()
    for item in ran.timing.runs:
        for moved, leads in _by_core(ran, item):
            tiles = item.named.tiles
            for (inward, outward), tile, is_first in zip(moved.tolist(), tiles, leads, strict=False):
                _add_tile(ran, found, tile.keep, (inward, outward * is_first))
                found[tile.keep.keep.memory, "read", tile.keep.keep.tensor] += outward * (not is_first)
            for (inward, outward), way in zip(moved[len(tiles) :].tolist(), item.named.ways, strict=True):
                _add_way(ran, found, way, (inward, outward))
    return Counter({key: words for key, words in found.items() if key[0] in ran.shared})


def _by_core(ran: Ran, item: NestRun) -> Iterator[tuple[np.ndarray, list[bool]]]:
    """What every core moved, and what they have in common; and of each tile whether the core's sums leave by
    themselves, not with those of another core.
    """
    if item.cores is None:
        yield item.run.words, [True] * len(item.named.tiles)
        return
    groups = deal(ran.design, item.named, item.cores.start).groups
    for core, row in enumerate(item.cores.cores):
        yield row.words, [core % group == 0 for group in groups.tolist()]
    yield item.cores.hub.words, [True] * len(item.named.tiles)


def _add_tile(ran: Ran, found: Served, tile: NestKeep, moved: tuple[int, int]) -> None:
    spilled = ran.design.machine.spilled
    if not tile.traffic:
        return
    traffic, keep = tile.traffic[0], tile.keep
    for writes, words in enumerate(moved):
        direction, opposite = (("read", "write"), ("write", "read"))[writes]
        found[traffic.memory, direction, keep.tensor] += words * (1 - spilled.get(keep.memory, 0))
        if spilled.get(traffic.memory, 0) and traffic.behind is not None:
            found[traffic.behind, direction, keep.tensor] += words * spilled[traffic.memory]
        found[keep.memory, opposite, keep.tensor] += words


def _add_way(ran: Ran, found: Served, way: Way, moved: tuple[int, int]) -> None:
    for writes, words in enumerate(moved):
        direction, opposite = (("read", "write"), ("write", "read"))[writes]
        for memory, part in way.served:
            found[memory, direction, way.touch.access.tensor] += words * part
        if way.inner is not None:
            found[way.inner, opposite, way.touch.access.tensor] += words


def words_differ(ran: Ran) -> Iterator[str]:
    """Every memory, direction and tensor of which other words are served than counted."""
    counted, served = words_counted(ran), words_served(ran)
    for key in sorted(counted.keys() | served.keys()):
        if abs(float(served[key]) - counted[key]) > 1e-6 * max(1.0, counted[key]):
            yield f"{' '.join(key)}: {float(served[key]):g} words served, {counted[key]:g} counted"


# --- never faster than a memory ---------------------------------------------------------------------------------


def too_fast(ran: Ran) -> Iterator[str]:
    """Every memory whose bytes / bandwidth, of both directions together or of one, takes longer than the run."""
    machine, evaluation = ran.counted.tables.machine, ran.counted.evaluation
    reads, writes = evaluation.read_bytes[0], evaluation.write_bytes[0]
    links = (
        ("both", reads + writes, machine.bandwidth_bytes_per_s[0]),
        ("reads", reads, machine.read_bytes_per_s[0]),
        ("writes", writes, machine.write_bytes_per_s[0]),
    )
    for name, moved_bytes, bytes_per_s in links:
        for place, memory in enumerate(ran.memories):
            if isfinite(bytes_per_s[place]):
                least = moved_bytes[place] / bytes_per_s[place] * machine.clock_hz[0]
                if ran.timing.cycles < least - 1e-6:
                    yield f"{memory} {name}: {ran.timing.cycles} cycles, bytes / bandwidth is {least:g}"


# --- fast-forward -------------------------------------------------------------------------------------------------


def outcome(timing: DesignTiming) -> tuple[object, ...]:
    """All that fast-forward must leave as it is."""
    moved = [(item.run.moved.tolist(), item.run.runs.tolist(), item.run.words.tolist()) for item in timing.runs]
    return timing.cycles, timing.stalls, timing.busy, timing.served, moved


def skipping_changes(ran: Ran) -> Iterator[str]:
    """What differs if every cycle is gone through."""
    names = ("cycles", "stalls", "busy cycles", "cycles of transfers", "moved tiles and words")
    slow = time_design(ran.design, False)
    for name, one, other in zip(names, outcome(ran.timing), outcome(slow), strict=True):
        if one != other:
            yield f"{name}: {one} with fast-forward, {other} without"


# --- more is never slower -----------------------------------------------------------------------------------------


def _more_ports(component: dict[str, Any]) -> None:
    if component.get("parent") is not None and component.get("per_pe_of") is None and component["kind"] == "memory":
        component["ports"], component["banks"] = 2 * component["ports"], 2 * component["banks"]


def _faster_root(component: dict[str, Any]) -> None:
    if component["kind"] == "memory" and component.get("parent") is None:
        _faster(component)


def _faster_buffers(component: dict[str, Any]) -> None:
    if component["kind"] == "memory" and component.get("parent") is not None:
        _faster(component)


def _faster(memory: dict[str, Any]) -> None:
    for key in ("bandwidth", "read_bandwidth", "write_bandwidth"):
        if memory.get(key) is not None:
            memory[key] = exact_quantity(2 * parse_quantity(memory[key], "bandwidth"), "bandwidth")


def _larger_buffers(component: dict[str, Any]) -> None:
    if component["kind"] == "memory" and component.get("per_pe_of") is None and component.get("size") is not None:
        component["size"] = exact_quantity(2 * parse_quantity(component["size"], "size"), "size")


def _more_links(component: dict[str, Any]) -> None:
    if component["kind"] == "array" and component.get("links") is not None:
        component["links"] |= {side: 2 * component["links"][side] for side in ("down", "along")}


MORE = {
    "ports": _more_ports,
    "bandwidth of the root": _faster_root,
    "bandwidth of buffers": _faster_buffers,
    "size of buffers": _larger_buffers,
    "links of arrays": _more_links,
}


def with_more(experiment: Experiment, what: str) -> Experiment | None:
    """The same design on a machine that has twice as much of something; None where it has none of it."""
    data = experiment.architecture.model_dump(mode="json", by_alias=True)
    before = deepcopy(data)
    for component in data["components"]:
        MORE[what](component)
    if data == before:
        return None
    architecture = Architecture.model_validate(data)
    nouns = experiment.cascade, architecture, experiment.mapping
    return Experiment(experiment.name, *nouns, experiment.sizes, experiment.parameters)


def says_so(ran: Ran) -> bool:
    """Whether the result says that more may be slower."""
    return any("may take longer" in warning for warning in ran.timing.warnings)


def times_with_more(ran: Ran) -> Iterator[tuple[str, int]]:
    """For everything that a machine may have twice as much of: its name, and the cycles that the design then takes."""
    for what in MORE:
        more = with_more(ran.experiment, what)
        found = run(more) if more is not None and not more.problems else None
        if found is not None:
            yield what, found.timing.cycles
