"""Is what a design computes what its cascade means? The flow behind `einfuse verify`.

A mapped design is run by the functional engine at sizes that take seconds, in each precision, on every set of inputs,
and every tensor is compared with the interpreter in fp64 against its error bound. Outputs are compared with equal
cascades of the catalog, and, if asked, with torch and with Triton kernels. A bare cascade is run Einsum after Einsum.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from einsums.interpreter import interpret
from einsums.types import Cascade
from sim.experiment import Experiment
from sim.flow import simulate
from sim.functional.bounds import error_bounds
from sim.functional.compare import Comparison, Subject, compare
from sim.functional.exponential import EXACT, Exponential, exponentials_of
from sim.functional.inputs import InputSet, input_sets
from sim.functional.machine import Arithmetic, execute
from sim.functional.precision import PRECISIONS, Precision
from sim.functional.program import Program, program_of_cascade, program_of_experiment
from sim.functional.references import (
    Backend,
    Result,
    definition_of,
    equals_of,
    is_installed,
    operator_names,
    run_operators,
)
from sim.functional.sizes import check_points, reduced_experiment, sizes_of_cascade
from sim.load import load_cascade
from sim.suggest import nearest

Arrays = dict[str, np.ndarray]
BACKENDS = ("numpy", "torch", "triton")
EXPONENTIALS = ("exact", "polynomial")
WORD_PRECISION = {16: "bf16", 32: "fp32", 64: "fp64"}
# Operators take the steps of a cascade in another form (a factor folded into base 2, a division deferred): each step
# with at most twice as many roundings.
OPERATOR_FACTOR = 2.0
KERNEL_TILE = 64  # keys that an operator's steps are analysed with


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """How to verify. ValueError for a choice that does not exist.

    precisions: by default fp32 and that of the machine's word. exponential: `exact` or `polynomial`; by default what
    the machine says its exponential is made of. whole: run at the sizes given, however long that takes. against: a
    cascade of the same inputs and outputs that defines what is computed. sizes: of ranks that are run as they are.
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


class Design(NamedTuple):
    """What is run: a program, the sizes it was cut from, and the exponential of each array."""

    name: str
    title: str  # cascade, machine and mapping in words
    program: Program
    given: tuple[tuple[str, int], ...]  # sizes of ranks before they were cut
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
    """What was run and how far everything was off."""

    design: Design
    options: VerifyOptions
    comparisons: tuple[tuple[str, tuple[Comparison, ...]], ...]  # by precision
    backend: Backend | None

    @property
    def passes(self) -> bool:
        return all(row.passes for _, rows in self.comparisons for row in rows)

    @property
    def failures(self) -> tuple[Comparison, ...]:
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
            "schema": "einfuse.verify/1",
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


def verify(subject: Experiment | Cascade, options: VerifyOptions | None = None) -> Verification:
    """Run a design or a cascade on numbers and compare. IllegalMapping for a mapping that cannot run; ValueError for
    options that do not fit what is run."""
    options = options or VerifyOptions()
    design = design_of(subject, options)
    comparisons = []
    backend = None
    for name in design.precisions:
        runs = [_run(design, PRECISIONS[name], one) for one in input_sets(design.program.workload, options.seed)]
        rows = [row for run in runs for row in (*_own_rows(design, run), *_equal_rows(design, options, run))]
        if options.backend != "numpy" and operator_names(_definition(design, options)):
            sets = tuple(InputSet(run.inputs, run.words) for run in runs)
            base = PRECISIONS[name].base
            definition = _definition(design, options)
            backend, results = run_operators(design.cascade, definition, sets, base, options.backend)
            rows += _operator_rows(design, runs, backend, results)
        comparisons.append((name, tuple(rows)))
    return Verification(design, options, tuple(comparisons), backend)


def design_of(subject: Experiment | Cascade, options: VerifyOptions) -> Design:
    """What will be run, at which sizes."""
    if isinstance(subject, Cascade):
        sizes = sizes_of_cascade(subject, dict(options.sizes))
        if options.exponential == "polynomial":
            raise ValueError(f"'{subject.name}' is a cascade without a machine, whose exponential is exact")
        program = program_of_cascade(subject, sizes)
        check_points(program.workload)
        precisions = options.precisions or ("fp64", "fp32")
        return Design(subject.name, "Einsum after Einsum", program, tuple(sizes.items()), {}, precisions)
    simulate(subject)  # refuses what cannot run, at the sizes given
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
    return Design(experiment.name, title, program, subject.sizes, exponentials, precisions)


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


class _Run(NamedTuple):
    """One execution: inputs as words, what the interpreter and the engine made of them, and the bounds between."""

    inputs: str
    words: Arrays
    expected: Arrays
    found: Arrays
    allowed: Arrays
    precision: Precision


def _run(design: Design, precision: Precision, given: InputSet) -> _Run:
    words = {name: precision.word(array.astype(precision.wide)) for name, array in given.arrays.items()}
    expected = interpret(design.cascade, words, design.sizes)
    functions = {array: one.function(precision) for array, one in design.exponentials.items()}
    found = execute(design.program, words, Arithmetic(precision, functions))
    allowed = error_bounds(design.program, {**words, **expected}, precision, design.exponentials)
    return _Run(given.name, words, expected, found, allowed, precision)


