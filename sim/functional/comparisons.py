"""What a verified design is run on and compared with: the interpreter, equal cascades, torch, kernels."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from einsums.interpreter import interpret
from einsums.types import Cascade, InitialValue
from sim.functional.bounds import FUNCTION_UNITS, error_bounds
from sim.functional.compare import Subject, TensorComparison, compare
from sim.functional.exponential import Exponential
from sim.functional.inputs import InputSet
from sim.functional.machine import Arithmetic, execute
from sim.functional.one_by_one import run_one_by_one
from sim.functional.precision import PRECISIONS, Precision
from sim.functional.program import Program, program_of_cascade
from sim.functional.references import Backend, ReferenceResult, equals_of, run_operators
from sim.load.nouns import load_cascade

Arrays = dict[str, np.ndarray]
# Operators take the steps of a cascade in another form (a factor folded into base 2, a division deferred), each step
# with at most twice as many roundings.
OPERATOR_FACTOR = 2.0
KERNEL_TILE = 64  # keys that an operator's steps are analysed with


class VerifiedDesign(NamedTuple):
    """The subject of a verification: a program, its original sizes, and the exponential of each array."""

    name: str
    title: str  # cascade, machine and mapping in words
    program: Program
    given: tuple[tuple[str, int], ...]  # sizes of ranks before they were shortened
    exponentials: dict[str, Exponential]
    precisions: tuple[str, ...]

    @property
    def cascade(self) -> Cascade:
        return self.program.cascade

    @property
    def sizes(self) -> dict[str, int]:
        return {item.rank: item.size for item in self.program.workload.sizes}


class DesignRun(NamedTuple):
    """One execution: inputs as words, the results of the interpreter and the engine, and the bounds between them."""

    inputs: str
    words: Arrays
    expected: Arrays
    found: Arrays
    allowed: Arrays
    precision: Precision


def run_design(design: VerifiedDesign, precision: Precision, given: InputSet, is_first: bool) -> DesignRun:
    """The first inputs tile by tile, with places that forget; the others side by side, with identical results."""
    with np.errstate(over="ignore"):  # what is beyond a precision is infinite in it
        words = {name: precision.word(array.astype(precision.wide)) for name, array in given.arrays.items()}
    expected = interpret(started(design.cascade, precision), words, design.sizes)
    functions = {array: one.function(precision) for array, one in design.exponentials.items()}
    found = execute(design.program, words, Arithmetic(precision, functions), side_by_side=not is_first)
    allowed = error_bounds(design.program, {**words, **expected}, precision, design.exponentials)
    return DesignRun(given.name, words, expected, found, allowed, precision)


def started(cascade: Cascade, precision: Precision) -> Cascade:
    """The cascade with initial values in this precision: like its inputs, they are words."""
    initial = tuple(
        item if item.source else InitialValue(tensor=item.tensor, value=precision.start(item.value))
        for item in cascade.initial
    )
    return cascade if initial == cascade.initial else cascade.with_fields(initial=initial)


def own_rows(design: VerifiedDesign, run: DesignRun) -> Iterator[TensorComparison]:
    """Every tensor against the interpreter of the same cascade."""
    for einsum in design.cascade.einsums:
        name = einsum.name
        subject = _subject(design, name, run.inputs, "the engine", "the interpreter")
        yield compare(subject, run.found[name], run.expected[name], run.allowed[name])


def equal_rows(design: VerifiedDesign, defining: Cascade | None, run: DesignRun) -> Iterator[TensorComparison]:
    """Outputs against the interpreter of their defining cascade; those of a bare definition against all its equals."""
    own = design.cascade
    is_bare = not design.program.leaves[0].array
    others: list[Cascade] = []
    if defining is not None and defining != own:
        others = [defining]
    elif defining is not None and is_bare:
        others = [load_cascade(name) for name in equals_of(own.name)]
    for cascade in others:
        sizes = _sizes_for(cascade, design.sizes)
        expected = interpret(cascade, run.words, sizes)
        doubt: Arrays = {}
        if is_bare or run.precision.wide is np.float64:  # otherwise far below the engine's own bound
            doubt = error_bounds(program_of_cascade(cascade, sizes), {**run.words, **expected}, PRECISIONS["fp64"])
        for output in cascade.outputs:
            subject = _subject(design, output, run.inputs, "the engine", _title(cascade, own))
            allowed = run.allowed[output] + doubt.get(output, 0.0)
            # What the design's own cascade leaves undefined has no bound, but the other cascade defines it.
            allowed = np.where(np.isnan(run.expected[output]), 0.0, allowed)
            yield compare(subject, run.found[output], expected[output], allowed)


def _title(cascade: Cascade, own: Cascade) -> str:
    return f"the shipped {cascade.name}" if cascade.name == own.name else cascade.name


def operator_rows(
    design: VerifiedDesign, runs: list[DesignRun], definition: str, backend: str
) -> tuple[Backend, list[TensorComparison]]:
    """The engine against torch in fp64, and operators in the same precision against the interpreter."""
    sets = tuple(InputSet(run.inputs, run.words) for run in runs)
    ran, results = run_operators(design.program.workload, definition, sets, runs[0].precision.base, backend)
    by_name = {run.inputs: run for run in runs}
    different: dict[tuple[str, ...], ReferenceResult] = {}  # several kernels have one reference
    for result in results:
        operator = result.operator if result.kind == "kernel" else ""
        different.setdefault((result.inputs, result.kind, result.tensor, operator), result)
    rows = []
    bounds: dict[tuple[str, str], Arrays] = {}
    for result in different.values():
        run, tensor = by_name[result.inputs], result.tensor
        if result.kind == "exact":
            subject = _subject(design, tensor, result.inputs, "the engine", "torch in fp64")
            rows.append(compare(subject, run.found[tensor], result.values, OPERATOR_FACTOR * run.allowed[tensor]))
            continue
        key = (result.inputs, result.steps)
        if key not in bounds:
            bounds[key] = _operator_bounds(design, run, result.steps)
        maker = f"{ran}: {result.operator}" if result.kind == "kernel" else f"torch in {run.precision.base}"
        subject = _subject(design, tensor, result.inputs, maker, "the interpreter")
        rows.append(compare(subject, result.values, run.expected[tensor], OPERATOR_FACTOR * bounds[key][tensor]))
    return ran, rows


def einsum_rows(design: VerifiedDesign, runs: list[DesignRun]) -> tuple[Backend, list[TensorComparison]]:
    """Every Einsum separately in torch, in fp64 and on the interpreter's operands, against the interpreter.

    Another library may compute a function as if its argument were a few units away (1 + erf of a gelu, say, loses the
    digits of a small result), so the inputs get the same uncertainty.
    """
    exact = PRECISIONS["fp64"]
    program = program_of_cascade(design.cascade, design.sizes)
    values = {run.inputs: {**run.words, **run.expected} for run in runs}
    backend, found = run_one_by_one(program, values)
    rows = []
    for run in runs:
        allowed = error_bounds(program, values[run.inputs], exact, doubt=FUNCTION_UNITS * exact.wide_unit)
        for tensor, result in found[run.inputs].items():
            subject = _subject(design, tensor, run.inputs, f"{backend} in fp64, by itself", "the interpreter")
            rows.append(compare(subject, result, run.expected[tensor], allowed[tensor]))
    return backend, rows


def _operator_bounds(design: VerifiedDesign, run: DesignRun, steps: str) -> Arrays:
    """Bounds of the cascade whose steps an operator takes."""
    cascade = load_cascade(steps)
    sizes = _sizes_for(cascade, design.sizes)
    values = interpret(cascade, run.words, sizes)
    return error_bounds(program_of_cascade(cascade, sizes), {**run.words, **values}, run.precision)


def _subject(design: VerifiedDesign, tensor: str, inputs: str, made_by: str, against: str) -> Subject:
    cascade = design.cascade
    return Subject(tensor, cascade.ranks_of(tensor), tensor in cascade.outputs, inputs, made_by, against)


def _sizes_for(cascade: Cascade, sizes: dict[str, int]) -> dict[str, int]:
    """Sizes of whole ranks, and of inner parts that both cascades have; otherwise a kernel's tile."""
    found = {rank: sizes[rank] for rank in dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks()))}
    inner = [part for partition in cascade.partitions for part in partition.inner]
    return found | {part: sizes.get(part, KERNEL_TILE) for part in inner}
