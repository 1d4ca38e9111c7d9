"""Names that formulas read, each computed on first use: f8[design], or one value for all designs."""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from arch.expression import Expression, check_names, evaluate
from sim.lower.functions import VECTOR_FUNCTIONS


class Names:
    """A table of values that are computed on demand; a value that depends on itself is a user's mistake."""

    def __init__(self) -> None:
        self._makers: dict[str, Callable[[], Any]] = {}
        self._values: dict[str, Any] = {}
        self._open: list[str] = []

    def define(self, name: str, make: Callable[[], Any]) -> None:
        """Define `name`; the first definition wins."""
        self._makers.setdefault(name, make)

    def clear(self) -> None:
        """Forget everything, because definitions keep their creators alive, and columns are large."""
        self._makers.clear()
        self._values.clear()

    def known(self) -> Iterable[str]:
        return self._makers.keys()

    def __contains__(self, name: str) -> bool:
        return name in self._makers

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            if name in self._open:
                loop = " -> ".join([*self._open[self._open.index(name) :], name])
                raise ValueError(f"'{name}' depends on itself ({loop})")
            self._open.append(name)
            try:
                self._values[name] = self._makers[name]()
            finally:
                self._open.pop()
        return self._values[name]

    def evaluate(self, formula: Expression) -> Any:
        """The value of a formula for all designs; ValueError for an unknown name or a text used as a number."""
        check_names(formula, self._makers)
        with np.errstate(all="ignore"):
            return evaluate(formula, self.__getitem__, VECTOR_FUNCTIONS)
