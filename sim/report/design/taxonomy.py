"""The table of published systems by pass, for the documents: classes are counted, not quoted."""

from einsums import count_passes
from einsums.taxonomy import Taxonomy
from sim.load.nouns import load_cascade


def taxonomy_table(taxonomy: Taxonomy) -> str:
    """A Markdown table: most passes first, systems in the order of the data."""
    rows = []
    for system in taxonomy.systems:
        passes = count_passes(load_cascade(system.cascade), taxonomy.rank)
        rows.append((passes, f"| {passes} | {system.name} | `{system.cascade}` | {system.source} |"))
    lines = [f"| passes over {taxonomy.rank} | system | cascade | source |", "|---|---|---|---|"]
    return "\n".join([*lines, *(line for _, line in sorted(rows, key=lambda row: -row[0]))])
