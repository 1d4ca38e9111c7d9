"""Where every tensor of one head lies in the one memory of the PE level."""

from dataclasses import dataclass, field

import numpy as np

from einsums.nodes import Access, Index, Term
from einsums.types import Cascade


@dataclass
class Layout:
    """Every tensor of one head in one memory: word 0 is zero, iterative ranks have a coordinate more."""

    cascade: Cascade
    sizes: dict[str, int]
    base: dict[str, int] = field(default_factory=dict)
    shape: dict[str, tuple[int, ...]] = field(default_factory=dict)
    words: int = 1

    def __post_init__(self) -> None:
        iterative = set(self.cascade.iterative)
        for tensor in self.cascade.tensors:
            shape = tuple(self.sizes[rank] + ((tensor.name, rank) in iterative) for rank in tensor.ranks)
            self.base[tensor.name], self.shape[tensor.name] = self.words, shape
            self.words += int(np.prod(shape))

    def memory(self, inputs: dict[str, np.ndarray]) -> np.ndarray:
        """f8[word]: inputs and initial values; NaN elsewhere."""
        memory = np.full(self.words, np.nan)
        memory[0] = 0.0
        for name, values in inputs.items():
            memory[self.base[name] : self.base[name] + values.size] = values.ravel()
        iterative = dict(self.cascade.iterative)
        for initial in self.cascade.initial:
            view = self.view(memory, initial.tensor)
            axis = self.cascade.tensor(initial.tensor).ranks.index(iterative[initial.tensor])
            np.moveaxis(view, axis, 0)[0] = initial.value
        return memory

    def view(self, memory: np.ndarray, tensor: str) -> np.ndarray:
        """The tensor's values in a memory, without a copy."""
        first, shape = self.base[tensor], self.shape[tensor]
        return memory[first : first + int(np.prod(shape))].reshape(shape)

    def strides(self, tensor: str) -> list[int]:
        shape = self.shape[tensor]
        return [int(np.prod(shape[axis + 1 :])) for axis in range(len(shape))]

    def coordinate(self, index: Index, rank: str, at: dict[str, int]) -> int:
        if index.last_of is not None:
            return self.sizes[rank]
        return sum(at[term.variable] * self._scale(term) for term in index.terms) + index.offset

    def _scale(self, term: Term) -> int:
        return int(np.prod([term.scale, *(self.sizes[rank] for rank in term.scale_ranks)]))

    def word(self, access: Access, at: dict[str, int]) -> int:
        ranks = self.cascade.tensor(access.tensor).ranks
        steps = zip(access.indices, ranks, self.strides(access.tensor), strict=True)
        return self.base[access.tensor] + sum(self.coordinate(i, rank, at) * stride for i, rank, stride in steps)

    def stride(self, access: Access, variable: str | None) -> int:
        """Words from one coordinate of a rank variable to the next."""
        if variable is None:
            return 0
        return sum(
            self._scale(term) * stride
            for index, stride in zip(access.indices, self.strides(access.tensor), strict=True)
            for term in index.terms
            if term.variable == variable
        )
