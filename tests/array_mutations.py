"""Files of arrays (npz) for `verify --inputs`, changed in many ways: each is run on, or refused with a sentence.

`python tests/array_mutations.py [COUNT] [FIRST]` tries COUNT mutations from number FIRST on and prints what came of them;
the suite tries some hundreds.
"""

import io
import pickle
import random
import struct
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from sim.commands.verify import VerifyCommandOptions, run_verification
from tests.mutations import Kind, try_many

CASCADE = {
    "name": "chosen", "ranks": {"N": "", "M": ""}, "inputs": {"X": ["N", "M"], "LEN": ["N"], "AT": ["N"], "ON": ["N", "M"]},
    "domain": {"LEN": "length(M)", "AT": "index(M)", "ON": "mask"}, "outputs": ["Y"],
    "einsums": "L[n,m] = X[n,m] where m < LEN[n] or m <= AT[n]\nZ[n,m] = L[n,m] * ON[n,m]\nY[n] = Z[n,m]",
}  # fmt: skip
LARGE = (2**20, 2**31, 2**40, 2**62, 2**63, 2**64, 10**30)
DTYPES = ("f2", "f4", "f8", "<i8", ">i8", ">f4", "i1", "u8", "?", "c16", "S3", "U4", "M8[s]", "m8[D]", "V8", "g", "O")
Arrays = dict[str, Any]


def whole_arrays(chance: random.Random) -> Arrays:
    """Arrays that fit."""
    n, m = chance.randrange(1, 5), chance.randrange(1, 6)
    drawn = np.random.default_rng(chance.randrange(2**32))
    return {
        "X": drawn.normal(size=(n, m)),
        "LEN": drawn.integers(0, m, n, endpoint=True),
        "AT": drawn.integers(0, m, n),
        "ON": drawn.integers(0, 2, (n, m)),
    }


# --- arrays that do not fit -----------------------------------------------------------------------------------
def _change_values(arrays: Arrays, name: str, chance: random.Random) -> None:
    if arrays[name].dtype.kind not in "biuf" or not arrays[name].size:
        return
    values = arrays[name].astype(np.float64)
    value = chance.choice((np.nan, np.inf, -np.inf, -1, 1e308, 0.5, 2**53, 1e-320, 7))
    values.reshape(-1)[chance.randrange(values.size)] = value
    arrays[name] = values if chance.random() < 0.7 else np.full_like(values, value)


def _change_shape(arrays: Arrays, name: str, chance: random.Random) -> None:
    values = arrays[name]
    if values.dtype.kind not in "biuf":
        return
    arrays[name] = chance.choice((
        lambda: values[None], lambda: values.ravel(), lambda: values.T, lambda: values.ravel()[:-1], lambda: np.atleast_1d(values)[:0],
        lambda: np.concatenate([values.ravel(), values.ravel()]), lambda: values.sum(), lambda: np.zeros((1,) * 40), lambda: np.zeros((0, 3)),
    ))()  # fmt: skip


def _change_type(arrays: Arrays, name: str, chance: random.Random) -> None:
    try:
        with np.errstate(all="ignore"):
            arrays[name] = arrays[name].astype(chance.choice(DTYPES))
    except (TypeError, ValueError):
        arrays[name] = np.array([{"a": 1}, "b"], dtype=object)


def _change_names(arrays: Arrays, name: str, chance: random.Random) -> None:
    values = arrays[name] if chance.random() < 0.5 else arrays.pop(name)
    arrays[chance.choice((name.lower(), name * 2, "arr_0", "", "a/b", "../X", "n" * 300, "é", "X.npy", "\n"))] = values


CHANGES = (_change_values, _change_shape, _change_type, _change_names)


