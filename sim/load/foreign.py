"""Files that are none of our documents: those of other programs, what our own commands print, and what is no text.

Each is told by what only it contains, so that a user hears what a file is.
"""

import re

# Program: texts of which any is found only in its files. Comments may stand between a key and what it holds.
_HELD = r":[ \t]*\n(?:[ \t]*(?:#.*)?\n)*[ \t]+"
_MARKS: tuple[tuple[str, str], ...] = (
    ("a configuration of SCALE-Sim", r"^\s*\[\s*(?:architecture_presets|run_presets)\s*\]"),
    ("a layout of SCALE-Sim", r"^\s*layer(?: name)?\s*,\s*ifmap height intraline"),
    ("a topology of SCALE-Sim", r"^\s*layer(?: name)?\s*[,\t]\s*(?:ifmap (?:height|width)|m)\s*[,\t]"),
    ("a report of SCALE-Sim", r"^\s*layerid\s*,"),
    ("a configuration of a Hugging Face model",
     r'^\s*\{[\s\S]*"(?:model_type|architectures|num_hidden_layers|num_attention_heads)"\s*:'),
    ("an input of AccelForge", rf"^arch{_HELD}nodes:"),
    ("an input of AccelForge",
     rf"^workload{_HELD}(?:rank_sizes|iteration_space_shape|shape|version|bits_per_value|persistent_tensors|einsums):"),
    ("an input of AccelForge", rf"^renames{_HELD}(?:einsums|version):"),
    ("an input of AccelForge", r"^\s*-?\s*!(?:Memory|Toll|Compute|Fork|Storage|Hierarchical)\b"),
    ("an input of AccelForge", r"^\s*\{\{\s*(?:include_text|add_to_path)\("),
    ("an input of Timeloop", r"^\s*-?\s*!(?:Container|Component|ArchNodes|Nothing)\b"),
    ("an input of Timeloop", rf"^(?:architecture|components|variables){_HELD}(?:version|subtree|nodes|classes)\s*:"),
    ("an input of Timeloop", rf"^arch{_HELD}(?:arithmetic|storage)\s*:"),
    ("an input of Timeloop", rf"^problem{_HELD}(?:version|shape|instance)\s*:"),
    ("an input of Timeloop", rf"^shape{_HELD}(?:name|dimensions|data_spaces)\s*:"),
    ("an input of Timeloop", r"^(?:mapper|mapspace|(?:mapspace|architecture)_constraints|compound_components):\s*\n"),
    ("an input of Timeloop", r"^mapping:\s*\n\s*-\s*(?:type|target)\s*:"),
    ("an input of Timeloop", r"^(?:arch|mapper|problem|shape|mapping|mapspace)\s*[:=]\s*[{(]\s*$"),
)  # fmt: skip
_PATTERNS = tuple((program, re.compile(mark, re.MULTILINE | re.IGNORECASE)) for program, mark in _MARKS)
_HEAD = 20_000  # characters in which a mark is looked for
_PRINTED = re.compile(r'\s*\{[\s\S]*?"schema":\s*"einfuse-([a-z]+)-\d+"')
_BINARIES: tuple[tuple[bytes, str], ...] = (
    (b"SQLite format 3\0", "a database (SQLite), such as the points of a sweep"),
    (b"PK\x03\x04", "an archive (ZIP), such as arrays in an npz file"),
    (b"\x93NUMPY", "an array (npy)"),
    (b"PAR1", "a table (Parquet)"),
    (b"\x89PNG", "a picture (PNG)"),
    (b"%PDF", "a document (PDF)"),
    (b"\x1f\x8b", "compressed (gzip)"),
)


def foreign_kind(text: str) -> str:
    """What a text that is none of our documents is, such as 'an input of Timeloop'; empty if nothing shows it."""
    head = text[:_HEAD]
    if printed := _PRINTED.match(head):
        command = {"result": "simulate", "binding": "bind"}.get(printed[1], printed[1])
        return "a measurement" if command == "measurement" else f"a result of 'einfuse {command}'"
    return next((program for program, mark in _PATTERNS if mark.search(head)), "")


def binary_kind(content: bytes) -> str:
    """What a file that is no text is, by its first bytes; empty if they are not known."""
    return next((kind for mark, kind in _BINARIES if content.startswith(mark)), "")
