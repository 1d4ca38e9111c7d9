"""Predicted against measured: every case from the plan that would launch it, along with simpler models."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

from sim.gpu.baselines import BASELINES
from sim.gpu.cases import GpuCase
from sim.gpu.device import GpuDevice
from sim.gpu.predict import predict, total_s
from sim.gpu.statistics import Agreement, agreement
from sim.load.problems import InputError, InputProblem


@dataclass(frozen=True, slots=True)
class ComparedCase:
    """One case, predicted for a machine: the one that it was measured on, or another; times in seconds."""

    case: GpuCase
    device: GpuDevice
    is_measured_on: bool
    predicted_s: float
    bound_by: str  # of its longest launch
    baseline_s: tuple[tuple[str, float], ...]

    @property
    def error(self) -> float | None:
        """Signed, of time; None where another machine was measured."""
        return self.predicted_s / self.case.measured_s - 1 if self.is_measured_on else None


@dataclass(frozen=True, slots=True)
class FamilyAgreement:
    """The errors for a family, ours and each baseline's; `role` is calibration or held-out."""

    family: str
    role: str
    ours: Agreement
    baselines: tuple[tuple[str, Agreement], ...]


class Prediction(NamedTuple):
    """A case to be predicted for a machine, and whether that is the machine that was measured."""

    case: GpuCase
    device: GpuDevice
    is_measured_on: bool


def compare(wanted: Iterable[Prediction]) -> tuple[ComparedCase, ...]:
    """Every case on its machine; InputError for a case that cannot be planned."""
    found: list[ComparedCase] = []
    refused: dict[str, list[str]] = {}  # a reason, and the cases it applies to
    for one in wanted:
        try:
            found.append(_compare(one))
        except ValueError as error:
            refused.setdefault(str(error), []).append(one.case.name)
    if refused:
        raise InputError([InputProblem(_named(names), None, "", reason) for reason, names in refused.items()])
    return tuple(found)


def _named(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"


def _compare(wanted: Prediction) -> ComparedCase:
    case, device, is_measured_on = wanted
    launches = predict(case, device)
    longest = max(launches, key=lambda launch: launch.time_s)
    baselines = tuple((name, model(case, device)) for name, model in BASELINES.items())
    return ComparedCase(case, device, is_measured_on, total_s(launches), longest.bound_by, baselines)


def by_family(compared: tuple[ComparedCase, ...]) -> tuple[FamilyAgreement, ...]:
    """Families in the order of their first case, calibration before held-out. Cases that were measured on another
    machine than they are predicted for say nothing here."""
    judged = [one for one in compared if one.is_measured_on]
    families = dict.fromkeys(one.case.family for one in judged)
    found = []
    for family in families:
        for role in ("calibration", "held-out"):
            members = [one for one in judged if one.case.family == family and one.case.role == role]
            if members:
                found.append(_agreement(family, role, members))
    return tuple(found)


def _agreement(family: str, role: str, members: list[ComparedCase]) -> FamilyAgreement:
    measured = [one.case.measured_s for one in members]
    names = [name for name, _ in members[0].baseline_s]
    return FamilyAgreement(
        family,
        role,
        agreement(measured, [one.predicted_s for one in members]),
        tuple((name, agreement(measured, [one.baseline_s[i][1] for one in members])) for i, name in enumerate(names)),
    )
