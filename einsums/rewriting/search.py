"""The search: apply identities, cheapest first, until the wanted number of passes is reached or none applies.

Deferral costs nothing, expansion cancels digits, iteration costs corrections; they are tried in this order, and again
after every success. A candidate is accepted only if it makes fewer passes and computes what the original does on
every trial (`interpreter_trials`); otherwise it is refused with the counterexample. A deferral that saves no pass by
itself is kept only if a later step builds on it.
"""

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from pydantic import ValidationError

from einsums.counts import operation_counts
from einsums.interpreter_inputs import infinite_trials
from einsums.interpreter_trials import TrialComparison, Trials
from einsums.names import near_or_all
from einsums.operators import OPERATOR_BY_NAME
from einsums.passes import analyse_passes, count_passes
from einsums.rewriting.deferral import defer
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.iteration import iterate
from einsums.rewriting.normal import normalise, simplify, tidy
from einsums.rewriting.nouns import (
    OperatorChange,
    ReferenceSize,
    Refusal,
    RewriteOptions,
    Rewriting,
    Step,
)
from einsums.rewriting.splitting import UnsplittableRankError, split
from einsums.types import Cascade
from einsums.workload import Workload

_REDUCED_SIZE, _TILE_SIZE, _OTHER_SIZE = 4096, 256, 64
DEFERRAL = "deferral: a factor or term that does not change along the reduced rank moves out of the reduction"
EXPANSION = "expansion: sum (x - g)^2 = sum x^2 - 2 g sum x + n g^2, then deferral"
NORMAL_FORM = "normal form: late values leave powers, logarithms, exponentials and roots; nothing is computed twice"
_NORMAL_CAVEAT = "the same function, rounded in another order"
_DEFERRAL_CAVEAT = (
    "scaled once, after the sum: fewer roundings; the sum may overflow or underflow where scaled terms do not"
)
_EXTREMUM_CAVEAT = "none: rounding is monotone, so the extremum is the same to the last digit"
_EXPANSION_CAVEAT = "terms cancel: rounding grows with the square of |mean| / deviation"


class Candidate(NamedTuple):
    """A derived cascade that has not been accepted yet."""

    cascade: Cascade
    identity: str
    caveat: str
    einsums: tuple[str, ...]
    divisors: tuple[str, ...] = ()


class _Task(NamedTuple):
    original: Cascade
    rank: str
    wanted: int
    options: RewriteOptions


def rewrite(cascade: Cascade, passes: int, rank: str | None = None, options: RewriteOptions | None = None) -> Rewriting:
    """Derive a cascade that makes at most `passes` passes over `rank`, by default the rank with the most passes.

    ValueError for an unknown rank or fewer than one pass. If no identity leads there, the result holds the best that
    was reached and why no more passes can be saved.
    """
    if isinstance(passes, bool) or not isinstance(passes, int) or passes < 1:
        raise ValueError(f"passes must be an integer of at least 1 (every element is visited once), found {passes!r}")
    chosen = _known_rank(cascade, rank)
    task = _Task(cascade, chosen, passes, options or RewriteOptions())
    return _Search(task).run()


def _known_rank(cascade: Cascade, rank: str | None) -> str:
    names = [item.name for item in cascade.ranks if item.name not in cascade.batch]
    if rank is None:
        return max(names, key=lambda name: (count_passes(cascade, name), _is_walked(cascade, name)))
    root = cascade.root_of(rank)
    if root not in names:
        raise ValueError(f"no rank in {cascade.name} is called '{rank}'{near_or_all(rank, names)}")
    return root


def _is_walked(cascade: Cascade, rank: str) -> bool:
    """True for a rank that is partitioned or iterated over; preferred among ranks with equally many passes."""
    return cascade.partition_of(rank) is not None or any(rank == over for _, over in cascade.iterative)


