"""What to compute: cascades of Einsums, their grammar, graph, sizes, and what they mean in numpy."""

from einsums.graph import (
    build_graph,
    consumers_of,
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
from einsums.problems import CascadeError, EinsumSyntaxError, Problem
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
    "Einsum",
    "EinsumSyntaxError",
    "Expr",
    "Index",
    "InitialValue",
    "Load",
    "Model",
    "OperationCount",
    "Partition",
    "Problem",
    "Rank",
    "RankSize",
    "Reduction",
    "SizeRule",
    "Tensor",
    "Term",
    "Workload",
    "build_graph",
    "compulsory_traffic_words",
    "consumers_of",
    "intensity",
    "interpret",
    "iteration_groups",
    "live_ranges",
    "operation_counts",
    "parse",
    "parse_einsum",
    "points",
    "producer_of",
    "tensor_words",
    "topological_order",
]
