"""The result of a rewrite: the derived cascade, the identities used, what they change, and what was refused."""

from typing import Literal

from einsums.interpreter_trials import TrialComparison
from einsums.nouns import Noun
from einsums.types import Cascade

Identity = Literal["deferral", "expansion", "iteration"]
Form = Literal["running", "stepwise", "partition"]


class OperatorChange(Noun):
    """Executions of one operator before and after a step, at the reference sizes."""

    operator: str
    before: int
    after: int


class ReferenceSize(Noun):
    """A rank size at which operations are counted."""

    rank: str
    size: int


class RewriteOptions(Noun):
    """How to rewrite.

    `form` is the form of the iteration: running values over tiles, running values at every element, or local values of
    each part that are combined at the end (for parts that live in different places). `conditional` admits identities
    that hold only where a divisor is not zero. `sizes` overrides reference sizes.
    """

    identities: tuple[Identity, ...] = ("deferral", "expansion", "iteration")
    form: Form = "running"
    conditional: bool = False
    sizes: tuple[ReferenceSize, ...] = ()


class Step(Noun):
    """One rewrite: the identity, the Einsums it made or changed, its caveat, its effect on passes and operations."""

    identity: str
    einsums: tuple[str, ...]
    caveat: str
    passes_before: int
    passes_after: int
    operations: tuple[OperatorChange, ...]
    comparison: TrialComparison


class Refusal(Noun):
    """A candidate that was built but not accepted, or an identity that does not apply, with the reason."""

    identity: str
    reason: str


class Rewriting(Noun):
    """The result: `cascade` is the derived one, or the original if no step applies.

    `reason` explains why no more passes can be saved; it is empty if none was requested beyond those saved.
    """

    original: Cascade
    cascade: Cascade
    rank: str
    wanted: int
    passes_before: int
    passes: int
    steps: tuple[Step, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    reference: tuple[ReferenceSize, ...] = ()
    operations: tuple[OperatorChange, ...] = ()
    comparison: TrialComparison | None = None
    reason: str = ""

    @property
    def is_reached(self) -> bool:
        """True if the derived cascade makes no more passes than wanted."""
        return self.passes <= self.wanted
