"""Scalars that YAML 1.1 misreads, and what to write instead.

PyYAML's rules are those of YAML 1.1 (its type repository). A plain (unquoted) scalar of these forms is
refused rather than guessed, so that a file means the same to every reader.
"""

import re

import yaml

_PREFIX = "tag:yaml.org,2002:"
PLAIN_TAGS = tuple(_PREFIX + kind for kind in ("str", "int", "float", "bool", "null", "map", "seq"))
NUMBER_TAGS = PLAIN_TAGS[1:3]
MERGE_TAG = _PREFIX + "merge"

_EXPONENT = re.compile(r"([-+]?)(\d+)(\.\d*)?[eE]([-+]?)(\d+)")
_ZERO_FIRST = re.compile(r"[-+]?0[\d_]+")
_SEXAGESIMAL = re.compile(r"[-+]?\d[\d_]*(:[0-5]?\d)+(\.[\d_]*)?")
_KINDS_OF_KEYS = {
    "bool": "a truth value",
    "int": "a number",
    "float": "a number",
    "null": "nothing",
    "timestamp": "a date",
}


def trap_in_value(node: yaml.Node) -> str | None:
    """Why a plain scalar is refused, and what to write instead; None for an unambiguous one."""
    if not isinstance(node, yaml.ScalarNode) or node.style:  # '' or None: plain
        return None
    text, kind = str(node.value), node.tag.removeprefix(_PREFIX)
    if kind == "bool" and text.lower() not in ("true", "false"):
        meant = "true" if text.lower() in ("yes", "on") else "false"
        return f"YAML reads {text} as {meant}: write {meant}, or '{text}' in quotes for the text"
    if kind == "str" and (exponent := _EXPONENT.fullmatch(text)):
        return f"YAML reads {text} as text: write {_spell_exponent(exponent)}"
    if kind in ("int", "str") and _ZERO_FIRST.fullmatch(text):
        seen = f"the octal number {int(text, 8)}" if kind == "int" else "text"
        return f"YAML reads {text} as {seen}: write {int(text)}"
    if kind in ("int", "float") and _SEXAGESIMAL.fullmatch(text):
        return f"YAML reads {text} as a number in base 60: write '{text}' in quotes for the text"
    if kind == "timestamp":
        return f"YAML reads {text} as a date: write '{text}' in quotes for the text"
    return None


def as_in_json(node: yaml.ScalarNode) -> yaml.ScalarNode:
    """A plain scalar of a JSON text as JSON reads it: 1e-05 is a number."""
    exponent = None if node.style else _EXPONENT.fullmatch(str(node.value))
    if exponent is None:
        return node
    return yaml.ScalarNode(NUMBER_TAGS[1], _spell_exponent(exponent), node.start_mark, node.end_mark)


def short_tag(tag: str) -> str:
    """A tag as it is written in a file."""
    return "!!" + tag.removeprefix(_PREFIX) if tag.startswith(_PREFIX) else tag


def trap_in_key(node: yaml.ScalarNode) -> str | None:
    """Why a scalar is refused as a key; None for text."""
    if node.tag == PLAIN_TAGS[0]:
        return None
    seen = _KINDS_OF_KEYS.get(node.tag.removeprefix(_PREFIX), f"the tag {short_tag(node.tag)}")
    return f"YAML reads the key {node.value} as {seen}: write '{node.value}' in quotes"


def _spell_exponent(number: re.Match[str]) -> str:
    """The spelling with a point and a signed exponent, the only one that YAML 1.1 takes for a number."""
    sign, digits, fraction, exponent_sign, exponent = number.groups()
    fraction = fraction if fraction and fraction != "." else ".0"
    return f"{sign}{digits}{fraction}e{exponent_sign or '+'}{exponent}"
