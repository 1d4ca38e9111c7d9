"""Counts of small designs, confirmed by an execution, in words."""

from sim import Experiment, SimulationResult, simulate
from tests.test_sim_oracle import differences

WORD_BYTES = 2


def counted(experiment: Experiment) -> SimulationResult:
    """The result, which an execution confirms."""
    result = simulate(experiment)
    assert not differences(experiment, result)
    return result


def words(result: SimulationResult, tensor: str, memory: str) -> tuple[float, float]:
    """(read, written)."""
    moved = result.traffic_by_tensor_bytes[tensor].get(memory, {"read": 0.0, "write": 0.0})
    return moved["read"] / WORD_BYTES, moved["write"] / WORD_BYTES
