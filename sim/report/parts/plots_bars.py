"""Positions of bars on a hierarchical axis: designs within a length, lengths within a model, and the mean at the end.

One unit of the horizontal axis is one cluster of bars; models are separated by a gap and a rule, and the mean has more
than twice the width, so that its values fit above its bars.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from sim.report.parts.workloads import Workload

MODEL_GAP = 0.5
CLUSTER_FILL = 0.84
MEAN_WIDTH = 2.4


@dataclass(frozen=True)
class Layout:
    """Positions of clusters: centre and width for each workload, then for the mean; and the extent of each model."""

    centres: tuple[float, ...]
    widths: tuple[float, ...]
    models: tuple[tuple[str, float, float], ...]  # name, left, right

    @property
    def right(self) -> float:
        return self.centres[-1] + self.widths[-1] / 2

    def bar(self, cluster: int, count: int, index: int) -> tuple[float, float]:
        """Left edge and width of a bar of a cluster."""
        width = self.widths[cluster] * CLUSTER_FILL / count
        return self.centres[cluster] - self.widths[cluster] * CLUSTER_FILL / 2 + index * width, width


def lay_out(workloads: Sequence[Workload], mean_width: float = MEAN_WIDTH) -> Layout:
    """Clusters from left to right."""
    position, centres = 0.0, []
    models: list[tuple[str, float, float]] = []
    for i, (model, _) in enumerate(workloads):
        is_new = i == 0 or workloads[i - 1][0] != model
        position += MODEL_GAP if is_new and i else 0.0
        left = position if is_new else models.pop()[1]
        centres.append(position + 0.5)
        position += 1.0
        models.append((model, left, position))
    left = position + MODEL_GAP
    widths = (*(1.0 for _ in workloads), mean_width)
    return Layout((*centres, left + mean_width / 2), widths, (*models, ("Mean", left, left + mean_width)))
