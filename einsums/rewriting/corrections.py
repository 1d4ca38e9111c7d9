"""The Einsums of an iteration: running or local values, the corrections between them, and the readers of the result.

Every reduced value g has three versions: the one used by the elements of a step, the one that an old sum was computed
with, and the one that the sum is carried over to. With running values these are g after, before and after the step;
with parts they are g of the part, g of the part and g of the whole.
"""

from typing import NamedTuple

from einsums.nodes import Access, Call, Const, Einsum, Expr, Index, Load, iter_loads, variables_of
from einsums.operators import REDUCER_BY_NAME
from einsums.rewriting.algebra import Factor, Product, einsum, expression, index, multiplied, replaced, sum_of_products
from einsums.rewriting.draft import Draft, Flow
from einsums.rewriting.homomorphism import (
    Shift,
    UnknownIdentityError,
    binomial_terms,
    dependence_of,
)
from einsums.rewriting.naming import element_name, local_name, stem_of
from einsums.rewriting.nouns import Form
from einsums.rewriting.terms import with_common_factor

# A running maximum that starts here, not at -inf, stays finite over a tile whose values are all -inf, so that
# exp(-inf - maximum) is 0 there instead of exp(-inf + inf); it can still be scaled without overflow.
_START = {"max": -1e300, "min": 1e300}


def closure_of(flow: Flow, names: list[str]) -> set[str]:
    """The Einsums `names` and all late ones that they depend on."""
    needed, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name not in needed:
            needed.add(name)
            todo += [load.tensor for load in flow.einsums[name].loads if load.tensor in flow.late]
    return needed


class Versions(NamedTuple):
    """Three versions of a reduced value: as elements use it, before a step, and after it."""

    at: Load
    old: Load
    new: Load


