"""Who reads whom, in which order, for how long."""

import itertools
from pathlib import Path

import pytest
import yaml

from einsums import (
    Cascade,
    GraphEdge,
    consumers_of,
    edges_of,
    iteration_groups,
    live_ranges,
    producer_of,
    topological_order,
)

CATALOG = Path(__file__).parent.parent / "einsums" / "catalog"
ONE_PASS = yaml.safe_load((CATALOG / "attention-1pass.yaml").read_text())
NAMES = sorted(path.stem for path in CATALOG.glob("*.yaml"))


def reordered(lines: list[str]) -> Cascade:
    return Cascade.model_validate(ONE_PASS | {"einsums": lines})


def test_edges_of_one_pass_attention() -> None:
    edges = edges_of(Cascade.model_validate(ONE_PASS))
    assert {(edge.source, edge.reader) for edge in edges if edge.is_carried} == {
        ("RM", "RM"),
        ("RD", "SPD"),
        ("RNV", "SPNV"),
    }
    # PRM reads both RM[m1] and RM[m1+1], so it waits for this step's value
    assert GraphEdge("RM", "PRM", False) in edges
    assert {edge.source for edge in edges if edge.reader == "AV"} == {"RNV", "RD"}
    assert len(edges) == 18


def test_producers_and_consumers() -> None:
    cascade = Cascade.model_validate(ONE_PASS)
    assert producer_of(cascade, "Q") is None
    assert producer_of(cascade, "LM") == "LM"
    assert consumers_of(cascade, "SLN") == ("SLD", "SLNV")
    assert consumers_of(cascade, "AV") == ()


def test_file_order_is_kept_where_it_is_an_order() -> None:
    for name in NAMES:
        cascade = Cascade.model_validate(yaml.safe_load((CATALOG / f"{name}.yaml").read_text()))
        assert topological_order(cascade) == tuple(einsum.name for einsum in cascade.einsums)


@pytest.mark.parametrize("rotation", range(0, 12, 3))
def test_order_puts_producers_first_whatever_the_file_says(rotation: int) -> None:
    lines = [line for line in ONE_PASS["einsums"].splitlines() if line.strip()]
    cascade = reordered((lines[rotation:] + lines[:rotation])[::-1])
    order = topological_order(cascade)
    position = {name: place for place, name in enumerate(order)}
    assert sorted(order) == sorted(einsum.name for einsum in cascade.einsums)
    for edge in edges_of(cascade):
        assert edge.is_carried or position[edge.source] < position[edge.reader]


def test_iterations_step_together() -> None:
    groups = iteration_groups(Cascade.model_validate(ONE_PASS))
    assert [group for group in groups if len(group) > 1] == [("SPD", "RD"), ("SPNV", "RNV")]


def test_a_reader_of_old_values_comes_after_the_iteration_it_is_no_part_of() -> None:
    document = {
        "name": "prefix",
        "ranks": {"K": ""},
        "inputs": {"A": ["K"]},
        "init": {"S": 0},
        "outputs": ["Y"],
        "einsums": "Y[k] = S[k]; S[k+1] = S[k] + A[k]",
    }
    assert topological_order(Cascade.model_validate(document)) == ("S", "Y")


def test_live_ranges_cover_every_use_and_nothing_more() -> None:
    cascade = Cascade.model_validate(ONE_PASS)
    order = topological_order(cascade)
    ranges = {tensor: (first, last) for tensor, first, last in live_ranges(cascade, order)}
    assert ranges["Q"] == (0, 0) and ranges["V"] == (5, 5)
    assert ranges["QK"] == (0, 3)
    assert ranges["RD"] == (7, 11)  # from SPD, which reads the carried value, to AV
    assert ranges["AV"] == (11, 11)
    for tensor, (first, last) in ranges.items():
        users = {order.index(name) for name in consumers_of(cascade, tensor)}
        made = producer_of(cascade, tensor)
        users |= {order.index(made)} if made else set()
        assert (first, last) == (min(users), max(users))


def test_outputs_live_to_the_end() -> None:
    document = {
        "name": "two",
        "ranks": {"K": ""},
        "inputs": {"A": ["K"]},
        "outputs": ["X", "Y"],
        "einsums": "X[k] = A[k] * 2; Y[k] = A[k] * 3",
    }
    cascade = Cascade.model_validate(document)
    for order in itertools.permutations(("X", "Y")):
        ranges = {tensor: (first, last) for tensor, first, last in live_ranges(cascade, order)}
        assert ranges == {"A": (0, 1), order[0]: (0, 1), order[1]: (1, 1)}
