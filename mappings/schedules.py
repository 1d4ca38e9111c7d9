"""Does the schedule run what the tree holds: each Einsum once, on its own array, no stage before what it reads?"""

from collections.abc import Iterator
from typing import NamedTuple

from einsums.graph import producer_of
from einsums.types import Cascade
from mappings.tree import ResolvedTree
from mappings.types import Mapping


class ScheduleFinding(NamedTuple):
    """Where in the mapping a schedule is wrong, and a sentence about it."""

    path: str
    message: str


def iter_schedule_findings(mapping: Mapping, tree: ResolvedTree, cascade: Cascade) -> Iterator[ScheduleFinding]:
    """Einsums in no phase, in several, on another array, or in a stage before what they read."""
    if mapping.schedule.kind == "pipelined":
        yield from _stage_findings(mapping, cascade)
    elif mapping.schedule.kind == "phases":
        yield from _phase_findings(mapping, tree)


def _stage_findings(mapping: Mapping, cascade: Cascade) -> Iterator[ScheduleFinding]:
    stages = [(stage.einsum, stage.stage) for stage in mapping.schedule.stages]
    stage_of = dict(stages)
    names = [einsum for einsum, _ in stages]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield ScheduleFinding(f"schedule.stages.{name}", f"Einsum '{name}' has two stages, expected one")
    running = {tensor for tensor, _ in cascade.iterative}
    for einsum, stage in stage_of.items():
        for load in cascade.einsum(einsum).loads:
            producer = producer_of(cascade, load.tensor)
            is_old = load.tensor in running and all(i.offset != 1 and i.last_of is None for i in load.indices)
            if producer is not None and not is_old and stage_of.get(producer, stage) > stage:
                reads = f"Einsum '{einsum}' in stage {stage} reads '{load.tensor}'"
                message = f"{reads}, which stage {stage_of[producer]} makes later"
                yield ScheduleFinding(f"schedule.stages.{einsum}", message)


def _phase_findings(mapping: Mapping, tree: ResolvedTree) -> Iterator[ScheduleFinding]:
    bound = {leaf.einsum: leaf.array for leaf in tree.leaves}
    placed: list[str] = []
    for i, phase in enumerate(mapping.schedule.phases):
        for lane in phase.lanes:
            for k, einsum in enumerate(lane.einsums):
                placed.append(einsum)
                if bound.get(einsum, lane.array) != lane.array:
                    message = f"Einsum '{einsum}' runs on '{lane.array}' here but is bound to '{bound[einsum]}'"
                    yield ScheduleFinding(f"schedule.phases[{i}].{lane.array}[{k}]", message)
    for einsum in bound:
        if placed.count(einsum) != 1:
            message = f"Einsum '{einsum}' is in {placed.count(einsum) or 'no'} phases, expected one"
            yield ScheduleFinding("schedule.phases", message)
