"""Files of other programs, told by what only they contain, so that a user hears what a file is."""

import re

# Program: texts of which any is found only in its files.
_MARKS: tuple[tuple[str, str], ...] = (
    ("a configuration of SCALE-Sim", r"^\s*\[\s*(?:architecture_presets|run_presets)\s*\]"),
    ("a topology of SCALE-Sim", r"^\s*layer(?: name)?\s*,\s*(?:ifmap height|m)\s*,"),
    ("a configuration of a Hugging Face model", r'^\s*\{[\s\S]*"(?:model_type|architectures)"\s*:'),
    ("an input of AccelForge", r"^arch:\s*\n\s+nodes:"),
    ("an input of AccelForge", r"^workload:\s*\n\s+einsums:"),
    ("an input of AccelForge", r"^\s*-\s*!(?:Memory|Toll|Compute|Fork)\b"),
    ("an input of Timeloop", r"^\s*-?\s*!(?:Container|Component|ArchNodes|Nothing)\b"),
    ("an input of Timeloop", r"^architecture:\s*\n\s+(?:version|subtree|nodes)\s*:"),
    ("an input of Timeloop", r"^problem:\s*\n\s+(?:version|shape|instance)\s*:"),
    ("an input of Timeloop", r"^mapper:\s*\n|^mapping:\s*\n\s*-\s*(?:type|target)\s*:"),
)
_PATTERNS = tuple((program, re.compile(mark, re.MULTILINE | re.IGNORECASE)) for program, mark in _MARKS)
_HEAD = 20_000  # characters in which a mark is looked for


def foreign_kind(text: str) -> str:
    """What a file of another program is, such as 'an input of Timeloop'; empty if nothing shows that it is one."""
    head = text[:_HEAD]
    return next((program for program, mark in _PATTERNS if mark.search(head)), "")
