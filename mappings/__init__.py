"""How a cascade runs on a machine: fusion trees, what is kept where, bindings, schedules, and their legality."""

from mappings.check import Problem, check_mapping
from mappings.tree import ResolvedTree, resolve_tree
from mappings.types import Mapping

__all__ = ["Mapping", "Problem", "ResolvedTree", "check_mapping", "resolve_tree"]
