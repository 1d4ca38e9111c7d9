"""Arrays from a file of `numpy.savez`, which may be damaged or made to harm.

A file says before its numbers how many there are. What it says is held against a bound before memory is asked for, and
against what the archive holds before anything is unpacked. Objects (pickles) are never loaded.
"""

import io
import lzma
import struct
import tokenize
import zipfile
import zlib
from collections.abc import Iterator
from math import prod
from pathlib import Path
from typing import IO

import numpy as np

from arch.quantity import clipped
from sim.load.files import read_bytes
from sim.load.foreign import binary_kind
from sim.load.problems import InputError, InputProblem

LARGEST_INPUTS = 2**30  # bytes of a file of arrays, and of all its arrays together
MOST_ARRAYS = 1000
_LONGEST_HEADER = 10_000  # characters; numpy's own limit
# What zipfile, zlib and numpy raise on bytes that are not what they seem.
_DAMAGE = (
    ValueError, TypeError, KeyError, IndexError, OverflowError, OSError, EOFError, RuntimeError, SyntaxError,
    struct.error, zipfile.BadZipFile, zlib.error, lzma.LZMAError,
)  # fmt: skip


def read_inputs(path: Path) -> dict[str, np.ndarray]:
    """The arrays of a file of `numpy.savez` by name; InputError for anything else."""
    try:
        content = read_bytes(path, "arrays (npz)", LARGEST_INPUTS)
    except FileNotFoundError:
        raise _refused(path, "", "no such file: expected arrays (npz), or a seed such as 3") from None
    if not content.startswith(b"PK"):
        found = "the file is empty" if not content else _other_kind(content)
        raise _refused(path, "", f"{found}, expected arrays as numpy.savez writes them (npz)")
    try:
        archive = zipfile.ZipFile(io.BytesIO(content))
    except _DAMAGE as error:
        raise _refused(path, "", f"is damaged ({_said(error)}), expected arrays (npz)") from None
    arrays: dict[str, np.ndarray] = {}
    left = LARGEST_INPUTS
    for name, member in _members(path, archive):
        if name in arrays:
            raise _refused(path, name, "stands twice in the file")
        arrays[name] = _array(path, name, archive, member, left)
        left -= arrays[name].nbytes
    return arrays


def _members(path: Path, archive: zipfile.ZipFile) -> Iterator[tuple[str, zipfile.ZipInfo]]:
    """Names of arrays, and where they stand in the archive."""
    members = archive.infolist()
    if not members:
        raise _refused(path, "", "holds no arrays")
    if len(members) > MOST_ARRAYS:
        raise _refused(path, "", f"holds {len(members):,} files, expected at most {MOST_ARRAYS:,} arrays")
    for member in members:
        if not member.filename.endswith(".npy"):
            raise _refused(path, "", f"holds the file '{clipped(member.filename)}', expected arrays alone (npz)")
        yield member.filename.removesuffix(".npy"), member


def _array(path: Path, name: str, archive: zipfile.ZipFile, member: zipfile.ZipInfo, left: int) -> np.ndarray:
    """One array, of at most `left` bytes."""
    try:
        with archive.open(member) as file:
            shape, dtype = _header(file)
            if dtype.hasobject:
                raise _refused(path, name, "holds objects, expected numbers")
            size = prod(shape) * dtype.itemsize
            if size > left:
                said = f"is said to have the shape {clipped(str(list(shape)))} of {dtype.itemsize} bytes each"
                raise _refused(path, name, f"{said}: expected at most {LARGEST_INPUTS:,} bytes in all")
            if file.tell() + size != member.file_size:
                held = f"{member.file_size - file.tell():,} bytes"
                raise _refused(path, name, f"is damaged: {size:,} bytes are announced, {held} are there")
        with archive.open(member) as file:
            array: np.ndarray = np.lib.format.read_array(file, allow_pickle=False, max_header_size=_LONGEST_HEADER)
            file.read()  # to the end, where the checksum is compared
            return array
    except InputError:
        raise
    except _DAMAGE as error:
        raise _refused(path, name, f"is damaged ({_said(error)})") from None


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and type of an array as its header states them; ValueError if it is none."""
    version = np.lib.format.read_magic(file)
    read = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }.get(version)
    if read is None:
        raise ValueError(f"version {version[0]}.{version[1]} of the format is for names of fields, which numbers lack")
    try:
        shape, _, dtype = read(file, max_header_size=_LONGEST_HEADER)
    except (ValueError, TypeError, KeyError, SyntaxError, RecursionError, MemoryError, tokenize.TokenError):
        raise ValueError("what it says of its shape and type cannot be read") from None
    if any(size < 0 for size in shape):
        raise ValueError(f"the shape {clipped(str(list(shape)))} is negative")
    return shape, dtype


def _other_kind(content: bytes) -> str:
    if content.startswith(b"\x93NUMPY"):
        return "is one array without a name (npy)"
    return f"is {binary_kind(content) or 'no archive'}"


def _said(error: Exception) -> str:
    """The library's complaint in a line."""
    return clipped(str(error)) or type(error).__name__


def _refused(path: Path, name: str, message: str) -> InputError:
    return InputError([InputProblem(str(path), None, f"$.{clipped(name, 60)}" if name else "", message)])
