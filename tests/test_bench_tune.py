"""Does the tuner choose and write what it should? With trials that are made up; no GPU."""

import runpy
import subprocess
import sys
from pathlib import Path

import pytest

from kernels.bench import tune as program
from kernels.bench.choosing import Trial, choice_lines, choose, tune
from kernels.bench.grid import (
    GRID,
    fits,
    is_allowed,
    iter_candidates,
    plan_with,
    problem_of,
    rewrite_table,
    row_text,
    rows_to_tune,
)
from kernels.plans import TARGETS, Configuration, configurations, plan
from kernels.plans.configurations import TABLE

ROOT = Path(__file__).resolve().parents[1]
H100, A100 = TARGETS["h100"], TARGETS["a100"]
SOURCE = Path(configurations.__file__).read_text("utf-8")
ROWS = rows_to_tune("sm90")
FULL, CAUSAL = (
    next(row for row in ROWS if row.operator == "attention_fwd" and row.is_masked is masked) for masked in (False, True)
)


def test_every_row_stands_once_in_the_table():
    for row in TABLE:
        assert SOURCE.count(row_text(row)) == 1, row_text(row)


def test_table_keeps_the_rules():
    """Warps specialised: on Hopper, by descriptors, four warps, without a mask, up to 128. Elsewhere not."""
    assert all(is_allowed(row, row.configuration) for row in TABLE)
    specialised = [row for row in TABLE if row.configuration.is_specialised]
    assert specialised and all(
        (row.architecture, row.operator, row.is_masked, row.configuration.warps, row.configuration.uses_tma)
        == ("sm90", "attention_fwd", False, 4, True)
        for row in specialised
    )


@pytest.mark.parametrize("change", [{"warps": 8}, {"uses_tma": False}])
def test_rules_forbid_what_the_compiler_ignores_or_cannot_do(change):
    assert is_allowed(FULL, FULL.configuration)
    assert not is_allowed(FULL, FULL.configuration._replace(**change))
    assert not is_allowed(CAUSAL, FULL.configuration), "two loops"
    assert not is_allowed(FULL._replace(head_size=256), FULL.configuration), "no shared memory for it"
    assert not is_allowed(FULL._replace(architecture="sm80"), FULL.configuration._replace(is_specialised=False)), (
        "no TMA"
    )


@pytest.mark.parametrize(("architecture", "target"), [("sm90", H100), ("sm80", A100)])
def test_candidates_are_distinct_and_allowed(architecture, target):
    rows = rows_to_tune(architecture)
    assert {row.operator for row in rows} == set(GRID)
    for row in rows:
        candidates = list(iter_candidates(row, target))
        assert candidates[0] == row.configuration
        plain = [cut._replace(registers=0) for cut in candidates]
        assert len(set(plain)) == len(plain) > 5
        for cut in candidates:
            assert is_allowed(row, cut) and fits(row, cut, target)
    assert not fits(rows[0], Configuration(128, 256, 0, 8, 4), target)


def test_candidates_are_timed_on_the_problem_of_their_row():
    """The table's own configuration gives the launches that an ordinary call makes."""
    for row in ROWS:
        problem = problem_of(row)
        is_backward = "bwd" in row.operator
        ordinary = plan(problem, H100, is_backward)
        found = plan_with(row, problem, H100, row.configuration)
        if is_backward:
            ordinary = [p for p in ordinary if p.operator == row.operator]
        assert [p.operator for p in found] == [p.operator for p in ordinary]
        for one, other in zip(found, ordinary, strict=True):
            assert (one.grid, one.configuration.block_n, one.configuration.stages) == (
                other.grid,
                other.configuration.block_n,
                other.configuration.stages,
            )


def trials_of(seconds, spills=()):
    """Trials that take what is told, in the order of the candidates."""
    taken = iter(seconds)

    def try_one(row, cut):
        del row
        value = next(taken)
        if isinstance(value, Exception):
            raise value
        return Trial(value, 100 + cut.stages, 4 if value in spills else 0)

    return try_one


CUTS = (FULL.configuration, *(Configuration(64, n, 0, 4, 2, True) for n in (32, 64, 128)))


