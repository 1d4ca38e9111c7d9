"""The GPUs of the catalog: their rates against data sheets, what they share, and what a machine of cores refuses."""

from pathlib import Path
from typing import Any

import pytest
import yaml

import arch
from arch import Architecture
from kernels.plans import TARGETS
from sim.gpu.device import device_of
from sim.load.nouns import load_architecture
from sim.lower.machine import area_by_component_um2

GPUS = ("h100-sxm", "h200-sxm", "h100-pcie", "a100-sxm", "h20")
H100 = Path(arch.__file__).parent / "catalog" / "h100-sxm.yaml"
VECTOR_UNIT = H100.parent / "operators" / "vector-unit.yaml"


def h100(**changes: Any) -> dict[str, Any]:
    """The file's data, with values replaced by dotted path."""
    data = yaml.safe_load(H100.read_text())
    data["components"]["FP32"]["operators"] = yaml.safe_load(VECTOR_UNIT.read_text())
    for path, value in changes.items():
        *parents, last = path.split("__")
        node = data
        for key in parents:
            node = node[key]
        node[last] = value
    return data


@pytest.mark.parametrize(
    ("name", "cores", "flops", "ghz", "tflops"),
    [
        ("h100-sxm", 132, 4096, 1.83, 989.4),
        ("h200-sxm", 132, 4096, 1.83, 989.4),
        ("h100-pcie", 114, 4096, 1.62, 756.4),
        ("a100-sxm", 108, 2048, 1.41, 311.9),
        ("h20", 78, 1024, 1.83, 146.2),
    ],
)
def test_tensor_peak_is_that_of_the_data_sheet(name, cores, flops, ghz, tflops):
    device = device_of(load_architecture(name))
    assert (device.cores, device.tensor_flops_per_cycle, device.clock_hz) == (cores, flops, pytest.approx(ghz * 1e9))
    assert device.peak_flops_per_s / 1e12 == pytest.approx(tflops, abs=0.05)


def test_rates_of_a_chip():
    device = device_of(load_architecture("h100-sxm"))
    chip_hz = device.cores * device.clock_hz
    assert device.special_per_cycle * chip_hz == pytest.approx(3.87e12, rel=2e-3)  # exponentials
    assert device.operand_bytes_per_cycle * chip_hz == pytest.approx(30.9e12, rel=2e-3)  # shared memory
    assert 2 * device.vector_per_cycle * device.cores * 1.98e9 == pytest.approx(67e12, rel=5e-3)  # FP32 at full clock
    assert device.peak_flops_per_s / device.memory_bytes_per_s == pytest.approx(295, abs=0.5)  # FLOP/B
    h200 = device_of(load_architecture("h200-sxm"))
    assert h200.peak_flops_per_s / h200.memory_bytes_per_s == pytest.approx(206, abs=0.5)


@pytest.mark.parametrize("name", GPUS)
def test_shared_memory_gives_128_bytes_a_cycle(name):
    assert device_of(load_architecture(name)).operand_bytes_per_cycle == pytest.approx(128)


@pytest.mark.parametrize(("name", "target"), [("h100-sxm", "h100"), ("h200-sxm", "h200"), ("a100-sxm", "a100")])
def test_machines_are_the_targets_that_kernels_are_launched_on(name, target):
    found, launched = device_of(load_architecture(name)).target, TARGETS[target]
    assert (found.architecture, found.sm_count) == (launched.architecture, launched.sm_count)
    assert found.shared_bytes_per_cta == launched.shared_bytes_per_cta
    assert found.shared_bytes_per_sm == launched.shared_bytes_per_sm
    assert found.l2_bytes == launched.l2_bytes


def test_h200_differs_from_h100_in_its_memory_only():
    base, other = load_architecture("h100-sxm"), load_architecture("h200-sxm")
    changed = [a.name for a, b in zip(base.components, other.components, strict=True) if a != b]
    assert changed == ["HBM", "L2"]
    assert (base.cores, base.calibration, base.clock_hz) == (other.cores, other.calibration, other.clock_hz)


def test_registers_of_a_core_hold_256_kib():
    for name in GPUS:
        machine = load_architecture(name)
        registers = machine.memory("RF")
        assert machine.instances(registers) * registers.size_bits == 256 * 1024 * 8, name


def test_what_is_in_a_core_is_there_once_in_each():
    machine = load_architecture("h100-sxm")
    assert [machine.cores_of(one.name) for one in machine.components] == [1, 1] + [132] * 8
    assert area_by_component_um2(machine)["L2"] == 814e6
    small = h100(components__SMEM__area="2 um2", components__MUFU__interconnect_area="1 um2")
    areas = area_by_component_um2(Architecture.model_validate(small))
    assert (areas["SMEM"], areas["MUFU"]) == (132 * 2, 132 * 16)


def test_a_machine_without_cores_has_one():
    machine = load_architecture("fusemax-cloud")
    assert {machine.cores_of(one.name) for one in machine.components} == {1}
    with pytest.raises(ValueError) as refused:
        device_of(machine)
    assert str(refused.value) == (
        "architecture 'fusemax-cloud' has no cores: kernels are timed on machines with cores and calibration"
    )


MISTAKES = [
    ({"cores__memory": "SMEN"}, "cores.memory: Value error, unknown memory 'SMEN' (did you mean 'SMEM'?)"),
    ({"cores__memory": "HBM"}, "cores.memory: Value error, expected a memory below the root, got the root 'HBM'"),
    (
        {"cores__pipes__tensor": "TENSORS"},
        "cores.pipes.tensor: Value error, unknown array 'TENSORS' (did you mean 'TENSOR'?)",
    ),
    (
        {"components__MUFU__parent": "L2"},
        "cores.pipes.special: Value error, expected an array below 'SMEM', got 'MUFU'",
    ),
    (
        {"calibration__tensor_rate": 1.2},
        "calibration.tensor_rate: Value error, expected a share above 0 and at most 1, got 1.2",
    ),
    (
        {"calibration__step_latency": -1},
        "calibration.step_latency: Value error, expected a number of cycles of at least 0, got -1",
    ),
    (
        {"calibration__tile_latency": 3},
        "calibration.tile_latency: Value error, expected a time such as '10 ns', got 3, which has no unit",
    ),
]


@pytest.mark.parametrize(("changes", "message"), MISTAKES, ids=[message[:40] for _, message in MISTAKES])
def test_mistakes_are_named(changes, message):
    with pytest.raises(ValueError) as refused:
        Architecture.model_validate(h100(**changes))
    said = [f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in refused.value.errors()]
    assert said == [message]
