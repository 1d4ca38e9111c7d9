"""Files written in one step: whoever reads a folder finds a whole file or none."""

import os
import tempfile
from pathlib import Path

from sim.load.problems import InputError, InputProblem


def write_file(path: Path, content: bytes) -> Path:
    """The file in one step, as far as a reader can see; InputError when it cannot be written."""
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
    """Makes a folder where there is none; InputError where nothing can be written into it, before anything is run."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise unwritable(folder, error) from None
