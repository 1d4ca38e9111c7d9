"""`einfuse trace`: writes the trace of a stretch of a run, draws its waterfall, and summarizes both."""

import json
import re
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from sim.commands.answering import answers, at_work
from sim.commands.options import (
    Changes,
    ExperimentName,
    expect_writable,
    expecting,
    parse_changes,
    refused,
    write_output,
)
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.timeline.recorder import TooFewSpans, record_timeline
from sim.timeline.trace import trace_document
from sim.timeline.types import Stretch, Timeline

WINDOW = re.compile(r"(?P<start>\d+(?:\.\d+)?%|\d+):(?P<length>\d+) ?(?P<unit>cycles?|tiles?)?")
EXAMPLES = "'100000:3000' (cycles), '650:12 tiles' or '50%:12 tiles'"


class TraceOptions(NamedTuple):
    """The files to write, and the stretch to cover."""

    output: Path
    window: str | None
    most_events: int
    plot: Path | None


def parse_window(text: str | None) -> Stretch:
    """START:LENGTH, in cycles unless given in tiles; START may be a percentage of the run. ValueError otherwise."""
    if text is None:
        return Stretch()
    found = WINDOW.fullmatch(text.strip())
    if found is None:
        raise ValueError(f"expected START:LENGTH such as {EXAMPLES}, got '{text}'")
    start, unit = found["start"], "tiles" if (found["unit"] or "").startswith("tile") else "cycles"
    is_share = start.endswith("%")
    position = float(start[:-1]) if is_share else int(start)
    return Stretch(position, int(found["length"]), "tiles" if unit == "tiles" else "cycles", is_share)


def write_trace(experiment: Experiment, wishes: TraceOptions) -> str:
    """Write the files and report what they show. InputError for an invalid window or a file that cannot be written."""
    if wishes.plot is not None and wishes.plot.suffix.lower() not in (".svg", ".png"):
        raise refused("--plot", f"a drawing is a .svg or .png file, got '{wishes.plot.name}'")
    expect_writable(output=wishes.output, plot=wishes.plot)
    try:
        with at_work("running the cycle engine"):
            timeline = record_timeline(experiment, parse_window(wishes.window), wishes.most_events)
    except TooFewSpans as error:
        raise refused("--max-events", str(error)) from None
    except ValueError as error:
        raise refused("--window", str(error)) from None
    write_output("--output", wishes.output, dump(trace_document(timeline, about(experiment))))
    said = [summary(experiment, timeline, wishes.output)]
    if wishes.plot is not None:
        from sim.report.design.plots_waterfall import render_waterfall  # loads matplotlib
        from sim.report.design.waterfall import waterfall_of

        labels = ", ".join(str(value) for _, value in experiment.labels)
        with at_work(f"drawing {len(timeline.spans):,} events"):
            waterfall = waterfall_of(timeline, f"{experiment.name} ({labels})")
            picture = render_waterfall(waterfall, wishes.plot.suffix.lower().removeprefix("."))
        write_output("--plot", wishes.plot, picture)
        said.append(f"drawn: {waterfall.said} in {wishes.plot}")
    return "\n".join(said)


def about(experiment: Experiment) -> dict[str, Any]:
    """The subject of a trace, for its metadata."""
    return {
        "experiment": experiment.name,
        "cascade": experiment.cascade.name,
        "architecture": experiment.architecture.name,
        "mapping": experiment.mapping.name,
        "labels": {name: str(value) for name, value in experiment.labels},
        "hash": experiment.hash,
        "clock_hz": experiment.architecture.clock_hz,
    }


def dump(document: dict[str, Any]) -> bytes:
    """JSON with one event per line."""
    events = ",\n".join(json.dumps(event, separators=(",", ":"), allow_nan=False) for event in document["traceEvents"])
    rest = json.dumps({key: value for key, value in document.items() if key != "traceEvents"}, allow_nan=False)
    return f'{{"traceEvents":[\n{events}\n],\n{rest[1:]}\n'.encode()


def summary(experiment: Experiment, timeline: Timeline, path: Path) -> str:
    """A summary of the files, and of what each array does in them."""
    shown = f"cycles {timeline.first:,} to {timeline.last:,} of {timeline.cycles:,}"
    lines = [f"{experiment.name}: {shown}, {len(timeline.spans):,} events, in {path}"]
    for array in timeline.arrays:
        issued = timeline.on(array, "points")
        busy = sum(span.cycles - span.port_cycles for span in issued)
        lost: dict[str, int] = {}
        for span in timeline.on(array, "stall"):
            lost[span.name] = lost.get(span.name, 0) + span.cycles
        if any(span.port_cycles for span in issued):
            lost["port"] = lost.get("port", 0) + sum(span.port_cycles for span in issued)
        whole = max(timeline.last - timeline.first, 1)
        parts = [f"issues {busy / whole:.1%}"]
        parts += [f"{cause} {n / whole:.1%}" for cause, n in sorted(lost.items(), key=lambda item: -item[1])]
        lines.append(f"  {array}: {', '.join(parts)}")
    if not timeline.is_complete:
        more = "choose another one, or raise --max-events"
        lines.append(f"  the window goes on to cycle {timeline.wanted_last:,}: {more}")
    return "\n".join(lines)


@answers
def trace_command(
    experiment: ExperimentName,
    output: Annotated[Path, typer.Option("-o", "--output", help="The trace, for Perfetto or chrome://tracing.")],
    changes: Changes = None,
    window: Annotated[
        str | None,
        typer.Option(metavar="START:LENGTH", help="100000:3000 (cycles), '50%:12 tiles'; all by default."),
    ] = None,
    max_events: Annotated[int, typer.Option(help="Stop after so many.")] = 20_000,
    plot: Annotated[Path | None, typer.Option(help="Draw the waterfall of the window into an .svg or .png.")] = None,
) -> None:
    """Write what every array and memory does, cycle by cycle, as a timeline to look at."""
    with expecting(experiment, "experiment"):
        read_experiment = load_experiment(experiment, parse_changes(changes))
    print(write_trace(read_experiment, TraceOptions(output, window, max_events, plot)))
