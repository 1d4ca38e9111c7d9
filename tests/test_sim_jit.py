"""The decorator of compiled loops: what numba's own cache gets wrong, and what ours must get right."""

import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from numba.core.caching import IndexDataCacheFile

from sim.engine import jit

CALLEE = "from sim.engine.jit import compiled\n\n\n@compiled\ndef grow(x):\n    return x + {amount}\n"
CALLER = (
    "from sim.engine.callee import grow\nfrom sim.engine.columns import FACTOR\n"
    "from sim.engine.jit import compiled\n\n\n"
    "@compiled\ndef total(n):\n    s = 0.0\n    for i in range(n):\n        s += FACTOR * grow(i)\n    return s\n"
)
PROGRAM = (
    "from sim.engine.caller import total\n"
    "stats = getattr(total, 'stats', None)\n"
    "print(total(3), 'plain' if stats is None else 'cached' if total.stats.cache_hits else 'compiled')\n"
)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the decorator in an engine of its own, with a loop that calls another file's loop."""
    engine = tmp_path / "sim" / "engine"
    engine.mkdir(parents=True)
    (engine.parent / "__init__.py").touch()
    (engine / "__init__.py").touch()
    shutil.copy(Path(jit.__file__), engine / "jit.py")
    (engine / "callee.py").write_text(CALLEE.format(amount=1))
    (engine / "columns.py").write_text("FACTOR = 1.0\n")
    (engine / "caller.py").write_text(CALLER)
    return engine


def run(engine: Path, **variables: str) -> str:
    """What a fresh process prints that imports the copied engine."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("NUMBA_", "XDG_"))}
    root = engine.parent.parent
    environment = {**kept, "PYTHONPATH": str(root), "XDG_CACHE_HOME": str(root / "cache"), **variables}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_cache_is_used_and_never_stale(copy: Path) -> None:
    assert run(copy) == "6.0 compiled"
    assert run(copy) == "6.0 cached"
    (copy / "callee.py").write_text(CALLEE.format(amount=2))  # the caller's own file stays as it is
    assert run(copy) == "9.0 compiled"
    (copy / "columns.py").write_text("FACTOR = 10.0\n")
    assert run(copy) == "90.0 compiled"
    assert len(list((copy.parent.parent / "cache" / "einfuse").iterdir())) == 3


def test_numba_alone_would_be_stale(copy: Path) -> None:
    # Why the decorator exists. If this fails, numba has mended its issue 8396 and the folder by hash may go.
    plain = "import numba\n\n\ndef compiled(loop):\n    return numba.njit(cache=True)(loop)\n"
    (copy / "jit.py").write_text(plain)
    cache = {"NUMBA_CACHE_DIR": str(copy / "numba")}
    assert run(copy, **cache) == "6.0 compiled"
    (copy / "callee.py").write_text(CALLEE.format(amount=2))
    assert run(copy, **cache) == "6.0 cached"


def test_what_two_processes_compile_at_once_is_saved_in_turn(tmp_path: Path) -> None:
    """numba numbers files by what its index holds: two that look before either has written take the same number, and
    the code of one signature then runs for another.
    """
    fcntl = pytest.importorskip("fcntl")
    files = jit.SavedInTurn(str(tmp_path), "loop", 0.0)
    files.lock = tmp_path / "lock"
    saving = threading.Thread(target=files.save, args=("a", "code of a"))
    with files.lock.open("a") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        saving.start()
        saving.join(0.2)
        assert saving.is_alive() and files.load("a") is None
        IndexDataCacheFile(str(tmp_path), "loop", 0.0).save("b", "code of b")
    saving.join()
    assert (files.load("a"), files.load("b")) == ("code of a", "code of b")


def test_compiled_loops_are_saved_in_turn(copy: Path) -> None:
    run(copy)
    (folder,) = (copy.parent.parent / "cache" / "einfuse").iterdir()
    assert (folder / "lock").exists()


def test_same_loop_without_compiling(copy: Path) -> None:
    assert run(copy, NUMBA_DISABLE_JIT="1") == "6.0 plain"


def test_unwritable_cache_means_no_cache(copy: Path) -> None:
    blocked = copy.parent.parent / "a-file"
    blocked.touch()  # a file where a folder would have to be made
    assert run(copy, XDG_CACHE_HOME=str(blocked)) == "6.0 compiled"
    assert run(copy, XDG_CACHE_HOME=str(blocked)) == "6.0 compiled"
    assert not list(copy.rglob("*.nbi"))  # nor in the sources


def test_hash_follows_names_and_contents(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "a.py").write_text("x = 1\n")
    (tmp_path / "inner" / "b.py").write_text("y = 1\n")
    before = jit.hash_of_sources(tmp_path)
    assert before == jit.hash_of_sources(tmp_path)
    (tmp_path / "note.txt").write_text("no source")
    assert jit.hash_of_sources(tmp_path) == before
    (tmp_path / "inner" / "b.py").write_text("y = 2\n")
    changed = jit.hash_of_sources(tmp_path)
    (tmp_path / "a.py").rename(tmp_path / "c.py")
    assert len({before, changed, jit.hash_of_sources(tmp_path)}) == 3


def test_arithmetic_is_numpys() -> None:
    @jit.compiled
    def divide(x, y):  # type: ignore[no-untyped-def]
        return x / y

    if hasattr(divide, "py_func"):  # compiled: a zero gives inf, as in numpy, where Python would raise
        assert divide(1.0, 0.0) == float("inf")
        assert divide.targetoptions["fastmath"] is False
    else:
        with pytest.raises(ZeroDivisionError):
            divide(1.0, 0.0)
