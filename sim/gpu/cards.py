"""Which machine a measurement was taken on: what the driver reported, matched with machine files.

A card is known by what is reported of it and a file states: instruction set, number of cores, size of the memory. Its
name is only quoted, so that no name of a chip stands in code.
"""

from typing import NamedTuple

from kernels.bench import schema
from sim.gpu.device import GpuDevice, device_of
from sim.load.nouns import CATALOGS, load_architecture

# Drivers report up to 7% more than the decimal gigabytes of a data sheet (85.5e9 bytes of "80 GB").
MEMORY_TOLERANCE = 0.1


class Card(NamedTuple):
    """What a run reported of the machine that it measured."""

    name: str
    generation: str
    cores: int
    memory_bytes: int

    @classmethod
    def of(cls, machine: schema.Machine) -> "Card":
        return cls(machine.name, machine.architecture, machine.sm_count, machine.memory_bytes)

    def is_a(self, device: GpuDevice) -> bool:
        return (
            self.generation == device.target.architecture
            and self.cores == device.cores
            and abs(self.memory_bytes / device.memory_bytes - 1) <= MEMORY_TOLERANCE
        )

    def __str__(self) -> str:
        return f"'{self.name}' ({self.generation}, {self.cores} cores, {self.memory_bytes / 1e9:.0f} GB)"


def shipped_machine(card: Card) -> str | None:
    """The shipped machine that the card is; None if none is."""
    for name in CATALOGS["architecture"].names():
        machine = load_architecture(name)
        if machine.cores is not None and machine.calibration is not None and card.is_a(device_of(machine)):
            return name
    return None
