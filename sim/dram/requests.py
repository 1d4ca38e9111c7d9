"""DRAM time of a list of bursts: every channel simulated command by command, with a breakdown of the time.

Cycles are those of the DRAM's clock (`timing.clock_hz`); a request is one burst. Channels are independent: they share
neither banks, nor buses, nor the window of their controllers. A request finishes in the cycle after its last beat.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from arch.dram import DramController, DramTiming
from arch.quantity import format_quantity
from einsums.names import nearest
from sim.dram.tables import DramTables, address_parts, lower_dram
from sim.engine.dram.address import decode
from sim.engine.dram.columns import (
    CAUSES,
    COMMANDS,
    COMMANDS_ISSUED,
    CONFLICTS,
    COUNTS,
    HITS,
    KINDS,
    LAST_COMMAND,
    MISSES,
    REF_BANK,
    REF_SAME,
    REFRESHED,
    TRACE_COLUMNS,
)
from sim.engine.dram.scheduler import schedule
from sim.engine.dram.timing import play

_LAST_CYCLE = 1 << 40  # idle time is simulated refresh by refresh: a later arrival would take minutes


class DramCommand(NamedTuple):
    """One issued command; bank, row and request are -1 if it has none. For REFsb, the bank of the first group."""

    cycle: int
    kind: str
    bank: int
    row: int
    request: int  # number in the simulated list
    cause: str  # what it waited for


@dataclass(frozen=True, slots=True, eq=False)
class DramResult:
    """The outcome of all channels. Arrays: finish_cycles: i8[request]; the others have a leading channel axis."""

    timing: DramTiming
    finish_cycles: np.ndarray
    latency_cycles: np.ndarray  # i8[request], arrival to finish
    channel_cycles: np.ndarray  # i8[channel], until the last beat
    hits: np.ndarray  # i8[channel], requests of a row that was open
    misses: np.ndarray  # i8[channel], requests that had to activate a row
    conflicts: np.ndarray  # i8[channel], requests that had to close another row first
    refreshes: np.ndarray  # i8[channel]
    wait_cycles: np.ndarray  # i8[channel, command, cause], distance of a command from the one before it
    tail_cycles: np.ndarray  # i8[channel], last command to last beat
    traces: tuple[np.ndarray, ...]  # i8[command, column] for each channel, if they were kept

    @property
    def cycles(self) -> int:
        """Cycles until the last beat of the slowest channel."""
        return int(self.channel_cycles.max(initial=0))

    @property
    def bytes(self) -> int:
        """Bytes moved."""
        return self.finish_cycles.size * self.timing.burst_bytes

    @property
    def bandwidth_bytes_per_s(self) -> float:
        """Bytes moved over the time of the slowest channel."""
        return self.bytes * self.timing.clock_hz / self.cycles if self.cycles else 0.0

    @property
    def utilization(self) -> float:
        """Fraction of the peak bandwidth."""
        return self.bandwidth_bytes_per_s / self.timing.peak_bytes_per_s

    def stall_cycles(self, cause: str) -> int:
        """Cycles over all channels for which commands waited for that constraint; ValueError for another name."""
        if cause not in CAUSES:
            raise ValueError(f"no constraint is called '{cause}'{nearest(cause, CAUSES)}")
        return int(self.wait_cycles[:, :, CAUSES.index(cause)].sum())

    @property
    def stalls(self) -> tuple[tuple[str, int], ...]:
        """Constraints and their cycles over all channels, largest first; with `tail_cycles` they make up all cycles."""
        totals = self.wait_cycles.sum(axis=(0, 1))
        order = sorted(range(totals.size), key=lambda cause: -int(totals[cause]))
        return tuple((CAUSES[cause], int(totals[cause])) for cause in order if totals[cause])

    def commands(self, channel: int = 0) -> tuple[DramCommand, ...]:
        """The command trace of a channel; ValueError if the controller kept none."""
        if not self.traces:
            raise ValueError("no trace was kept: simulate with DramController(keep_trace=True)")
        per_group = self.timing.banks_per_group
        return tuple(
            DramCommand(
                cycle, COMMANDS[kind], bank % per_group if kind == REF_SAME else bank, row, request, CAUSES[cause]
            )
            for cycle, kind, bank, row, request, cause in self.traces[channel].tolist()
        )

    def __str__(self) -> str:
        peak = format_quantity(self.timing.peak_bytes_per_s * 8, "bandwidth")
        rows = [
            f"{self.timing.name}: {self.finish_cycles.size} bursts in {self.cycles} cycles",
            f"  bandwidth   {format_quantity(self.bandwidth_bytes_per_s * 8, 'bandwidth')}"
            f" ({self.utilization:.1%} of {peak})",
            f"  rows        {self.hits.sum()} hits, {self.misses.sum()} misses, {self.conflicts.sum()} conflicts",
            f"  refreshes   {self.refreshes.sum()}",
        ]
        total = max(1, int(self.channel_cycles.sum()))
        rows += [f"  {cause:<11} {cycles / total:6.1%} of channel cycles" for cause, cycles in self.stalls]
        return "\n".join(rows)


def simulate_requests(
    timing: DramTiming,
    addresses: ArrayLike,
    is_write: ArrayLike = False,
    arrival_cycles: ArrayLike = 0,
    controller: DramController | None = None,
) -> DramResult:
    """Serve bursts at byte addresses, each at or after its arrival.

    addresses: [request], bytes, anywhere in the burst; is_write and arrival_cycles: [request] or one for all; arrivals
    never decrease. ValueError for input that cannot be simulated.
    """
    controller = controller or DramController()
    tables = lower_dram(timing, controller)
    requests, channels = _requests(timing, (addresses, is_write, arrival_cycles), controller.mapping)
    finish = np.zeros(requests.shape[0], np.int64)
    counts = np.zeros((timing.interfaces, COUNTS), np.int64)
    waits = np.zeros((timing.interfaces, KINDS, len(CAUSES)), np.int64)
    cycles = np.zeros(timing.interfaces, np.int64)
    traces = []
    order = np.argsort(channels.astype(np.uint32), kind="stable")
    bounds = np.searchsorted(channels[order], np.arange(timing.interfaces + 1))
    for channel in range(timing.interfaces):
        mine = order[bounds[channel] : bounds[channel + 1]]
        done, trace = _serve(requests[mine], tables, counts[channel], waits[channel], controller.keep_trace)
        finish[mine] = done
        cycles[channel] = done.max(initial=0)
        trace[:, 4] = np.where(trace[:, 4] >= 0, mine[trace[:, 4]] if mine.size else -1, -1)
        traces.append(trace)
    return DramResult(
        timing,
        finish,
        finish - requests[:, 0],
        cycles,
        counts[:, HITS],
        counts[:, MISSES],
        counts[:, CONFLICTS],
        counts[:, REFRESHED],
        waits,
        cycles - counts[:, LAST_COMMAND],
        tuple(traces) if controller.keep_trace else (),
    )


def _serve(
    requests: np.ndarray, tables: DramTables, counts: np.ndarray, waits: np.ndarray, keep_trace: bool
) -> tuple[np.ndarray, np.ndarray]:
    """Finish cycles and trace of one channel; fills its counts and waits."""
    finish = np.zeros(requests.shape[0], np.int64)
    schedule(requests, *tables, finish, counts, waits, np.zeros((0, TRACE_COLUMNS), np.int64))
    trace = np.zeros((int(counts[COMMANDS_ISSUED]) if keep_trace else 0, TRACE_COLUMNS), np.int64)
    if keep_trace:
        # The number of commands is known only at the end: repeat the run with room for them.
        schedule(requests, *tables, finish, np.zeros_like(counts), np.zeros_like(waits), trace)
    return finish, trace


def _requests(timing: DramTiming, columns: tuple[ArrayLike, ...], mapping: str) -> tuple[np.ndarray, np.ndarray]:
    """requests: i8[request, (arrival, bank, row, is write)] of the engine, and the channel of each."""
    addresses, is_write, arrivals = (np.asarray(column) for column in columns)
    if addresses.ndim != 1:
        raise ValueError(f"expected a list of addresses, got an array of {addresses.ndim} axes")
    for name, column in (("is_write", is_write), ("arrival_cycles", arrivals)):
        if column.shape not in ((), addresses.shape):
            raise ValueError(f"expected one {name} or {addresses.size} of them, got {column.size}")
    for name, column in (("addresses", addresses), ("arrival_cycles", arrivals)):
        if column.size and not np.issubdtype(column.dtype, np.integer):
            raise ValueError(f"expected whole numbers as {name}, got {column.dtype}")
    _check_range("address", addresses, timing.capacity_bytes, f"the {timing.capacity_bytes} bytes of '{timing.name}'")
    _check_range("arrival cycle", arrivals, _LAST_CYCLE, f"{_LAST_CYCLE} cycles")
    if arrivals.ndim and np.any(np.diff(arrivals.astype(np.int64)) < 0):
        at = 1 + int(np.argmax(np.diff(arrivals.astype(np.int64)) < 0))
        raise ValueError(f"arrival cycles decrease from {arrivals[at - 1]} to {arrivals[at]} at request {at}")
    coordinates = np.empty((addresses.size, 5), np.int64)
    decode(addresses.astype(np.int64) // timing.burst_bytes, address_parts(timing, mapping), coordinates)
    requests = np.empty((addresses.size, 4), np.int64)
    requests[:, 0] = arrivals
    requests[:, 1] = coordinates[:, 1] * timing.banks_per_group + coordinates[:, 2]
    requests[:, 2] = coordinates[:, 3]
    requests[:, 3] = is_write.astype(np.bool_)
    return requests, coordinates[:, 0]


def _check_range(noun: str, values: np.ndarray, limit: int, within: str) -> None:
    wrong = values[(values < 0) | (values >= limit)] if values.size else values
    if wrong.size:
        raise ValueError(f"{noun} {wrong.flat[0]} is not within {within}")


def stream_addresses(timing: DramTiming, size_bytes: int, start_bytes: int = 0) -> np.ndarray:
    """Addresses of the bursts that contain a run of bytes, in order."""
    first = start_bytes // timing.burst_bytes
    last = -(-(start_bytes + size_bytes) // timing.burst_bytes)
    return np.arange(first, last, dtype=np.int64) * timing.burst_bytes


def issue_commands(timing: DramTiming, commands: tuple[tuple[str, int], ...]) -> tuple[tuple[int, str], ...]:
    """Cycle and cause of each (command, bank) of one channel, issued in order as early as timing allows.

    Row state is not checked. ValueError for a command or a bank that does not exist.
    """
    for name, bank in commands:
        if name not in COMMANDS:
            raise ValueError(f"no command is called '{name}'{nearest(name, COMMANDS)}")
        if not 0 <= bank < timing.banks:
            raise ValueError(f"'{timing.name}' has banks 0 to {timing.banks - 1}, got {bank}")
    for kind, needed in ((REF_BANK, "tRFC_pb"), (REF_SAME, "tRFC_sb")):
        if not timing.given(needed) and any(name == COMMANDS[kind] for name, _ in commands):
            raise ValueError(f"'{timing.name}' has no {COMMANDS[kind]}: it gives no {needed}")
    tables = lower_dram(timing, DramController())
    numbers = np.array([(COMMANDS.index(name), bank) for name, bank in commands], np.int64).reshape(-1, 2)
    issued = np.zeros((len(commands), 2), np.int64)
    play(numbers, *tables, issued)
    return tuple((cycle, CAUSES[cause]) for cycle, cause in issued.tolist())
