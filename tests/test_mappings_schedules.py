"""Schedules that cannot be: what runs beside its own maker, stages that contradict what waits for what."""

from pathlib import Path
from random import Random

import pytest

from sim import IllegalMapping, load_experiment, simulate
from sim.binding.answer import bind
from sim.binding.search import SearchOptions
from tests.small_design import CASCADE, run, write_design

DESIGN = ["simulate", "./experiment.yaml"]
MAPPING = """\
name: apart
cascade: cascade.yaml
tree:
  loops: [b]
  keep: {GLB: [{tensor: Y, copies: 1}]}
  body:
    - {einsum: S, array: SQUARE, loops: [{p: 8}, {m: 8}, k], spatial: {rows: m, columns: p}}
    - loops: [p]
      body:
        - {einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}
        - {einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}
schedule:
  kind: phases
  phases:
    - {SQUARE: [S]}
    - {ROW: [T, Z]}
"""
IN_TURN, AT_ONCE = "    - {SQUARE: [S]}\n    - {ROW: [T, Z]}\n", "    - {SQUARE: [S], ROW: [T, Z]}\n"
TURNED = "    - {ROW: [T, Z]}\n    - {SQUARE: [S]}\n"
FUSED, COPIES = ("  loops: [b]\n", "  loops: [b, {p: 8}]\n"), ("{tensor: Y, copies: 1}", "Y, {tensor: S, copies: 2}")


def says(text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cascade: str = CASCADE) -> tuple[int, str]:
    monkeypatch.chdir(tmp_path)
    write_design(tmp_path)
    (tmp_path / "cascade.yaml").write_text(cascade)
    (tmp_path / "mapping.yaml").write_text(text)
    status, _, err = run(DESIGN)
    return status, err.replace("warning: energy or area of 'GLB' is interpolated in its technology table\n", "")


# --- phases -------------------------------------------------------------------------------------------------
def test_readers_of_one_phase_need_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The product and the softmax of a row share nothing but the batch: one waits for all of the other."""
    lacks = "without a loop over 'm' or 'p' that both share there is no earlier tile to work on\n"
    assert says(MAPPING.replace(IN_TURN, AT_ONCE), tmp_path, monkeypatch) == (
        1,
        "mapping.yaml:15: $.schedule.phases[0].ROW[0]: Einsum 'T' reads 'S', which 'SQUARE' makes in the same phase: "
        f"{lacks}"
        "mapping.yaml:15: $.schedule.phases[0].ROW[1]: Einsum 'Z' reads 'S', which 'SQUARE' makes in the same phase: "
        f"{lacks}",
    )


def test_readers_of_an_earlier_phase_need_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = "which is made later in the schedule: without a loop over 'm' or 'p' that both share there is no earlier"
    assert says(MAPPING.replace(IN_TURN, TURNED), tmp_path, monkeypatch) == (
        1,
        f"mapping.yaml:15: $.schedule.phases[0].ROW[0]: Einsum 'T' reads 'S', {made} tile to work on\n"
        f"mapping.yaml:15: $.schedule.phases[0].ROW[1]: Einsum 'Z' reads 'S', {made} tile to work on\n",
    )


def test_readers_in_the_wrong_order_of_a_lane_need_tiles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status, err = says(MAPPING.replace("[T, Z]", "[Z, T]"), tmp_path, monkeypatch)
    assert (status, err) == (0, "")  # Z divides the row before by its maximum: both share the loop over p
    apart = MAPPING.replace("    - loops: [p]\n      body:\n        -", "    -").replace(
        "        - {einsum: Z", "    - {einsum: Z"
    )
    apart = apart.replace("ROW, loops: [{m: 8}]", "ROW, loops: [p, {m: 8}]")
    assert says(apart.replace("[T, Z]", "[Z, T]"), tmp_path, monkeypatch) == (
        1,
        "mapping.yaml:14: $.schedule.phases[1].ROW[0]: Einsum 'Z' reads 'T', which is made later in the schedule: "
        "without a loop over 'p' that both share there is no earlier tile to work on\n",
    )


@pytest.mark.parametrize("order", [AT_ONCE, TURNED])
@pytest.mark.parametrize("tiles", [FUSED, COPIES])
def test_fused_or_double_buffered_einsums_may_overlap(
    order: str, tiles: tuple[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert says(MAPPING.replace(IN_TURN, order).replace(*tiles), tmp_path, monkeypatch) == (0, "")


def test_an_unfused_softmax_cannot_run_beside_its_products() -> None:
    """BERT at 1K, 768 heads: each product moves Q, K and the scores, 2 x 128 KiB + 2 MiB, at 400 GiB/s; the softmax takes
    4 Einsums x 4 slots a row. In one phase 27% less, with a head's softmax before its scores.
    """
    product = 768 * (2 * 2**17 + 2**21) / (400 * 2**30) * 940e6
    assert simulate(load_experiment("unfused")).cycles == pytest.approx(2 * product + 768 * 1024 * 16, rel=1e-12)
    assert 2 * product + 768 * 1024 * 16 == pytest.approx(20.5e6, rel=1e-3)
    at_once = {"mapping.schedule.phases": [{"PE2D": ["QK", "AV"], "PE1D": ["GM", "SN", "SD", "A"]}]}
    with pytest.raises(IllegalMapping) as caught:
        simulate(load_experiment("unfused", at_once))
    assert [problem.path for problem in caught.value.problems] == [
        "schedule.phases[0].PE1D[0]",
        "schedule.phases[0].PE1D[1]",
        "schedule.phases[0].PE2D[1]",
    ]


# --- turns --------------------------------------------------------------------------------------------------
TWO = (
    CASCADE.replace("Y: [K, M]}", "Y: [K, M], W: [M, P]}")
    .replace("[Z]", "[S, T]")
    .replace("= S[m,p] :: max", "= W[m,p] :: max")
)
TWO = TWO.replace("  Z[m,p] = S[m,p] / T[p]\n", "")
TURNS = """\
name: turns
cascade: cascade.yaml
tree:
  loops: [b, {p: 8}]
  keep: {GLB: [X, W]}
  share: {GLB: [[X, W]]}
  body:
    - {einsum: S, array: SQUARE, loops: [{m: 8}, k], spatial: {rows: m, columns: p}}
    - {einsum: T, array: ROW, loops: [m], spatial: {columns: p}}
