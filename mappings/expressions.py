"""Every formula of a mapping and every choice it makes, with their locations, whatever is chosen."""

from collections.abc import Iterator
from typing import NamedTuple

from mappings.types import Leaf, Mapping, Node, Select, SpatialSelect


class Written(NamedTuple):
    """A text in a mapping; `path` is its location, such as `tree.body[0].loops[1]`."""

    path: str
    text: str


class WrittenSelect(NamedTuple):
    """A choice by a parameter: its location, the parameter, and the values that have a case."""

    path: str
    parameter: str
    cases: tuple[str, ...]


def iter_formulas(mapping: Mapping) -> Iterator[Written]:
    """Numeric parameters' defaults, tiles, reserved words, conditions, and the tiles of all loops."""
    for parameter in mapping.parameters:
        if not parameter.values:
            yield Written(f"parameters.{parameter.name}", parameter.default)
    yield from (Written(f"tiles.{tile.symbol}", tile.expression) for tile in mapping.tiles)
    for i, reservation in enumerate(mapping.reserve):
        yield Written(f"reserve[{i}].words", reservation.words)
    yield from iter_conditions(mapping)
    for path, item in _iter_items(mapping.tree, "tree"):
        loops = item.loops
        if isinstance(loops, Select):
            for case in loops.cases:
                yield from (
                    Written(f"{path}.loops.cases.{case.value}[{i}]", loop.tile) for i, loop in enumerate(case.loops)
                )
        else:
            yield from (Written(f"{path}.loops[{i}]", loop.tile) for i, loop in enumerate(loops))


def iter_conditions(mapping: Mapping) -> Iterator[Written]:
    """Every condition (`when`)."""
    for i, reservation in enumerate(mapping.reserve):
        if reservation.when is not None:
            yield Written(f"reserve[{i}].when", reservation.when)
    for path, item in _iter_items(mapping.tree, "tree"):
        for keep in item.keep if isinstance(item, Node) else ():
            for i, kept in enumerate(keep.tensors):
                if kept.when is not None:
                    yield Written(f"{path}.keep.{keep.memory}[{i}].when", kept.when)


def iter_selects(mapping: Mapping) -> Iterator[WrittenSelect]:
    """Every choice of loops or of sides."""
    for path, item in _iter_items(mapping.tree, "tree"):
        for key, found in (("loops", item.loops), ("spatial", item.spatial if isinstance(item, Leaf) else ())):
            if isinstance(found, Select | SpatialSelect):
                yield WrittenSelect(f"{path}.{key}", found.parameter, tuple(case.value for case in found.cases))


def _iter_items(item: Node | Leaf, path: str) -> Iterator[tuple[str, Node | Leaf]]:
    yield path, item
    for i, inner in enumerate(item.body if isinstance(item, Node) else ()):
        yield from _iter_items(inner, f"{path}.body[{i}]")
