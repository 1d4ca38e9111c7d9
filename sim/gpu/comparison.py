"""A comparison: cases of a source, each predicted for the machine that it was measured on, or all for another one."""

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from sim.gpu.cards import Card, shipped_machine
from sim.gpu.cases import GpuCase, load_published, load_table
from sim.gpu.compare import ComparedCase, FamilyAgreement, Prediction, by_family, compare
from sim.gpu.device import GpuDevice, device_of
from sim.gpu.measurement import load_measurement
from sim.load.nouns import load_architecture
from sim.load.problems import InputError, InputProblem

PUBLISHED = "published"
TABLE_SUFFIX = ".csv"


class GpuComparison(NamedTuple):
    """The full result of a comparison. `families` judges what was measured on the machine it is predicted for."""

    source: str
    devices: tuple[GpuDevice, ...]
    compared: tuple[ComparedCase, ...]
    families: tuple[FamilyAgreement, ...]

    @property
    def measured(self) -> tuple[ComparedCase, ...]:
        return tuple(one for one in self.compared if one.is_measured_on)


def compare_source(source: str, machine: str | None) -> GpuComparison:
    """`published`, a table of cases in the same format, or a measurement file. A named machine is predicted in place of
    those that were measured; what was measured elsewhere has no error on it."""
    wanted = predictions_of(source, machine)
    compared = compare(wanted)
    devices = {one.device.name: one.device for one in wanted}
    return GpuComparison(source, tuple(devices.values()), compared, by_family(compared))


def predictions_of(source: str, machine: str | None) -> tuple[Prediction, ...]:
    """The cases of a source, each with the machine it is predicted for; InputError for anything wrong with them."""
    device = load_device(machine) if machine else None
    if source != PUBLISHED and not source.endswith(TABLE_SUFFIX):
        return _of_measurement(Path(source), device)
    cases = load_published() if source == PUBLISHED else load_table(Path(source))
    measured = {name: load_device(name, f"{source}: machine") for name in dict.fromkeys(case.machine for case in cases)}
    return tuple(
        Prediction(
            case, device or measured[case.machine], not device or device.is_same_hardware(measured[case.machine])
        )
        for case in cases
    )


def _of_measurement(path: Path, device: GpuDevice | None) -> tuple[Prediction, ...]:
    card, cases = load_measurement(path)
    shipped = shipped_machine(card)
    if device is None:
        if shipped is None:
            sentence = f"no shipped machine is {card}: --machine FILE describes it"
            raise InputError([InputProblem(str(path), None, "$.machine", sentence)])
        device = load_device(shipped)
    is_measured_on = _is_the_card(card, shipped, device)
    return tuple(Prediction(replace(case, machine=shipped or card.name), device, is_measured_on) for case in cases)


def _is_the_card(card: Card, shipped: str | None, device: GpuDevice) -> bool:
    """Every number but those that are fitted has to be a shipped card's; of others, only what was reported is known."""
    return device.is_same_hardware(load_device(shipped)) if shipped else card.is_a(device)


def load_device(name: str, place: str = "--machine") -> GpuDevice:
    """A machine that kernels can be timed on; InputError, about the place that names it, for any other."""
    machine = load_architecture(name)
    try:
        return device_of(machine)
    except ValueError as error:
        raise InputError([InputProblem(place, None, "", str(error))]) from None


class CasesToFit(NamedTuple):
    """A machine, by the name or path that loads it, and cases that were measured on it."""

    machine: str
    device: GpuDevice
    cases: tuple[GpuCase, ...]


def cases_to_fit(source: str, machine: str | None) -> CasesToFit:
    """Of the published cases those of role calibration, of a user's file all; InputError if they are of several
    machines and none is named."""
    wanted = [one for one in predictions_of(source, machine) if source != PUBLISHED or one.case.role == "calibration"]
    machines = tuple(dict.fromkeys(one.case.machine for one in wanted))
    if machine is None and len(machines) > 1:
        sentence = f"holds cases of {', '.join(machines)}: --machine says whose constants are fitted"
        raise InputError([InputProblem(source, None, "", sentence)])
    return CasesToFit(machine or machines[0], wanted[0].device, tuple(one.case for one in wanted if one.is_measured_on))
