"""Who is told of a sweep under way."""

from typing import Protocol


class Watcher(Protocol):
    """Told of every batch of finished points."""

    def advance(self, points: int, best: str) -> None:
        """So many more points are finished; `best` describes the best of all."""


class Silent:
    """Shows nothing."""

    def advance(self, points: int, best: str) -> None:
        return