class Builder:
    """Builds running or local values into a draft."""

    def __init__(self, draft: Draft, rank: str, form: Form, guard: bool) -> None:
        self.draft = draft
        self.flow = Flow(draft, rank)
        self.form = form
        self.guard = guard
        self.versions: dict[str, Versions] = {}
        self.elements: dict[str, str] = {}
        self.last = Index(terms=(), last_of=self.flow.leaves[0])
        self.untouched = list(draft.einsums)
        self.divisors: dict[str, None] = {}

    def build(self, shifts: list[Shift]) -> None:
        """All Einsums that the shifts need, producers first."""
        by_name = {shift.target.name: shift for shift in shifts}
        lower = [access.tensor for shift in shifts for _, access in shift.lower]
        needed = closure_of(self.flow, [*by_name, *lower])
        for name in self.lower_first(shifts):
            if name not in needed or self.flow.has_rank(name):
                continue
            found = self.draft.einsums[name]
            if name in by_name:
                self.late_sum(by_name[name])
            elif self.flow.outer in found.reduced_variables:
                self.source(found)
            else:
                self.derived(found)
        if self.form == "partition":
            self.rescale_elements()
        else:
            self.read_last_values()

    def lower_first(self, shifts: list[Shift]) -> list[str]:
        """All Einsums, producers first; lower sums come before the sums that they correct."""
        lower = {shift.target.name: [access.tensor for _, access in shift.lower] for shift in shifts}
        seen, done = set[str](), list[str]()

        def visit(name: str) -> None:
            if name in seen:
                return
            seen.add(name)
            before = {load.tensor for load in self.flow.einsums[name].loads}
            for other in (*(n for n in self.flow.order if n in before), *lower.get(name, ())):
                visit(other)
            done.append(name)

        for name in self.flow.order:
            visit(name)
        return done

    # --- accesses ------------------------------------------------------------------------------------------------
    def stepped(self, name: str, indices: tuple[Index, ...], step: Index) -> Access:
        """The tensor with the step as an additional rank before its last: [p] becomes [m1,p]."""
        place = max(len(indices) - 1, 0)
        return Access(tensor=name, indices=(*indices[:place], step, *indices[place:]))

    def at(self, expr: Expr) -> Expr:
        """The expression with reduced values in the version that elements use."""

        def changed(load: Access) -> Expr:
            if load.tensor in self.versions:
                return self.moved(load, self.versions[load.tensor].at)
            if load.tensor in self.flow.late and self.flow.has_rank(load.tensor):
                return Load(access=Access(tensor=self.element(load.tensor), indices=load.indices))
            return Load(access=load)

        return replaced(expr, changed)

    def version(self, expr: Expr, which: str) -> Expr:
        """The expression, free of the rank, with the values before or after a step."""
        return replaced(
            expr,
            lambda load: (
                self.moved(load, getattr(self.versions[load.tensor], which))
                if load.tensor in self.versions
                else Load(access=load)
            ),
        )

    def moved(self, read: Access, version: Load) -> Load:
        """A version of a value, read at the indices at which the value itself is read."""
        has_step = len(version.access.indices) > len(read.indices)
        if not has_step:
            return Load(access=Access(tensor=version.access.tensor, indices=read.indices))
        step = version.access.indices[max(len(read.indices) - 1, 0)]
        return Load(access=self.stepped(version.access.tensor, read.indices, step))

    def element(self, name: str) -> str:
        """The element tensor with the values that elements use; made once."""
        if name not in self.elements:
            found = self.draft.einsums[name]
            expr = self.at(found.expr)
            self.elements[name] = self.draft.fresh(element_name(name))
            output = Access(tensor=self.elements[name], indices=found.output.indices)
            made = einsum(output, expr, found.reduction.operator if found.reduction else "add")
            self.draft.put(made.model_copy(update={"condition": found.condition}), name)
        return self.elements[name]

    # --- reductions whose summand is available at once -----------------------------------------------------------
    def source(self, found: Einsum) -> None:
        """A running or local value of a reduction that waits for nothing."""
        assert found.reduction is not None
        reducer = found.reduction.operator
        local = self.local(found, found.expr, reducer)
        if self.form == "partition":
            self.local_source(found, reducer, local)
            return
        joined = self.draft.fresh("R" + stem_of(found.name))
        old, new = self.running(joined, found)
        joins = REDUCER_BY_NAME[reducer].joins
        assert joins is not None  # others are refused before anything is built
        expr = Call(operator=joins, arguments=(old, local))
        self.draft.put(Einsum(output=new.access, expr=expr), found.name)
        self.draft.initial[joined] = _START.get(reducer, REDUCER_BY_NAME[reducer].identity)
        self.versions[found.name] = Versions(new, old, new)
        is_output = found.name in self.draft.source.outputs
        if reducer in _START and is_output:  # exact where everything is infinite; LM :: max(m1) is one value per step
            self.draft.put(einsum(found.output, local, reducer))

    def local_source(self, found: Einsum, reducer: str, local: Expr) -> None:
        load = self.named_local(found, local, reducer)
        at = load
        if self.guard and reducer in _START:
            infinite = Const(value=float("-inf") if reducer == "max" else float("inf"))
            masked = Call(operator="eq", arguments=(load, infinite))
            chosen = Call(operator="select", arguments=(masked, Const(value=0.0), load))
            output = Access(tensor=self.draft.fresh("LG" + stem_of(found.name)), indices=load.access.indices)
            self.draft.put(Einsum(output=output, expr=chosen), found.name)
            at = Load(access=output)
        self.draft.put(einsum(found.output, load, reducer))
        self.versions[found.name] = Versions(at, load, Load(access=found.output))

    def named_local(self, found: Einsum, local: Expr, reducer: str) -> Load:
        """A local value as a tensor of its own."""
        if isinstance(local, Load) and local.access.tensor in self.draft.einsums:
            return local
        output = self.stepped(self.draft.fresh(local_name(found.name, reducer)), found.output.indices, self.step())
        self.draft.put(Einsum(output=output, expr=local), found.name)
        return Load(access=output)

    def local(self, found: Einsum, expr: Expr, reducer: str) -> Expr:
        """The reduction over one step; the expression itself if a step is one element."""
        if found.reduced_variables == (self.flow.outer,):
            return expr
        output = self.stepped(self.draft.fresh(local_name(found.name, reducer)), found.output.indices, self.step())
        self.draft.put(einsum(output, expr, reducer), found.name)
        return Load(access=output)

    def step(self, offset: int = 0) -> Index:
        return index(self.flow.outer, offset)

    def running(self, name: str, found: Einsum) -> tuple[Load, Load]:
        """The value before and after a step."""
        old = self.stepped(name, found.output.indices, self.step())
        return Load(access=old), Load(access=self.stepped(name, found.output.indices, self.step(1)))

    # --- values that follow from reduced ones --------------------------------------------------------------------
    def derived(self, found: Einsum) -> None:
        """A value such as sum / count, at every step."""
        reducer = found.reduction.operator if found.reduction else "add"
        if self.form == "partition":
            output = self.stepped(self.draft.fresh("L" + stem_of(found.name)), found.output.indices, self.step())
            self.draft.put(einsum(output, self.version(found.expr, "at"), reducer), found.name)
            load = Load(access=output)
            self.versions[found.name] = Versions(load, load, Load(access=found.output))
            return
        name = self.draft.fresh("R" + stem_of(found.name))
        old, new = self.running(name, found)
        self.draft.put(einsum(new.access, self.version(found.expr, "new"), reducer), found.name)
        self.draft.initial[name] = 0.0  # the sums it corrects in the first step are empty
        self.versions[found.name] = Versions(new, old, new)

    # --- sums that wait ------------------------------------------------------------------------------------------
    def late_sum(self, shift: Shift) -> None:
        """The sum with the value of a step, plus the corrected sum of the steps before."""
        found = shift.target
        local = self.local(found, self.at(found.expr), "add")
        if self.form == "partition":
            load = self.named_local(found, local, "add")
            self.versions[found.name] = Versions(load, load, Load(access=found.output))
            self.draft.put(einsum(found.output, self.carried(shift, load)))
            return
        name = self.draft.fresh("R" + stem_of(found.name))
        old, new = self.running(name, found)
        self.versions[found.name] = Versions(new, old, new)
        output = self.stepped(self.draft.fresh("SP" + stem_of(found.name)), found.output.indices, self.step())
        self.draft.put(einsum(output, self.carried(shift, old)), found.name)
        total = Call(operator="add", arguments=(local, Load(access=output)))
        self.draft.put(einsum(new.access, total), found.name)
        self.draft.initial[name] = 0.0

    def carried(self, shift: Shift, old: Load) -> Expr:
        """The sum `old`, carried over from the old reference values to the new ones."""
        value: Expr = old
        if shift.powers:
            changes = [self.difference(shift, centre) for centre in shift.centres]
            sums: dict[tuple[int, ...], Expr] = {
                powers: self.moved(load, self.versions[load.tensor].old) for powers, load in shift.lower
            }
            value = expression(binomial_terms(shift, {shift.powers: old, **sums}, changes))
        factors = self.corrections(shift)
        return multiplied([value, *factors])

    def corrections(self, shift: Shift) -> list[Expr]:
        found: list[Expr] = []
        for base in dict.fromkeys(exponent.base for exponent in shift.exponents):
            terms = tuple(exponent.term for exponent in shift.exponents if exponent.base == base)
            change = self.change(terms)
            power = ("exp", (change,)) if base is None else ("pow", (base, change))
            found.append(self.correction(shift, Call(operator=power[0], arguments=power[1])))
        for factor in shift.ratios:
            pair = (self.version(factor.expr, "new"), self.version(factor.expr, "old"))
            below = pair[0] if factor.divides else pair[1]
            self.divisors |= dict.fromkeys(load.tensor for load in iter_loads(below))
            ratio = Call(operator="div", arguments=pair[::-1] if factor.divides else pair)
            found.append(self.correction(shift, ratio))
        return found

    def change(self, terms: tuple[Product, ...]) -> Expr:
        """The change of each term from old values to new, each by itself, so that large values cancel exactly."""
        changes = [
            with_common_factor(expression([self.under(term, "old").scaled(-1.0), self.under(term, "new")]))
            for term in terms
        ]
        whole = changes[0]
        for other in changes[1:]:
            whole = Call(operator="add", arguments=(whole, other))
        return whole

    def under(self, term: Product, which: str) -> Product:
        return Product(term.coefficient, tuple(Factor(self.version(f.expr, which), f.divides) for f in term.factors))

    def difference(self, shift: Shift, centre: Expr) -> Expr:
        """g' - g of a power."""
        terms = sum_of_products(centre, lambda expr: None)
        return self.correction(shift, self.change(terms), f"D{self.letter}")

    @property
    def letter(self) -> str:
        return "L" if self.form == "partition" else "R"

    def correction(self, shift: Shift, expr: Expr, prefix: str = "") -> Load:
        """An Einsum for the change of a reference value, shared by all sums with that reference."""
        olds = {version.old.access.tensor: name for name, version in self.versions.items()}
        changed = next(olds[load.tensor] for load in iter_loads(expr) if load.tensor in olds)
        name = self.draft.fresh((prefix or f"P{self.letter}") + stem_of(changed))
        rest = tuple(index(v) for v in variables_of(expr) if v != self.flow.outer)
        output = self.stepped(name, rest, self.step())
        return Load(
            access=Access(tensor=self.draft.reuse(einsum(output, expr), shift.target.name), indices=output.indices)
        )

    # --- afterwards ----------------------------------------------------------------------------------------------
    def read_last_values(self) -> None:
        """Make all other readers use the value after the last step."""
        ready = set(self.versions)
        reductions = {n for n in ready if self.flow.outer in self.flow.einsums[n].reduced_variables}

        def changed(load: Access) -> Expr:
            if load.tensor not in reductions:
                return Load(access=load)
            return Load(access=self.stepped(self.versions[load.tensor].new.access.tensor, load.indices, self.last))

        self.draft.redirect(changed, [name for name in self.untouched if name not in reductions])
        for name in reductions:
            found = self.draft.einsums[name]
            still = found.reduction is not None and found.expr != self.flow.einsums[name].expr
            if name in self.draft.source.outputs and not still:
                self.draft.put(Einsum(output=found.output, expr=changed(found.output)))
            elif name not in self.draft.source.outputs:
                self.draft.drop(name)

    def rescale_elements(self) -> None:
        """Derive elements needed with the final value from the local ones if only an exponent differs."""
        for name, local in self.elements.items():
            found = self.flow.einsums[name]
            if found.reduction is not None:
                continue
            try:
                shift = dependence_of(self.draft, self.flow, found, True)
            except UnknownIdentityError:
                continue
            if shift.exponents and not shift.ratios and not shift.powers:
                load = Load(access=Access(tensor=local, indices=found.output.indices))
                self.draft.put(Einsum(output=found.output, expr=multiplied([load, *self.corrections(shift)])))
