"""The meaning of the names in `results.csv`, as a file next to it: labels, and the experiment of each design."""

import json
from pathlib import Path
from typing import Any

from sim.reproduction.evaluation import Reproduction

NAMES = "reproduction.json"


def names_of(reproduction: Reproduction) -> dict[str, Any]:
    """Plain data: title and labels by name, and by kernel and design the experiment that was run."""
    return {
        "name": reproduction.name,
        "title": reproduction.title,
        "designs": {design.name: design.label for design in reproduction.designs},
        "kernels": {kernel.name: kernel.label for kernel in reproduction.kernels},
        "metrics": {metric.name: metric.label for metric in reproduction.metrics},
        "experiments": {
            kernel.name: {pair.name: pair.value for pair in kernel.experiments}
            for kernel in reproduction.kernels
            if kernel.experiments
        },
    }


def read_names(folder: Path) -> dict[str, Any]:
    """As written by `names_of`; empty if there is none, as in folders of older versions."""
    try:
        found = json.loads((folder / NAMES).read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
