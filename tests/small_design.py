"""A small design, written to be broken: one file of each kind, and a way to write a changed copy of all of them.

The cascade is a matrix product whose result is scaled by its row maximum; the machine has a buffer, a square array and a
row array; the mapping fuses all of it on rows.
"""

import contextlib
import io
import signal
from collections.abc import Mapping, Sequence
from pathlib import Path

from sim.__main__ import app
from sim.load.nouns import CATALOGS

CASCADE = """\
name: scaled
ranks: {K: inner, M: column, P: row}
batch: [B]
inputs: {X: [K, P], Y: [K, M]}
outputs: [Z]
sizes: {B: batch, K: head_size, M: seq_len, P: seq_len}
einsums: |
  S[m,p] = X[k,p] * Y[k,m]
  T[p]   = S[m,p] :: max(m)
  Z[m,p] = S[m,p] / T[p]
"""

RUNNING = """\
name: running
ranks: {M: column, P: row}
partition: {M: [M1, M0]}
batch: [B]
inputs: {X: [M, P]}
init: {R: -inf}
outputs: [Z]
sizes: {B: batch, M: seq_len, P: seq_len}
einsums: |
  L[m1,p]   = X[m1*M0+m0,p] :: max(m0)
  R[m1+1,p] = max(R[m1,p], L[m1,p])
  Z[p]      = R[M1,p]
"""

MACHINE = """\
name: small
clock: 1 GHz
word: 16 bit
node: 45 nm
source: a test
components:
  DRAM: {kind: memory, row: 64 bit, bandwidth: 16 GiB/s, read_energy: 100 pJ, write_energy: 100 pJ, source: a test}
  GLB:
    kind: memory
    parent: DRAM
    size: 64 KiB
    row: 128 bit
    technology: sram-45nm
    source: a test
  SQUARE:
    kind: array
    parent: GLB
    rows: 8
    columns: 8
    registers: RFS
    source: a test
    operations:
      macc: {operators: [mul, add], also: [[mul]], cycles: 1, energy: 2 pJ, area: 9 um2, source: a test}
  RFS:
    kind: memory
    parent: GLB
    per_pe_of: SQUARE
    depth: 4
    width: 16 bit
    read_energy: 1 pJ
    write_energy: 1 pJ
    area: 5 um2
    source: a test
  ROW:
    kind: array
    parent: GLB
    rows: 1
    columns: 8
    registers: RFR
    source: a test
    operations:
      max: {cycles: 1, energy: 1 pJ, area: 2 um2, source: a test}
      div: {cycles: 1, energy: 3 pJ, area: 7 um2, source: a test}
  RFR:
    kind: memory
    parent: GLB
    per_pe_of: ROW
    depth: 4
    width: 16 bit
    read_energy: 1 pJ
    write_energy: 1 pJ
    area: 5 um2
    source: a test
"""

MAPPING = """\
name: rows
cascade: cascade.yaml
parameters:
  place: {values: [onchip, offchip], default: onchip}
  rows_at_once: SQUARE.columns
table:
  file: choices.csv
  key: [model, seq_len]
  source: a test
tiles:
  block: min(M, SQUARE.rows)
  P1: rows_at_once
reserve:
  - {memory: GLB, label: a streaming tile, words: 2*block, when: place == 'offchip'}
tree:
  loops: [b, {p: P1}]
  keep:
    GLB:
      - {tensor: S, copies: 2, when: place == 'onchip'}
  share: {GLB: [[S]]}
  body:
    - {einsum: S, array: SQUARE, loops: [{m: block}, k], spatial: {rows: m, columns: p}}
    - loops: [p]
      keep: {RFR: [T]}
      body:
        - {einsum: T, array: ROW, loops: [{m: 8}], spatial: {columns: m}}
        - {einsum: Z, array: ROW, loops: [{m: 8}], spatial: {columns: m}}
schedule:
  kind: phases
  transfers: overlapped
  phases:
    - {SQUARE: [S]}
    - {ROW: [T, Z]}
"""

RUNNING_MAPPING = """\
name: steps
cascade: running.yaml
tiles: {M0: 8}
tree:
  loops: [b, {p: 8}]
  body:
    - loops: [m1]
      keep: {GLB: [L, R]}
      body:
        - {einsum: L, array: ROW, loops: [p], spatial: {columns: m0}}
        - {einsum: R, array: ROW, spatial: {columns: p}}
    - {einsum: Z, array: ROW, spatial: {columns: p}}
schedule:
  kind: sequential
"""

MODEL = """\
name: tiny
hidden: 16
heads: 2
head_size: 8
ffn_size: 32
"""

TECHNOLOGY = """\
name: tech
node: 45 nm
source: a test
rows:
  - {size: 64 KiB, row: 128 bit, read_energy: 3 pJ, write_energy: 4 pJ, area: 8 um2, source: a test}
"""

EXPERIMENT = """\
name: small
model: model.yaml
seq_len: 64
batch: 2
architecture: machine.yaml
mapping: mapping.yaml
"""

CHOICES = """\
model,seq_len,place,rows_at_once
tiny,32,offchip,4
"""

FILES: Mapping[str, str] = {
    "cascade.yaml": CASCADE,
    "running.yaml": RUNNING,
    "machine.yaml": MACHINE,
    "mapping.yaml": MAPPING,
    "running-mapping.yaml": RUNNING_MAPPING,
    "model.yaml": MODEL,
    "technology.yaml": TECHNOLOGY,
    "experiment.yaml": EXPERIMENT,
    "choices.csv": CHOICES,
}


def write_design(folder: Path, changes: Mapping[str, Sequence[tuple[str, str]]] | None = None) -> None:
    """All files in `folder`, with (old, new) replaced in those named; every old text must stand there once."""
    for file, text in FILES.items():
        for old, new in (changes or {}).get(file, ()):
            assert text.count(old) == 1, f"{old!r} stands {text.count(old)} times in {file}"
            text = text.replace(old, new)
        (folder / file).write_text(text, "utf-8")


def shipped_names_hidden(text: str) -> str:
    """Text with every list of shipped names as `<experiments>`, `<models>`, ...: catalogues grow."""
    lists = {kind: f"shipped: {', '.join(catalog.names())}" for kind, catalog in CATALOGS.items()}
    for kind in sorted(lists, key=lambda kind: -len(lists[kind])):  # the longest first: one may begin like another
        text = text.replace(lists[kind], f"shipped: <{kind}s>")
    return text


HANGS_S = 600  # after which a process that should end counts as hanging, on a slow or busy machine too


def heed_interrupts() -> None:
    """For a process about to start: a shell that runs the tests in the background has it ignore Ctrl-C."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def run(arguments: list[str]) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of the command line, run in this process."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            app(arguments, prog_name="einfuse")
        except SystemExit as exit_:
            return int(exit_.code or 0), out.getvalue(), err.getvalue()
    return 0, out.getvalue(), err.getvalue()
