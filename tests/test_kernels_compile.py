"""Does every configuration of the table compile for the GPUs it is for, without spilling, onto the units it claims?

No GPU is needed. The compiler runs in processes of its own, because a process that interprets kernels cannot compile them.
"""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# Found, not imported: triton decides at its first import whether this process interprets kernels.
for package in ("torch", "triton"):
    if find_spec(package) is None:
        pytest.skip(f"could not import '{package}'", allow_module_level=True)

ROOT = Path(__file__).resolve().parents[1]
NAMES = (
    *(f"attention-{mask}-d{d}" for mask in ("full", "causal", "backward") for d in (64, 128, 256)),
    "attention-window-softcap-d128",
    "attention-ragged-d128",
    *(f"decode-d{d}" for d in (64, 128, 256)),
    "block-sparse-d64",
    "block-sparse-d128",
    "gla-d64",
    "gla-d128",
    "gemm",
    "rows-held",
    "rows-long",
    "rational",
    "streams",
    "delta-d64",
    "delta-d128",
    "recurrent-d128",
    "recurrent-d256",
)
STREAMING = ("rows", "rational", "streams", "recurrent")  # no products
FULL = [f"attention-full-d{d}" for d in (64, 128)]
# Stack bytes, where the compiler keeps one scalar there. Nothing else may spill.
ALLOWED_STACK = {
    ("sm90", "attention-backward-d256"): 8,
    ("sm80", "gla-d128"): 8,
}
# On Ampere the correction is made in the numerator's wider layout, where more threads hold a row.
CORRECTED_ELSEWHERE = ("attention-full-d256", "attention-causal-d256", "block-sparse-d64", "block-sparse-d128")


def compile_all(architecture: str) -> dict:
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "tests/kernel_compiling.py", architecture, *NAMES]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


@pytest.fixture(scope="module", params=["sm90", "sm80"])
def compiled(request):
    return request.param, compile_all(request.param)


def test_nothing_spills(compiled):
    architecture, results = compiled
    for name, launches in results.items():
        for launch in launches:
            allowed = ALLOWED_STACK.get((architecture, name), 0)
            assert launch["stack_bytes"] <= allowed, (name, launch)
            assert allowed or launch["counts"]["LDL"] == launch["counts"]["STL"] == 0, (name, launch)


def test_shared_memory_fits_and_is_planned(compiled):
    """Below the machine's limit. Where products run as HGMMA the plan is within a tenth (barriers, layout conversions);
    elsewhere the compiler shares buffers or keeps one more or less, and the plan is within half."""
    _, results = compiled
    for name, launches in results.items():
        for launch in launches:
            assert launch["shared_bytes"] <= launch["limit_bytes"], name
            if launch["planned_shared_bytes"]:
                limit = 0.1 if launch["counts"]["HGMMA"] else 0.5
                assert launch["shared_bytes"] == pytest.approx(launch["planned_shared_bytes"], rel=limit), (
                    name,
                    launch,
                )


def test_planned_registers_are_those_of_the_compiler(compiled):
    """Occupancy follows from them. A row without a mask takes fewer, one with softcap or lengths more: causal decides."""
    _, results = compiled
    for name in ("attention-causal-d64", "attention-causal-d128", "attention-causal-d256"):
        (launch,) = results[name]
        assert launch["registers"] == pytest.approx(launch["planned_registers"], abs=8), name


def test_products_run_on_tensor_cores(compiled):
    architecture, results = compiled
    for name, launches in results.items():
        for launch in launches:
            counts = launch["counts"]
            is_small = name.startswith(("decode", "gla", *STREAMING)) or name == "attention-backward-d256"
            if architecture == "sm80" or is_small:
                continue
            if counts["MUFU.EX2"] or name == "gemm":
                assert counts["HGMMA"] > 0 and counts["HMMA"] == 0, (name, counts)
    for name, launches in results.items():
        has_products = any(x["counts"]["HGMMA"] + x["counts"]["HMMA"] > 0 for x in launches)
        assert has_products != name.startswith(STREAMING), name


def test_features_are_used_exactly_where_claimed(compiled):
    _, results = compiled
    for name, launches in results.items():
        for launch in launches:
            assert (launch["counts"]["UTMALDG"] > 0) == launch["uses_tma"], (name, launch)
            assert (launch["counts"]["USETMAXREG"] > 0) == launch["is_specialised"], (name, launch)


def test_exponentials_of_an_iteration_are_those_of_its_tile(compiled):
    """Each thread holds its share of the scores, and two rows of 16 a warp, whose correction is one more each. A masked
    kernel has two loops; a specialised one has one, whose code stands once for each of its two consumer groups of four
    warps. Anything more would be an exponential made twice, or a scale that was not folded into the base-2 domain."""
    architecture, results = compiled
    for name, launches in results.items():
        if not name.startswith(("attention-full", "attention-causal", "block-sparse")):
            continue
        if architecture == "sm80" and name in CORRECTED_ELSEWHERE:
            continue
        (launch,) = launches
        rows, columns = launch["blocks"]
        threads = 32 * (8 if launch["is_specialised"] else launch["warps"])
        bodies = 2 if launch["is_specialised"] or "causal" in name else 1
        held_rows = 4 * rows // threads
        assert launch["counts"]["MUFU.EX2"] == bodies * (rows * columns // threads + held_rows), (name, launch)


def test_full_attention_is_specialised_on_hopper(compiled):
    architecture, results = compiled
    for name in FULL:
        assert results[name][0]["is_specialised"] == (architecture == "sm90")


def test_names_are_those_of_the_launches():
    program = "from tests.kernel_launches import LAUNCHES; print(*LAUNCHES)"
    environment = {k: v for k, v in os.environ.items() if k != "TRITON_INTERPRET"} | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, env=environment, capture_output=True, text=True, check=True
    )
    assert set(done.stdout.split()) == set(NAMES)