def _own_rows(design: Design, run: _Run) -> Iterator[Comparison]:
    """Every tensor against the interpreter of the same cascade."""
    for einsum in design.cascade.einsums:
        name = einsum.name
        subject = _subject(design, name, run.inputs, "the engine", "the interpreter")
        yield compare(subject, run.found[name], run.expected[name], run.allowed[name])


def _equal_rows(design: Design, options: VerifyOptions, run: _Run) -> Iterator[Comparison]:
    """Outputs against the interpreter of the cascade that defines them; of a bare definition, against all others."""
    own = design.cascade
    defining = options.against or definition_of(own.name)
    is_bare = not design.program.leaves[0].array
    names = (defining,) if defining != own.name else equals_of(own.name) if is_bare else ()
    for name in names:
        cascade = load_cascade(name)
        _check_same_interface(own, cascade)
        sizes = _sizes_for(cascade, design.sizes)
        expected = interpret(cascade, run.words, sizes)
        doubt: Arrays = {}
        if is_bare or run.precision.wide is np.float64:  # else far below what the engine's own bound leaves
            doubt = error_bounds(program_of_cascade(cascade, sizes), {**run.words, **expected}, PRECISIONS["fp64"])
        for output in cascade.outputs:
            subject = _subject(design, output, run.inputs, "the engine", cascade.name)
            yield compare(subject, run.found[output], expected[output], run.allowed[output] + doubt.get(output, 0.0))


def _operator_rows(
    design: Design, runs: list[_Run], backend: Backend, results: tuple[Result, ...]
) -> Iterator[Comparison]:
    """The engine against torch in fp64, and operators in the same precision against the interpreter."""
    by_name = {run.inputs: run for run in runs}
    bounds: dict[tuple[str, str], Arrays] = {}
    seen: set[tuple[str, str]] = set()
    for result in results:
        run, tensor = by_name[result.inputs], result.tensor
        if result.kind == "exact":
            if (result.inputs, tensor) not in seen:  # several kernels have one reference
                seen.add((result.inputs, tensor))
                subject = _subject(design, tensor, result.inputs, "the engine", "torch in fp64")
                yield compare(subject, run.found[tensor], result.values, OPERATOR_FACTOR * run.allowed[tensor])
            continue
        if result.kind == "reference" and (result.inputs, f"{tensor} again") in seen:
            continue
        seen.add((result.inputs, f"{tensor} again") if result.kind == "reference" else ("", ""))
        key = (result.inputs, result.steps)
        if key not in bounds:
            bounds[key] = _operator_bounds(design, run, result.steps)
        maker = f"{backend}: {result.operator}" if result.kind == "kernel" else f"torch in {run.precision.name}"
        subject = _subject(design, tensor, result.inputs, maker, "the interpreter")
        yield compare(subject, result.values, run.expected[tensor], OPERATOR_FACTOR * bounds[key][tensor])


def _operator_bounds(design: Design, run: _Run, steps: str) -> Arrays:
    """Bounds of the cascade whose steps an operator takes."""
    cascade = load_cascade(steps)
    sizes = _sizes_for(cascade, design.sizes)
    values = interpret(cascade, run.words, sizes)
    return error_bounds(program_of_cascade(cascade, sizes), {**run.words, **values}, run.precision)


def _subject(design: Design, tensor: str, inputs: str, made_by: str, against: str) -> Subject:
    cascade = design.cascade
    return Subject(tensor, cascade.ranks_of(tensor), tensor in cascade.outputs, inputs, made_by, against)


def _definition(design: Design, options: VerifyOptions) -> str:
    """The cascade that defines what a design computes: as given, or as the catalog states it."""
    return definition_of(load_cascade(options.against).name if options.against else design.cascade.name)


def _sizes_for(cascade: Cascade, sizes: dict[str, int]) -> dict[str, int]:
    """Sizes of whole ranks, and of inner parts where the other cascade has the same; else a kernel's tile."""
    found = {rank: sizes[rank] for rank in dict.fromkeys(map(cascade.root_of, cascade.leaf_ranks()))}
    inner = [part for partition in cascade.partitions for part in partition.inner]
    return found | {part: sizes.get(part, KERNEL_TILE) for part in inner}


def _check_same_interface(own: Cascade, other: Cascade) -> None:
    """ValueError unless both have the same inputs and the other's outputs are tensors of the first."""
    for kind, names_of in (("inputs", _input_names), ("outputs", _output_names)):
        first, second = ({name: c.tensor(name).ranks for name in names_of(c)} for c in (own, other))
        if first != second:
            raise ValueError(
                f"'{own.name}' cannot be compared with '{other.name}': their {kind} differ "
                f"({_listed(first)} and {_listed(second)})"
            )


def _input_names(cascade: Cascade) -> tuple[str, ...]:
    return tuple(tensor.name for tensor in cascade.inputs)


def _output_names(cascade: Cascade) -> tuple[str, ...]:
    return cascade.outputs


def _listed(tensors: dict[str, tuple[str, ...]]) -> str:
    return ", ".join(f"{name}[{','.join(ranks)}]" for name, ranks in tensors.items())
