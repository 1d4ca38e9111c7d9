"""Plain data as YAML text that this package reads back, written by commands for users to keep and edit."""

from typing import Any

import yaml


def yaml_text(data: Any, comment: str = "") -> str:
    """A document with an optional comment above it; short lists and mappings stay on one line."""
    text = yaml.safe_dump(data, sort_keys=False, default_flow_style=None, width=120, allow_unicode=True)
    return "".join(f"# {line}\n" for line in comment.splitlines()) + text
