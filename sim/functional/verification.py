"""Checks that a design computes what its cascade defines: the flow behind `einfuse verify`.

The functional engine runs a mapped design at sizes that take seconds, in each precision, on every set of inputs, and
every tensor is compared with the interpreter in fp64 against its error bound. Outputs are compared with equal cascades
of the catalog and, on request, with torch and with Triton kernels. A bare cascade is run Einsum by Einsum.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from einsums.interpreter import interpret
from einsums.names import nearest
from einsums.types import Cascade, InitialValue
from sim.design.experiment import Experiment
from sim.functional.bounds import FUNCTION_UNITS, error_bounds
from sim.functional.compare import Subject, TensorComparison, compare
from sim.functional.exponential import EXACT, Exponential, exponentials_of
from sim.functional.inputs import InputSet, input_sets
from sim.functional.machine import Arithmetic, execute
from sim.functional.one_by_one import run_one_by_one
from sim.functional.precision import PRECISIONS, Precision
from sim.functional.program import Program, program_of_cascade, program_of_experiment, refuse_beyond
from sim.functional.references import (
    Backend,
    ReferenceResult,
    definition_of,
    equals_of,
    is_installed,
    operator_names,
    run_operators,
)
from sim.functional.sizes import MOST_POINTS, check_points, reduced_experiment, sizes_of_cascade, total_points
from sim.load.nouns import CATALOGS, load_cascade
from sim.simulation.flow import simulate

Arrays = dict[str, np.ndarray]
BACKENDS = ("numpy", "torch", "triton")
EXPONENTIALS = ("exact", "polynomial")
WORD_PRECISION = {16: "bf16", 32: "fp32", 64: "fp64"}
# Operators take the steps of a cascade in another form (a factor folded into base 2, a division deferred), each step
# with at most twice as many roundings.
OPERATOR_FACTOR = 2.0
KERNEL_TILE = 64  # keys that an operator's steps are analysed with


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """Options of a verification. ValueError for an unknown choice.

    precisions: by default fp32 and that of the machine's word. exponential: `exact` or `polynomial`; by default as
    declared by the machine. whole: run at the given sizes, however long that takes. against: a cascade with the same
    inputs and outputs that defines the computation. sizes: of ranks that are not shortened.
    """

    precisions: tuple[str, ...] = ()
    exponential: str | None = None
    backend: str = "numpy"
    seed: int = 0
    whole: bool = False
    against: str | None = None
    sizes: tuple[tuple[str, int], ...] = ()

    def __post_init__(self) -> None:
        for name in self.precisions:
            _check("precision", name, tuple(PRECISIONS))
        _check("backend", self.backend, BACKENDS)
        if self.exponential is not None:
            _check("exponential", self.exponential, EXPONENTIALS)
        if self.backend == "triton" and "fp64" in self.precisions:
            raise ValueError("the triton kernels take fp32, fp16 and bf16, got fp64")
        if self.backend != "numpy" and not is_installed(self.backend):
            raise ValueError(f"the backend '{self.backend}' needs the extra 'kernels': pip install -e '.[kernels]'")


def _check(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise ValueError(f"no {kind} is called '{name}'{nearest(name, known)}; there are: {', '.join(known)}")


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


@dataclass(frozen=True, slots=True)
class Verification:
    """The outcome: what was run, and all errors."""

    design: VerifiedDesign
    options: VerifyOptions
    comparisons: tuple[tuple[str, tuple[TensorComparison, ...]], ...]  # by precision
    backend: Backend | None
    one_by_one: bool = False  # whether the backend ran Einsums, because no operator of the kernels computes the cascade

    @property
    def passes(self) -> bool:
        return all(row.passes for _, rows in self.comparisons for row in rows)

    @property
    def failures(self) -> tuple[TensorComparison, ...]:
        """Comparisons beyond their bound, outputs first, the worst first."""
        failed = [row for _, rows in self.comparisons for row in rows if not row.passes]
        return tuple(sorted(failed, key=lambda row: (not row.subject.is_output, -row.share_of_bound)))

    def __repr__(self) -> str:
        count = sum(len(rows) for _, rows in self.comparisons)
        verdict = "pass" if self.passes else f"{len(self.failures)} fail"
        return f"Verification('{self.design.name}', {count} comparisons, {verdict})"

    def to_json(self) -> dict[str, Any]:
        """One document; keys are only ever added."""
        return {
            "schema": "einfuse-verify-1",
            "design": self.design.name,
            "cascade": self.design.cascade.name,
            "sizes": self.design.sizes,
            "given_sizes": dict(self.design.given),
            "seed": self.options.seed,
            "exponential": {name: one.multiply_adds or "exact" for name, one in self.design.exponentials.items()},
            "backend": str(self.backend or "numpy"),
            "passes": self.passes,
            "comparisons": [
                {"precision": precision, **row.to_json()} for precision, rows in self.comparisons for row in rows
            ],
        }


def verify(
    subject: Experiment | Cascade,
    options: VerifyOptions | None = None,
    tell: Callable[[str], None] = lambda progress: None,
) -> Verification:
    """Run a design or a cascade on numbers and compare; `tell` hears of the progress of a long run. IllegalMapping for
    a mapping that cannot run; ValueError for options that do not fit what is run."""
    if not isinstance(subject, Experiment | Cascade):
        raise TypeError(f"expected an Experiment or a Cascade, got {type(subject).__name__}")
    options = options or VerifyOptions()
    design = design_of(subject, options)
    defining = defining_cascade(design.cascade, options.against)
    operated = (
        defining is not None and options.backend != "numpy" and bool(operator_names(definition_of(defining.name)))
    )
    comparisons = []
    backend = None
    count = total_points(design.program.workload)
    for name in design.precisions:
        rows: list[TensorComparison] = []
        kept: list[_Execution] = []
        sets = tuple(input_sets(design.program.workload, options.seed))
        for number, given in enumerate(sets, start=1):
            if count > MOST_POINTS:
                tell(f"{name}: {count:,} points on inputs {number} of {len(sets)}")
            run = _run(design, PRECISIONS[name], given, is_first=not rows)
            rows += [*_own_rows(design, run), *_equal_rows(design, defining, run)]
            kept += [run] if options.backend != "numpy" else []
        if operated and defining is not None:
            backend, of_operators = _operator_rows(design, kept, definition_of(defining.name), options.backend)
            rows += of_operators
        elif kept:
            backend, of_einsums = _einsum_rows(design, kept)
            rows += of_einsums
        comparisons.append((name, tuple(rows)))
    one_by_one = backend is not None and not operated
    return Verification(design, options, tuple(comparisons), backend, one_by_one)


def defining_cascade(own: Cascade, against: str | None) -> Cascade | None:
    """The cascade that defines what another one computes: as given, or from the catalog by name. None if none is listed
    or if its inputs or outputs differ; ValueError if they differ for a given one."""
    if against is not None:
        other = load_cascade(against)
        difference = interface_difference(own, other)
        if difference:
            raise ValueError(f"'{own.name}' cannot be compared with '{other.name}': {difference}")
        return other
    name = definition_of(own.name)
    if name not in CATALOGS["cascade"].names():
        return None
    stated = load_cascade(name)
    return None if interface_difference(own, stated) else stated


def design_of(subject: Experiment | Cascade, options: VerifyOptions) -> VerifiedDesign:
    """The subject to run, and its sizes."""
    if isinstance(subject, Cascade):
        refuse_beyond(subject)
        sizes = sizes_of_cascade(subject, dict(options.sizes))
        if options.exponential == "polynomial":
            raise ValueError(f"'{subject.name}' is a cascade without a machine, whose exponential is exact")
        program = program_of_cascade(subject, sizes)
        check_points(program.workload)
        precisions = options.precisions or ("fp64", "fp32")
        return VerifiedDesign(subject.name, "Einsum after Einsum", program, tuple(sizes.items()), {}, precisions)
    simulate(subject)  # refuses a design that cannot run at the given sizes
    experiment = subject if options.whole else reduced_experiment(subject, dict(options.sizes))
    simulate(experiment)
    program = program_of_experiment(experiment)
    check_points(program.workload)
    word = WORD_PRECISION.get(int(experiment.architecture.word_bits), "fp32")
    precisions = options.precisions or tuple(dict.fromkeys(("fp32", word)))
    if options.backend == "triton":
        precisions = tuple(name for name in precisions if name != "fp64")
    exponentials = _exponentials(experiment, options.exponential)
    title = f"{experiment.cascade.name} on {experiment.architecture.name}, mapped as {experiment.mapping.name}"
    return VerifiedDesign(experiment.name, title, program, subject.sizes, exponentials, precisions)


def _exponentials(experiment: Experiment, wanted: str | None) -> dict[str, Exponential]:
    """The exponential of every array that runs one."""
    made = exponentials_of(experiment.architecture)
    cascade = experiment.cascade
    arrays = [leaf.array for leaf in experiment.tree.leaves if "exp" in cascade.einsum(leaf.einsum).map_operators]
    lacking = next((array for array in arrays if array not in made), None)
    if wanted == "polynomial" and lacking is not None:
        machine = experiment.architecture.name
        raise ValueError(
            f"array '{lacking}' of '{machine}' does not say how many multiply-adds its exponential is made of: "
            "expected an operation such as 'exp: {made_of: {macc: 6}}', or --exp exact"
        )
    return {array: EXACT if wanted == "exact" else made.get(array, EXACT) for array in dict.fromkeys(arrays)}


class _Execution(NamedTuple):
    """One execution: inputs as words, the results of the interpreter and the engine, and the bounds between them."""

    inputs: str
    words: Arrays
    expected: Arrays
    found: Arrays
    allowed: Arrays
    precision: Precision


def _run(design: VerifiedDesign, precision: Precision, given: InputSet, is_first: bool) -> _Execution:
    """The first inputs tile by tile, with places that forget; the others side by side, with identical results."""
    words = {name: precision.word(array.astype(precision.wide)) for name, array in given.arrays.items()}
    expected = interpret(started(design.cascade, precision), words, design.sizes)
    functions = {array: one.function(precision) for array, one in design.exponentials.items()}
    found = execute(design.program, words, Arithmetic(precision, functions), side_by_side=not is_first)
    allowed = error_bounds(design.program, {**words, **expected}, precision, design.exponentials)
    return _Execution(given.name, words, expected, found, allowed, precision)


def started(cascade: Cascade, precision: Precision) -> Cascade:
    """The cascade with initial values in this precision: like its inputs, they are words."""
    initial = tuple(InitialValue(tensor=item.tensor, value=precision.start(item.value)) for item in cascade.initial)
    if initial == cascade.initial:
        return cascade
    return Cascade(**{field: getattr(cascade, field) for field in Cascade.model_fields} | {"initial": initial})


def _own_rows(design: VerifiedDesign, run: _Execution) -> Iterator[TensorComparison]:
    """Every tensor against the interpreter of the same cascade."""
    for einsum in design.cascade.einsums:
        name = einsum.name
        subject = _subject(design, name, run.inputs, "the engine", "the interpreter")
        yield compare(subject, run.found[name], run.expected[name], run.allowed[name])


def _equal_rows(design: VerifiedDesign, defining: Cascade | None, run: _Execution) -> Iterator[TensorComparison]:
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
            yield compare(subject, run.found[output], expected[output], run.allowed[output] + doubt.get(output, 0.0))


def _title(cascade: Cascade, own: Cascade) -> str:
    return f"the shipped {cascade.name}" if cascade.name == own.name else cascade.name


def _operator_rows(
    design: VerifiedDesign, runs: list[_Execution], definition: str, backend: str
) -> tuple[Backend, list[TensorComparison]]:
    """The engine against torch in fp64, and operators in the same precision against the interpreter."""
    sets = tuple(InputSet(run.inputs, run.words) for run in runs)
    ran, results = run_operators(design.cascade, definition, sets, runs[0].precision.base, backend)
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


def _einsum_rows(design: VerifiedDesign, runs: list[_Execution]) -> tuple[Backend, list[TensorComparison]]:
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


def _operator_bounds(design: VerifiedDesign, run: _Execution, steps: str) -> Arrays:
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


def interface_difference(own: Cascade, other: Cascade) -> str:
    """How the inputs or outputs of two cascades differ, in words; empty if they do not."""
    for kind, names_of in (("inputs", _input_names), ("outputs", _output_names)):
        first, second = ({name: c.tensor(name).ranks for name in names_of(c)} for c in (own, other))
        if first != second:
            return f"their {kind} differ ({_listed(first)} and {_listed(second)})"
    return ""


def _input_names(cascade: Cascade) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in cascade.inputs)


def _output_names(cascade: Cascade) -> tuple[str, ...]:
    return cascade.outputs


def _listed(tensors: dict[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name}[{','.join(ranks)}]" for name, ranks in tensors.items())
