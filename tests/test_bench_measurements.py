"""Are measurement files what they claim to be? Those that are committed, and good and bad ones made up here."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from kernels.bench.cases import CASES
from kernels.bench.checks import RULES, check_measurement
from kernels.bench.schema import (
    CaseTiming,
    Ratio,
    list_measurements,
    measurement_text,
    name_of,
    parse_measurement,
    read_measurement,
)
from kernels.bench.structure import DocumentError
from kernels.plans import TARGETS, plan
from tests.bench_samples import H100, sample_measurement, with_case, with_result

FOLDER = Path(__file__).resolve().parents[1] / "kernels" / "measurements"
GOOD = sample_measurement()


def test_committed_files_can_be_true():
    complaints = [c for path in list_measurements(FOLDER) for c in check_measurement(read_measurement(path), path.name)]
    assert not complaints, "\n".join(map(str, complaints))


def test_folder_holds_measurements_and_their_description_only():
    assert {path.name for path in FOLDER.iterdir()} == {"README.md", *(p.name for p in list_measurements(FOLDER))}


# ------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize(
    "pattern",
    ["ceilings", "decode", "gemm", "attention_bwd", "unfused", "rows", "rational", "sparse-", "linear", "ragged"],
)
def test_what_is_written_is_read(pattern):
    """Every kind of problem comes back as the record that it was."""
    measurement = sample_measurement(pattern)
    assert measurement.cases
    assert parse_measurement(measurement_text(measurement), "x.json") == measurement


def test_every_family_and_problem_was_read():
    written = {spec.family for spec in CASES}
    patterns = (
        "ceilings",
        "decode",
        "gemm",
        "attention_bwd",
        "unfused",
        "rows",
        "rational",
        "sparse-",
        "linear",
        "ragged",
    )
    assert written == {spec.family for spec in CASES if any(pattern in spec.id for pattern in patterns)}


def test_a_case_can_be_planned_again():
    """What a reader needs to predict a case: the same problem on the machine's target gives the launches recorded."""
    case = parse_measurement(measurement_text(GOOD), "x.json").cases[0]
    (planned,) = plan(case.problem, replace(H100.target, name=TARGETS["h100"].name))
    (launched,) = case.result_of("einfuse").launches
    assert (planned.grid, planned.configuration, planned.shared_bytes) == (
        launched.grid,
        launched.configuration,
        launched.shared_bytes,
    )
    assert case.dtype == "bf16" and case.best_own.implementation == "einfuse"
    assert GOOD.case_of(case.id).problem == case.problem and GOOD.case_of("none") is None


