"""Checks that a design computes what its cascade defines: the flow behind `einfuse verify`.

The functional engine runs a mapped design at sizes that take seconds, in each precision, on every set of inputs, and
every tensor is compared with the interpreter in fp64 against its error bound. Outputs are compared with equal cascades
of the catalog and, on request, with torch and with Triton kernels. A bare cascade is run Einsum by Einsum.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from einsums.names import nearest
from einsums.types import Cascade
from sim.design.experiment import Experiment
from sim.functional.compare import TensorComparison
from sim.functional.comparisons import (
    DesignRun,
    VerifiedDesign,
    einsum_rows,
    equal_rows,
    operator_rows,
    own_rows,
    run_design,
)
from sim.functional.exponential import EXACT, Exponential, exponentials_of
from sim.functional.given import Given, given_set, sizes_given
from sim.functional.inputs import InputSet, input_sets
from sim.functional.precision import PRECISIONS
from sim.functional.program import program_of_cascade, program_of_experiment
from sim.functional.references import Backend, definition_of, is_installed, operator_names
from sim.functional.sizes import MOST_POINTS, check_points, reduced_experiment, sizes_of_cascade, total_points
from sim.load.nouns import CATALOGS, load_cascade
from sim.simulation.flow import simulate

BACKENDS = ("numpy", "torch", "triton")
EXPONENTIALS = ("exact", "polynomial")
WORD_PRECISION = {16: "bf16", 32: "fp32", 64: "fp64"}


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
    inputs: Given | None = None  # arrays by input, or a function of sizes and a generator; None: drawn

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
        return not self.empty_outputs and all(row.passes for _, rows in self.comparisons for row in rows)

    @property
    def empty_outputs(self) -> tuple[str, ...]:
        """Outputs of which every element is 0, or none exists, on all inputs: nothing was shown of them."""
        rows = [row for _, of in self.comparisons for row in of if row.subject.is_output]
        names = dict.fromkeys(row.subject.tensor for row in rows)
        return tuple(name for name in names if all(row.is_empty for row in rows if row.subject.tensor == name))

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
    if options.inputs is not None and not callable(options.inputs):
        sizes = sizes_given(subject if isinstance(subject, Cascade) else subject.cascade, options.inputs)
        options = replace(options, whole=True, sizes=tuple((dict(options.sizes) | sizes).items()))
        if isinstance(subject, Experiment):
            subject = replace(subject, sizes=tuple((dict(subject.sizes) | sizes).items()))
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
        kept: list[DesignRun] = []
        sets = _sets(design, options)
        for number, given in enumerate(sets, start=1):
            if count > MOST_POINTS:
                tell(f"{name}: {count:,} points on inputs {number} of {len(sets)}")
            run = run_design(design, PRECISIONS[name], given, is_first=not rows)
            rows += [*own_rows(design, run), *equal_rows(design, defining, run)]
            kept += [run] if options.backend != "numpy" else []
        if operated and defining is not None:
            backend, of_operators = operator_rows(design, kept, definition_of(defining.name), options.backend)
            rows += of_operators
        elif kept:
            backend, of_einsums = einsum_rows(design, kept)
            rows += of_einsums
        comparisons.append((name, tuple(rows)))
    one_by_one = backend is not None and not operated
    return Verification(design, options, tuple(comparisons), backend, one_by_one)


def _sets(design: VerifiedDesign, options: VerifyOptions) -> tuple[InputSet, ...]:
    """The inputs to run on: those given, or all that are drawn."""
    workload = design.program.workload
    if options.inputs is not None:
        return (given_set(workload, options.inputs, options.seed),)
    return input_sets(workload, options.seed)


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