# --- files that are not what they seem ------------------------------------------------------------------------
def written(arrays: Arrays, method: int = zipfile.ZIP_STORED) -> bytes:
    """As numpy.savez, with names as they are."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, values in arrays.items():
            archive.writestr(f"{name}.npy", member_of(values))
    return buffer.getvalue()


def member_of(values: Any) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, np.asanyarray(values), allow_pickle=True)
    return buffer.getvalue()


def stating(header: str, body: bytes, version: int = 1) -> bytes:
    """An array whose header says whatever it likes."""
    text = header.encode("latin1", "replace")
    size = struct.pack("<H" if version == 1 else "<I", len(text))
    return b"\x93NUMPY" + bytes((version, 0)) + size + text + body


def _lie(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    """A member of which the header is not true, or not a header."""
    name, body = chance.choice(list(arrays)), chance.randbytes(chance.choice((0, 8, 80, 1000)))
    large = chance.choice(LARGE)
    shape = chance.choice(
        (f"({large},)", f"({large}, {large})", "(-1,)", "(2, -3)", "()", "(0,)", "5", "('a',)", "(1.5,)", "(True,)")
    )
    kind = chance.choice((*DTYPES, "f8" * 50, "[('a', '<f8')]", "f999999999", "V2147483647", ""))
    header = chance.choice((
        f"{{'descr': '{kind}', 'fortran_order': False, 'shape': {shape}, }}\n",
        f"{{'descr': '<f8', 'fortran_order': {chance.choice(('True', '3', 'None'))}, 'shape': {shape}}}\n",
        f"{{'descr': {kind!r}, 'shape': {shape}}}", "{" * 500, "(" * 9000 + ")" * 9000, "__import__('os').getcwd()", "", "\0" * 40,
        f"{{'descr': [('a', '<f8')], 'fortran_order': False, 'shape': {shape}}}", "9" * 9000,
    ))  # fmt: skip
    kept = {other: values for other, values in arrays.items() if other != name}
    buffer = io.BytesIO(written(kept))
    with zipfile.ZipFile(buffer, "a") as archive:
        archive.writestr(f"{name}.npy", stating(header, body, chance.choice((1, 1, 1, 2, 3, 9))))
    return buffer.getvalue()


def _bomb(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    """A small file that unpacks to megabytes: zeros that an array announces, or does not."""
    size = chance.choice((2**20, 2**23))
    announced = chance.choice((size, size // 8, 3, 2**45))
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({announced},)}}\n"
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", stating(header, bytes(size)))
        for i in range(chance.choice((0, 3, 1100))):
            archive.writestr(f"a{i}.npy", b"")
    return buffer.getvalue()


def _pickle(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    """What would run code if it were loaded."""
    call = pickle.dumps(_Calls())
    return chance.choice((
        call, written(arrays | {"X": np.array([_Calls()], dtype=object)}),
        stating("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}\n", call),
    ))  # fmt: skip


class _Calls:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return (_run, ("",))


def _run(_: str) -> None:
    raise SystemExit("a pickle was loaded")


def _flip(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(chance.choice((1, 1, 1, 2, 8, 64))):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def _cut(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    first, last = sorted((chance.randrange(len(content)), chance.randrange(len(content))))
    return chance.choice(
        (content[:last], content[first:], content[:first] + content[last:], content[:first] + bytes(last - first))
    )


def _set_fields(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    """Sizes, offsets, methods and flags of the archive's own tables."""
    changed = bytearray(content)
    marks = [i for i in range(len(content) - 4) if content[i : i + 4] in (b"PK\x01\x02", b"PK\x03\x04", b"PK\x05\x06")]
    for _ in range(chance.choice((1, 1, 2))):
        place = chance.choice(marks) + chance.randrange(4, 46)
        value = chance.choice(
            (b"\0\0", b"\1\0", b"\x08\0", b"\x0c\0", b"\x63\0", b"\xff\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f")
        )
        changed[place : place + len(value)] = value
    return bytes(changed)


def _other(content: bytes, arrays: Arrays, chance: random.Random) -> bytes:
    return chance.choice((
        b"", b"PK", b"PK\x05\x06" + bytes(18), member_of(np.ones(3)), b"name: text\n", b"SQLite format 3\0" + bytes(90), b"\x1f\x8b" + content,
        content + content, b"#!/bin/sh\n" + content, content + bytes(70_000), chance.randbytes(300),
    ))  # fmt: skip


DAMAGES = (_lie, _bomb, _pickle, _flip, _flip, _cut, _set_fields, _other)


def _arrays(folder: Path, chance: random.Random) -> Any:
    """One file, and its verification."""
    cascade, path = folder / "chosen.yaml", folder / "own.npz"
    if not cascade.exists():
        cascade.write_text(yaml.safe_dump(CASCADE, sort_keys=False))
    arrays = whole_arrays(chance)
    if chance.random() < 0.45:
        for _ in range(chance.choice((1, 1, 2))):
            name = chance.choice([name for name in CASCADE["inputs"] if name in arrays] or [""])
            with warnings.catch_warnings(action="ignore"):
                if name:
                    chance.choice(CHANGES)(arrays, name, chance)
    content = written(arrays, chance.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)))
    if chance.random() < 0.6:
        content = chance.choice(DAMAGES)(content, arrays, chance)
    path.write_bytes(content)
    wishes = VerifyCommandOptions(("fp64", "fp32"), None, "numpy", str(path), None)
    return run_verification(str(cascade), {}, wishes).to_json()


ARRAY_KINDS: tuple[Kind, ...] = (("arrays", 1, _arrays),)

if __name__ == "__main__":
    try_many(ARRAY_KINDS, lambda folder: None)
