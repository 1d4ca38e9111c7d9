"""The constants of a machine, fitted to its calibration cases.

Minimizes the mean square of log(predicted / measured) over the logarithms of the constants, so that none becomes
negative. The latency of a launch is given, not fitted, because no published case is short enough to determine it.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

from arch.cores import Calibration
from sim.gpu.cases import GpuCase
from sim.gpu.device import GpuDevice
from sim.gpu.minimise import minimise
from sim.gpu.predict import predict, total_s

FITTED = ("tensor_rate", "synchronous_rate", "step_latency_cycles", "tile_latency_s", "memory_rate")
SHARES = ("tensor_rate", "synchronous_rate", "memory_rate")
FIRST_STEP = 0.1  # of the logarithms
TOLERANCE = 1e-5


class Fit(NamedTuple):
    calibration: Calibration
    error: float  # root of the mean square of log(predicted / measured)


def calibration_error(cases: Sequence[GpuCase], device: GpuDevice) -> float:
    squares = [math.log(total_s(predict(case, device)) / case.measured_s) ** 2 for case in cases]
    return math.sqrt(sum(squares) / len(squares))


def scaled(calibration: Calibration, factors: Sequence[float]) -> Calibration:
    """The fitted constants times their factors; shares are capped at 1."""
    changed = {}
    for name, factor in zip(FITTED, factors, strict=True):
        value = getattr(calibration, name) * factor
        changed[name] = min(value, 1.0) if name in SHARES else value
    return calibration.model_copy(update=changed)


def fit(cases: Sequence[GpuCase], device: GpuDevice) -> Fit:
    """Constants of a machine from cases that were measured on it; ValueError if there are too few."""
    if len(cases) < len(FITTED):
        raise ValueError(f"{len(FITTED)} constants need as many cases on {device.name}, there are {len(cases)}")

    def error(logarithms: tuple[float, ...]) -> float:
        factors = [math.exp(x) for x in logarithms]
        return calibration_error(cases, replace(device, calibration=scaled(device.calibration, factors)))

    best = minimise(error, (0.0,) * len(FITTED), FIRST_STEP, TOLERANCE)
    return Fit(scaled(device.calibration, [math.exp(x) for x in best]), error(best))
