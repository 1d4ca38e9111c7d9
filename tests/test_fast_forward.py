"""Fast-forward inside records and beside long transfers, against every cycle gone through; progress, and interrupts."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import sim
from sim.cycle.answer import DesignTiming, design_of, time_design
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment, stack
from sim.ending import CutShort
from sim.engine.analytical import evaluate
from sim.lower.lowering import lower
from sim.simulation.flow import simulate_cycles
from sim.simulation.result import SimulationResult
from tests.cycle_designs import long_design
from tests.small_design import HANGS_S, heed_interrupts

ROOT = Path(__file__).resolve().parents[1]
EXPERIMENTS = sorted(path.stem for path in (ROOT / "sim/catalog/experiments").glob("*.yaml"))
MILLION = 1 << 20


def timed(experiment: Experiment, fast: bool) -> DesignTiming:
    tables = lower(experiment.structure, stack([experiment]))
    return time_design(design_of(experiment, tables, evaluate(tables)), fast)


def outcome(timing: DesignTiming) -> tuple[object, ...]:
    """Everything that a run says."""
    runs = [item.run for item in timing.runs]
    counted = [(run.moved.tolist(), run.runs.tolist(), run.words.tolist(), run.served.tolist()) for run in runs]
    return timing.cycles, timing.stalls, timing.busy, timing.served, counted


def events(timing: DesignTiming) -> int:
    return sum(item.run.events for item in timing.runs)


@pytest.mark.parametrize("first", range(0, 96, 24))
def test_skipping_inside_records_changes_nothing(first: int) -> None:
    simulated = np.zeros(2, np.int64)
    ran = 0
    for seed in range(first, first + 24):
        experiment = long_design(seed)
        try:
            fast, slow = timed(experiment, True), timed(experiment, False)
        except ValueError:
            continue  # nests that cannot follow each other in one program
        assert outcome(fast) == outcome(slow), f"seed {seed}"
        simulated += events(fast), events(slow)
        ran += 1
    assert ran >= 12
    assert simulated[0] < 0.2 * simulated[1]


@pytest.mark.parametrize(
    ("name", "length", "batch"),
    [("attention-3pass-fused", 4096, 1), ("attention-2pass-fused", 2048, 1), ("flat", 1024, 2)],
)
def test_energy_and_time_are_those_of_every_cycle(name: str, length: int, batch: int) -> None:
    experiment = load_experiment(name, {"seq_len": length, "batch": batch})
    fast, slow = simulate_cycles(experiment), simulate_cycles(experiment, fast=False)
    assert fast.to_json() == slow.to_json()


@pytest.mark.parametrize("name", [name for name in EXPERIMENTS if load_experiment(name).architecture.cores is None])
def test_a_million_tokens_take_few_events(name: str) -> None:
    # What sets the time is what is simulated one by one: about a million events a second on one core.
    experiment = load_experiment(name, {"seq_len": MILLION})
    timing = timed(experiment, True)
    assert events(timing) < 2_000_000
    assert timing.cycles > 1_000 * events(timing)


# ------------------------------------------------------------------------------------------------- interrupts


def interrupted(experiment: Experiment, looks: int) -> SimulationResult:
    """What is known of a run that is interrupted when it has told so many times how far it is."""
    told: list[float] = []

    def tell(share: float) -> None:
        told.append(share)
        if len(told) == looks:
            raise KeyboardInterrupt

    with pytest.raises(CutShort) as caught:
        simulate_cycles(experiment, fast=False, tell=tell)
    assert told == sorted(told) and told[0] > 0 and told[-1] < 1
    assert isinstance(caught.value.known, SimulationResult)
    return caught.value.known


def test_an_interrupted_run_says_what_is_known() -> None:
    experiment = load_experiment("fusemax-binding", {"seq_len": 2048})
    whole = simulate_cycles(experiment)
    assert "partial" not in whole.to_json()
    early, late = interrupted(experiment, 1), interrupted(experiment, 3)
    assert 0 < early.cycles < late.cycles < whole.cycles
    for result in (early, late):
        document = json.loads(json.dumps(result.to_json(), allow_nan=False))
        busy = result.busy_cycles_by_einsum
        share = sum(busy.values()) / sum(whole.busy_cycles_by_einsum.values())
        assert document["partial"] == {"share_done": pytest.approx(share, rel=1e-12)}
        assert result.traffic_bytes == whole.traffic_bytes
        for array, lost in result.stall_cycles.items():
            computes = sum(busy[leaf.einsum] for leaf in experiment.tree.leaves if leaf.array == array)
            assert computes + sum(lost.values()) == result.cycles
            assert result.utilization[array] == pytest.approx(computes / result.cycles, rel=1e-9)
            assert all(lost[cause] <= most for cause, most in whole.stall_cycles[array].items())


def test_an_interrupted_run_of_several_nests_has_those_that_are_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.cycle.state.BETWEEN_LOOKS_S", float("inf"))  # so that each look is twice as far
    experiment = load_experiment("unfused", {"seq_len": 512, "batch": 1})
    whole, part = simulate_cycles(experiment), interrupted(experiment, 5)
    done = {name for name, spent in part.busy_cycles_by_einsum.items() if spent == whole.busy_cycles_by_einsum[name]}
    assert done and done != set(whole.busy_cycles_by_einsum)
    assert part.cycles < whole.cycles


def run_until(asked: Callable[[str], bool], number: int, *arguments: str) -> tuple[int, str, str, float]:
    """(exit status, stdout, stderr, seconds from the signal) of the command, uncompiled, so that its run is long;
    signalled when it has said on stderr what is asked for.
    """
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "NUMBA_DISABLE_JIT": "1"}
    command = [sys.executable, "-u", "-m", "sim", "simulate", *arguments]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, env=environment, preexec_fn=heed_interrupts, **pipes) as process:  # type: ignore[call-overload]
        said = ""
        while not asked(said):
            line = process.stderr.readline()
            assert line, "the run ended by itself"
            said += line
        start = time.monotonic()
        process.send_signal(number)
        out, rest = process.communicate(timeout=HANGS_S)
        return process.returncode, out, said + rest, time.monotonic() - start


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_command_tells_how_far_it_is_and_ends_with_what_is_known(number: int, status: int) -> None:
    arguments = ("fusemax-architecture", "--engine", "cycle", "--set", f"seq_len={MILLION}", "--json")
    code, out, said, _ = run_until(lambda text: "s left" in text, number, *arguments)
    assert code == status
    document = json.loads(out)
    assert 0 < document["partial"]["share_done"] < 1
    assert document["cycles"] > 0 and set(document["stall_cycles"]) == {"PE2D", "PE1D"}
    assert "fusemax-architecture: 0." in said and "s left" in said
    assert "Traceback" not in said and said.splitlines()[-1].startswith("einfuse:")


def test_python_hears_of_the_share_that_is_done() -> None:
    told: list[float] = []
    result = sim.simulate(load_experiment("fusemax-binding", {"seq_len": 1024}), "cycle", told.append)
    assert result.share_done == 1.0
    assert told and told[-1] == pytest.approx(1.0)
