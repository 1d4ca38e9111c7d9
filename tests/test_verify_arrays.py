"""Files of arrays for `verify --inputs`: what does not fit, is damaged or would do harm is refused with one sentence."""

import io
import os
import pickle
import time
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from sim.functional.archive import LARGEST_INPUTS
from tests.array_mutations import ARRAY_KINDS, CASCADE, member_of, stating, written
from tests.mutations import LONGEST_S, try_mutation
from tests.small_design import run

FITTING = {"X": np.ones((3, 4)), "LEN": np.ones(3), "AT": np.ones(3), "ON": np.ones((3, 4))}
X_OF = "{{'descr': '{}', 'fortran_order': False, 'shape': {}}}\n"


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What verification of a cascade on the arrays of a file says."""
    monkeypatch.chdir(tmp_path)
    Path("chosen.yaml").write_text(yaml.safe_dump(CASCADE, sort_keys=False))

    def of(content: bytes) -> str:
        Path("own.npz").write_bytes(content)
        status, out, err = run(["verify", "chosen.yaml", "--inputs", "own.npz"])
        assert (status, out) == (2, ""), err
        return err

    return of


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ON": None}, "$.ON: 'chosen' needs the input 'ON', which is not among those given"),
        ({"LEN": None, "LAN": np.ones(3)}, "$.LAN: 'chosen' has no input 'LAN' (did you mean 'LEN'?)"),
        ({"W" * 300: np.ones(3)}, f"$.{'W' * 60}...: 'chosen' has no input '{'W' * 100}...' (known: X, LEN, AT, ON)"),
        ({"LEN": np.ones(2)}, "$.LEN: rank N is 3 in X but 2 in LEN"),
        ({"X": np.ones(3)}, "$.X: input X needs 2 axes (N, M), got 1"),
        ({"LEN": np.ones((3, 1))}, "$.LEN: input LEN needs 1 axis (N), got 2"),
        ({"LEN": np.full(3, 9)}, "$.LEN: input LEN holds 9, a length longer than rank M, which has 4 coordinates"),
        ({"LEN": np.full(3, np.nan)}, "$.LEN: input LEN holds nan; its domain length(M) is of whole numbers from 0 to 4"),
        ({"AT": np.full(3, 4)}, "$.AT: input AT holds 4, an index outside rank M, which has 4 coordinates"),
        ({"ON": np.full((3, 4), 2)}, "$.ON: input ON holds 2; its domain mask is of 0 and 1"),
        ({"X": np.ones((3, 4), complex)}, "$.X: input X must hold real numbers, found complex128"),
        ({"X": np.full((3, 4), "one")}, "$.X: input X must hold real numbers, found str96"),
        ({"X": np.ones((3, 4), "M8[s]")}, "$.X: input X must hold real numbers, found datetime64[s]"),
        ({"X": np.array([[1, None]] * 3)}, "$.X: holds objects, expected numbers"),
        ({"X": np.ones(3, [("a", "f8")])}, "$.X: input X needs 2 axes (N, M), got 1"),
        ({name: values[:0] for name, values in FITTING.items()}, "$.X: input X is empty: rank N has size 0"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said(said: Any, changes: dict[str, Any], sentence: str) -> None:
    arrays = {name: values for name, values in (FITTING | changes).items() if values is not None}
    assert said(written(arrays)) == f"own.npz: {sentence}\n"


def replaced(**members: bytes) -> bytes:
    """A file of which some members are any bytes."""
    buffer = io.BytesIO(written({name: values for name, values in FITTING.items() if name not in members}))
    with zipfile.ZipFile(buffer, "a") as archive:
        for name, content in members.items():
            archive.writestr(f"{name}.npy", content)
    return buffer.getvalue()


def flipped(content: bytes, place: int) -> bytes:
    return content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :]


WHOLE = written(FITTING)
NOTHING = io.BytesIO()
zipfile.ZipFile(NOTHING, "w").close()


class Harmful:
    """Whoever unpickles it makes a folder."""

    def __reduce__(self) -> Any:
        return os.mkdir, ("harmed",)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"", "the file is empty, expected arrays as numpy.savez writes them (npz)"),
        (b"name: some yaml", "is no archive, expected arrays as numpy.savez writes them (npz)"),
        (b"\x89PNG\r\n", "is a picture (PNG), expected arrays as numpy.savez writes them (npz)"),
        (member_of(np.ones(3)), "is one array without a name (npy), expected arrays as numpy.savez writes them (npz)"),
        (pickle.dumps(Harmful()), "is no archive, expected arrays as numpy.savez writes them (npz)"),
        (b"PK\x03\x04 damaged", "is damaged (File is not a zip file), expected arrays (npz)"),
        (WHOLE[:-30], "is damaged (File is not a zip file), expected arrays (npz)"),
        (NOTHING.getvalue(), "holds no arrays"),
        (flipped(WHOLE, WHOLE.index(b"\x93NUMPY") + 150), "$.X: is damaged (Bad CRC-32 for file 'X.npy')"),
        (replaced(**{f"a{i}": b"" for i in range(1000)}), "holds 1,004 files, expected at most 1,000 arrays"),
        (replaced(X=b""), "$.X: is damaged (EOF: reading magic string, expected 8 bytes got 0)"),
        (replaced(X=stating("{" * 500, b"")), "$.X: is damaged (what it says of its shape and type cannot be read)"),
        (replaced(X=stating("__import__('os').mkdir('harmed')", b"")), "$.X: is damaged (what it says of its shape and type cannot be read)"),
        (replaced(X=stating(X_OF.format("<f8", "(-1, -8)"), bytes(64))), "$.X: is damaged (the shape [-1, -8] is negative)"),
        (replaced(X=stating(X_OF.format("<f8", "(3, 4)"), bytes(40))), "$.X: is damaged: 96 bytes are announced, 40 bytes are there"),
        (replaced(X=stating(X_OF.format("|O", "(1,)"), pickle.dumps(Harmful()))), "$.X: holds objects, expected numbers"),
        (replaced(X=stating(X_OF.format("<f8", f"({2**62}, 9)"), b"")),
         f"$.X: is said to have the shape [{2**62}, 9] of 8 bytes each: expected at most 1,073,741,824 bytes in all"),
        (replaced(X=stating("", b"", version=3)),
         "$.X: is damaged (version 3.0 of the format is for names of fields, which numbers lack)"),
    ],
)  # fmt: skip
def test_what_holds_no_arrays_is_said(said: Any, content: bytes, sentence: str) -> None:
    assert said(content) == f"own.npz: {sentence}\n"
    assert not Path("harmed").exists()


def test_a_name_that_stands_twice(said: Any) -> None:
    buffer = io.BytesIO(WHOLE)
    with zipfile.ZipFile(buffer, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("X.npy", member_of(FITTING["X"]))
    assert said(buffer.getvalue()) == "own.npz: $.X: stands twice in the file\n"


def test_what_unpacks_to_more_than_it_says_is_not_unpacked(said: Any) -> None:
    """A thousand times as large as its file: 256 MiB of zeros."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("X.npy", stating(X_OF.format("|u1", "(3,)"), bytes(2**28)))
    began = time.process_time()
    assert said(buffer.getvalue()) == "own.npz: $.X: is damaged: 3 bytes are announced, 268,435,456 bytes are there\n"
    assert time.process_time() - began < LONGEST_S