BROKEN = [
    ("$.machine.kind", lambda d: d["machine"].update(kind="cpu"), 'expected "gpu" or "cpu interpreter", got "cpu"'),
    ("$.machine.nam", lambda d: d["machine"].update(nam=1), "unknown field (did you mean 'name'?)"),
    ("$.run.commit", lambda d: d["run"].pop("commit"), "missing"),
    ("$.run.command", lambda d: d["run"].update(command="x"), 'expected a list, got "x"'),
    ("$.run.is_clean", lambda d: d["run"].update(is_clean=1), "expected true or false, got 1"),
    ("$.machine.sm_count", lambda d: d["machine"].update(sm_count=1.5), "expected a whole number, got 1.5"),
    ("$.machine.sm_count", lambda d: d["machine"].update(sm_count=True), "expected a whole number, got true"),
    ("$.run.drift", lambda d: d["run"].update(drift=float("nan")), "expected a finite number, got NaN"),
    ("$.ceilings", lambda d: d.update(ceilings=[]), "expected an object, got []"),
    ("$.cases[0].problem.kind", lambda d: d["cases"][0]["problem"].update(kind="GemProblem"),
     'expected "AttentionProblem", "UnfusedAttentionProblem", "DecodeProblem", "GemmProblem", "StreamProblem", '
     '"RowProblem", "RationalProblem", "BlockSparseProblem", "LinearAttentionProblem", "RecurrentAttentionProblem" or "DeltaRuleProblem", got "GemProblem" '
     "(did you mean 'GemmProblem'?)"),
    ("$.cases[0].problem", lambda d: d["cases"][0].update(problem=3), "expected an object with a kind, got 3"),
    ("$.cases[0].problem", lambda d: d["cases"][0]["problem"].update(kv_heads=3),
     "query heads must be a multiple of key-value heads, got 16 and 3"),
    ("$.cases[0].results[0].timing", lambda d: d["cases"][0]["results"][0]["timing"].update(p20_s=9.0, median_s=8.0),
     "expected 0 < p20 <= median <= p80, got 9.0, 8.0 and "),
    ("$.cases[0].results[0].launches[0].grid", lambda d: d["cases"][0]["results"][0]["launches"][0].update(grid=[1, 2]),
     "expected a list of 3, got 2"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("path", "breaks", "message"), BROKEN, ids=[f"{path}-{i}" for i, (path, *_) in enumerate(BROKEN)]
)
def test_reader_says_what_is_wrong_and_where(path, breaks, message):
    document = json.loads(measurement_text(GOOD))
    breaks(document)
    with pytest.raises(DocumentError) as caught:
        parse_measurement(json.dumps(document), "x.json")
    (complaint,) = caught.value.complaints
    assert str(complaint).startswith(f"x.json: {path}: {message}")


def test_all_problems_are_named_at_once():
    document = json.loads(measurement_text(GOOD))
    for _, breaks, _ in BROKEN[:4]:
        breaks(document)
    with pytest.raises(DocumentError) as caught:
        parse_measurement(json.dumps(document), "x.json")
    assert [c.path for c in caught.value.complaints] == [
        "$.run.commit",
        "$.run.command",
        "$.machine.nam",
        "$.machine.kind",
    ]


@pytest.mark.parametrize(("text", "message"), [
    ("{", "x.json:1: $: not JSON (Expecting property name enclosed in double quotes)"),
    ("[]", "x.json: $: expected an object, got []"),
    ('{"schema": "einfuse-measurement-2"}', "x.json: $.schema: this version reads 'einfuse-measurement-1', got 'einfuse-measurement-2'"),
])  # fmt: skip
def test_other_documents_are_refused(text, message):
    with pytest.raises(DocumentError) as caught:
        parse_measurement(text, "x.json")
    assert str(caught.value) == message


# -------------------------------------------------------------------------------------------------- checks

NAME = "h100-80gb-hbm3-2026-11-26-0123456.json"
TINY = CaseTiming(1e-9, 1e-9, 1e-9, 9)
FIRST = GOOD.cases[0].results[0]
WARM = sample_measurement("ceilings-copy")


def slowed(at: int, seconds: float):
    """The time of the first result changed, with everything that follows from it."""
    case, first = GOOD.cases[at], GOOD.cases[at].results[0]
    timing = CaseTiming(seconds, seconds, seconds, 9)
    ratios = tuple(Ratio(r.baseline, case.result_of(r.baseline).timing.median_s / seconds) for r in first.ratios)
    return with_result(
        GOOD, at, timing=timing, passes=(timing, timing), tflop_per_s=case.flops / seconds / 1e12,
        gb_per_s=case.bytes / seconds / 1e9, ratios=ratios,
    )  # fmt: skip


UNTRUE = [
    ("machine", replace(GOOD, machine=replace(H100, kind="cpu interpreter")),
     "$.machine.kind: measured on a 'cpu interpreter', expected 'gpu': a trial is no measurement"),
    ("origin", replace(GOOD, run=replace(GOOD.run, commit="unknown")),
     "$.run.commit: expected a commit of 40 hexadecimal digits, got 'unknown'"),
    ("origin", replace(GOOD, run=replace(GOOD.run, is_clean=False)),
     "$.run.is_clean: the checkout held changes that no commit holds"),
    ("origin", replace(GOOD, run=replace(GOOD.run, drift=None)),
     "$.run.drift: the first case was not repeated, so clocks may have drifted unseen"),
    ("origin", replace(GOOD, run=replace(GOOD.run, drift=-0.2)),
     "$.run.drift: the first case took -20.0% at the end, at most 10% is accepted"),
    ("identifiers", replace(GOOD, cases=(*GOOD.cases, GOOD.cases[0])),
     f"$.cases[{len(GOOD.cases)}].id: '{GOOD.cases[0].id}' stands twice"),
    ("correctness", with_result(GOOD, 1, errors=()),
     "$.cases[1].results[0].errors: einfuse was timed without a check of its numbers"),
    ("correctness", with_result(GOOD, 1, errors=(replace(FIRST.errors[0], relative=0.5),)),
     "$.cases[1].results[0].errors[0]: relative error 0.5, at most 0.008"),
    ("correctness", with_case(GOOD, 0, absent=(replace(GOOD.cases[0].absent[0], implementation="einfuse", reason="wrong: x"),)),
     "$.cases[0].absent[0]: einfuse is wrong: x"),
    ("arithmetic", with_result(GOOD, 0, tflop_per_s=1.0),
     "$.cases[0].results[0].tflop_per_s: 1 does not follow from the time, which gives 624.574"),
    ("arithmetic", with_result(GOOD, 0, ratios=(Ratio("sdpa-flash", 2.0),)),
     "$.cases[0].results[0].ratios[0]: 2 does not follow from the times, which give 1.25"),
    ("arithmetic", with_result(GOOD, 0, ratios=(Ratio("none", 2.0),)),
     "$.cases[0].results[0].ratios[0]: the case has no result of 'none'"),
    ("spread", with_result(GOOD, 0, passes=(FIRST.timing, replace(FIRST.timing, p80_s=1.0, median_s=2 * FIRST.timing.median_s))),
     "$.cases[0].results[0].passes: the passes of einfuse differ by 100%, at most 25% is accepted"),
    ("peaks", slowed(0, GOOD.cases[0].flops / 1200e12),
     "$.cases[0].results[0].tflop_per_s: einfuse reaches 1200.0 TFLOP/s, the machine's peak is 989.4"),
    ("monotony", slowed(0, 0.9 * GOOD.cases[2].results[0].timing.median_s),
     "$.cases[0]: einfuse takes 1585.5 us at length 16384, less than the 1761.6 us at 8192"),
]  # fmt: skip


def test_good_file_passes():
    assert check_measurement(GOOD, f"somewhere/{NAME}") == ()
    assert name_of(GOOD) == NAME


@pytest.mark.parametrize(
    ("rule", "measurement", "message"), UNTRUE, ids=[f"{rule}-{i}" for i, (rule, *_) in enumerate(UNTRUE)]
)
def test_untrue_file_is_refused(rule, measurement, message):
    del rule
    complaints = [str(c) for c in check_measurement(measurement, NAME)]
    assert f"{NAME}: {message}" in complaints, complaints


def test_every_rule_was_seen_to_complain():
    assert {rule for rule, *_ in UNTRUE} == set(RULES)


def test_file_has_the_name_of_its_contents():
    (complaint,) = check_measurement(GOOD, "mine.json")
    assert str(complaint) == f"mine.json: $: expected the name '{NAME}'"


def test_unknown_machine():
    (complaint,) = check_measurement(
        replace(GOOD, machine=replace(H100, name="NVIDIA T4")), "t4-2026-11-26-0123456.json"
    )
    assert str(complaint) == (
        "t4-2026-11-26-0123456.json: $.machine.name: no peaks are known of 'NVIDIA T4' (known: H200, H20, H100 PCIe, H100, A100)"
    )


def test_memory_bound_unless_l2_holds_it():
    """5 TB/s is too much for HBM, and fine for a copy that is meant to stay in L2, or that L2 may hold."""
    cold, warm = WARM.cases
    assert (cold.is_warm, warm.is_warm) == (False, True)

    def at_5_tb(case):
        seconds = case.bytes / 5e12
        timing = CaseTiming(seconds, seconds, seconds, 9)
        results = tuple(
            replace(r, timing=timing, passes=(timing,), gb_per_s=5000.0, tflop_per_s=0.0, ratios=())
            for r in case.results
        )
        return replace(case, results=results)

    def complaints(case):
        return [c.message for c in check_measurement(replace(WARM, cases=(case,)), NAME)]

    assert complaints(at_5_tb(warm)) == []
    assert complaints(at_5_tb(replace(warm, is_warm=False))) == []  # 16 MB
    assert complaints(at_5_tb(cold)) == [
        "einfuse reaches 5000 GB/s, the machine's memory gives 3352",
        "sdpa-flash reaches 5000 GB/s, the machine's memory gives 3352",
    ]
