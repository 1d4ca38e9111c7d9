"""Timelines and traces: does what is shown add up to what the engine counted, wherever the window lies?"""

import json
from dataclasses import replace
from itertools import pairwise
from random import Random

import pytest

from sim.commands.trace import dump, parse_window
from sim.design.assemble import load_experiment
from sim.simulation.flow import IllegalMapping, simulate
from sim.timeline.recorder import record_timeline
from sim.timeline.trace import COLOUR_BY_CAUSE, trace_document
from sim.timeline.types import Span, Stretch, Timeline
from tests.cycle_designs import small_design, timed_experiment
from tests.small_design import run, write_design

WHOLE = 400_000  # events of a whole small run
SMALL = {"seq_len": 40, "batch": 2, "architecture.components.PE2D.rows": 8, "architecture.components.PE2D.columns": 8}
SMALL |= {
    "architecture.components.PE1D.columns": 8,
    "model": {"name": "s", "hidden": 8, "heads": 2, "head_size": 4, "ffn_size": 8},
}
DESIGNS = ("fusemax-binding", "fusemax-architecture", "fusemax-cascade", "flat", "unfused", "attention-2pass-fused")


def runnable(maker, seed):
    """A design of a seed with its cycle-level answer, or None where the seed makes none that runs."""
    experiment = maker(seed)
    if experiment is None:
        return None
    try:
        return experiment, simulate(experiment, "cycle")
    except IllegalMapping:
        return None


def small(name):
    return load_experiment(name, SMALL)


def totals(pairs):
    found: dict[str, int] = {}
    for name, cycles in pairs:
        found[name] = found.get(name, 0) + cycles
    return {name: cycles for name, cycles in found.items() if cycles}


@pytest.mark.parametrize("seed", range(18))
def test_a_whole_run_adds_up(seed):
    found = runnable(small_design, seed)
    assert found is not None
    assert_it_adds_up(*found)


@pytest.mark.parametrize("first", range(0, 48, 16))
def test_a_whole_run_of_any_structure_adds_up(first):
    found = [runnable(timed_experiment, seed) for seed in range(first, first + 16)]
    runs = [one for one in found if one is not None]
    assert len(runs) >= 5
    for experiment, result in runs:
        assert_it_adds_up(experiment, result)


def assert_it_adds_up(experiment, result):
    """Issue and stalls of every array are those that the engine counted, and fill the run."""
    timeline = record_timeline(experiment, None, WHOLE)
    assert timeline.is_complete and (timeline.first, timeline.last) == (0, result.cycles)
    for array in timeline.arrays:
        points, stalls = timeline.on(array, "points"), timeline.on(array, "stall")
        issued = totals((span.name, span.cycles - span.port_cycles) for span in points)
        own = [lane.einsum for lane in timeline.lanes if lane.array == array]
        assert issued == totals((name, int(result.busy_cycles_by_einsum[name])) for name in own)
        waited = [(span.name, span.cycles) for span in stalls] + [("port", span.port_cycles) for span in points]
        assert totals(waited) == totals(result.stall_cycles[array].items())
        assert sum(span.cycles for span in points + stalls) == result.cycles


@pytest.mark.parametrize("seed", range(12))
def test_a_window_shows_what_the_whole_run_shows_there(seed):
    found = runnable(small_design, seed)
    assert found is not None
    experiment, result = found
    random = Random(seed)
    first = random.randrange(int(result.cycles))
    length = random.randint(1, int(result.cycles) - first)
    whole = record_timeline(experiment, None, WHOLE)
    window = record_timeline(experiment, Stretch(first, length), WHOLE)
    last = first + length
    assert (window.first, window.last) == (first, last)
    there = [s.within(first, last) for s in whole.spans if s.start < last and s.end > first]
    assert comparable(window.spans) == comparable(there)


def comparable(spans):
    """By the coordinates that every window knows: which repetition of an inner loop it is may lie outside."""
    order = sorted(spans, key=lambda s: (s.track, s.kind, s.start, s.end, s.name))
    return [(s.track, s.kind, s.name, s.start, s.end, 0 if s.is_cut else s.port_cycles) for s in order]


@pytest.mark.parametrize("name", DESIGNS)
def test_tiles_follow_one_another(name):
    """Windows of tiles lie end to end, and each begins where its first tile is taken up."""
    experiment = small(name)
    whole = record_timeline(experiment, None, WHOLE)
    newest = min(lane.age for lane in whole.lanes)
    middle = whole.tiles // 2
    one = record_timeline(experiment, Stretch(middle, 1, "tiles"), WHOLE)
    next_one = record_timeline(experiment, Stretch(middle + 1, 1, "tiles"), WHOLE)
    assert one.last == next_one.first
    taken_up = min(s.start for s in whole.spans if s.kind == "points" and s.tile == middle and s.age == newest)
    assert one.first <= taken_up < one.last
    assert record_timeline(experiment, Stretch(0, whole.tiles, "tiles"), WHOLE).last == whole.cycles


