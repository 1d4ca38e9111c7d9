"""The binding of a mapped cascade, found: for each pipelined part the interval, stages and starts of its Einsums.

`bind` takes an experiment (cascade, machine, tiles, fusion tree; its schedule is not looked at), makes the task
graphs (`sim.binding.graph`) and searches each (`sim.binding.search`). What comes out is a `pipelined` schedule for the
part that takes longest: a stage for each of its Einsums (`sim.binding.stages`); Einsums of other parts run before or
after it, as the tree has them. Where passes are joined in one pipeline, a step is a whole chunk and the stage of an
Einsum is its pass.
"""

from dataclasses import dataclass
from typing import Any

from mappings.existence import unfollowed
from mappings.types import Schedule, Stage
from sim.binding.beside import total_cycles
from sim.binding.graph import task_graphs
from sim.binding.search import SearchOptions, find_schedule
from sim.binding.stages import stages_in_order
from sim.binding.types import ModuloSchedule
from sim.design.experiment import Experiment
from sim.load.text import yaml_text

SCHEMA = "einfuse-binding-1"


@dataclass(frozen=True)
class Binding:
    """A schedule for every pipelined part of an experiment, in the order of its tree."""

    experiment: Experiment
    parts: tuple[ModuloSchedule, ...]

    @property
    def main(self) -> ModuloSchedule:
        """The part that takes the longest time."""
        return max(self.parts, key=lambda part: part.total_cycles)

    @property
    def total_cycles(self) -> int:
        """Of all parts: those that run less often go beside the longest one, others before or after it."""
        main = self.main
        return total_cycles(main, [part for part in self.parts if part is not main])

    def schedule(self) -> Schedule:
        """The schedule that a mapping can hold."""
        stages = stages_in_order(self.main, self.experiment.tree, self.experiment.cascade)
        return Schedule(kind="pipelined", stages=tuple(Stage(einsum=e, stage=s) for e, s in stages.items()))

    def mapping_text(self) -> str:
        """The experiment's mapping with this schedule, as a document. ValueError for one that was made in Python."""
        experiment = self.experiment
        if experiment.origin is None:
            raise ValueError(f"mapping '{experiment.mapping.name}' was made in Python: there is no document to write")
        data = dict(experiment.origin.document.data)
        data["schedule"] = {"kind": "pipelined", "stages": {s.einsum: s.stage for s in self.schedule().stages}}
        return yaml_text(data, "\n".join(self.comment_lines()))

    def comment_lines(self) -> list[str]:
        """What is known of the schedule, for the head of a file."""
        part, experiment = self.main, self.experiment
        labels = ", ".join(f"{name} {value}" for name, value in experiment.labels)
        lines = [
            f"Schedule found by `einfuse bind` for {experiment.name} ({labels}) on {experiment.architecture.name}:",
            f"a tile every {part.interval} cycles; {part.proof}.",
        ]
        if part.graph.chunks > 1:
            lines.append("Stages are passes: each works on the chunk before that of the pass above it, tile by tile.")
        return lines

    def to_json(self) -> dict[str, Any]:
        """The document of `einfuse bind --json`."""
        return {
            "schema": SCHEMA,
            "experiment": self.experiment.name,
            "architecture": self.experiment.architecture.name,
            "mapping": self.experiment.mapping.name,
            "hash": self.experiment.hash,
            "total_cycles": self.total_cycles,
            "stages": {stage.einsum: stage.stage for stage in self.schedule().stages},
            "parts": [_part_json(part) for part in self.parts],
        }


def bind(experiment: Experiment, options: SearchOptions | None = None, join: bool = True) -> Binding:
    """Find the binding of an experiment. IllegalMapping for a tree that cannot run, ValueError where none is found.

    `join`: passes with the same loops share one pipeline, a chunk apart; else they follow each other.
    """
    if experiment.architecture.cores is not None:
        raise ValueError(f"a binding is found for one core, '{experiment.architecture.name}' has several")
    reason = unfollowed(experiment.cascade, "a binding")
    if reason:
        raise ValueError(reason)
    return Binding(experiment, tuple(find_schedule(graph, options) for graph in task_graphs(experiment, join)))


def _part_json(part: ModuloSchedule) -> dict[str, Any]:
    graph = part.graph
    return {
        "einsums": list(dict.fromkeys(task.einsum for task in graph.tasks)),
        "loops": list(graph.loops),
        "iterations": graph.iterations,
        "interval_cycles": part.interval,
        "span_cycles": part.span_cycles,
        "total_cycles": part.total_cycles,
        "stages": part.stages,
        "is_shortest": part.is_shortest,
        "proof": part.proof,
        "bounds": {bound.reason: bound.cycles for bound in part.bounds},
        "utilization": {
            resource.name: part.utilization(i) for i, resource in enumerate(graph.resources) if graph.total_uses[i] > 0
        },
        "words_in_flight": dict(part.words_by_memory),
        "least_words_in_flight": part.least_words,
        "pieces_in_flight": [
            {"memory": memory, "tensor": tensor, "pieces": pieces} for memory, tensor, pieces in part.copies
        ],
        "tasks": [
            {
                "task": task.name,
                "einsum": task.einsum,
                "array": task.array,
                "kind": task.kind,
                "stage": placement.stage(part.interval),
                "offset_cycles": placement.offset(part.interval),
                "stride_cycles": placement.stride,
                "slots": task.slots,
                "cycles_per_slot": task.cycles,
                "latency_cycles": task.latency,
            }
            for task, placement in zip(graph.tasks, part.placements, strict=True)
        ],
        "search_nodes": part.nodes,
    }
