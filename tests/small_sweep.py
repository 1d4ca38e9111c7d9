"""A sweep for tests: small, quick, with legal and illegal points of several kinds."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import yaml

from sim.explore.load_sweep import load_plan
from sim.explore.plan import Plan
from sim.explore.soundness import sign_chunk

MACHINE = "architecture.components"
SWEEP: dict[str, Any] = {
    "name": "small",
    "experiment": "fusemax-binding",
    "axes": {
        "model": {"path": "model", "values": ["BERT", "XLM"]},
        "seq_len": {"path": "seq_len", "values": [1024, 5000]},
        "rows": {"path": f"{MACHINE}.PE2D.rows", "values": [32, 100, 256]},
        "columns": {"path": f"{MACHINE}.PE2D.columns", "range": {"from": 64, "to": 256, "step": 64}},
        "buffer": {"path": f"{MACHINE}.GLB.size", "values": ["64 KiB", "1 MiB", "16 MiB"]},
        "bandwidth": {"path": f"{MACHINE}.DRAM.bandwidth", "values": [50, 400], "unit": "GiB/s"},
    },
    "derive": {f"{MACHINE}.PE1D.columns": "columns"},
    "constraints": {"area": "area_um2 <= 1e9"},
    "objectives": [{"minimize": "latency_s"}, {"minimize": "energy_pj"}],
}


def write_sweep(folder: Path, **changes: Any) -> Path:
    """The sweep with keys replaced (None: left out), as a file."""
    data = {key: value for key, value in (SWEEP | changes).items() if value is not None}
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump(data, sort_keys=False), encoding="utf-8")
    return path


def plan_of(folder: Path, **changes: Any) -> Plan:
    """As `write_sweep`, planned."""
    return load_plan(str(write_sweep(folder, **changes)))


def alter(path: Path, *statements: str) -> None:
    """Change the points of a file of a sweep, and sign what is left as if it had been written so, in one chunk."""
    with closing(sqlite3.connect(path)) as connection, connection:
        for statement in statements:
            connection.execute(statement)
        connection.execute("DELETE FROM chunks")
        sign_chunk(connection, [point for (point,) in connection.execute("SELECT point FROM points ORDER BY point")])