def test_coordinates_are_those_of_the_loops():
    timeline = record_timeline(small("fusemax-binding"), None, WHOLE)
    products = sorted((s for s in timeline.on("PE2D", "points") if s.name == "QK"), key=lambda s: s.start)
    places = [dict(span.place) for span in products]
    # 2 batch elements, 2 heads, 5 blocks of key positions, 5 tiles of 8 query positions.
    assert len(places) == 2 * 2 * 5 * 5 == timeline.tiles
    assert places[:6] == [*({"b": 0, "h": 0, "p": 8 * p, "m1": 0} for p in range(5)), {"b": 0, "h": 0, "p": 0, "m1": 1}]
    assert places[-1] == {"b": 1, "h": 1, "p": 32, "m1": 4}
    assert [span.tile for span in products] == list(range(100))


def test_repetitions_of_inner_loops_are_counted():
    timeline = record_timeline(small("fusemax-cascade"), None, WHOLE)
    first = [s for s in timeline.on("PE1D", "points") if s.name == "RNV" and s.tile == 0]
    assert [dict(span.place)["f"] for span in first] == [0, 1, 2, 3]


@pytest.mark.parametrize("name", DESIGNS)
def test_a_trace_is_json_whose_tracks_do_not_overlap(name):
    timeline = record_timeline(small(name), Stretch(0, 4000), 3000)
    document = json.loads(dump(trace_document(timeline, {"experiment": name})))
    assert set(document) == {"traceEvents", "displayTimeUnit", "otherData"}
    named = {(e["pid"], e["tid"]): e["args"]["name"] for e in document["traceEvents"] if e["name"] == "thread_name"}
    events = [event for event in document["traceEvents"] if event["ph"] != "M"]
    assert [event["ts"] for event in events] == sorted(event["ts"] for event in events)
    for track, label in named.items():
        own = [e for e in events if e["ph"] == "X" and (e["pid"], e["tid"]) == track]
        assert own or label in timeline.arrays
        assert all(before["ts"] + before["dur"] <= after["ts"] for before, after in pairwise(own)), label
        assert all(timeline.first <= e["ts"] < e["ts"] + e["dur"] <= timeline.last for e in own)
    assert {(e["pid"], e["tid"]) for e in events if e["ph"] == "X"} <= set(named)
    begun = {e["id"]: e["ts"] for e in events if e["ph"] == "b"}
    ended = {e["id"]: e["ts"] for e in events if e["ph"] == "e"}
    assert begun.keys() == ended.keys() and all(begun[n] < ended[n] for n in begun)
    assert {e["cname"] for e in events if e.get("cat") == "stall"} <= set(COLOUR_BY_CAUSE.values())


def test_row_counters_follow_the_points():
    timeline = record_timeline(small("fusemax-binding"), Stretch(0, 1500), WHOLE)
    counters = [e for e in trace_document(timeline, {})["traceEvents"] if e["ph"] == "C"]
    assert {e["name"].split()[0] for e in counters} == {"GLB", "STAGE"}
    accesses = dict.fromkeys(timeline.arrays, 0.0)
    for name in {e["name"] for e in counters}:
        for now, after in pairwise([e for e in counters if e["name"] == name]):
            for array, rate in now["args"].items():
                accesses[array] += rate * (after["ts"] - now["ts"])
    for array in timeline.arrays:
        wanted = sum(n / slot * span.cycles for span in timeline.on(array, "points") for _, n, slot in span.rows)
        assert wanted > 0 and accesses[array] == pytest.approx(wanted, rel=1e-4)


def test_events_are_bounded_and_what_is_shown_is_everything():
    experiment = small("fusemax-architecture")
    whole = record_timeline(experiment, None, WHOLE)
    few = record_timeline(experiment, None, 100)
    assert len(few.spans) <= 100 and not few.is_complete and few.wanted_last == whole.cycles
    there = [s.within(0, few.last) for s in whole.spans if s.start < few.last]
    assert comparable(few.spans) == comparable(there)


def test_the_middle_of_a_million_tokens_is_near():
    """Nothing is simulated on the way but what does not repeat."""
    experiment = load_experiment("fusemax-binding", {"seq_len": 1048576})
    timeline = record_timeline(experiment, Stretch(30, 4, "tiles", is_share=True), 1000)
    assert timeline.cycles > 10**12 and timeline.is_complete
    assert 0.29 < timeline.first / timeline.cycles < 0.31
    newest = [s for s in timeline.on("PE2D", "points") if s.name == "QK"]
    assert [b.start - a.start for a, b in pairwise(newest)] == [138, 138, 138]


def test_the_same_run_gives_the_same_bytes():
    def once():
        return dump(trace_document(record_timeline(small("flat"), Stretch(10, 900), 500), {"a": 1}))

    assert once() == once()


def test_drains_stall_one_schedule_and_not_the_other():
    def lost_to_drains(name):
        timeline = record_timeline(load_experiment(name, {"seq_len": 1024}), Stretch(50, 8, "tiles", True))
        return sum(s.cycles for s in timeline.on("PE2D", "stall") if s.name == "drain") / (
            timeline.last - timeline.first
        )

    assert lost_to_drains("fusemax-architecture") > 0.5
    assert lost_to_drains("fusemax-binding") == 0


