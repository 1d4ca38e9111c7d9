"""Machines with several identical cores: what a core is, which array does which kind of work, and calibrated values.

Everything at or below one memory exists once per core; everything above it is shared. A `Calibration` holds the few
numbers that no data sheet gives. They belong to a machine, not to a kernel, and record what they were fitted to.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, Field, PlainValidator, model_validator

from arch.fields import Count, Identifier, is_number
from arch.operation import FROZEN
from arch.quantity import MOST, SizeBits, TimeS, quoted
from einsums.quiet import Quiet, QuietDefaults


def _share(value: Any) -> float:
    if is_number(value) and 0 < value <= 1:
        return float(value)
    raise ValueError(f"expected a share above 0 and at most 1, got {quoted(value)}")


def _waiting(value: Any) -> float:
    if is_number(value) and 0 <= value <= MOST:
        return float(value)
    wanted = f"at most {float(MOST):g}" if is_number(value) and value > 0 else "at least 0"
    raise ValueError(f"expected a number of cycles of {wanted}, got {quoted(value)}")


Share = Annotated[float, PlainValidator(_share)]
WaitingCycles = Annotated[float, PlainValidator(_waiting)]


class Pipes(BaseModel):
    """The arrays of a core by their work: matrix products, special functions, everything else."""

    model_config = FROZEN

    tensor: Identifier
    special: Identifier
    vector: Identifier


class Cores(QuietDefaults):
    """A number of identical cores; `memory` and everything below it exist once in each.

    `reduces`: whether what cores make of one result is added up on its way to the memory that they share. Machines that
    run kernels also have `pipes`, the `generation` of the instruction set that kernels are compiled for, and
    `group_memory`, the most of the core's memory that a group may take: the unit scheduled onto a core as a whole (a
    CTA).
    """

    model_config = FROZEN

    count: Count
    memory: Identifier
    reduces: Annotated[bool, Quiet()] = False
    generation: Literal["sm80", "sm90"] | None = None
    pipes: Pipes | None = None
    group_memory_bits: SizeBits | None = Field(None, alias="group_memory")
    source: str

    @model_validator(mode="after")
    def _kernels_need_all(self) -> Self:
        given = {"generation": self.generation, "pipes": self.pipes, "group_memory": self.group_memory_bits}
        missing = [key for key, value in given.items() if value is None]
        if 0 < len(missing) < len(given):
            raise ValueError(
                f"{' and '.join(missing)} missing: kernels need generation, pipes and group_memory together"
            )
        return self


class Calibration(BaseModel):
    """At most six numbers of a machine that are fitted to measurements.

    tensor_rate: share of the tensor arrays' peak that a stream of products sustains (issue, clock under load)
    synchronous_rate: of that, the share reached by matrix instructions that hold their warp until they are done
    step_latency: cycles of dependences and barriers that a group waits in each inner step, unless others load for it
    tile_latency: from the start of a tile to its first operands, and from its last result to its end
    launch_latency: of a kernel
    memory_rate: share of the outermost memory's bandwidth that streams sustain
    """

    model_config = FROZEN

    tensor_rate: Share
    synchronous_rate: Share
    step_latency_cycles: WaitingCycles = Field(alias="step_latency")
    tile_latency_s: TimeS = Field(alias="tile_latency")
    launch_latency_s: TimeS = Field(alias="launch_latency")
    memory_rate: Share
    source: str
