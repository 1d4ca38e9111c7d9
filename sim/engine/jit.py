"""The decorators of compiled loops and of functions that they share with Python.

numba's on-disk cache considers only the file of the cached function: after an edit to a jitted callee or a constant in
another file, the cached caller still runs the old code (numba issue 8396). The cache is therefore kept in a folder
named by a hash of every source file of this package, so that any edit starts an empty cache.

Processes share it: the workers of a sweep, tests side by side. What they compile at the same time is kept apart.
"""

import hashlib
import tempfile
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from os import environ
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending
from numba.core.caching import IndexDataCacheFile

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

Loop = TypeVar("Loop", bound=Callable[..., Any])
Arrays = TypeVar("Arrays")


def compiled(loop: Loop) -> Loop:
    """`loop` compiled on its first call; division follows numpy (inf, nan), arithmetic order is as written.

    Other threads run beside it, among them the one that ends an interrupted program. Under NUMBA_DISABLE_JIT=1 the
    loop stays the plain Python function.
    """
    return _compiled(loop, is_inlined=False)


def inlined(loop: Loop) -> Loop:
    """As `compiled`, and part of every loop that calls it.

    For what takes a record of many arrays at each event: a call hands on seven numbers for each of them, and took three
    times as long as what it did.
    """
    return _compiled(loop, is_inlined=True)


def _compiled(loop: Loop, is_inlined: bool) -> Loop:
    folder = cache_folder(environ.get("NUMBA_CACHE_DIR"), environ.get("XDG_CACHE_HOME"))
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder or "")
    try:
        decorate: Any = numba.njit(
            cache=folder is not None, error_model="numpy", fastmath=False, nogil=True, forceinline=is_inlined
        )
        made = decorate(loop)
        files: Any = getattr(getattr(made, "_cache", None), "_cache_file", None)
        if folder is not None and files is not None:
            files.__class__, files.lock = SavedInTurn, folder / "lock"
        return cast(Loop, made)
    finally:
        config.CACHE_DIR = before


class SavedInTurn(IndexDataCacheFile):
    """The files of one loop: an index, and one for each signature, numbered by what the index holds.

    numba lets two processes that compile different signatures at once take the same number, and whoever reads it later
    runs the code of the other one. Here the second looks after the first has written.
    """

    lock: Path  # a file that whoever writes holds

    def save(self, key: Any, data: Any) -> None:
        with self.lock.open("a") as file:
            if fcntl is not None:
                with suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
            super().save(key, data)


def shared(function: Loop) -> Loop:
    """`function` unchanged, also callable from compiled loops: for scalar arithmetic that Python needs too."""
    decorate: Any = numba.extending.register_jitable
    return cast(Loop, decorate(function))


def borrowed(arrays: Arrays) -> Arrays:
    """An array, or a named tuple of arrays, as it is; in compiled loops without its owner, so that nothing is counted.

    Counting references is an atomic instruction for each view and each argument, which takes most of the time of a loop
    of small functions. Whoever calls the loop has to hold the arrays until it returns.
    """
    return arrays


def _strip_owners(_typing: Any, arrays: Any) -> Any:
    """The same structures, with nothing where numba has what to count."""

    def strip(context: Any, builder: Any, kind: Any, value: Any) -> Any:
        model = context.data_model_manager[kind]
        for field in ("meminfo", "parent"):
            position = model.get_field_position(field)
            nothing = builder.extract_value(value, position).type(None)
            value = builder.insert_value(value, nothing, position)
        return value

    def build(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        (value,) = arguments
        if not isinstance(arrays, numba.types.BaseTuple):
            return strip(context, builder, arrays, value)
        kinds: Any = arrays
        for n, kind in enumerate(kinds.types):
            value = builder.insert_value(value, strip(context, builder, kind, builder.extract_value(value, n)), n)
        return value

    return arrays(arrays), build


_intrinsic: Any = numba.extending.intrinsic
_without_owner: Any = _intrinsic(_strip_owners)


@numba.extending.overload(borrowed, strict=False)
def _borrowed_in_loops(arrays: Any) -> Any:
    return lambda arrays: _without_owner(arrays)


@cache
def cache_folder(numba_cache: str | None, user_cache: str | None) -> Path | None:
    """Folder of compiled code for exactly these sources, created if necessary; None if nothing can be written.

    Arguments: the folder that the user chose for numba, and the user's cache folder.
    """
    try:
        base = Path(numba_cache or Path(user_cache or Path.home() / ".cache") / "einfuse")
        folder = base / hash_of_sources(Path(__file__).parent)
        folder.mkdir(parents=True, exist_ok=True)
        # Permission bits are not conclusive (read-only mounts, quotas), so try writing.
        with tempfile.TemporaryFile(dir=folder):
            return folder
    except (OSError, RuntimeError):  # RuntimeError: no home folder
        return None


def hash_of_sources(package: Path) -> str:
    """Hash over the names and contents of every Python file under `package`."""
    digest = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(package).as_posix()} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()[:16]
