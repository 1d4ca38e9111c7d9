"""Launches whose tensors lie between poison: what a kernel reads outside a tensor shows in its result, what it writes there is found.

Every tensor of a launch is moved into a buffer of its own, with poison before it, behind it and between its strided rows.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from kernels.launching import Launch

PAD = 64  # elements: the alignment of a tensor stays
BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


class Poison(NamedTuple):
    """What stands outside tensors: of floating-point numbers, and of whole ones."""

    real: float
    whole: int


POISONS = (Poison(float("nan"), 1 << 30), Poison(1e4, 0))


def without_repeats(x: Tensor) -> Tensor:
    """A broadcast rank once: its elements are one place in memory."""
    for rank, stride in enumerate(x.stride()):
        if stride == 0:
            x = x.narrow(rank, 0, min(1, x.shape[rank]))
    return x


class Room:
    """A tensor that was moved."""

    def __init__(self, x: Tensor, poison: Poison) -> None:
        self.original = without_repeats(x)
        extent = 1 + sum((n - 1) * s for n, s in zip(x.shape, x.stride(), strict=True)) if x.numel() else 0
        fill = poison.real if x.is_floating_point() else poison.whole
        self.buffer = torch.full((extent + 2 * PAD,), fill, dtype=x.dtype, device=x.device)
        self.moved = self.buffer.as_strided(x.shape, x.stride(), PAD)
        without_repeats(self.moved).copy_(self.original)
        self.before = self.buffer.clone()

    def is_unharmed(self) -> bool:
        """Whether no byte outside the tensor changed."""
        outside = torch.ones(self.buffer.shape, dtype=torch.bool, device=self.buffer.device)
        without_repeats(outside.as_strided(self.moved.shape, self.moved.stride(), PAD)).fill_(False)
        bits = BITS[self.buffer.element_size()]
        return torch.equal(self.buffer.view(bits)[outside], self.before.view(bits)[outside])

    def give_back(self) -> None:
        self.original.copy_(without_repeats(self.moved))


class Guards:
    """Stands in for `kernels.launching.start`, which it takes; `started` counts launches."""

    def __init__(self, poison: Poison, start: Callable[[Launch], None]) -> None:
        self.poison = poison
        self.start = start
        self.started = 0

    def __call__(self, launch: Launch) -> None:
        rooms: dict[Any, Room] = {}
        arguments = self.moved(launch.arguments, rooms)
        self.start(launch._replace(arguments=arguments))
        self.started += 1
        assert all(room.is_unharmed() for room in rooms.values()), f"{launch.plan.operator} wrote outside a tensor"
        for room in rooms.values():
            room.give_back()

    def moved(self, value: Any, rooms: dict[Any, Room]) -> Any:
        if isinstance(value, dict):
            return {name: self.moved(part, rooms) for name, part in value.items()}
        if isinstance(value, tuple):
            parts = [self.moved(part, rooms) for part in value]
            return type(value)(*parts) if hasattr(value, "_fields") else tuple(parts)
        if not isinstance(value, Tensor):
            return value
        place = (value.data_ptr(), value.dtype, value.shape, value.stride())
        if place not in rooms:
            rooms[place] = Room(value, self.poison)
        return rooms[place].moved
