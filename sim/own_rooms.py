"""Whether the packages beside this one are ours: their names are common, and another's may stand in front of them.

Loads nothing but the standard library, so that it can be asked before any of them is imported.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("einsums", "arch", "mappings", "kernels")
BAD_INPUT = 2


def strangers() -> str:
    """A sentence about packages that come from elsewhere; empty where there are none."""
    found = [f"'{room}' from {where}" for room in ROOMS if (where := _origin(room)).parent.parent != ROOT]
    return f"einfuse: expected the packages of {ROOT}, got {', '.join(found)}" if found else ""


def refuse_strangers() -> None:
    """Leaves with that sentence on stderr, where there is one."""
    sentence = strangers()
    if sentence:
        sys.stderr.write(sentence + "\n")
        sys.exit(BAD_INPUT)


def _origin(room: str) -> Path:
    spec = find_spec(room)
    return Path(spec.origin).resolve() if spec is not None and spec.origin else Path("nowhere")