class _Search:
    """The cascade reached so far, and the steps that led to it."""

    def __init__(self, task: _Task) -> None:
        self.task = task
        self.reached = task.original
        self.passes = self.passes_at_first = count_passes(task.original, task.rank)
        self.steps: list[Step] = []
        self.refusals: dict[str, Refusal] = {}
        self.comparison: TrialComparison | None = None
        self.normal: Cascade | None = None
        self.known: dict[Cascade, Trials] = {}

    @cached_property
    def trials(self) -> Trials:
        """The original on every trial."""
        return Trials(self.task.original, self.task.rank)

    def trials_after(self, chain: list[Candidate]) -> Trials:
        """The original and its last normal form: what follows from a normal form may lose no more than that does."""
        normal = next((one.cascade for one in reversed(chain) if one.identity == NORMAL_FORM), self.normal)
        if normal is None:
            return self.trials
        if normal not in self.known:
            self.known[normal] = Trials(normal, self.task.rank, self.trials)
        return self.known[normal]

    def run(self) -> Rewriting:
        """Steps until the wanted passes are reached or nothing is accepted."""
        if self.passes <= self.task.wanted:
            self.economise()
        while self.passes > self.task.wanted and self.advance():
            pass
        original, task = self.task.original, self.task
        return Rewriting(
            original=original,
            cascade=self.renamed() if self.steps else original,
            rank=task.rank,
            wanted=task.wanted,
            passes_before=self.passes_at_first,
            passes=self.passes,
            steps=tuple(self.steps),
            refusals=tuple(self.refusals.values()),
            reference=reference_sizes(self.reached, task.rank, task.options),
            operations=operation_changes(original, self.reached, task.rank, task.options),
            comparison=self.comparison,
            reason=self.reason(),
        )

    def renamed(self) -> Cascade:
        """The derived cascade under a descriptive name."""
        source = self.task.original
        name = f"{source.name}-rewritten-{self.passes}pass"
        note = f"derived from {source.name}" + (f" ({source.source})" if source.source else "")
        return Draft(self.reached).cascade(name, note)

    def economise(self) -> None:
        """Where no pass needs to be saved: the cascade with its values in canonical form, if that is cheaper."""
        task, draft = self.task, Draft(self.reached)
        simplify(draft, task.rank)
        found = draft.cascade()
        if found == self.reached or count_passes(found, task.rank) > self.passes:
            return
        try:
            is_cheaper = cost(found, task.rank, task.options) < cost(self.reached, task.rank, task.options)
        except ValidationError:  # the reference sizes do not fit the indices
            return
        if is_cheaper:
            touched = tuple(dict.fromkeys(name for name in draft.touched if name in draft.einsums))
            self.accept([Candidate(found, NORMAL_FORM, _NORMAL_CAVEAT, touched)])

    def advance(self) -> bool:
        """Accept the first candidate that saves a pass, in the earliest pass that has one."""
        numbers = analyse_passes(self.reached, self.task.rank).pass_of_einsum
        for first in range(1, self.passes):
            given = frozenset(item.einsum for item in numbers if item.number < first)
            if self.advance_from(given):
                return True
        return False

    def advance_from(self, given: frozenset[str]) -> bool:
        """The same for the passes after those whose reductions are given, trying the normal form first."""
        normal = self.normal_form(given)
        if normal is not None and self.advance_with([normal], given):
            return True
        return self.advance_with([], given)

    def normal_form(self, given: frozenset[str]) -> Candidate | None:
        """The cascade reached so far in normal form; None if it is already."""
        draft = Draft(self.reached, given)
        try:
            normalise(draft, self.task.rank)
            found = draft.cascade()
        except ValidationError as error:  # an Einsum would lose a variable that its condition needs
            self.refuse(NORMAL_FORM, f"the result cannot be written: {error.errors()[0]['msg']}")
            return None
        if found == self.reached:
            return None
        touched = tuple(dict.fromkeys(name for name in draft.touched if name in draft.einsums))
        return Candidate(found, NORMAL_FORM, _NORMAL_CAVEAT, touched)

    def advance_with(self, pending: list[Candidate], given: frozenset[str]) -> bool:
        """The same, starting from candidates that save nothing by themselves."""
        if pending and count_passes(pending[-1].cascade, self.task.rank) < self.passes:
            return self.accept(pending)
        start = pending
        base = pending[-1].cascade if pending else self.reached
        for identity in self.task.options.identities:
            for candidate in self.candidates(identity, Draft(base, given)):
                passes = count_passes(candidate.cascade, self.task.rank)
                if passes < self.passes:
                    if self.accept([*pending, candidate]):
                        return True
                elif identity == "deferral" and candidate.cascade != base:
                    pending, base = [*start, candidate], candidate.cascade
        return False

    def candidates(self, identity: str, base: Draft) -> list[Candidate]:
        """The result of applying an identity to a draft; refused if the language cannot express it."""
        try:
            return list(_candidates(identity, base, self))
        except ValidationError as error:
            self.refuse(identity, f"the result cannot be written: {error.errors()[0]['msg']}")
            return []

    def accept(self, chain: list[Candidate]) -> bool:
        """Accept the last of a chain if it computes the same as the original."""
        trials = self.trials_after(chain)
        found = [
            self.compared(candidate, self.trials if candidate.cascade == trials.original else trials)
            for candidate in reversed(chain)  # the last is the likeliest to fail
        ]
        if not all(comparison is not None for comparison in found):
            return False
        for candidate, comparison in zip(chain, reversed(found), strict=True):
            assert comparison is not None
            self.steps.append(self.step(candidate, comparison))
            self.reached, self.comparison = candidate.cascade, comparison
            self.normal = candidate.cascade if candidate.identity == NORMAL_FORM else self.normal
        self.passes = count_passes(self.reached, self.task.rank)
        return True

    def compared(self, candidate: Candidate, trials: Trials) -> TrialComparison | None:
        """The comparison with the original (and its normal form); None, and a refusal, where they differ."""
        divisors = candidate.divisors if self.task.options.conditional else ()
        try:
            found = trials.compare(candidate.cascade, divisors)
        except ValueError as error:  # a size the trials use does not fit an index of the cascade
            self.refuse(candidate.identity, f"it cannot be tried: {error}")
            return None
        if found.is_equal:
            return found
        self.refuse(candidate.identity, self.difference(found))
        return None

    def difference(self, found: TrialComparison) -> str:
        """Where the cascades differ; if only for an infinite input, the declaration that would rule it out."""
        if found.counterexample is None:
            return "no finite value of it could be compared"
        case = found.counterexample.case
        names = [tensor.name for tensor in self.task.original.inputs if case in infinite_trials(tensor.name)]
        hint = f"; if {names[0]} is never infinite, declare domain: {{{names[0]}: finite}}" if names else ""
        return f"{found.counterexample}{hint}"

    def step(self, candidate: Candidate, comparison: TrialComparison) -> Step:
        rank, options = self.task.rank, self.task.options
        kept = {einsum.name for einsum in candidate.cascade.einsums}
        return Step(
            identity=candidate.identity,
            einsums=tuple(name for name in candidate.einsums if name in kept),
            caveat=candidate.caveat,
            passes_before=count_passes(self.reached, rank),
            passes_after=count_passes(candidate.cascade, rank),
            operations=operation_changes(self.reached, candidate.cascade, rank, options),
            comparison=comparison,
        )

    def refuse(self, identity: str, reason: str) -> None:
        self.refusals.setdefault(f"{identity} {reason}", Refusal(identity=identity, reason=reason))

    def reason(self) -> str:
        """Why no more passes can be saved."""
        rank = self.task.rank
        if self.passes <= 1:
            return f"1 is the floor: every element of {rank} has to be visited once"
        if self.passes <= self.task.wanted:
            return ""
        forced = analyse_passes(self.reached, rank).forced_by[-1]
        outputs = [name for name in self.task.original.outputs if name in Flow(Draft(self.reached), rank).late]
        elements = [name for name in outputs if Flow(Draft(self.reached), rank).has_rank(name)]
        if elements:
            why = f"{elements[0]} is an output with an element for each of {rank}, and each needs it"
        elif self.refusals:
            why = "no identity that is known and equal on every trial removes this dependence"
        else:
            why = "no admitted identity removes this dependence"
        return f"{self.passes} passes over {rank} remain: {forced.reason}; {why}"


