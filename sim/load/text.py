"""Plain data as YAML text that this package reads back, written by commands for users to keep and edit."""

from math import inf
from typing import Any

import yaml


def yaml_text(data: Any, comment: str = "") -> str:
    """A document with an optional comment above it; short lists and mappings stay on one line."""
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text


def mapping_text(mapping: dict[str, Any]) -> str:
    """A mapping as a file to edit: a key after the other, each tile on a line of its own."""
    lines = (
        yaml.safe_dump({key: value}, sort_keys=False, width=inf) if key == "tiles" else yaml_text({key: value})
        for key, value in mapping.items()
    )
    return "".join(line.strip("{}\n") + "\n" if line.startswith("{") else line for line in lines)
