"""A measurement file of our own benchmark as cases: one per implementation that was timed and can be planned."""

from pathlib import Path
from typing import NamedTuple

from kernels.bench import schema
from kernels.bench.structure import DocumentError
from kernels.plans import Configuration
from kernels.plans.problems import AttentionProblem
from sim.gpu.bounds import check_configuration, check_size
from sim.gpu.cards import Card
from sim.gpu.cases import GpuCase
from sim.load.files import LARGEST_TABLE, read_text
from sim.load.problems import InputError, InputProblem

# Family: names of implementations in measurement files, and in the table of implementations. Others have no plan.
LIBRARIES = {"cublas": "library", "torch-copy": "library"}
ATTENTION = {"sdpa-flash": "fa2", "flash-attn": "fa2", "sdpa-cudnn": "cudnn"}
IMPLEMENTATIONS = {
    "attention_fwd": ATTENTION | {"flex": "flex-attention"},
    "attention_bwd": ATTENTION,
    "gemm": LIBRARIES,
    "ceilings": LIBRARIES,
}
# Families whose plans a configuration in the file may retile.
CUT_FAMILIES = ("attention_fwd", "gemm")


class MeasuredCases(NamedTuple):
    """The cases of a file; their machine is the name that the driver gave it, which no machine file need have."""

    card: Card
    cases: tuple[GpuCase, ...]


def load_measurement(path: Path) -> MeasuredCases:
    """A measurement file of a GPU; InputError if it is not one, or has no case we can plan."""
    try:
        measurement = schema.parse_measurement(read_text(path, "a measurement (JSON)", LARGEST_TABLE), str(path))
    except DocumentError as error:
        raise InputError(InputProblem(c.file, None, c.path, c.message) for c in error.complaints) from None
    if measurement.machine.kind != "gpu":
        sentence = (
            f"expected times of a GPU, got '{measurement.machine.kind}': a trial, whose times say nothing of a GPU"
        )
        raise _refused(path, "$.machine.kind", sentence)
    for i, one in enumerate(measurement.cases):
        try:
            check_size(one.problem, one.is_backward)
        except ValueError as error:
            raise _refused(path, f"$.cases[{i}].problem", str(error)) from None
        for j, result in enumerate(one.results):
            cut = _cut_of(one, result)
            try:
                if cut is not None:
                    check_configuration(cut)
                    check_size(one.problem, one.is_backward, cut)
            except ValueError as error:
                place = f"$.cases[{i}].results[{j}].launches[0].configuration"
                raise _refused(path, place, str(error)) from None
    card = Card.of(measurement.machine)
    cases = tuple(case for one in measurement.cases for case in _cases_of(one, card.name, path.name))
    if not cases:
        raise _refused(path, "$.cases", "holds no case of an implementation that can be planned")
    return MeasuredCases(card, cases)


def _refused(path: Path, place: str, sentence: str) -> InputError:
    return InputError([InputProblem(str(path), None, place, sentence)])


def _cases_of(one: schema.Case, machine: str, source: str) -> list[GpuCase]:
    found = []
    for result in one.results:
        name = result.implementation
        implementation = "own" if result.is_own else IMPLEMENTATIONS.get(one.family, {}).get(name)
        if implementation is None:
            continue
        found.append(
            GpuCase(
                f"{one.id}/{name}",
                one.family,
                "held-out",
                machine,
                implementation,
                one.problem,
                one.is_backward and isinstance(one.problem, AttentionProblem),
                result.timing.median_s,
                float(one.flops),
                float(one.bytes),
                source,
                name,
                _cut_of(one, result),
            )
        )
    return found


def _cut_of(one: schema.Case, result: schema.Result) -> Configuration | None:
    if one.family not in CUT_FAMILIES or not result.is_own or len(result.launches) != 1:
        return None
    return result.launches[0].configuration