# --- candidates ----------------------------------------------------------------------------------------------
def _candidates(identity: str, base: Draft, search: _Search) -> Iterator[Candidate]:
    task = search.task
    match identity:
        case "deferral":
            yield from _deferred(base, task.rank, False)
        case "expansion":
            yield from _deferred(base, task.rank, True)
        case "iteration":
            tried = list(_iterated(base, search, False))
            yield from tried
            if task.options.form == "partition":
                plain = [candidate.cascade for candidate in tried]
                yield from (other for other in _iterated(base, search, True) if other.cascade not in plain)


def _deferred(base: Draft, rank: str, expand: bool) -> Iterator[Candidate]:
    draft = Draft(base.source, base.given)
    changed = False
    while defer(draft, rank, expand):
        changed = True
    if changed:
        tidy(draft, rank)
        identity, caveat = (EXPANSION, _EXPANSION_CAVEAT) if expand else (DEFERRAL, _DEFERRAL_CAVEAT)
        moved = [found for found in Flow(base, rank).late_reductions() if draft.einsums.get(found.name) != found]
        if all(found.reduction is not None and found.reduction.operator in ("max", "min") for found in moved):
            caveat = _EXTREMUM_CAVEAT
        yield Candidate(draft.cascade(), identity, caveat, tuple(dict.fromkeys(draft.touched)))


