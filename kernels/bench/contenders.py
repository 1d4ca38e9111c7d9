"""Contenders, and what every family of cases provides: inputs, a reference, our kernels, and others to time."""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels.launching import Launch, run

Inputs = tuple[Tensor, ...]

TORCH_DTYPES = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class Prepared(NamedTuple):
    """One implementation on one set of inputs: a call that computes the outputs and, for our kernels, the launches.

    `kept`: tensors that the call reads in addition to its inputs, such as those saved by a forward for the backward.
    """

    call: Callable[[], tuple[Tensor, ...]]
    launches: tuple[Launch, ...] = ()
    kept: tuple[Tensor, ...] = ()


# For a problem of its family. Raises if the implementation is not available or does not support the problem; the
# message becomes the reason.
Contender = Callable[[Any, Inputs], Prepared]


class ProblemSample(NamedTuple):
    """A part of a problem whose outputs do not depend on the rest: small enough for a reference in fp32."""

    problem: Any
    inputs: Inputs
    cut: Callable[[Tensor], Tensor]  # the same part of an output


class FamilyOfCases(NamedTuple):
    """The common parts of cases of a kind.

    own: our kernels, the planned one first. baselines: other implementations of the same. yardsticks: other work whose
    time is a useful comparison, such as a copy of the same number of bytes.
    """

    inputs: Callable[[Any, torch.device, int], Inputs]
    reference: Callable[[Any, Inputs], tuple[Tensor, ...]]
    own: dict[str, Contender]
    baselines: dict[str, Contender]
    sample: Callable[[Any, Inputs], ProblemSample]
    yardsticks: dict[str, Contender] = {}  # noqa: RUF012 - nobody writes to it


class NotMeantError(Exception):
    """This implementation is not meant for this problem or this machine; there is nothing to report."""


def require_meant(is_met: bool, reason: str) -> None:
    if not is_met:
        raise NotMeantError(reason)


def random(shape: tuple[int, ...], dtype: str, device: torch.device, seed: int) -> Tensor:
    """Normal values; zeros would let the clock rise, which flatters products."""
    generator = torch.Generator(device).manual_seed(seed * 7919 + sum(shape))
    return torch.randn(shape, generator=generator, device=device, dtype=TORCH_DTYPES[dtype])


def own(launches: tuple[Launch, ...], outputs: tuple[Tensor, ...], kept: tuple[Tensor, ...] = ()) -> Prepared:
    """A contender of our kernels, with launches made once and buffers allocated once."""

    def call() -> tuple[Tensor, ...]:
        run(*launches)
        return outputs

    return Prepared(call, launches, kept)


def iter_tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from iter_tensors(tuple(value.values()))
    elif isinstance(value, tuple | list):
        for part in value:
            yield from iter_tensors(part)


def scratch_of(prepared: Prepared, inputs: Inputs) -> tuple[Tensor, ...]:
    """Floating-point buffers of the launches that start unfilled: outputs, partial results, states."""
    known = {x.data_ptr() for x in (*inputs, *prepared.kept)}
    found = {x.data_ptr(): x for launch in prepared.launches for x in iter_tensors(launch.arguments)}
    return tuple(x for start, x in found.items() if start not in known and x.is_floating_point())


def poison(tensors: tuple[Tensor, ...]) -> None:
    """Fill with NaN, which exposes elements that a kernel reads before writing them or leaves unwritten."""
    for x in tensors:
        x.fill_(float("nan"))


def relative_error(found: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> float:
    """The largest ||found - expected||_F / ||expected||_F over the outputs; infinite if a NaN or a shape differs."""
    worst = 0.0
    for x, y in zip(found, expected, strict=True):
        if x.shape != y.shape or not bool(torch.isfinite(x).all()):
            return float("inf")
        wide = y.to(torch.float64) if y.numel() < 1 << 24 else y
        norm = float(wide.norm())
        error = float((x.to(wide.dtype) - wide).norm())
        worst = max(worst, error / norm if norm else error)
    return worst
