"""What to compute: cascades of Einsums, their grammar, graph, sizes, and what they mean in numpy."""

from einsums.export import cascade_data
from einsums.footprint import LiveFootprint
from einsums.graph import (
    Edge,
    consumers_of,
    edges_of,
    iteration_groups,
    live_ranges,
    producer_of,
    topological_order,
)
from einsums.interpreter import interpret
from einsums.model import Model
from einsums.nodes import (
    Access,
    Call,
    Const,
    Einsum,
    Expr,
    Index,
    InitialValue,
    Load,
    Partition,
    Rank,
    Reduction,
    SizeRule,
    Tensor,
    Term,
)
from einsums.parser import parse, parse_einsum
from einsums.passes import EinsumPass, ForcedPass, PassAnalysis, analyse_passes, count_passes
from einsums.problems import CascadeError, EinsumSyntaxError, Problem
from einsums.rewriting import Rewriting, rewrite
from einsums.types import Cascade
from einsums.workload import (
    OperationCount,
    RankSize,
    Workload,
    compulsory_traffic_words,
    intensity,
    operation_counts,
    points,
    tensor_words,
)

__all__ = [
    "Access",
    "Call",
    "Cascade",
    "CascadeError",
    "Const",
    "Edge",
    "Einsum",
    "EinsumPass",
    "EinsumSyntaxError",
    "Expr",
    "ForcedPass",
    "Index",
    "InitialValue",
    "LiveFootprint",
    "Load",
    "Model",
    "OperationCount",
    "Partition",
    "PassAnalysis",
    "Problem",
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
