"""Runs a reproduction: every experiment of every accounting, planned, simulated in one call, kept as plain points.

Planning loads all experiments, so any problem with a reproduction is reported before anything is simulated. Kernels
that run one after the other add latency, energy and traffic.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from arch.area import with_registers
from arch.expression import check_names, evaluate
from arch.types import CHIP, Architecture, Memory
from einsums.names import near_or_all
from sim.design.assemble import load_experiment
from sim.design.experiment import Experiment
from sim.design.settings import Setting
from sim.load.document import Document
from sim.load.nouns import build, read
from sim.load.problems import InputError, InputProblem
from sim.lower.machine import Machines, point_operators
from sim.lower.same import Same
from sim.reproduction.evaluation import Reproduction
from sim.reproduction.parts import Accounting, Metric, ReproductionSweep
from sim.reproduction.points import EvaluatedPoint, ReproductionRun
from sim.reproduction.published import load_published
from sim.simulation.flow import simulate_all
from sim.simulation.result import SimulationResult

Progress = Callable[[str], None]


def load_reproduction(name_or_path: str) -> tuple[Document, Reproduction]:
    """A reproduction by catalog name or path, with its document for messages; InputError for anything wrong with it."""
    document = read("reproduction", name_or_path)
    return document, build(document, Reproduction)


def run_reproduction(name_or_path: str, progress: Progress = lambda message: None) -> ReproductionRun:
    """Every point of a reproduction; InputError for a wrong file, IllegalMapping for a point that cannot run."""
    document, reproduction = load_reproduction(name_or_path)
    published = load_published(document, reproduction)
    accountings = reproduction.accountings
    plans = [(accounting, _Planner(document, reproduction, accounting).plan()) for accounting in accountings]
    points: list[EvaluatedPoint] = []
    for accounting, plan in plans:
        progress(f"{accounting.label}: {len(plan)} points")
        results = simulate_all([experiment for _, experiment in plan])
        pairs = zip(plan, results, strict=True)
        simulated = [_measured(reproduction, point, result) for (point, _), result in pairs]
        points += simulated + list(_iter_sums(reproduction, simulated))
    return ReproductionRun(reproduction, tuple(points), published)


class _Planner:
    """The experiments of one accounting, with errors placed in the document."""

    def __init__(self, document: Document, reproduction: Reproduction, accounting: Accounting) -> None:
        self.document, self.reproduction, self.accounting = document, reproduction, accounting
        self.machines = {pair.name: pair.value for pair in accounting.architectures}
        self.exchanged: set[str] = set()
        self.machine_of: dict[str, str] = {}  # the machine that an experiment names

    def plan(self) -> list[tuple[EvaluatedPoint, Experiment]]:
        """Every point with its experiment."""
        planned = [*self._iter_kernels(), *self._iter_sweeps()]
        for name in self.machines:
            if name not in self.exchanged:
                used = dict.fromkeys(self.machine_of.values())
                message = f"no experiment runs on '{name}'{near_or_all(name, used)}"
                path = ("accountings", self.accounting.name, "architectures", name)
                raise InputError([self.document.problem(path, message)])
        machines = dict.fromkeys(Same(experiment.architecture) for _, experiment in planned)
        for one in machines:
            problems = list(self._iter_metric_problems(one.noun))
            if problems:
                raise InputError(problems)
        return planned

    def _iter_metric_problems(self, machine: Architecture) -> Iterator[InputProblem]:
        """Metrics of components or operations that a machine does not have."""
        for metric in self.reproduction.metrics:
            if metric.component is None:
                continue
            key = "component"
            try:
                check_component(metric, machine)
                key = "operation"
                if metric.operation is not None:
                    machine.array(metric.component).operation(metric.operation)
            except ValueError as error:
                yield self.document.problem(("metrics", metric.name, key), str(error))

    def _iter_kernels(self) -> Iterator[tuple[EvaluatedPoint, Experiment]]:
        for kernel in self.reproduction.kernels:
            for pair in kernel.experiments:
                path = ("kernels", kernel.name, "experiments", pair.name)
                for model in self.reproduction.models:
                    for length in self.reproduction.lengths:
                        place = (self.accounting.name, kernel.name, pair.name, model, length)
                        point = EvaluatedPoint(*place, experiment=pair.value)
                        yield point, self._load(point, {}, path)

    def _iter_sweeps(self) -> Iterator[tuple[EvaluatedPoint, Experiment]]:
        for sweep in self.reproduction.sweeps:
            experiments = {pair.name: pair.value for pair in self.reproduction.kernel(sweep.kernel).experiments}
            path = ("sweeps", sweep.name)
            for value in sweep.axis.values:
                workload = (sweep.model, sweep.seq_len, sweep.name, value)
                point = EvaluatedPoint(
                    self.accounting.name, sweep.kernel, sweep.design, *workload, experiments[sweep.design]
                )
                names = self._names(sweep, self._load(point, {}, path), value)
                changes = self._values(sweep.settings, names, (*path, "set"))
                yield point, self._load(point, changes, path)

    def _load(self, point: EvaluatedPoint, changes: Mapping[str, Any], path: tuple[str, ...]) -> Experiment:
        """The experiment on the accounting's machine; problems with its name are reported where the name is written."""
        workload = {"model": point.model, "seq_len": point.seq_len}
        try:
            if point.experiment not in self.machine_of:
                self.machine_of[point.experiment] = load_experiment(point.experiment).architecture.name
            machine = self.machine_of[point.experiment]
            exchange = {}
            if machine in self.machines:
                self.exchanged.add(machine)
                exchange = {"architecture": self.machines[machine]}
            return load_experiment(point.experiment, {**workload, **exchange, **changes})
        except InputError as error:
            placeless = [problem for problem in error.problems if problem.line is None]
            moved = [self.document.problem(path, problem.message) for problem in dict.fromkeys(placeless)]
            raise InputError(moved or error.problems) from None

    def _names(self, sweep: ReproductionSweep, base: Experiment, value: int) -> dict[str, Any]:
        """The names that formulas of a sweep may read: sizes of ranks, the axis, and the names under `where`."""
        names: dict[str, Any] = {**dict(base.sizes), sweep.axis.name: value}
        for setting in sweep.where:
            names[setting.path] = self._value(setting, names, ("sweeps", sweep.name, "where"))
        return names

    def _values(
        self, settings: tuple[Setting, ...], names: Mapping[str, Any], path: tuple[str | int, ...]
    ) -> dict[str, Any]:
        return {setting.path: self._value(setting, names, path) for setting in settings}

    def _value(self, setting: Setting, names: Mapping[str, Any], path: tuple[str | int, ...]) -> Any:
        """A number, or text with the setting's unit."""
        try:
            check_names(setting.expression, names)
            value = evaluate(setting.expression, names.__getitem__)
        except ValueError as error:
            raise InputError([self.document.problem((*path, setting.path), str(error))]) from None
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        return value if setting.unit is None else f"{value} {setting.unit}"


