"""Where chunks are evaluated: in this process, in local processes, or on a dask cluster, all behind one interface.

Each is a `concurrent.futures.Executor`. A chunk's result depends only on its points, so neither the executor nor the
number of workers affects the results.
"""

import logging
import multiprocessing
import os
import pickle
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import CancelledError, Executor, Future, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from functools import lru_cache
from multiprocessing import resource_tracker
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from typing import Any

import numpy as np

from sim.explore.bulk import Chunk, evaluate_points
from sim.explore.plan import Plan
from sim.load.problems import InputError, InputProblem

RETRIES = 3  # of a chunk whose worker is lost
KEPT = "finished points are kept, go on with --resume"


def evaluate_packed(packed: bytes, points: np.ndarray) -> Chunk:
    """As `evaluate_points`, for a worker: the plan comes as bytes and is kept for the next chunk."""
    return evaluate_points(_unpacked(packed), points)


@lru_cache(maxsize=2)
def _unpacked(packed: bytes) -> Plan:
    plan = pickle.loads(packed)
    assert isinstance(plan, Plan)
    return plan


class InProcess(Executor):
    """Runs submitted work immediately, in this process."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


@contextmanager
def in_process() -> Iterator[Executor]:
    """The executor of small sweeps."""
    yield InProcess()


@contextmanager
def starting_deaf() -> Iterator[None]:
    """Threads and processes that are started meanwhile never see an interrupt from the terminal, nor does what they
    start: each inherits the blocked signals of its creator. This process hears it all the same, by another thread."""
    resource_tracker.ensure_running()  # started later, with the first process, it would unblock the signal
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class LocalProcesses(ProcessPoolExecutor):
    """A pool whose processes never see an interrupt from the terminal, not even while they start."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        with starting_deaf():
            return super().submit(fn, *args, **kwargs)


@contextmanager
def local_processes(workers: int) -> Iterator[Executor]:
    """A number of local processes; they end with this one, however it ends."""
    context = multiprocessing.get_context("spawn")  # numba's threads do not survive a fork
    others = multiprocessing.active_children()
    pool = LocalProcesses(workers, mp_context=context, initializer=_settle_worker)
    try:
        yield pool
    except BaseException:
        _kill_all_but(others)
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _kill_all_but(others: Collection[BaseProcess]) -> None:
    """End the processes that have been started since: what they are at is lost in any case, and nobody waits for it."""
    for process in multiprocessing.active_children():
        if process not in others:
            process.kill()


def _settle_worker() -> None:
    """Makes workers end when their parent is gone."""
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


@contextmanager
def dask_cluster(workers: int, scheduler: str | None) -> Iterator[Executor]:
    """A dask cluster at `scheduler`, or one with that many local processes; InputError if there is none, or if it goes
    while it is used."""
    try:
        from distributed import Client, KilledWorker, LocalCluster
        from distributed.utils import silence_logging_cmgr
    except ImportError:
        raise _refused("--executor", "dask is not installed: in the checkout, pip install -e '.[dask]'") from None
    with ExitStack() as stack:
        stack.enter_context(silence_logging_cmgr(logging.CRITICAL))  # it logs tracebacks of what is said here
        address = scheduler or stack.enter_context(_local_cluster(workers, LocalCluster))
        client = stack.enter_context(_client_of(address, Client))
        try:
            yield client.get_executor(pure=False, retries=RETRIES)
        except CancelledError:
            place = "dask cluster" if scheduler is None else f"dask scheduler at '{scheduler}'"
            raise _refused("--executor", f"the {place} is gone: {KEPT}") from None
        except KilledWorker:
            raise _refused("--executor", f"dask workers were lost again and again: {KEPT}") from None
        except ImportError as error:
            raise _refused("--executor", f"a dask worker cannot load einfuse ({error}): install it there too") from None


@contextmanager
def _local_cluster(workers: int, start: Callable[..., Any]) -> Iterator[Any]:
    """A cluster of local processes, which end with this one."""
    others = multiprocessing.active_children()
    try:
        with starting_deaf():  # the thread that starts workers, also anew, is one of the cluster's own
            cluster = start(
                workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=None,
                silence_logs=logging.CRITICAL,
                scheduler_kwargs={"dashboard_address": ":0"},  # any port, though nothing is shown at it
            )
        with cluster:
            try:
                yield cluster
            except BaseException:
                for nanny in cluster.workers.values():
                    nanny.auto_restart = False
                _kill_all_but(others)
                raise
    except BaseException:
        _kill_all_but(others)  # also where it was about to start
        raise


def _client_of(scheduler: str, client: Callable[..., Any]) -> Any:
    """The client of a scheduler that is there."""
    try:
        return client(scheduler, timeout=10)
    except (OSError, ValueError, TimeoutError) as error:
        message = f"no dask scheduler answers at '{scheduler}' ({str(error).splitlines()[0]})"
        raise _refused("--scheduler", message) from None


def _refused(option: str, sentence: str) -> InputError:
    return InputError([InputProblem(option, None, "", sentence)])