def _iterated(base: Draft, search: _Search, guard: bool) -> Iterator[Candidate]:
    task, draft = search.task, Draft(base.source, base.given)
    form = task.options.form
    try:
        if form != "stepwise":
            split(draft, task.rank)
        elif draft.partition(task.rank) is not None:
            raise UnsplittableRankError(f"rank {task.rank} is partitioned: steps of one element need a whole rank")
        done = iterate(draft, task.rank, form, task.options.conditional, guard)
    except UnsplittableRankError as reason:
        search.refuse("iteration", str(reason))
        return
    for sentence in done.unknown:
        search.refuse("iteration", sentence)
    if not done.shifts:
        return
    identities = dict.fromkeys(shift.identity for shift in done.shifts)
    caveats = list(dict.fromkeys(shift.caveat for shift in done.shifts))
    if guard:
        caveats.append("a part whose values are all infinite counts as 0 under its local reference")
    partition = draft.partition(task.rank)
    over = " x ".join(partition.parts) if partition else f"{task.rank}, one element a step"
    kind = f"iteration ({form} over {over}{', infinite parts masked' if guard else ''}): "
    tidy(draft, task.rank)
    touched = tuple(dict.fromkeys(draft.touched))
    yield Candidate(draft.cascade(), kind + "; ".join(identities), "; ".join(caveats), touched, done.divisors)


# --- operations ----------------------------------------------------------------------------------------------
def reference_sizes(cascade: Cascade, rank: str, options: RewriteOptions) -> tuple[ReferenceSize, ...]:
    """Sizes at which operations are counted: the rank 4096 in tiles of 256, others 64, batch ranks 1."""
    given = {item.rank: item.size for item in options.sizes}
    names = [item.name for item in cascade.ranks if item.name not in cascade.batch]
    same = cascade.scope.names_of(rank)
    sizes = {name: _REDUCED_SIZE if name in same else _OTHER_SIZE for name in names}
    for partition in cascade.partitions:
        innermost = _TILE_SIZE if partition.rank == rank else _OTHER_SIZE // 4
        sizes |= {part: innermost if part == partition.parts[-1] else 4 for part in partition.inner}
    sizes |= dict.fromkeys(cascade.batch, 1)
    return tuple(ReferenceSize(rank=name, size=given.get(name, size)) for name, size in sizes.items())


def operation_changes(
    before: Cascade, after: Cascade, rank: str, options: RewriteOptions
) -> tuple[OperatorChange, ...]:
    """Executions of each operator in both, sorted by operator; empty if the sizes do not fit."""
    try:
        old, new = _operations(before, rank, options), _operations(after, rank, options)
    except ValueError:  # or lengths would be needed
        return ()
    return tuple(
        OperatorChange(operator=name, before=old.get(name, 0), after=new.get(name, 0)) for name in sorted({*old, *new})
    )


_CHEAP = frozenset(("add", "mul", "max", "cmp", "select"))


def cost(cascade: Cascade, rank: str, options: RewriteOptions) -> tuple[int, int, int]:
    """Operations at the reference sizes: all, those dearer than an addition, and of these functions such as exp."""
    counts = _operations(cascade, rank, options)
    classes = {name: OPERATOR_BY_NAME[name].cost_class if name in OPERATOR_BY_NAME else "add" for name in counts}
    dear = sum(count for name, count in counts.items() if classes[name] not in _CHEAP)
    functions = sum(count for name, count in counts.items() if classes[name] not in _CHEAP | {"div"})
    return sum(counts.values()), dear, functions


def _operations(cascade: Cascade, rank: str, options: RewriteOptions) -> dict[str, int]:
    sizes = {item.rank: item.size for item in reference_sizes(cascade, rank, options)}
    counts: dict[str, int] = {}
    workload = Workload.model_validate({"cascade": cascade, "bits": 16, "sizes": sizes})
    for row in operation_counts(workload):
        counts[row.operator] = counts.get(row.operator, 0) + row.count
    return counts
