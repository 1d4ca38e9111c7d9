"""Observers of a sweep in progress."""

from typing import Protocol


class Watcher(Protocol):
    """Notified of every batch of finished points."""

    def advance(self, points: int, best: str) -> None:
        """`points` more points are finished; `best` describes the best point so far."""


class Silent:
    """Shows nothing."""

    def advance(self, points: int, best: str) -> None:
        return