def test_all_arrays_together_have_a_bound(said: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sim.functional.archive.LARGEST_INPUTS", 180)
    monkeypatch.setattr("sim.functional.archive.read_bytes", lambda path, *_: path.read_bytes())
    sentence = "$.LEN: is said to have the shape [3] of 8 bytes each: expected at most 180 bytes in all"
    few = {"X": FITTING["X"], "AT": FITTING["AT"], "ON": np.ones((3, 2)), "LEN": FITTING["LEN"]}
    assert said(written(few)) == f"own.npz: {sentence}\n"
    assert LARGEST_INPUTS == 2**30


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ("absent.npz", "absent.npz: no such file: expected arrays (npz), or a seed such as 3"),
        ("-1", "-1: no such file: expected arrays (npz), or a seed such as 3"),
        (".", ".: expected arrays (npz), got a folder"),
        ("/dev/zero", "/dev/zero: expected arrays (npz), got a device"),
    ],
)
def test_neither_a_file_nor_a_seed(given: str, sentence: str) -> None:
    assert run(["verify", "softmax", "--inputs", given]) == (2, "", f"{sentence}\n")


def test_a_number_beyond_a_precision_is_infinite_in_it(
    said: Any, tmp_path: Path, recwarn: pytest.WarningsRecorder
) -> None:
    (tmp_path / "own.npz").write_bytes(written(FITTING | {"X": np.full((3, 4), 1e300)}))
    status, out, err = run(["verify", "chosen.yaml", "--inputs", "own.npz", "--precision", "fp32"])
    assert (status, err, len(recwarn)) == (0, "", 0), out


BATCHES, OF_EACH = 2, 400


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("batch", range(BATCHES))
def test_mutated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    """`tests/array_mutations.py` tries thousands."""
    monkeypatch.chdir(tmp_path)
    kinds: dict[str, int] = {}
    for number in range(batch * OF_EACH, (batch + 1) * OF_EACH):
        _, outcome = try_mutation(number, tmp_path, ARRAY_KINDS)
        assert outcome.kind in ("accepted", "refused"), (number, outcome)
        kinds[outcome.kind] = kinds.get(outcome.kind, 0) + 1
    assert min(kinds["accepted"], kinds["refused"]) > OF_EACH // 10