def test_results_that_left_before_the_window_are_on_their_way_inside_it():
    timeline = record_timeline(load_experiment("fusemax-binding", {"seq_len": 1024}), Stretch(100_010, 20))
    leaving = [s for s in timeline.on("PE2D", "result") if s.start == timeline.first]
    assert {span.name for span in leaving} >= {"LM", "SLNV"} and all(span.is_cut for span in leaving)


WINDOWS = {
    "100000:3000": Stretch(100000, 3000),
    "100000:3000 cycles": Stretch(100000, 3000),
    "650:12tiles": Stretch(650, 12, "tiles"),
    "650:1 tile": Stretch(650, 1, "tiles"),
    "50%:12 tiles": Stretch(50, 12, "tiles", True),
    "12.5%:3000": Stretch(12.5, 3000, "cycles", True),
}


@pytest.mark.parametrize("text", WINDOWS)
def test_windows_are_read(text):
    assert parse_window(text) == WINDOWS[text]
    assert parse_window(None) == Stretch()


EXPECTED = "expected START:LENGTH such as '100000:3000' (cycles), '650:12 tiles' or '50%:12 tiles'"
REFUSED = {
    "abc": f"--window: {EXPECTED}, got 'abc'",
    "5": f"--window: {EXPECTED}, got '5'",
    "-5:10": f"--window: {EXPECTED}, got '-5:10'",
    "5:10 years": f"--window: {EXPECTED}, got '5:10 years'",
    "5:0": "--window: expected a window of at least 1 of the cycles, got 0",
    "5:0 tiles": "--window: expected a window of at least 1 of the tiles, got 0",
    "100%:10": "--window: expected a start before the end of the run, got 100%",
    "16:1 tiles": "--window: expected a start before the end of the run, which has 16 tiles, got 16",
}


@pytest.fixture
def folder(tmp_path):
    write_design(tmp_path)
    return tmp_path


@pytest.mark.parametrize("window", REFUSED)
def test_bad_windows_are_refused(window, folder):
    output = folder / "t.json"
    status, out, err = run(["trace", str(folder / "experiment.yaml"), "-o", str(output), f"--window={window}"])
    assert (status, out, err) == (2, "", REFUSED[window] + "\n")
    assert not output.exists()


def test_other_mistakes_are_said(folder):
    def said(*options):
        status, out, err = run(["trace", str(folder / "experiment.yaml"), "-o", str(folder / "t.json"), *options])
        assert (status, out) == (2, "")
        return err

    assert said("--max-events=0") == "--max-events: expected room for at least 1 event, got 0\n"
    assert said("--max-events=1") == "--max-events: expected room for all that happens in one cycle, got 1\n"
    assert said("--plot=a.pdf") == "--plot: a drawing is a .svg or .png file, got 'a.pdf'\n"
    nowhere = folder / "nowhere" / "t.json"
    status, _, err = run(["trace", str(folder / "experiment.yaml"), "-o", str(nowhere)])
    assert (status, err) == (2, f"--output: cannot write '{nowhere}' (No such file or directory)\n")


def test_the_command_writes_what_it_says(folder):
    output, plot = folder / "t.json", folder / "t.svg"
    arguments = [
        "trace",
        str(folder / "experiment.yaml"),
        "-o",
        str(output),
        "--window",
        "0:2 tiles",
        "--plot",
        str(plot),
    ]
    status, out, err = run(arguments)
    assert (status, err) == (0, "")
    document = json.loads(output.read_text("utf-8"))
    first, last = document["otherData"]["window_cycles"]
    assert out.startswith(f"small: cycles {first:,} to {last:,} of ") and f"drawn: cycles {first:,}" in out
    assert plot.read_text("utf-8").startswith("<?xml")
    status, out, _ = run(["trace", str(folder / "experiment.yaml"), "-o", str(output), "--max-events", "50"])
    assert status == 0 and "choose another one, or raise --max-events" in out


def test_an_illegal_mapping_is_an_answer(folder):
    write_design(folder, {"machine.yaml": [("size: 64 KiB\n    row: 128 bit", "size: 16 B\n    row: 128 bit")]})
    status, out, err = run(["trace", str(folder / "experiment.yaml"), "-o", str(folder / "t.json")])
    assert status == 1 and out == "" and "GLB" in err


def test_the_cycles_are_in_the_answer_of_simulate(folder):
    status, out, _ = run(["simulate", str(folder / "experiment.yaml"), "--engine", "cycle"])
    assert status == 0 and "Where the cycles went" in out
    status, out, _ = run(["simulate", str(folder / "experiment.yaml")])
    assert status == 0 and "Where the cycles went" not in out


def test_a_part_of_a_span_keeps_its_share_of_lost_cycles():
    span = Span("A", "points", "X", 10, 30, 0, port_cycles=10)
    assert span.within(0, 40) is span
    assert span.within(20, 40) == replace(span, start=20, port_cycles=5, is_cut=True)
    assert Timeline(1, 1, 0, 1, 2, (), (), (), (), (), 0).is_complete is False