def _measured(reproduction: Reproduction, point: EvaluatedPoint, result: SimulationResult) -> EvaluatedPoint:
    """The point with the values of its metrics."""
    values = tuple((metric.name, metric_value(metric, result)) for metric in reproduction.metrics)
    by_einsum = tuple(
        (metric.name, tuple(result.utilization_by_einsum[str(metric.component)].items()))
        for metric in reproduction.metrics
        if metric.quantity == "utilization"
    )
    place = (point.accounting, point.kernel, point.design, point.model, point.seq_len, point.sweep, point.axis_value)
    return EvaluatedPoint(*place, point.experiment, result.experiment.hash, values, by_einsum, result.warnings)


def check_component(metric: Metric, machine: Architecture) -> None:
    """ValueError if a machine has no component of that kind for the metric."""
    name = str(metric.component)
    match metric.quantity:
        case "traffic":
            machine.memory(name)
        case "utilization":
            machine.array(name)
        case "energy" if metric.operation is not None:
            machine.array(name)
        case "energy" if name == CHIP and machine.leakage_w is not None:
            return
        case "area" if isinstance(found := machine.component(name), Memory) and found.per_pe_of is not None:
            raise ValueError(f"the area of '{name}' counts with that of its array, '{found.per_pe_of}'")
        case _:
            machine.component(name)


def metric_value(metric: Metric, result: SimulationResult) -> float:
    """A metric of a result, in its unit; registers belong to their array's area."""
    component = metric.component
    match metric.quantity:
        case "latency":
            return result.latency_s
        case "traffic":
            return sum(result.traffic_bytes[str(component)].values())
        case "utilization":
            return result.utilization[str(component)]
        case "area" if component is not None:
            return with_registers(result.experiment.architecture, result.area_by_component_um2)[component]
        case "area":
            return result.area_um2
        case "energy" if component is None:
            return result.energy_pj
        case "energy" if metric.operation is not None:
            return operation_energy_pj(result, str(component), metric.operation)
    return result.energy_by_component_pj[str(component)]


def operation_energy_pj(result: SimulationResult, array_name: str, operation: str) -> float:
    """Energy of one operation on an array over the whole run, as part of others (an exponential of MACCs) included.

    The number of points of an Einsum follows from the time that its array's elements spend on it.
    """
    experiment = result.experiment
    array = experiment.architecture.array(array_name)
    pj = array.energy_pj_of(operation)
    elements = float(Machines.of([experiment.architecture]).number(array_name, "pes")[0])
    total = 0.0
    for einsum, share in result.utilization_by_einsum[array_name].items():
        actions = array.resolve(point_operators(experiment.cascade, einsum))
        count = sum(number * _parts(array.operation(action.name), operation) for action, number in actions)
        cycles = sum(number * array.cycles_of(action.name) for action, number in actions)
        total += share * elements * result.cycles / cycles * count * pj
    return total


def _parts(action: Any, operation: str) -> float:
    """How many of an operation one action amounts to."""
    if action.name == operation:
        return 1.0
    return float(sum(part.count for part in action.made_of if part.operation == operation))


def _iter_sums(reproduction: Reproduction, points: list[EvaluatedPoint]) -> Iterator[EvaluatedPoint]:
    """The points of kernels that are sums."""
    by_key = {point.key: point for point in points}
    for kernel in reproduction.kernels:
        if not kernel.sum_of:
            continue
        metrics = reproduction.metrics_of(kernel.name)
        for first in [point for point in points if point.kernel == kernel.sum_of[0] and not point.sweep]:
            place = (first.design, first.model, first.seq_len)
            parts = [by_key[(first.accounting, part, *place, "", None)] for part in kernel.sum_of]
            values = tuple((m.name, sum(part.value(m.name) for part in parts)) for m in metrics)
            yield EvaluatedPoint(first.accounting, kernel.name, *place, values=values)
