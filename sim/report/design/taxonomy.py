"""The table of published systems by pass, for the documents: classes are counted, not quoted."""

from collections.abc import Mapping

from einsums.passes import count_passes
from einsums.taxonomy import Taxonomy
from einsums.types import Cascade


def taxonomy_table(taxonomy: Taxonomy, cascades: Mapping[str, Cascade]) -> str:
    """A Markdown table: most passes first, systems in the order of the data; `cascades` by name."""
    rows = []
    for system in taxonomy.systems:
        passes = count_passes(cascades[system.cascade], taxonomy.rank)
        rows.append((passes, f"| {passes} | {system.name} | `{system.cascade}` | {system.source} |"))
    lines = [f"| passes over {taxonomy.rank} | system | cascade | source |", "|---|---|---|---|"]
    return "\n".join([*lines, *(line for _, line in sorted(rows, key=lambda row: -row[0]))])
