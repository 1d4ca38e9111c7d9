"""A cascade being rewritten: Einsums are added, replaced and dropped, and the result becomes a Cascade again.

A draft is the only mutable object here and never leaves the rewrite that made it. A tensor is *late* with respect to a
rank if it depends on a value that needs the whole rank. Late tensors without the rank are barriers: an Einsum that
traverses the rank again and reads one starts another pass.
"""

from collections.abc import Callable, Iterable

from einsums.graph import topological_order
from einsums.nodes import Access, Einsum, Expr, Load, iter_loads
from einsums.nouns import InitialValue, Partition
from einsums.rewriting.algebra import replaced
from einsums.scope import Scope
from einsums.types import Cascade


class Draft:
    """The parts of a cascade, mutable; `given` are Einsums of earlier passes, which nothing waits for any more."""

    def __init__(self, cascade: Cascade, given: frozenset[str] = frozenset()) -> None:
        self.source = cascade
        self.given = given
        self.einsums: dict[str, Einsum] = {einsum.name: einsum for einsum in cascade.einsums}
        self.initial: dict[str, float] = {item.tensor: item.value for item in cascade.initial}
        self.starts = cascade.scope.start_by_tensor
        self.partitions = list(cascade.partitions)
        self.touched: list[str] = []

    def cascade(self, name: str | None = None, origin: str | None = None) -> Cascade:
        """The current state without Einsums that no output needs; ValueError if it is not a valid cascade."""
        needed = self._needed()
        kept = tuple(einsum for einsum in self.einsums.values() if einsum.name in needed)
        source = self.source
        return Cascade(
            name=name or source.name,
            description=source.description,
            ranks=source.ranks,
            partitions=tuple(self.partitions),
            batch=source.batch,
            inputs=source.inputs,
            unbatched=source.unbatched,
            domains=source.domains,
            initial=tuple(item for item in self._initial() if item.tensor in needed),
            boundaries=tuple(item for item in source.boundaries if item.tensor in needed),
            densities=tuple(item for item in source.densities if item.einsum in needed),
            outputs=source.outputs,
            sizes=source.sizes,
            source=source.source if origin is None else origin,
            einsums=tuple(_without_place(einsum) for einsum in kept),
        )

    @property
    def scope(self) -> Scope:
        """Look-ups over the current state, unread Einsums included."""
        source = self.source.scope.declared
        declared = source._replace(partitions=tuple(self.partitions), initial=self._initial())
        return Scope(declared, tuple(self.einsums.values()))

    def _initial(self) -> tuple[InitialValue, ...]:
        return tuple(
            InitialValue(tensor=tensor, value=value, source=self.starts.get(tensor, ""))
            for tensor, value in self.initial.items()
        )

    def root_of(self, rank: str) -> str:
        """M for a part of M."""
        return next((p.rank for p in self.partitions if rank in p.parts), rank)

    def _needed(self) -> set[str]:
        needed, todo = set[str](), list(self.source.outputs)
        while todo:
            name = todo.pop()
            if name in needed:
                continue
            needed.add(name)
            if name in self.einsums:
                todo += [load.tensor for load in self.einsums[name].reads]
                todo += [self.starts[name]] if name in self.starts else []
        return needed

    def copy(self) -> "Draft":
        """A copy to try changes on and throw away."""
        other = Draft(self.source, self.given)
        other.einsums, other.initial = dict(self.einsums), dict(self.initial)
        other.partitions, other.touched = list(self.partitions), list(self.touched)
        return other

    def take_over(self, other: "Draft") -> None:
        """Adopt the state of a copy on which changes were tried."""
        self.einsums, self.initial = other.einsums, other.initial
        self.partitions, self.touched = other.partitions, other.touched

    # --- names ---------------------------------------------------------------------------------------------------
    def fresh(self, wanted: str) -> str:
        """`wanted`, with a number appended if that name is taken."""
        taken = set(self.einsums) | {tensor.name for tensor in self.source.inputs}
        name, number = wanted, 2
        while name in taken:
            name, number = f"{wanted}{number}", number + 1
        return name

    # --- changes -------------------------------------------------------------------------------------------------
    def put(self, new: Einsum, before: str | None = None) -> None:
        """Add an Einsum or replace the one with the same name; a new one goes before `before`, or to the end."""
        self.touched.append(new.name)
        if new.name in self.einsums or before is None:
            self.einsums[new.name] = new
            return
        items = list(self.einsums.items())
        place = next(i for i, (name, _) in enumerate(items) if name == before)
        self.einsums = dict([*items[:place], (new.name, new), *items[place:]])

    def reuse(self, new: Einsum, before: str) -> str:
        """Name of an Einsum with the same result; the given one is added if there is none yet."""
        for old in self.einsums.values():
            same = (
                all(getattr(old, part) == getattr(new, part) for part in ("expr", "reduction", "condition"))
                and old.output.indices == new.output.indices
            )
            if same and old.name != before:
                return old.name
        self.put(new, before)
        return new.name

    def redirect(self, change: Callable[[Access], Expr], names: Iterable[str]) -> None:
        """Replace loads in some Einsums."""
        for name in names:
            old = self.einsums[name]
            expr = replaced(old.expr, change)
            if expr != old.expr:
                self.put(with_expr(old, expr))

    def prune(self) -> None:
        """Remove Einsums that no output needs."""
        needed = self._needed()
        for name in [name for name in self.einsums if name not in needed]:
            self.drop(name)

    def drop(self, name: str) -> None:
        """Remove an Einsum and its initial value."""
        self.einsums.pop(name, None)
        self.initial.pop(name, None)

    # --- questions -----------------------------------------------------------------------------------------------
    def definition(self, read: Access) -> Einsum | None:
        """The Einsum behind a load if it can be substituted for the load: pointwise and at the same indices."""
        found = self.einsums.get(read.tensor)
        if found is None or found.reduction is not None or found.output.indices != read.indices:
            return None
        return found if found.condition is None else None

    def partition(self, rank: str) -> Partition | None:
        """The current partition of a rank."""
        return next((item for item in self.partitions if item.rank == rank), None)