schedule:
  kind: phases
  phases:
    - {SQUARE: [S]}
    - {ROW: [T]}
"""


@pytest.mark.parametrize("schedule", ["phases:\n    - {SQUARE: [S], ROW: [T]}", "stages: {S: 0, T: 0}"])
def test_turns_of_one_phase_are_no_turns(schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TURNS.replace("phases:\n    - {SQUARE: [S]}\n    - {ROW: [T]}", schedule)
    text = text.replace("kind: phases", "kind: pipelined") if "stages" in schedule else text
    assert says(text, tmp_path, monkeypatch, TWO) == (
        1,
        "mapping.yaml:5: $.tree.keep.GLB[1]: 'W' takes the place of 'X' in 'GLB', but the schedule runs Einsum 'T' on "
        "'ROW' beside Einsum 'S' on 'SQUARE', which needs 'X'\n",
    )


@pytest.mark.parametrize(
    "schedule", ["{SQUARE: [S]}\n    - {ROW: [T]}", "{ROW: [T]}\n    - {SQUARE: [S]}", "stages: {S: 0, T: 1}"]
)
def test_turns_of_phases_or_stages_are(schedule: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = TURNS.replace("{SQUARE: [S]}\n    - {ROW: [T]}", schedule)
    if "stages" in schedule:
        text = text.replace("kind: phases\n  phases:\n    - ", "kind: pipelined\n  ")
    assert says(text, tmp_path, monkeypatch, TWO) == (0, "")


# --- stages -------------------------------------------------------------------------------------------------
SMALL = {
    "architecture.components.PE2D.rows": 16,
    "architecture.components.PE2D.columns": 16,
    "architecture.components.PE1D.columns": 16,
    "ranks.E": 8,
    "ranks.F": 8,
    "batch": 1,
    "model": "T5",
}
NAMES = ("QK", "LM", "RM", "SLN", "SLD", "PRM", "SPD", "RD", "SLNV", "SPNV", "RNV")
FOUND = dict(zip(NAMES, (0, 0, 2, 2, 2, 2, 4, 4, 2, 5, 5), strict=True))


def staged(stages: dict[str, int], **changes: object) -> dict[str, object]:
    return SMALL | changes | {"mapping.schedule": {"kind": "pipelined", "stages": stages}}


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        (
            dict.fromkeys(NAMES, 0),
            "SLN: Einsum 'SLN' in stage 0 waits, through another array, for 'LM' of that stage, and 'PE2D' does nothing "
            "meanwhile: expected a later stage",
        ),
        (FOUND | {"SLN": 1}, "SLN: Einsum 'SLN' in stage 1 reads 'RM', which stage 2 makes later"),
        # The next tile of the same queries is 2 steps on.
        (
            FOUND | {"RD": 7},
            "SPD: Einsum 'SPD' in stage 4 reads 'RD' of 2 tiles before, which stage 7 makes later",
        ),
        (
            FOUND | {"RD": 6},
            "SPD: Einsum 'SPD' reads 'RD' of the same step, but 'PE1D' runs 'SPD' first in every step: neither ever runs",
        ),
    ],
)  # fmt: skip
def test_stages_that_contradict_what_waits_for_what(stages: dict[str, int], message: str) -> None:
    with pytest.raises(IllegalMapping) as caught:
        simulate(load_experiment("fusemax-binding", staged(stages, seq_len=32)))
    assert str(caught.value) == f"--set: $.mapping.schedule.stages.{message}"


def test_as_many_stages_as_a_recurrence_leaves_time_for() -> None:
    experiment = load_experiment("fusemax-binding", staged(FOUND | {"RD": 5}, seq_len=32))
    timed = simulate(experiment, "cycle")
    # 2 x 2 tiles of queries and keys for each of 8 heads; the 1D array takes 1 + 7 + 1 + 1 + 2 x 8 cycles for each.
    assert timed.busy_cycles_by_einsum["RD"] == 2 * 2 * 8
    assert timed.cycles > 2 * 2 * 8 * (10 + 2 * 8)


def test_what_a_recurrence_ties_together_may_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """R goes round through both arrays: no stage could put its second half off."""
    cascade = CASCADE.replace("batch: [B]\n", "batch: [B]\ninit: {R: 1}\n").split("  S[m,p]")[0]
    cascade += "  U[m,p]   = R[m,p] * Y[k,m] * X[k,p]\n  V[m,p]   = max(U[m,p], 1)\n  R[m+1,p] = U[m,p] * V[m,p]\n"
    cascade += "  Z[p]     = max(R[M,p], 1)\n"
    text = """\
