"""A mean is carried out as a sum and a scale: what is counted, what it means, and what stays a mean."""

import numpy as np
import pytest

from einsums import Cascade, Workload, cascade_data, interpret, operation_counts
from einsums.means import lowered
from mappings.default import default_mapping
from mappings.types import Mapping
from sim import load_architecture, load_cascade, simulate, verify
from sim.design.experiment import Experiment
from sim.load.document import plain_document
from sim.load.nouns import CATALOGS, build

NAMES = tuple(
    name
    for name in CATALOGS["cascade"].names()
    if any(e.reduction is not None and e.reduction.operator == "mean" for e in load_cascade(name).einsums)
)


def cascade_of(text: str, **more: object) -> Cascade:
    document = {"name": "own", "ranks": {"D": "", "N": ""}, "inputs": {"X": ["D", "N"]}, "outputs": ["MU"]}
    return Cascade.model_validate({**document, "einsums": text, **more})


def counts(cascade: Cascade, **sizes: int) -> dict[tuple[str, str], int]:
    return {(c.einsum, c.operator): c.count for c in operation_counts(Workload(cascade=cascade, bits=16, sizes=sizes))}


def test_the_catalog_has_means() -> None:
    assert {"layernorm", "encoder-layer", "rmsnorm"} & set(NAMES)


def test_d_additions_and_one_multiplication_for_each_result() -> None:
    found = lowered(cascade_of("MU[n] = X[d,n] * X[d,n] :: mean(d)"))
    assert counts(found, D=7, N=5) == {("MUSUM", "mul"): 35, ("MUSUM", "add"): 35, ("MU", "mul"): 5}


def test_over_several_ranks_and_all_parts_of_one() -> None:
    ranks = {"D": "", "N": "", "B": ""}
    inputs = {"X": ["B", "D", "N"]}
    partition = {"D": ["D1", "D0"]}
    written = cascade_of("MU[n] = X[b, d1*D0+d0, n] :: mean(b,d1,d0)", ranks=ranks, inputs=inputs, partition=partition)
    found = lowered(written)
    assert str(found.einsum("MU")) == "MU[n] = MUSUM[n] * (1 / (pos(B) * pos(D)))"
    tensors = {"X": np.random.default_rng(1).normal(size=(3, 7, 5))}
    ours, stated = (interpret(one, tensors, {"D0": 3})["MU"] for one in (found, written))
    np.testing.assert_allclose(ours, stated, rtol=1e-13)
    np.testing.assert_allclose(stated, tensors["X"].mean(axis=(0, 1)), rtol=1e-12)


@pytest.mark.parametrize("text", ["MU[d1,n] = X[d1*D0+d0, n] :: mean(d0)", "MU[n] = X[d1*D0+d0, n] :: mean(d1,d0)"])
def test_of_a_part_it_stays_a_mean(text: str) -> None:
    found = lowered(cascade_of(text, partition={"D": ["D1", "D0"]}))
    assert len(found.einsums) == (1 if "d1,n" in text else 2)


@pytest.mark.parametrize(("condition", "einsums"), [("d <= 3", 1), ("n <= 3", 2)])
def test_of_points_that_a_condition_takes_away_it_stays_a_mean(condition: str, einsums: int) -> None:
    written = cascade_of(f"MU[n] = X[d,n] where {condition} :: mean(d)")
    found = lowered(written)
    assert len(found.einsums) == einsums
    tensors = {"X": np.random.default_rng(2).normal(size=(7, 5))}
    np.testing.assert_allclose(interpret(found, tensors)["MU"], interpret(written, tensors)["MU"], rtol=1e-13)


def test_of_an_iteration() -> None:
    text = "H[n+1] = H[n] + X[d,n] :: mean(d)"
    written = cascade_of(text, outputs=["H"], init={"H": 0})
    found = lowered(written)
    lines = ["HTERM[d,n] = H[n] + X[d,n]", "HSUM[n] = HTERM[d,n]", "H[n+1] = HSUM[n] * (1 / pos(D))"]
    assert [str(einsum) for einsum in found.einsums] == lines
    tensors = {"X": np.random.default_rng(3).normal(size=(7, 5))}
    np.testing.assert_allclose(interpret(found, tensors)["H"], interpret(written, tensors)["H"], rtol=1e-13)


def test_the_name_of_the_sum_is_free() -> None:
    found = lowered(cascade_of("MUSUM[n] = X[d,n] :: max(d)\nMU[n] = X[d,n] * MUSUM[n] :: mean(d)"))
    assert [einsum.name for einsum in found.einsums] == ["MUSUM", "MUSUMS", "MU"]


@pytest.mark.parametrize("name", NAMES)
def test_it_reads_back_and_is_lowered_once(name: str) -> None:
    found = lowered(load_cascade(name))
    assert Cascade.model_validate(cascade_data(found)) == found == lowered(found)
    assert not any(e.reduction is not None and e.reduction.operator == "mean" for e in found.einsums)


def test_a_cascade_without_a_mean_is_itself() -> None:
    cascade = load_cascade("attention-1pass")
    assert lowered(cascade) is cascade


def test_engines_meet_the_sum_and_the_scale() -> None:
    cascade, machine = load_cascade("layernorm"), load_architecture("fusemax-cloud-vector")
    sizes = dict.fromkeys({cascade.root_of(rank) for rank in cascade.leaf_ranks()}, 6)
    mapping = build(plain_document(default_mapping(cascade, machine, "layernorm", sizes), "default"), Mapping)
    own = Experiment("own", cascade, machine, mapping, tuple(sizes.items()), ())
    found = simulate(own)
    assert {"MUSUM", "MU"} <= found.busy_cycles_by_einsum.keys()
    assert 0 < found.energy_by_einsum_pj["MU"] < found.energy_by_einsum_pj["MUSUM"]
    assert simulate(own, "cycle").cycles >= found.cycles * (1 - 1e-9)
    assert verify(own).passes
