"""What a cascade answers about itself, and every refusal word for word."""

from typing import Any

import pytest
from pydantic import ValidationError

from einsums import Cascade, CascadeError, Index, Partition, Tensor, Term

ONE_PASS = """
QK[m1,m0,p]   = Q[e,p] * K[e, m1*M0+m0]
LM[m1,p]      = QK[m1,m0,p] :: max(m0)
RM[m1+1,p]    = max(RM[m1,p], LM[m1,p])
SLN[m1,m0,p]  = exp(QK[m1,m0,p] - RM[m1+1,p])
SLD[m1,p]     = SLN[m1,m0,p]
PRM[m1,p]     = exp(RM[m1,p] - RM[m1+1,p])
RD[m1+1,p]    = SLD[m1,p] + RD[m1,p] * PRM[m1,p]
D[p]          = RD[M1,p]
"""


def declared(**changes: Any) -> dict[str, Any]:
    """The YAML form of a small iterative cascade, with some keys replaced; None takes a key away."""
    whole: dict[str, Any] = {
        "name": "denominator",
        "ranks": {"E": "width", "M": "key", "P": "query"},
        "partition": {"M": ["M1", "M0"]},
        "batch": ["B"],
        "inputs": {"Q": ["E", "P"], "K": ["E", "M"]},
        "init": {"RM": "-inf", "RD": 0},
        "outputs": ["D"],
        "einsums": ONE_PASS,
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def refusals(document: dict[str, Any]) -> list[str]:
    """Messages of all refused fields."""
    with pytest.raises(ValidationError) as caught:
        Cascade.model_validate(document)
    return [str(item["ctx"]["error"]) for item in caught.value.errors()]


def simple(einsums: str, **changes: Any) -> dict[str, Any]:
    base = {"name": "simple", "ranks": {"M": None, "P": None}, "inputs": {"A": ["M", "P"]}, "outputs": ["Y"]}
    return base | {"einsums": einsums} | changes


# --- answers ----------------------------------------------------------------------------------------------------------
def test_look_ups() -> None:
    cascade = Cascade.model_validate(declared())
    assert cascade.einsum("LM").reduced_variables == ("m0",)
    assert cascade.tensor("RM") == Tensor(name="RM", ranks=("M1", "P"))
    assert [tensor.name for tensor in cascade.tensors[:3]] == ["Q", "K", "QK"]
    assert cascade.partition_of("M") == Partition(rank="M", parts=("M1", "M0"))
    assert cascade.partition_of("P") is None
    assert (cascade.root_of("M0"), cascade.root_of("P")) == ("M", "P")
    assert (cascade.rank_of_variable("m1"), cascade.rank_of_variable("b")) == ("M1", "B")
    assert cascade.leaf_ranks() == ("B", "E", "M1", "M0", "P")
    assert cascade.iterative == (("RM", "M1"), ("RD", "M1"))
    assert cascade.is_iterative("RM") and not cascade.is_iterative("LM")
    assert cascade.initial_value("RM") == float("-inf")
    assert cascade.ranks_of("QK") == ("B", "M1", "M0", "P")
    assert cascade.variables_of("LM") == ("b", "m1", "p", "m0")


def test_unknown_names_are_answered_with_the_nearest() -> None:
    cascade = Cascade.model_validate(declared())
    with pytest.raises(ValueError, match=r"^no Einsum in denominator is called 'SLND' \(did you mean 'SLN'\?\)$"):
        cascade.einsum("SLND")
    with pytest.raises(
        ValueError,
        match=r"^no tensor in denominator is called 'Z' \(known: Q, K, QK, LM, RM, SLN, SLD, PRM, RD, D\)$",
    ):
        cascade.tensor("Z")


def test_value_semantics() -> None:
    cascade = Cascade.model_validate(declared())
    again = Cascade.model_validate(declared(einsums=ONE_PASS.splitlines()))
    assert cascade == again and hash(cascade) == hash(again)
    assert Cascade.model_validate(cascade.model_dump()) == cascade
    assert repr(cascade) == "Cascade('denominator', 8 Einsums)"
    assert str(cascade).splitlines()[1] == "LM[m1,p] = QK[m1,m0,p] :: max(m0)"


def test_order_of_lines_has_no_meaning_for_validity() -> None:
    Cascade.model_validate(declared(einsums=ONE_PASS.splitlines()[::-1]))


def test_partition_into_three_levels() -> None:
    document = simple("Y[m2,m1,m0,p] = A[m2*M1*M0 + m1*M0 + m0, p]", partition={"M": ["M2", "M1", "M0"]})
    access = Cascade.model_validate(document).einsums[0].loads[0]
    assert access.indices[0] == Index(
        terms=(
            Term(variable="m2", scale_ranks=("M1", "M0")),
            Term(variable="m1", scale_ranks=("M0",)),
            Term(variable="m0"),
        )
    )


def test_a_partition_on_the_left_makes_the_whole_rank() -> None:
    document = simple("X[m1*M0+m0, p] = A[m1*M0+m0, p]; Y[p] = X[m1*M0+m0, p]", partition={"M": ["M1", "M0"]})
    assert Cascade.model_validate(document).tensor("X").ranks == ("M", "P")


def test_tensors_computed_from_unbatched_ones_are_unbatched() -> None:
    document = simple(
        "V[m,p] = W[m,p] * 2; Y[m,p] = A[m,p] * V[m,p]",
        batch=["B"],
        inputs={"A": ["M", "P"], "W": ["M", "P"]},
        unbatched=["W"],
    )
    cascade = Cascade.model_validate(document)
    assert cascade.is_unbatched("V") and not cascade.is_unbatched("Y")
    assert cascade.variables_of("V") == ("m", "p")
    assert cascade.variables_of("Y") == ("b", "m", "p")


# --- refusals of declarations -----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        (
            {"ranks": {"E": "", "m": "", "P": ""}, "partition": None},
            ["rank names are upper case, such as M or M1, found 'm'; did you mean 'M'?"],
        ),
        ({"ranks": [{"name": "M"}, {"name": "M"}], "partition": None}, ["rank M is declared twice"]),
        ({"partition": {"N": ["M1", "M0"]}}, ["partition of unknown rank 'N' (known: E, M, P)"]),
        ({"partition": {"M": ["M1"]}}, ["the partition of M needs at least two parts, found M1"]),
        ({"partition": {"M": ["M0", "M0"]}}, ["part M0 is declared twice"]),
        (
            {"partition": {"M": ["M1", "P"]}},
            ["part P is also declared as a rank; a part is declared by its partition alone"],
        ),
        ({"batch": ["B", "B"]}, ["batch rank B is declared twice"]),
        ({"batch": ["M"]}, ["batch rank M is partitioned; batch ranks are carried whole"]),
        ({"inputs": {"q": ["E", "P"]}}, ["tensor names have an upper-case letter, found 'q'"]),
        ({"inputs": {"Q": ["E", "E"]}}, ["input Q has rank E twice"]),
        ({"inputs": {"Q": ["EE", "P"]}}, ["input Q has unknown rank 'EE' (did you mean 'E'?)"]),
        ({"inputs": {"Q": ["B", "P"]}}, ["input Q lists batch rank B, which every tensor carries unwritten"]),
        ({"inputs": {"K": ["E", "M", "M0"]}}, ["input K has rank M and its part M0"]),
        ({"unbatched": ["KK"]}, ["unbatched lists 'KK', which is no input (did you mean 'K'?)"]),
        ({"outputs": []}, ["a cascade needs at least one output"]),
        ({"outputs": ["D", "D"]}, ["output D is listed twice"]),
        ({"sizes": {"PP": "seq_len"}}, ["size of unknown rank 'PP' (did you mean 'P'?)"]),
        ({"sizes": {"P": " "}}, ["the size of P is empty; expected an expression such as seq_len"]),
        (
            {"init": {"RM": "minus infinity"}},
            ["expected a number, -inf or inf as an initial value, found 'minus infinity'"],
        ),
        (
            {"outputs": [], "unbatched": ["X"]},
            ["unbatched lists 'X', which is no input (known: Q, K)", "a cascade needs at least one output"],
        ),
    ],
)
def test_declaration_refused(changes: dict[str, Any], messages: list[str]) -> None:
    assert refusals(declared(**changes)) == messages


