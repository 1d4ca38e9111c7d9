"""How long a call takes: events on a GPU's stream, a CUDA graph for short calls, the wall clock without a GPU.

A time is requested first and read later: on a GPU, calls are enqueued on the stream without waiting, so that contenders
take turns without gaps. L2 is flushed before every timed call by overwriting a buffer. A graph needs no flush: it holds
calls in rotation over inputs that together exceed L2, and its time is divided by their number.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import torch

from kernels.bench.schema import Method

Call = Callable[[], Any]
Later = Callable[[], float]  # seconds, to be read after `settle`

FLUSHED_BYTES = 256 << 20  # five times the largest L2, and long enough to hide the launch that follows
GRAPH_BELOW_S = 200e-6  # for shorter calls, events would time the launch
GRAPH_SPAN_S = 1e-3
MOST_CALLS_IN_GRAPH = 200


class Stopwatch(Protocol):
    def time(self, call: Call, is_cold: bool) -> Later: ...
    def settle(self) -> None: ...
    def graph(self, calls: Sequence[Call], each_s: float) -> tuple[Call, int] | None: ...
    def method_of(self, has_graph: bool) -> Method: ...


class WallClock:
    """Calls that return when they are done."""

    def time(self, call: Call, is_cold: bool) -> Later:
        del is_cold
        start = time.perf_counter()
        call()
        seconds = time.perf_counter() - start
        return lambda: seconds

    def settle(self) -> None:
        return

    def graph(self, calls: Sequence[Call], each_s: float) -> None:
        del calls, each_s

    def method_of(self, has_graph: bool) -> Method:
        assert not has_graph
        return "wall"


class CudaStopwatch:
    """Events around a call on the current stream."""

    def __init__(self) -> None:
        self.flushed = torch.empty(FLUSHED_BYTES // 4, dtype=torch.int32, device="cuda")

    def time(self, call: Call, is_cold: bool) -> Later:
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        if is_cold:
            self.flushed.zero_()
        start.record()
        call()
        end.record()
        return lambda: start.elapsed_time(end) * 1e-3  # milliseconds

    def settle(self) -> None:
        torch.cuda.synchronize()

    def graph(self, calls: Sequence[Call], each_s: float) -> tuple[Call, int] | None:
        """A replay of calls in rotation and their number; None if they cannot be captured."""
        wanted = min(MOST_CALLS_IN_GRAPH, max(len(calls), round(GRAPH_SPAN_S / each_s)))
        count = -(-wanted // len(calls)) * len(calls)
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            torch.cuda.synchronize()
            with torch.cuda.graph(graph):
                for i in range(count):
                    calls[i % len(calls)]()
        except Exception:  # libraries may do anything that a capture forbids
            torch.cuda.set_stream(stream)  # a failed capture does not restore the stream
            torch.cuda.synchronize()
            return None
        graph.replay()
        torch.cuda.synchronize()
        return graph.replay, count

    def method_of(self, has_graph: bool) -> Method:
        return "graph" if has_graph else "events"
