"""Detects foreign packages: the packages here have common names, which other installed packages may shadow.

Imported before any of the packages; loads only the standard library. The command exits with one sentence, `import sim`
raises an ImportError.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("einsums", "arch", "mappings", "kernels")
BAD_INPUT = 2


def _refuse_strangers() -> None:
    found = [f"'{room}' from {where}" for room in ROOMS if (where := _origin(room)).parent.parent != ROOT]
    if not found:
        return
    sentence = f"einfuse: expected the packages of {ROOT}, got {', '.join(found)}"
    if not is_command():
        raise ImportError(sentence)
    sys.stderr.write(sentence + "\n")
    sys.exit(BAD_INPUT)


def _origin(room: str) -> Path:
    spec = find_spec(room)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else Path("nowhere")


def is_command() -> bool:
    """`einfuse` or `python -m sim`: during the package look-up of -m, the program's name is -m."""
    program = next(iter(getattr(sys, "argv", [])), "")
    return program == "-m" or Path(program).stem == "einfuse"


_refuse_strangers()
