"""The version of the code behind a number: a hash of every source file that results depend on."""

import hashlib
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("einsums", "arch", "mappings", "sim")
# Code that only displays results does not change them.
WITHOUT = ("sim/report/", "sim/__main__.py", "sim/commands/", "sim/explore/progress.py", "sim/commands/sweep.py")


@cache
def code_version() -> str:
    """The release and the first digits of the sources' hash: '0.1.0+4f2a90c1d3e5'."""
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            if not name.startswith(WITHOUT):
                content = path.read_bytes()
                digest.update(f"{name} {len(content)}\n".encode())
                digest.update(content)
    return f"{_release()}+{digest.hexdigest()[:12]}"


def _release() -> str:
    try:
        return metadata.version("einfuse")
    except metadata.PackageNotFoundError:  # run from a checkout that is not installed
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        return str(project["version"])