name: round
cascade: cascade.yaml
tree:
  loops: [b, {p: 8}]
  body:
    - loops: [m]
      keep: {GLB: [U, V, R]}
      body:
        - {einsum: U, array: SQUARE, loops: [k], spatial: {columns: p}}
        - {einsum: V, array: ROW, spatial: {columns: p}}
        - {einsum: R, array: SQUARE, spatial: {columns: p}}
    - {einsum: Z, array: ROW, spatial: {columns: p}}
schedule: {kind: pipelined, stages: {U: 0, V: 0, R: 0}}
"""
    assert says(text, tmp_path, monkeypatch, cascade) == (0, "")


def test_a_step_is_no_more_than_the_loops_of_all_stages() -> None:
    """The division walks other tiles than the rest, so a step is a whole chunk of queries, with all of its keys."""
    stages = dict.fromkeys((*NAMES, "AV"), 0)
    changes = {
        "mapping.schedule": {"kind": "pipelined", "stages": stages},
        "mapping.tree.body.1.loops": [{"p": "P0//2"}],
    }
    with pytest.raises(IllegalMapping) as caught:
        simulate(load_experiment("fusemax-binding", changes))
    runs = "inside loops that its schedule runs through at once"
    assert str(caught.value) == (
        f"--set: $.mapping.schedule.stages.SPD: Einsum 'SPD' reads the old 'RD' {runs}\n"
        f"--set: $.mapping.schedule.stages.SPNV: Einsum 'SPNV' reads the old 'RNV' {runs}"
    )


MAPPINGS = ("fusemax-binding", "attention-2pass-fused", "attention-3pass-fused", "attention-1pass-wide")


@pytest.mark.parametrize("seed", range(60))
def test_legal_stages_never_stop(seed: int) -> None:
    """Stages at random: what passes runs to its end in the cycle engine."""
    random = Random(seed)
    changes = SMALL | {"mapping": random.choice(MAPPINGS), "seq_len": random.choice([16, 24, 32, 64])}
    stages, stage = {}, 0
    for leaf in load_experiment("fusemax-binding", changes).tree.leaves:
        stage += random.choice([0, 0, 0, 1, 2])
        stages[leaf.einsum] = stage
    experiment = load_experiment(
        "fusemax-binding", changes | {"mapping.schedule": {"kind": "pipelined", "stages": stages}}
    )
    try:
        counted = simulate(experiment)
    except IllegalMapping:
        return
    assert simulate(experiment, "cycle").cycles >= max(counted.busy_cycles_by_einsum.values())


@pytest.mark.parametrize("name", MAPPINGS)
def test_what_bind_writes_is_legal(name: str) -> None:
    changes = SMALL | {"mapping": name, "seq_len": 64}
    found = bind(load_experiment("fusemax-binding", changes), SearchOptions(effort=100_000)).schedule()
    stages = {stage.einsum: stage.stage for stage in found.stages}
    experiment = load_experiment(
        "fusemax-binding", changes | {"mapping.schedule": {"kind": "pipelined", "stages": stages}}
    )
    assert experiment.problems == ()
    simulate(experiment, "cycle")
