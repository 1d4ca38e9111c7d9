"""The journal of a run: one JSON document per line, appended as cases begin and end, so that a kill loses one case.

The first line records machine and commit; a run resumes only from a journal of the same machine and commit.
"""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from kernels.bench.schema import SCHEMA, Case, Machine
from kernels.bench.structure import from_document, iter_differences, to_document

SUFFIX = ".partial.jsonl"


class JournalEntries(NamedTuple):
    """The contents of a journal: cases that ended, and cases that began but did not end."""

    cases: tuple[Case, ...]
    unfinished: tuple[str, ...]


class Journal:
    """Lines appended to a file, each on disk before the next case begins."""

    def __init__(self, path: Path, machine: Machine, commit: str) -> None:
        self.path = path
        self.head = {"schema": SCHEMA, "machine": to_document(machine), "commit": commit}

    def start(self) -> JournalEntries:
        """Start an empty journal, discarding any previous one."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text("", "utf-8")
        self._append(self.head)
        return JournalEntries((), ())

    def resume(self) -> JournalEntries:
        """Read an existing journal; a line cut off by a kill is dropped. ValueError for a journal of another run."""
        if not self.path.exists():
            return self.start()
        lines = self.read_lines()
        differing = list(iter_differences(lines[0] if lines else {}, self.head))
        if differing:
            raise ValueError(
                f"{self.path}: was begun on another machine or commit (differs in {', '.join(differing)}); "
                "run without --resume to start over"
            )
        # A line cut off by a kill must not be joined to the next one.
        self.path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")
        cases, begun = [], []
        for number, line in enumerate(lines[1:], 2):
            if "begun" in line:
                begun.append(str(line["begun"]))
            else:
                cases.append(from_document(Case, line.get("case"), f"{self.path}:{number}"))
        ended = {case.id for case in cases}
        return JournalEntries(tuple(cases), tuple(identifier for identifier in begun if identifier not in ended))

    def read_lines(self) -> list[dict[str, Any]]:
        lines: list[dict[str, Any]] = []
        for text in self.path.read_text("utf-8").splitlines():
            try:
                line = json.loads(text)
            except json.JSONDecodeError:
                break
            if not isinstance(line, dict):
                break
            lines.append(line)
        return lines

    def begin(self, identifier: str) -> None:
        self._append({"begun": identifier})

    def keep(self, case: Case) -> None:
        self._append({"case": to_document(case)})

    def _append(self, line: Mapping[str, Any]) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())
