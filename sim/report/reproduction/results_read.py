"""Reads `results.csv` of a reproduction: its first accounting, as values by design, workload, kernel and metric."""

import csv
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from sim.load.problems import InputError, InputProblem
from sim.report.parts.workloads import Workload
from sim.report.reproduction.names import read_names
from sim.report.reproduction.results import ResultRow

RESULTS = "results.csv"
Key = tuple[str, str, str, Workload]  # kernel, metric, design, workload


@dataclass(frozen=True)
class Results:
    """Values of whole kernels under the first accounting of the file."""

    values: dict[Key, float]
    units: dict[str, str]  # by metric
    names: dict[str, Any]  # labels, if the folder has them

    @cached_property
    def kernels(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(kernel for kernel, _, _, _ in self.values))

    def metrics(self, kernel: str, unit: str) -> tuple[str, ...]:
        """The metrics of a kernel in a unit that every design has at every workload."""
        own = dict.fromkeys(metric for k, metric, _, _ in self.values if k == kernel and self.units[metric] == unit)
        return tuple(metric for metric in own if self.table(kernel, metric) is not None)

    @cached_property
    def designs(self) -> tuple[str, ...]:
        """Designs in the order of the reproduction, or of the file; points of a sweep over one design do not count."""
        known = self.names.get("designs", {})
        count = Counter(design for _, _, design, _ in self.values)
        most = max(count.values())
        return tuple(name for name in known if name in count) or tuple(name for name in count if count[name] == most)

    def workloads(self, kernel: str) -> tuple[Workload, ...]:
        """By model, then by length."""
        own = (workload for k, _, design, workload in self.values if k == kernel and design in self.designs)
        found = dict.fromkeys(own)
        models = list(dict.fromkeys(model for model, _ in found))
        return tuple(sorted(found, key=lambda workload: (models.index(workload[0]), workload[1])))

    def table(self, kernel: str, metric: str) -> np.ndarray | None:
        """f8[workload, design]; None if some are missing."""
        rows = [
            [self.values.get((kernel, metric, design, workload), np.nan) for design in self.designs]
            for workload in self.workloads(kernel)
        ]
        found = np.array(rows)
        return None if not found.size or np.isnan(found).any() else found

    def label(self, kind: str, name: str) -> str:
        return str(self.names.get(kind, {}).get(name, name))

    def experiment(self, kernel: str, design: str) -> str | None:
        """The experiment that was run, if the folder records it."""
        found = self.names.get("experiments", {}).get(kernel, {}).get(design)
        return None if found is None else str(found)


def read_results(folder: Path) -> Results:
    """The results in a folder; InputError if the file is not a reproduction's."""
    path = folder / RESULTS

    def refuse(line: int | None, message: str) -> InputError:
        return InputError([InputProblem(str(path), line, "", message)])

    try:
        with path.open(newline="", encoding="utf-8") as file:
            return _read(csv.DictReader(file), read_names(folder), refuse)
    except OSError as error:
        raise refuse(None, f"cannot be read ({error.strerror or error})") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise refuse(None, f"is no table of results ({error})") from None


def _read(
    rows: "csv.DictReader[str]", names: dict[str, Any], refuse: Callable[[int | None, str], InputError]
) -> Results:
    missing = [name for name in ResultRow._fields if name not in (rows.fieldnames or ())]
    if missing:
        raise refuse(1, f"is no table of results: expected a column '{missing[0]}'")
    values: dict[Key, float] = {}
    units: dict[str, str] = {}
    accounting = None
    for row in rows:
        accounting = row["accounting"] if accounting is None else accounting
        if row["accounting"] != accounting or row["einsum"]:
            continue
        try:
            key = (row["kernel"], row["metric"], row["design"], (row["model"], int(row["seq_len"])))
            values[key] = float(row["value"])
        except (TypeError, ValueError) as error:
            raise refuse(rows.line_num, f"expected numbers for 'seq_len' and 'value' ({error})") from None
        units[row["metric"]] = row["unit"]
    if not values:
        raise refuse(None, "holds no results: nothing to draw")
    return Results(values, units, names)
