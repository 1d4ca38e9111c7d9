"""A timeline as a document of the Trace Event Format, which Perfetto and chrome://tracing open.

Format: "Trace Event Format" (Chromium project), JSON object form. Arrays and memories that serve others are threads
with complete events (ph X) that never overlap; results on their way out of an array may overlap, so they are
asynchronous events (b, e); row accesses are counters (C). Times are cycles in place of the format's microseconds: one
microsecond on the screen is one cycle of the machine.
"""

from collections.abc import Iterator
from typing import Any

from sim.timeline.types import Coordinate, Span, Timeline

ARRAYS, MEMORIES, RESULTS, PORTS = 1, 2, 3, 4  # processes
PROCESSES = {
    ARRAYS: "arrays",
    MEMORIES: "memories: transfers to and from the memories and arrays inside",
    RESULTS: "results on their way out of an array",
    PORTS: "row accesses of arrays",
}
# Colours by cause, from those that trace viewers know by name; causes not listed are grey.
COLOUR_BY_CAUSE = {
    "operand": "yellow",
    "port": "bad",
    "link": "olive",
    "dram": "terrible",
    "dependency": "thread_state_sleeping",
    "drain": "thread_state_iowait",
    "buffer": "thread_state_uninterruptible",
    "idle": "white",
}
OTHER_CAUSE = "grey"
Event = dict[str, Any]


def trace_document(timeline: Timeline, about: dict[str, Any]) -> dict[str, Any]:
    """The whole document; `about` goes into its metadata."""
    events = [*_spans(timeline), *_counters(timeline)]
    events.sort(key=lambda event: (event["ts"], event["pid"], event.get("tid", 0), event["ph"] == "b"))
    return {
        "traceEvents": [*_names(timeline), *events],
        "displayTimeUnit": "ms",
        "otherData": {
            **about,
            "time_unit": "ts and dur are cycles: 1 us on the screen is 1 cycle",
            "cycles": timeline.cycles,
            "tiles": timeline.tiles,
            "window_cycles": [timeline.first, timeline.last],
            "wanted_window_cycles": [timeline.first, timeline.wanted_last],
            "is_complete": timeline.is_complete,
            "cycles_between_nests": timeline.unplaced_cycles,
        },
    }


def _tracks(timeline: Timeline) -> dict[str, tuple[int, int]]:
    """Process and thread of every array, and of every memory that moves something."""
    busy = {span.track for span in timeline.spans}
    memories = [memory for memory in timeline.memories if memory in busy]
    arrays = {name: (ARRAYS, n + 1) for n, name in enumerate(timeline.arrays)}
    return arrays | {name: (MEMORIES, n + 1) for n, name in enumerate(memories)}


def _names(timeline: Timeline) -> Iterator[Event]:
    """The names and the order of processes and threads."""
    tracks = _tracks(timeline)
    shown = {pid for pid, _ in tracks.values()}
    shown |= {RESULTS} if any(span.kind == "result" for span in timeline.spans) else set()
    shown |= {PORTS} if any(span.rows for span in timeline.spans) else set()
    for pid in sorted(shown):
        yield _meta("process_name", pid, 0, name=PROCESSES[pid])
        yield _meta("process_sort_index", pid, 0, sort_index=pid)
    for name, (pid, tid) in tracks.items():
        yield _meta("thread_name", pid, tid, name=name)
        yield _meta("thread_sort_index", pid, tid, sort_index=tid)


def _meta(what: str, pid: int, tid: int, **values: Any) -> Event:
    return {"name": what, "ph": "M", "pid": pid, "tid": tid, "args": values}


def _spans(timeline: Timeline) -> Iterator[Event]:
    tracks = _tracks(timeline)
    for number, span in enumerate(timeline.spans):
        pid, tid = tracks[span.track]
        if span.kind == "result":
            common = {"cat": "result", "pid": RESULTS, "tid": tid, "id": number}
            name = f"{span.name} leaves {span.track}"
            yield {"name": name, "ph": "b", "ts": span.start, **common, "args": _arguments(span)}
            yield {"name": name, "ph": "e", "ts": span.end, **common}
            continue
        event = {"name": title(span), "cat": span.kind, "ph": "X", "ts": span.start, "dur": span.cycles}
        event |= {"pid": pid, "tid": tid, "args": _arguments(span)}
        if span.kind == "stall":
            event["cname"] = COLOUR_BY_CAUSE.get(span.name, OTHER_CAUSE)
        yield event


def title(span: Span) -> str:
    """The name of a span: the Einsum or tensor with its coordinates; for a stall, the cause."""
    match span.kind:
        case "stall":
            return f"stall: {span.name}"
        case "fill" | "drain":
            return " ".join([f"{span.kind} {span.beyond}: {span.name}".replace(" :", ":"), *_texts(span.place)])
        case "read" | "write":
            return " ".join([f"{span.kind} for {span.name}", *_texts(span.place)])
        case _:
            return " ".join([span.name, *_texts(span.place)])


def _texts(place: tuple[Coordinate, ...]) -> list[str]:
    return [f"{variable}={position}" for variable, position in place]


def _arguments(span: Span) -> Event:
    """The details that a viewer shows when an event is clicked."""
    arguments: Event = {"tile": span.tile}
    if span.kind in ("points", "result"):
        arguments["tiles_behind"] = span.age
    if span.kind == "stall":
        arguments |= {"cause": span.name}
        if span.beyond:
            arguments["before"] = " ".join([span.beyond, *_texts(span.place)])
    if span.port_cycles:
        arguments["cycles_lost_to_ports"] = span.port_cycles
    if span.is_cut:
        arguments["goes_on_outside_the_window"] = True
    return arguments


def _counters(timeline: Timeline) -> Iterator[Event]:
    """Rows per cycle that the points of each array read and write, averaged over a slot, at every change."""
    for memory, ports in timeline.ports:
        changes: dict[int, dict[str, float]] = {}
        users = [a for a in timeline.arrays if any(memory == m for s in timeline.on(a, "points") for m, _, _ in s.rows)]
        for array in users:
            for span in timeline.on(array, "points"):
                rate = sum(accesses / cycles for m, accesses, cycles in span.rows if m == memory)
                changes.setdefault(span.end, {}).setdefault(array, 0.0)
                changes.setdefault(span.start, {})[array] = round(rate, 6)
        now = dict.fromkeys(users, 0.0)
        for cycle in sorted(changes):
            if any(now[array] != rate for array, rate in changes[cycle].items()):
                now |= changes[cycle]
                name = f"{memory} rows a cycle ({ports} ports)"
                yield {"name": name, "ph": "C", "ts": cycle, "pid": PORTS, "tid": 0, "args": dict(now)}
