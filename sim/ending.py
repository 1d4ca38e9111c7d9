"""How the command ends when it is asked to: Ctrl-C and SIGTERM, once or many times.

The first signal raises `Ended` where the program is, so that what is open is closed; later ones change nothing, because
an exception in the middle of that would leave processes behind. A thread sees to it that the program ends within a few
seconds even if it is inside a compiled loop, where Python handles no signals. Loads only the standard library, before
anything that takes time to load.
"""

import os
import signal
import sys
import time
from types import FrameType, TracebackType

from sim._own_rooms import is_command

WORDS = {signal.SIGINT: "einfuse: interrupted", signal.SIGTERM: "einfuse: ended by SIGTERM"}
UNHEARD_S = 3.0  # until a signal that the program has not noticed ends it
ENDING_S = 4.0  # until one that it has noticed does
_SHOW_CURSOR = b"\x1b[?25h"


class Ended(KeyboardInterrupt):
    """A signal asked the program to end."""

    def __init__(self, number: int) -> None:
        super().__init__(WORDS[signal.Signals(number)])
        self.status = 128 + number


class CutShort(KeyboardInterrupt):
    """Work that an interrupt ended before its time: what is known of it so far, and that interrupt."""

    def __init__(self, known: object, interrupt: KeyboardInterrupt) -> None:
        super().__init__(str(interrupt))
        self.known, self.interrupt = known, interrupt


class _State:
    """What has happened so far in this process."""

    is_heeding = False
    closes_first = False  # whether there may be something to close before leaving
    heard: int | None = None


def heed_signals() -> None:
    """Handle both signals from now on, unless this process has been told to ignore them or is a worker."""
    if _State.is_heeding or _is_worker():
        return
    _State.is_heeding = True
    for number in WORDS:
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _hear)


def end_in_time() -> None:
    """Start the thread that ends the program where a signal does not."""
    import threading  # late: signals are heeded before it is loaded

    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    threading.Thread(target=_watch, args=(reader,), daemon=True).start()


def leave_if_heard() -> None:
    """Leave at once if a signal has been heard and everything is closed: in Python's own ending, another would kill."""
    if _State.heard is not None:
        for stream in (sys.stdout, sys.stderr):
            stream.flush()
        os._exit(128 + _State.heard)


def what_was_asked() -> Ended | None:
    """The signal that asked this process to end; None if none has."""
    return None if _State.heard is None else Ended(_State.heard)


def _is_worker() -> bool:
    """Whether another process of ours has started this one. While a worker loads the command's main module, Python does
    not know its parent yet, but has its own mark on the command line.
    """
    processes = sys.modules.get("multiprocessing.process")  # loaded in every worker, and slow to load
    return "--multiprocessing-fork" in sys.orig_argv or (
        processes is not None and processes.parent_process() is not None
    )


class ClosingFirst:
    """A context in which a signal raises `Ended`; outside, where nothing is open, it ends the program at once."""

    def __enter__(self) -> None:
        _State.closes_first = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        _State.closes_first = False


def _hear(number: int, _: FrameType | None) -> None:
    if _State.heard is not None:
        return
    _State.heard = number
    if not _State.closes_first:
        _leave(number)
    raise Ended(number)


def _watch(reader: int) -> None:
    """Ends the program some time after the first signal; the system writes the number of each into the pipe."""
    number = 0
    while number not in list(WORDS):
        number = os.read(reader, 1)[0]
    time.sleep(UNHEARD_S)
    if _State.heard is not None:
        time.sleep(ENDING_S - UNHEARD_S)
    _leave(number)


def _leave(number: int) -> None:
    words = WORDS[signal.Signals(number)].encode() + b"\n"
    os.write(2, (_SHOW_CURSOR if sys.stderr.isatty() else b"") + words)
    os._exit(128 + number)


if is_command():
    heed_signals()