@pytest.mark.parametrize(("seconds", "spills", "chosen"), [
    ([1.0, 2.0, 3.0, 4.0], (), 0),
    ([1.0, 0.99, 3.0, 4.0], (), 0),  # faster, but not clearly
    ([1.0, 0.9, 0.8, 0.8], (), 2),  # of equals the first
    ([1.0, 0.9, 0.5, 4.0], (0.5,), 1),  # what spills is not taken
    ([1.0, 9.0, 9.0, 9.0], (1.0,), 1),  # the table's own neither
    ([RuntimeError("no"), 2.0, 1.5, 4.0], (), 2),
    ([RuntimeError("no")] * 4, (), 0),
])  # fmt: skip
def test_choice(seconds, spills, chosen):
    choice = choose(FULL, CUTS, trials_of(seconds, spills))
    assert choice.chosen._replace(registers=0) == CUTS[chosen]._replace(registers=0)
    assert choice.is_changed == (chosen > 0)
    if chosen:
        assert choice.chosen.registers == 102
        if isinstance(seconds[0], float):
            assert choice.gain == pytest.approx(seconds[0] / seconds[chosen])


def test_choice_in_words():
    choice = choose(FULL, CUTS[:3], trials_of([1e-3, 0.5e-3, RuntimeError("PassManager::run\nfailed")]))
    assert choice_lines(choice) == [
        "attention_fwd up to 128, unmasked: 2.00x with 64x32, 4 warps, 2 stages, TMA",
        "  128x128, 4 warps, 2 stages, TMA, specialised: 1000.0 us, 102 registers",
        "  64x32, 4 warps, 2 stages, TMA: 500.0 us, 102 registers",
        "  64x64, 4 warps, 2 stages, TMA: RuntimeError: PassManager::run failed",
    ]


def test_rewritten_table_differs_in_its_row_only():
    cut = CAUSAL.configuration._replace(block_n=64, stages=3, registers=199)
    changed = rewrite_table(SOURCE, {CAUSAL: cut})
    before, after = SOURCE.splitlines(), changed.splitlines()
    differing = [y for x, y in zip(before, after, strict=True) if x != y]
    # The tiles by place, and what the kernel does with masked steps as it was.
    assert differing == ["        Configuration(128, 64, 0, 8, 3, True, False, 199, has_masked_loop=True),"]
    assert rewrite_table(changed, {CAUSAL._replace(configuration=cut): CAUSAL.configuration}) == SOURCE
    with pytest.raises(ValueError, match="holds 0 lines"):
        rewrite_table(changed, {CAUSAL: cut})


def test_candidates_keep_what_the_kernel_does_whatever_its_tiles():
    assert CAUSAL.configuration.has_masked_loop
    assert all(cut.has_masked_loop for cut in iter_candidates(CAUSAL, H100))


def test_rewritten_table_is_what_was_chosen(tmp_path):
    """Executed, the written source holds the chosen configurations; a second run changes nothing."""

    def try_one(row, cut):
        return Trial(1.0 / (cut.block_n + cut.stages / 10 + cut.block_m / 1e4), 90, 0)

    choices = tune(ROWS, H100, try_one, lambda: False, lambda sentence: None)
    assert any(choice.is_changed for choice in choices)
    written = tmp_path / "configurations.py"
    assert program.write(choices, Path(configurations.__file__), written) == 0
    space = runpy.run_path(str(written))
    wanted = {choice.row[:5]: choice.chosen for choice in choices}
    for row in space["TABLE"]:
        expected = next((old.configuration for old in TABLE if old[:5] == row[:5]), None)
        assert row.configuration == wanted.get(row[:5], expected)
    again = [
        choose(row, (row.configuration, *list(iter_candidates(row, H100))[1:]), try_one)
        for row in space["TABLE"]
        if row[:5] in wanted
    ]
    assert not any(choice.is_changed for choice in again)


def test_time_is_kept():
    """A row begins no candidate after the time is up, and no row is begun."""
    said, tried = [], []

    def try_one(row, cut):
        tried.append(cut)
        return Trial(1.0 / len(tried), 90, 0)

    choices = tune(ROWS[:2], H100, try_one, lambda: len(tried) >= 3, said.append)
    assert len(tried) == 3 and [len(choice.trials) for choice in choices] == [3]
    assert choices[0].chosen._replace(registers=0) == tried[2], "the best so far"
    assert said[-1].endswith(": not reached")


def test_command_without_a_gpu_says_so(capsys):
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a GPU")
    assert program.main([]) == 2
    assert capsys.readouterr().err == (
        "this machine has no GPU that torch can use, so there is nothing to tune; --list shows what would be tried\n"
    )


def test_list_needs_the_standard_library_only():
    code = (
        "import sys\n"
        "for name in ('torch', 'triton', 'numpy', 'pydantic'): sys.modules[name] = None\n"
        "from kernels.bench.tune import main\n"
        "sys.exit(main(['--list', 'sm90', '--operators', 'gemm']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "gemm up to 256: 32 configurations\n", "")
