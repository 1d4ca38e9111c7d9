"""Clocks, power and temperature from NVIDIA's management library, read only.

Nothing is ever set: clocks, power limits, MIG and persistence stay as they are. The library comes with the driver and
is called through ctypes, because a bare machine has no Python binding for it.
"""

import ctypes
import threading
import time
from collections.abc import Callable
from statistics import median
from typing import Any, NamedTuple

from kernels.bench.schema import Reading

LIBRARY = "libnvidia-ml.so.1"
PERIOD_S = 0.1
# nvml.h: nvmlClockType_t and nvmlTemperatureSensors_t.
SM_CLOCK, MEMORY_CLOCK, CHIP = 1, 2, 0
MHZ, MILLIWATT = 1e6, 1e-3


class Sample(NamedTuple):
    """The driver's readings, and their time on the harness's clock."""

    at_s: float
    sm_clock_hz: float
    memory_clock_hz: float
    power_w: float
    temperature_c: float


class Driver:
    """The first device of an opened library; numbers that the driver does not provide are None."""

    def __init__(self, library: Any) -> None:
        self.library = library
        self.device = ctypes.c_void_p()
        if library.nvmlInit_v2() or library.nvmlDeviceGetHandleByIndex_v2(0, ctypes.byref(self.device)):
            raise OSError("the management library does not answer")

    def version(self) -> str:
        text = ctypes.create_string_buffer(80)
        failed = self.library.nvmlSystemGetDriverVersion(text, len(text))
        return "unknown" if failed else text.value.decode()

    def max_sm_clock_hz(self) -> float | None:
        return self._number("nvmlDeviceGetMaxClockInfo", MHZ, SM_CLOCK)

    def max_memory_clock_hz(self) -> float | None:
        return self._number("nvmlDeviceGetMaxClockInfo", MHZ, MEMORY_CLOCK)

    def power_limit_w(self) -> float | None:
        return self._number("nvmlDeviceGetEnforcedPowerLimit", MILLIWATT)

    def sample(self, at_s: float) -> Sample | None:
        values = (
            self._number("nvmlDeviceGetClockInfo", MHZ, SM_CLOCK),
            self._number("nvmlDeviceGetClockInfo", MHZ, MEMORY_CLOCK),
            self._number("nvmlDeviceGetPowerUsage", MILLIWATT),
            self._number("nvmlDeviceGetTemperature", 1.0, CHIP),
        )
        known = [value for value in values if value is not None]
        return Sample(at_s, *known) if len(known) == len(values) else None

    def _number(self, name: str, unit: float, *arguments: int) -> float | None:
        value = ctypes.c_uint()
        failed = getattr(self.library, name)(self.device, *arguments, ctypes.byref(value))
        return None if failed else value.value * unit


def open_driver(load: Callable[[str], Any] = ctypes.CDLL) -> Driver | None:
    """None if there is no driver, or if it does not respond."""
    try:
        return Driver(load(LIBRARY))
    except (OSError, AttributeError):
        return None


class Telemetry:
    """Samples every PERIOD_S, taken by a thread from `start` to `stop`; none without a driver."""

    def __init__(self, driver: Driver | None) -> None:
        self.driver = driver
        self.samples: list[Sample] = []
        self.is_stopping = threading.Event()
        self.thread: threading.Thread | None = None

    def start(self) -> None:
        if self.driver is not None:
            self.thread = threading.Thread(target=self._listen, args=(self.driver,), daemon=True)
            self.thread.start()

    def stop(self) -> None:
        self.is_stopping.set()
        if self.thread is not None:
            self.thread.join()

    def between(self, start_s: float, end_s: float) -> Reading | None:
        return reading_of([sample for sample in list(self.samples) if start_s <= sample.at_s <= end_s])

    def _listen(self, driver: Driver) -> None:
        while not self.is_stopping.wait(PERIOD_S):
            sample = driver.sample(time.monotonic())
            if sample is not None:
                self.samples.append(sample)


def reading_of(samples: list[Sample]) -> Reading | None:
    """Medians."""
    if not samples:
        return None
    columns = list(zip(*samples, strict=True))[1:]
    return Reading(len(samples), *(median(column) for column in columns))
