"""FuseMax with several tiles of keys at once: the shipped mapping, each Einsum of the wide array in as many pieces."""

from dataclasses import replace
from typing import Any

from mappings.types import Mapping
from sim.design.experiment import Experiment

WIDE = ("QK", "LM", "SLN", "SLD", "SLNV")


def with_key_tiles(base: Experiment, count: int) -> Experiment:
    """`base` with tiles of keys of so many times the rows of its array."""
    data = base.mapping.model_dump(mode="json")
    for rule in data["tiles"]:
        if rule["symbol"] == "M0":
            rule["expression"] = f"{count} * PE2D.rows"
    _in_pieces(data["tree"])
    return replace(base, mapping=Mapping.model_validate(data), origin=None)


def _in_pieces(node: dict[str, Any]) -> None:
    for item in node["body"]:
        if "body" in item:
            _in_pieces(item)
        elif item["einsum"] in WIDE:
            item["loops"] = [{"variable": "m0", "tile": "PE2D.rows"}, *item["loops"]]
