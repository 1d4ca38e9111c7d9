"""Files from outside: read within bounds, and asked about without exceptions.

A path may be anything a user can type: a device that never ends, a pipe that nobody writes to, a name that the system
refuses. Each gives one sentence at once.
"""

import stat
from pathlib import Path

from sim.load.foreign import binary_kind
from sim.load.problems import InputError, InputProblem

LARGEST_DOCUMENT = 2 * 2**20  # bytes of YAML; parsed in about a second
LARGEST_TABLE = 64 * 2**20  # bytes of CSV or JSON
_KINDS = {
    stat.S_ISCHR: "a device",
    stat.S_ISBLK: "a device",
    stat.S_ISFIFO: "a pipe",
    stat.S_ISSOCK: "a socket",
}


def is_file(path: Path) -> bool:
    """Whether there is a regular file; False also for a path that the system refuses."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder; False also for a path that the system refuses."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def stamp_of(path: Path) -> tuple[int, ...] | None:
    """What changes whenever a file does; None if there is no such file."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_mtime_ns, found.st_size, found.st_dev, found.st_ino


def read_bytes(path: Path, expected: str, largest: int) -> bytes:
    """The contents of a regular file; InputError says why it is none, is too large or cannot be read.

    FileNotFoundError is left to the caller, who knows what the path was meant to be.
    """
    try:
        found = path.stat()
        if stat.S_ISDIR(found.st_mode):
            raise _refused(path, f"expected {expected}, got a folder")
        kind = next((name for test, name in _KINDS.items() if test(found.st_mode)), None)
        if kind is not None:
            raise _refused(path, f"expected {expected}, got {kind}")
        with path.open("rb") as file:
            content = file.read(largest + 1)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refused(path, f"cannot be read ({error.strerror or error})") from None
    except InputError:
        raise
    except ValueError as error:  # a null character in the name
        raise _refused(path, f"cannot be read ({error})") from None
    if len(content) > largest:
        size = max(found.st_size, len(content))
        raise _refused(path, f"has {size:,} bytes: expected {expected} of at most {largest:,}")
    return content


def read_text(path: Path, expected: str, largest: int) -> str:
    """As `read_bytes`, as UTF-8 text; a missing file is refused too."""
    try:
        content = read_bytes(path, expected, largest)
    except FileNotFoundError:
        raise _refused(path, "no such file") from None
    return decoded(path, content)


def decoded(path: Path, content: bytes) -> str:
    """UTF-8 text without a byte-order mark; InputError names what else it is, or the first byte that is none."""
    if kind := binary_kind(content):
        raise _refused(path, f"is {kind}, expected text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        message = f"expected UTF-8 text, got the byte 0x{content[error.start]:02x}"
        raise InputError([InputProblem(str(path), line, "", message)]) from None


def _refused(path: Path, message: str) -> InputError:
    return InputError([InputProblem(str(path), None, "", message)])
