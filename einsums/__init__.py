"""What to compute: cascades of Einsums, their grammar, graph, sizes, and what they mean in numpy.

Analyses of a cascade (passes, rewrites, ...) are imported on first use, so that loading one does not wait for them.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from einsums.graph import (
    GraphEdge,
    consumers_of,
    edges_of,
    iteration_groups,
    live_ranges,
    producer_of,
    topological_order,
)
from einsums.model import Model
from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, Position, Reduction, Term
from einsums.nouns import Boundary, Density, Domain, InitialValue, Partition, Rank, SizeRule, Tensor
from einsums.parser import parse, parse_einsum
from einsums.problems import CascadeError, CascadeProblem, EinsumSyntaxError
from einsums.types import Cascade

if TYPE_CHECKING:
    from einsums.counts import (
        OperationCount,
        compulsory_traffic_words,
        intensity,
        operation_counts,
        points,
        tensor_words,
    )
    from einsums.existing import PointCount, existing_elements, existing_points
    from einsums.export import cascade_data
    from einsums.footprint import LiveFootprint
    from einsums.interpreter import Execution, execute, interpret
    from einsums.passes import EinsumPass, ForcedPass, PassAnalysis, analyse_passes, count_passes
    from einsums.rewriting import Rewriting, rewrite
    from einsums.workload import RankSize, Workload

__all__ = [
    "Access",
    "Boundary",
    "Call",
    "Cascade",
    "CascadeError",
    "CascadeProblem",
    "Const",
    "Density",
    "Domain",
    "Einsum",
    "EinsumPass",
    "EinsumSyntaxError",
    "Execution",
    "Expr",
    "ForcedPass",
    "GraphEdge",
    "Index",
    "InitialValue",
    "LiveFootprint",
    "Load",
    "Model",
    "OperationCount",
    "Partition",
    "PassAnalysis",
    "PointCount",
    "Position",
    "Rank",
    "RankSize",
    "Reduction",
    "Rewriting",
    "SizeRule",
    "Tensor",
    "Term",
    "Workload",
    "analyse_passes",
    "cascade_data",
    "compulsory_traffic_words",
    "consumers_of",
    "count_passes",
    "edges_of",
    "execute",
    "existing_elements",
    "existing_points",
    "intensity",
    "interpret",
    "iteration_groups",
    "live_ranges",
    "operation_counts",
    "parse",
    "parse_einsum",
    "points",
    "producer_of",
    "rewrite",
    "tensor_words",
    "topological_order",
]

# The module of each name that is imported on first use.
_PLACES = {
    "EinsumPass": "einsums.passes",
    "ForcedPass": "einsums.passes",
    "LiveFootprint": "einsums.footprint",
    "OperationCount": "einsums.counts",
    "PassAnalysis": "einsums.passes",
    "RankSize": "einsums.workload",
    "Rewriting": "einsums.rewriting",
    "Workload": "einsums.workload",
    "analyse_passes": "einsums.passes",
    "cascade_data": "einsums.export",
    "existing_elements": "einsums.existing",
    "existing_points": "einsums.existing",
    "PointCount": "einsums.existing",
    "execute": "einsums.interpreter",
    "Execution": "einsums.interpreter",
    "compulsory_traffic_words": "einsums.counts",
    "count_passes": "einsums.passes",
    "intensity": "einsums.counts",
    "interpret": "einsums.interpreter",
    "operation_counts": "einsums.counts",
    "points": "einsums.counts",
    "rewrite": "einsums.rewriting",
    "tensor_words": "einsums.counts",
}


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module 'einsums' has no attribute '{name}'")
    found = globals()[name] = getattr(import_module(_PLACES[name]), name)
    return found
