"""Files written atomically: readers of a folder find a whole file or none."""

import os
import tempfile
from pathlib import Path

from sim.load.problems import InputError, InputProblem


def write_file(path: Path, content: bytes) -> Path:
    """Write the file atomically; InputError if it cannot be written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).chmod(0o644)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
    except OSError as error:
        raise unwritable(path, error) from None
    return path


def unwritable(path: Path, error: OSError) -> InputError:
    return InputError([InputProblem(str(path), None, "", f"cannot be written ({error.strerror or error})")])


def make_folder(folder: Path) -> None:
    """Create a folder if it is missing; InputError, before anything is run, if it is not writable."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise unwritable(folder, error) from None