def test_unknown_key_is_refused_with_the_name_written_in_files() -> None:
    with pytest.raises(ValidationError) as caught:
        Cascade.model_validate(declared(partitions_={"M": ["M1", "M0"]}))
    assert caught.value.errors()[0]["loc"] == ("partitions_",)
    assert caught.value.errors()[0]["type"] == "extra_forbidden"


# --- refusals of Einsums ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("einsums", "changes", "message"),
    [
        (
            "Y[m,p] = AA[m,p]",
            {},
            "Y: unknown tensor 'AA' (did you mean 'A'?); it is neither an input nor written",
        ),
        ("Y[m,q] = A[m,q]", {}, "Y: unknown rank variable 'q' (known: m, p)"),
        (
            "Y[b,m,p] = A[b,m,p]",
            {"batch": ["B"]},
            "Y: 'b' is the variable of batch rank B, which every tensor carries unwritten",
        ),
        (
            "Y[m,p] = A[m,p]",
            {"partition": {"M": ["M1", "M0"]}},
            "Y: rank M is partitioned into M1, M0; write m1*M0+m0 for 'm'",
        ),
        ("Y[m,p] = A[m,p,p]", {}, "Y: A has 2 ranks (M, P) but is used with 3 indices"),
        ("Y[m] = A[m]", {}, "Y: A has 2 ranks (M, P) but is used with 1 index"),
        ("X[] = A[m,p]; Y[m] = A[m,p] * X[m]", {}, "Y: X has no ranks but is used with 1 index"),
        (
            "Y[m,p] = A[p,m]",
            {},
            "Y: A[p,m]: index 'p' runs over P, but A has rank M there, expected 'm'\n"
            "Y: A[p,m]: index 'm' runs over M, but A has rank P there, expected 'p'",
        ),
        (
            "Y[m0,p] = A[m0,p]",
            {"partition": {"M": ["M1", "M0"]}},
            "Y: A[m0,p]: index 'm0' runs over M0, but A has rank M there, expected 'm1*M0+m0'",
        ),
        (
            "Y[m1,m0,p] = A[m0*M0+m1, p]",
            {"partition": {"M": ["M1", "M0"]}},
            "Y: A[m0*M0+m1,p]: index 'm0*M0+m1' does not run over M, expected 'm1*M0+m0'",
        ),
        (
            "Y[m1,m0,p] = A[m1*MM+m0, p]",
            {"partition": {"M": ["M1", "M0"]}},
            "Y: A[m1*MM+m0,p]: index 'm1*MM+m0' is scaled by MM, which is no part of a partition (known: M1, M0)",
        ),
        ("Y[m,p] = A[m+1,p]", {}, "Y: A[m+1,p]: index 'm+1' leaves rank M; expected m"),
        ("Y[p] = A[M,p]", {}, "Y: A[M,p]: 'M' reads a last coordinate, but A does not iterate over M"),
        ("Y[m,p] = A[m,p]\nY[m,p] = A[m,p] * 2", {}, "tensor Y is written twice"),
        ("A[m,p] = A[m,p]", {}, "A is an input and cannot be written"),
        (
            "X[m,p] = A[m,p]",
            {},
            "output 'Y' is never written (known: X)\nX is written but never read, and is no output",
        ),
        ("Y[m,p] = A[m,p]", {"inputs": {"A": ["M", "P"], "Z": ["M"]}}, "input Z is never read"),
        ("Y[m,p] = A[m,p]", {"ranks": {"M": "", "P": "", "S": ""}}, "rank S is declared but never used"),
        (
            "Y[2*m,p] = A[m,p]",
            {},
            "Y: index '2*m' on the left must be a rank variable, a rank variable + 1 (iterative) or a whole partition "
            "such as m1*M0+m0",
        ),
        (
            "Y[m+2,p] = A[m,p]",
            {},
            "Y: index 'm+2' on the left must be a rank variable, a rank variable + 1 (iterative) or a whole partition "
            "such as m1*M0+m0",
        ),
        ("Y[m+1,p+1] = A[m,p]", {}, "Y: Y[m+1,p+1] iterates over more than one rank"),
        (
            "Y[m+1,p] = Y[m,p] + A[m,p]",
            {},
            "Y iterates over M but has no initial value; add init: {Y: value}",
        ),
        (
            "Y[m,p] = A[m,p]",
            {"init": {"Y": 0}},
            "init gives a value to 'Y', which is not iterative (written at i+1)",
        ),
        (
            "R[m+1,p] = R[m,p] + A[m,p]; Y[m,p] = R[m+2,p]",
            {"init": {"R": 0}},
            "Y: R[m+2,p]: index 'm+2' leaves rank M; expected m or m+1",
        ),
        (
            "R[m+1,p] = R[m,p] + A[m,p]; Y[p] = R[P,p]",
            {"init": {"R": 0}},
            "Y: R[P,p] must read the last coordinate of R as M, found P",
        ),
        (
            "X[m,p] = Y[m,p] * A[m,p]; W[m,p] = X[m,p]; Y[m,p] = W[m,p]",
            {},
            "the Einsums depend on each other in a cycle: X -> W -> Y -> X",
        ),
        ("Y[m,p] = Y[m,p] + A[m,p]", {}, "the Einsums depend on each other in a cycle: Y -> Y"),
        (
            "R[m+1,p] = R[m,p] * T[p] + A[m,p]; T[p] = S[m,p]; S[m,p] = R[m,p] * 2; Y[p] = R[M,p]",
            {"init": {"R": 0}},
            "T is part of the iteration of R, T, S over M but has no m on its left: it would need values of later steps",
        ),
        (
            "R[m+1,p] = S[p] + A[m,p]; T[m] = R[m,p]; S[p+1] = S[p] * T[m]; Y[p] = R[M,p]",
            {"init": {"R": 0, "S": 0}},
            "R, T, S depend on each other and iterate over several ranks (M, P)",
        ),
        (
            "R[m+1,p] = R[m,p] * S[p] + A[m,p]; S[p] = R[m,p]; Y[p] = R[M,p]",
            {"init": {"R": 0}},
            "the Einsums depend on each other in a cycle: R -> S -> R",
        ),
        (
            "T[m,p] = R[m,p] * A[m,p]; R[m+1,p] = T[0,p] + A[m,p]; Y[p] = R[M,p]",
            {"init": {"R": 0}},
            "R is part of the iteration of T, R over M and reads T[0,p], which may be of a later step",
        ),
        (
            "Y[m1,m0,p] = A[2*m1*M0+m0, p]",
            {"partition": {"M": ["M1", "M0"]}},
            "Y: A[2*m1*M0+m0,p]: index '2*m1*M0+m0' does not run over M, expected 'm1*M0+m0'",
        ),
        ("", {}, "a cascade needs at least one Einsum"),
    ],
)
def test_einsums_refused(einsums: str, changes: dict[str, Any], message: str) -> None:
    assert refusals(simple(einsums, **changes)) == [message]


def test_all_mistakes_of_a_stage_come_together_with_the_first_line() -> None:
    with pytest.raises(ValidationError) as caught:
        Cascade.model_validate(simple("X[m] = A[m,p]\nY[m,p] = A[m] * X[m,p]\nZ[p] = X[] * A[m,p]"))
    (item,) = caught.value.errors()
    error = item["ctx"]["error"]
    assert item["loc"] == ("einsums",)
    assert isinstance(error, CascadeError) and error.line == 2
    assert [(problem.line, problem.message) for problem in error.problems] == [
        (2, "Y: A has 2 ranks (M, P) but is used with 1 index"),
        (2, "Y: X has 1 rank (M) but is used with 2 indices"),
        (3, "Z: X has 1 rank (M) but is used with 0 indices"),
    ]


def test_broken_text_is_placed_in_the_einsums() -> None:
    with pytest.raises(ValidationError) as caught:
        Cascade.model_validate(simple("Y[m,p] = A[m,p]\nX[m = A[m,p]"))
    (item,) = caught.value.errors()
    assert item["loc"] == ("einsums",)
    assert (item["ctx"]["error"].line, item["ctx"]["error"].column) == (2, 5)
