"""The waterfall: are its bars those of the run, and does the picture come out, the same each time?"""

from itertools import pairwise
from pathlib import Path

import pytest

from sim.design.assemble import load_experiment
from sim.engine.cycle.columns import CAUSES
from sim.report.design.plots_waterfall import COLOUR_BY_CAUSE, render_waterfall
from sim.report.design.waterfall import MOST_EPOCHS, WAITS, epochs_of, waterfall_of
from sim.timeline.recorder import record_timeline
from sim.timeline.trace import COLOUR_BY_CAUSE as COLOUR_IN_TRACE
from sim.timeline.types import Stretch

DOCS = Path(__file__).resolve().parents[1] / "docs"
BEGINNING = Stretch(0, 1700)


def timeline_of(name, stretch=BEGINNING):
    return record_timeline(load_experiment(name, {"seq_len": 1024}), stretch)


def row_of(waterfall, group, label):
    return next(row for row in waterfall.rows if (row.group, row.label) == (group, label))


def test_every_cause_has_a_colour():
    assert set(CAUSES) <= set(COLOUR_BY_CAUSE) and set(CAUSES) <= set(COLOUR_IN_TRACE)
    assert len(set(COLOUR_BY_CAUSE.values())) == len(COLOUR_BY_CAUSE)


def test_bars_hold_the_cycles_of_the_run():
    """Joined bars and waits of an array together fill the window."""
    for name in ("fusemax-binding", "fusemax-architecture", "fusemax-cascade"):
        timeline = timeline_of(name)
        waterfall = waterfall_of(timeline, name)
        for array in timeline.arrays:
            rows = [row for row in waterfall.rows if row.group == array]
            bars = [bar for row in rows for bar in row.bars]
            issued = sum(bar.share * (bar.end - bar.start) for bar in bars if bar.look == "points")
            waited = sum(bar.end - bar.start for bar in bars if bar.look == "stall")
            lost = sum(span.port_cycles for span in timeline.on(array, "points"))
            assert issued + waited + lost == pytest.approx(1700)


def test_epochs_are_where_new_tiles_are_taken_up():
    timeline = timeline_of("fusemax-binding", Stretch(50, 6, "tiles", True))
    epochs = epochs_of(timeline)
    first = [s for s in timeline.on("PE2D", "points") if s.name == "QK"]
    assert [tuple(epoch) for epoch in epochs] == [(span.start, span.tile) for span in first]
    assert [b.tile - a.tile for a, b in pairwise(epochs)] == [1] * (len(epochs) - 1)


def test_the_drain_is_a_wait_in_one_and_hidden_in_the_other():
    steady = Stretch(50, 6, "tiles", True)
    plain = waterfall_of(timeline_of("fusemax-architecture", steady), "")
    hidden = waterfall_of(timeline_of("fusemax-binding", steady), "")
    drains = [bar for bar in row_of(plain, "PE2D", WAITS).bars if bar.text == "drain"]
    assert [bar.end - bar.start for bar in drains] == [256] * 6
    assert "drain" not in hidden.causes
    # The same 256 cycles are there, below work on other tiles.
    leaving = [bar for bar in row_of(hidden, "PE2D", "LM").bars if bar.look == "result"]
    inside = [bar for bar in leaving if hidden.first < bar.start and bar.end < hidden.last]
    assert inside and {bar.end - bar.start for bar in inside} == {256}
    assert plain.ages == (0, 1, 2) and len(hidden.ages) >= 3


def test_rows_that_alternate_are_joined():
    waterfall = waterfall_of(timeline_of("fusemax-architecture"), "")
    bars = [bar for bar in row_of(waterfall, "PE1D", "SPNV").bars if bar.look == "points"]
    assert len(bars) <= 4 and all(0.45 < bar.share < 0.55 for bar in bars if bar.end < waterfall.last)


def test_a_long_window_is_cut_to_what_can_be_seen():
    waterfall = waterfall_of(timeline_of("fusemax-binding", Stretch(0, 100_000)), "")
    assert len(waterfall.epochs) == MOST_EPOCHS
    assert max(bar.end for row in waterfall.rows for bar in row.bars) <= waterfall.last < 100_000


@pytest.mark.parametrize("kind", ["svg", "png"])
def test_the_same_run_gives_the_same_picture(kind):
    waterfall = waterfall_of(timeline_of("fusemax-binding"), "title")
    picture = render_waterfall(waterfall, kind)
    assert picture == render_waterfall(waterfall, kind)
    assert picture.startswith(b"<?xml" if kind == "svg" else b"\x89PNG")


def test_an_array_without_work_and_a_window_without_epochs_are_drawn():
    timeline = timeline_of("fusemax-binding", Stretch(0, 100))  # the arrays wait for their first tiles
    waterfall = waterfall_of(timeline, "")
    assert waterfall.epochs == () and waterfall.causes == ("dram",)
    assert render_waterfall(waterfall, "svg").startswith(b"<?xml")


@pytest.mark.parametrize("name", ["binding", "architecture"])
def test_the_figures_of_the_documents_are_these(name):
    """What docs/trace.md shows is what its command draws, of the labels and bars at least (paths vary with the library)."""
    drawn = render_waterfall(waterfall_of(timeline_of(f"fusemax-{name}"), f"fusemax-{name} (BERT, 1024, 64)"), "svg")
    shown = (DOCS / f"waterfall-{name}.svg").read_bytes()
    assert drawn.count(b"<path") == shown.count(b"<path")
