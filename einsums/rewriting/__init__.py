"""Rewrites of a cascade that preserve its results and save passes, each checked on numbers before it is accepted."""

from einsums.rewriting.nouns import (
    OperatorChange,
    ReferenceSize,
    Refusal,
    RewriteOptions,
    Rewriting,
    Step,
)
from einsums.rewriting.search import rewrite

__all__ = ["OperatorChange", "ReferenceSize", "Refusal", "RewriteOptions", "Rewriting", "Step", "rewrite"]
