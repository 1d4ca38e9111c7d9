"""Time of a tile's transfer from or to a DRAM with known timing.

Without a timing, a memory moves words at its bandwidth. With one, transfers queue in front of the channels, so that the
latency of one hides behind the bursts of the previous one: the rate of a long stream counts (bus, activations and
refresh as `sim.dram.requests` simulates them, command by command), and the way to the first word where the queue was
empty.
"""

from fractions import Fraction
from functools import lru_cache

from arch.dram import DramTiming
from sim.dram.requests import simulate_requests, stream_addresses

SIMULATED_BURSTS = 1 << 15  # of a stream; its second half gives the rate


@lru_cache(maxsize=64)
def seconds_per_byte(timing: DramTiming, writes: bool) -> Fraction:
    """Time of one byte in the middle of a long stream."""
    half, whole = (_cycles(timing, bursts, writes) for bursts in (SIMULATED_BURSTS // 2, SIMULATED_BURSTS))
    size_bytes = (SIMULATED_BURSTS - SIMULATED_BURSTS // 2) * timing.burst_bytes
    return Fraction(whole - half) / (size_bytes * Fraction(timing.clock_hz))


@lru_cache(maxsize=64)
def seconds_to_first_word(timing: DramTiming, writes: bool) -> Fraction:
    """Time by which a burst that finds an idle DRAM, its row closed, takes longer than one in a stream."""
    alone = Fraction(_cycles(timing, 1, writes)) / Fraction(timing.clock_hz)
    return max(Fraction(0), alone - timing.burst_bytes * seconds_per_byte(timing, writes))


def _cycles(timing: DramTiming, bursts: int, writes: bool) -> int:
    return simulate_requests(timing, stream_addresses(timing, bursts * timing.burst_bytes), writes).cycles
