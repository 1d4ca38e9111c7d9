"""The decorators of compiled loops and of functions that they share with Python.

numba's on-disk cache considers only the file of the cached function: after an edit to a jitted callee or a constant in
another file, the cached caller still runs the old code (numba issue 8396). The cache is therefore kept in a folder
named by a hash of every source file of this package, so that any edit starts an empty cache.
"""

import hashlib
import tempfile
from collections.abc import Callable
from functools import cache
from os import environ
from pathlib import Path
from typing import Any, TypeVar, cast

import numba
import numba.extending

Loop = TypeVar("Loop", bound=Callable[..., Any])


def compiled(loop: Loop) -> Loop:
    """`loop` compiled on its first call; division follows numpy (inf, nan), arithmetic order is as written.

    Other threads run beside it, among them the one that ends an interrupted program. Under NUMBA_DISABLE_JIT=1 the
    loop stays the plain Python function.
    """
    folder = cache_folder(environ.get("NUMBA_CACHE_DIR"), environ.get("XDG_CACHE_HOME"))
    config: Any = numba.config
    before = config.CACHE_DIR
    config.CACHE_DIR = str(folder or "")
    try:
        decorate: Any = numba.njit(cache=folder is not None, error_model="numpy", fastmath=False, nogil=True)
        return cast(Loop, decorate(loop))
    finally:
        config.CACHE_DIR = before


def shared(function: Loop) -> Loop:
    """`function` unchanged, also callable from compiled loops: for scalar arithmetic that Python needs too."""
    decorate: Any = numba.extending.register_jitable
    return cast(Loop, decorate(function))


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