def with_expr(old: Einsum, expr: Expr) -> Einsum:
    """The Einsum with another right side, at the points that it chooses."""
    return Einsum(output=old.output, expr=expr, reduction=old.reduction, condition=old.condition)


def _without_place(einsum: Einsum) -> Einsum:
    return with_expr(einsum, einsum.expr)


class Flow:
    """Which tensors of a cascade are late with respect to a rank; rebuilt after every change."""

    def __init__(self, draft: Draft, rank: str) -> None:
        self.rank = rank
        self.given = draft.given
        partition = draft.partition(rank)
        self.leaves = partition.parts if partition else (rank,)
        self.variables = tuple(leaf.lower() for leaf in self.leaves)
        self.outer, self.inner = self.variables[0], self.variables[1:]
        self.order = topological_order(draft)
        self._ranks = {tensor.name: tensor.ranks for tensor in draft.scope.tensor_by_name.values()}
        self.einsums = draft.einsums
        self.late: set[str] = set()
        for name in self.order:
            found = self.einsums[name]
            reduces = self.outer in found.reduced_variables and not self.has_rank(name) and name not in self.given
            if reduces or any(self._reads_late(load) for load in found.reads):
                self.late.add(name)

    def _reads_late(self, load: Access) -> bool:
        ends = load.tensor not in self.given and any(index.last_of in self.leaves for index in load.indices)
        return load.tensor in self.late or ends

    def has_rank(self, tensor: str) -> bool:
        """True for a tensor with the rank or a part of it."""
        return any(rank == self.rank or rank in self.leaves for rank in self._ranks.get(tensor, ()))

    def is_barrier(self, tensor: str) -> bool:
        """True for a late tensor that has lost the rank."""
        return tensor in self.late and not self.has_rank(tensor)

    def is_late(self, expr: Expr) -> bool:
        """True if the expression reads anything late."""
        return any(self._reads_late(load) for load in iter_loads(expr))

    def walks(self, expr: Expr) -> bool:
        """True if the expression depends on the rank."""
        return any(name in self.variables for load in iter_loads(expr) for name in load.variables)

    def reductions(self) -> tuple[Einsum, ...]:
        """Einsums that reduce the rank away, its outermost part at least, producers first."""
        found = (self.einsums[name] for name in self.order)
        return tuple(e for e in found if self.outer in e.reduced_variables and not self.has_rank(e.name))

    def late_reductions(self) -> tuple[Einsum, ...]:
        """The reductions whose summand waits for the whole rank, and which therefore need another pass."""
        return tuple(e for e in self.reductions() if self.is_late(e.expr))

    def inline(self, expr: Expr) -> Expr:
        """The expression with late values along the rank replaced by their definitions."""

        def opened(load: Access) -> Expr:
            found = self.einsums.get(load.tensor)
            if found is None or not self.is_late(Load(access=load)) or not self.walks(Load(access=load)):
                return Load(access=load)
            if found.reduction is not None or found.condition is not None or found.output.indices != load.indices:
                return Load(access=load)
            return self.inline(found.expr)

        return replaced(expr, opened)
