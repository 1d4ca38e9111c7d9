"""What ships computes the same bytes as when the digests were recorded (tests/digests.py)."""

from pathlib import Path

import pytest

from tests.digests import REPRODUCTION, SWEEPS, recorded, reproduced, simulated, simulations, swept


@pytest.mark.parametrize(("name", "engine"), simulations())
def test_experiment(name: str, engine: str) -> None:
    assert simulated(name, engine) == recorded()[f"simulate {name} {engine}"]


@pytest.mark.parametrize("name", SWEEPS)
def test_sweep(name: str, tmp_path: Path) -> None:
    assert swept(name, tmp_path / "out") == recorded()[f"sweep {name}"]


def test_reproduction() -> None:
    assert reproduced() == recorded()[f"reproduce {REPRODUCTION}"]
