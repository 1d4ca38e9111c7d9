"""Text to nodes and back, and every refusal word for word."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from einsums import (
    Access,
    Call,
    Const,
    Einsum,
    EinsumSyntaxError,
    Expr,
    Index,
    Load,
    Reduction,
    Term,
    parse,
    parse_einsum,
)
from einsums.operators import OPERATOR_BY_NAME


def index(variable: str, offset: int = 0) -> Index:
    return Index(terms=(Term(variable=variable),), offset=offset)


def load(tensor: str, *variables: str) -> Load:
    return Load(access=Access(tensor=tensor, indices=tuple(index(name) for name in variables)))


def test_a_product_summed_over_the_absent_variable() -> None:
    einsum = parse_einsum("  QK[m1,m0,p] = Q[e,p] * K[e, m1*M0+m0]   # scores")
    tile = Index(terms=(Term(variable="m1", scale_ranks=("M0",)), Term(variable="m0")))
    keys = Load(access=Access(tensor="K", indices=(index("e"), tile)))
    assert einsum.output == Access(tensor="QK", indices=(index("m1"), index("m0"), index("p")))
    assert einsum.expr == Call(operator="mul", arguments=(load("Q", "e", "p"), keys))
    assert einsum.reduction == Reduction(operator="add", variables=("e",))
    assert einsum.text == "QK[m1,m0,p] = Q[e,p] * K[e, m1*M0+m0]"
    assert einsum.variables == ("m1", "m0", "p", "e")
    assert einsum.reduced_variables == ("e",)
    assert tile.terms[0].scale_rank == "M0" and tile.terms[1].scale_rank is None


def test_named_reduction_iterative_index_and_last_coordinate() -> None:
    local, running, last = parse(
        "LM[m1,p] = QK[m1,m0,p] :: max(m0); RM[m1+1,p] = max(RM[m1,p], LM[m1,p])\n\nZ[p] = RM[M1,p]"
    )
    assert local.reduction == Reduction(operator="max", variables=("m0",))
    assert running.output.indices[0] == index("m1", offset=1)
    assert running.reduction is None
    assert last.loads[0].indices[0] == Index(terms=(), last_of="M1")
    assert (local.line, running.line, last.line) == (1, 1, 3)


def test_explicit_sum_is_the_implicit_one_wherever_it_is_written() -> None:
    assert parse_einsum("Y[] = A[k]") == parse_einsum("\nY[ ] =  A[k] :: sum(k)")
    assert hash(parse_einsum("Y[] = A[k]")) == hash(parse_einsum("Y[] = A[k] :: sum(k)"))
    assert parse_einsum("Y[] = A[i,j] :: max(j,i)") == parse_einsum("Y[] = A[i,j] :: max(i,j)")


@pytest.mark.parametrize(
    ("text", "operators"),
    [
        ("Y[m] = exp(A[m] - B[m])", ("sub", "exp")),
        ("Y[m] = A[m] + B[m] * C[m]", ("mul", "add")),
        ("Y[m] = (A[m] + B[m]) * C[m]", ("add", "mul")),
        ("Y[m] = -A[m] ^ 2", ("pow", "neg")),
        ("Y[m] = not A[m] < 1 and B[m] >= 2 or C[m] == 3", ("lt", "not", "ge", "and", "eq", "or")),
        ("Y[m] = clamp(A[m], -1, 1)", ("clamp",)),
        ("Y[m] = select(A[m] > 0, B[m], 0.5)", ("gt", "select")),
    ],
)
def test_operators_bottom_up(text: str, operators: tuple[str, ...]) -> None:
    assert parse_einsum(text).map_operators == operators


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A[i]+B[i]+C[i]", "A[i] + B[i] + C[i]"),
        ("A[i]-(B[i]-C[i])", "A[i] - (B[i] - C[i])"),
        ("A[i]^(B[i]^C[i])", "A[i] ^ B[i] ^ C[i]"),
        ("(A[i]^B[i])^C[i]", "(A[i] ^ B[i]) ^ C[i]"),
        ("(-2)^A[i]", "(-2) ^ A[i]"),
        ("-(A[i]+B[i])", "-(A[i] + B[i])"),
        ("A[i]*-1e-3", "A[i] * -0.001"),
        ("max((A[i]), -inf)", "max(A[i], -inf)"),
    ],
)
def test_text_has_only_the_parentheses_it_needs(text: str, expected: str) -> None:
    assert str(parse_einsum(f"Y[i] = {text}").expr) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("h+r", Index(terms=(Term(variable="h"), Term(variable="r")))),
        ("2*p + r - 1", Index(terms=(Term(variable="p", scale=2), Term(variable="r")), offset=-1)),
        ("p-r", Index(terms=(Term(variable="p"), Term(variable="r", scale=-1)))),
        ("p+p", Index(terms=(Term(variable="p", scale=2),))),
        ("3", Index(terms=(), offset=3)),
        ("m2*M1*M0", Index(terms=(Term(variable="m2", scale_ranks=("M1", "M0")),))),
        ("M0*m1*2", Index(terms=(Term(variable="m1", scale=2, scale_ranks=("M0",)),))),
    ],
)
def test_affine_indices(text: str, expected: Index) -> None:
    access = parse_einsum(f"Y[h,r,p,m1,m2] = X[{text}] * W[h,r,p,m1,m2]").loads[0]
    assert access.indices == (expected,)
    again = parse_einsum(f"Y[h,r,p,m1,m2] = X[{access.indices[0]}] * W[h,r,p,m1,m2]").loads[0]
    assert again == access


# --- round trip ---------------------------------------------------------------------------------------------------------
def indices() -> st.SearchStrategy[Index]:
    term = st.builds(
        Term,
        variable=st.sampled_from(("i", "j", "k1")),
        scale=st.sampled_from((1, 2, -1, -3)),
        scale_ranks=st.sampled_from(((), ("K0",), ("J", "K0"))),
    )
    unique = st.lists(term, min_size=1, max_size=3, unique_by=lambda one: (one.variable, one.scale_ranks))
    affine = st.builds(lambda terms, offset: Index(terms=tuple(terms), offset=offset), unique, st.integers(-3, 3))
    constant = st.builds(lambda offset: Index(terms=(), offset=offset), st.integers(0, 9))
    return st.one_of(affine, constant, st.just(Index(terms=(), last_of="K1")))


def expressions() -> st.SearchStrategy[Expr]:
    accesses = st.builds(
        lambda name, found: Load(access=Access(tensor=name, indices=tuple(found))),
        st.sampled_from(("A", "dO", "X_1")),
        st.lists(indices(), max_size=3),
    )
    numbers = st.floats(allow_nan=False).map(lambda value: Const(value=value))

    def calls(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
        def call(operator: str) -> st.SearchStrategy[Expr]:
            arguments = st.tuples(*(inner for _ in range(OPERATOR_BY_NAME[operator].arity)))
            return arguments.map(lambda found: Call(operator=operator, arguments=found))

        chosen = st.sampled_from(sorted(OPERATOR_BY_NAME)).flatmap(call)
        # the parser reads a minus before a number as part of the number, so it never makes this node
        return chosen.filter(lambda one: not (one.operator == "neg" and isinstance(one.arguments[0], Const)))

    return st.recursive(accesses | numbers, calls, max_leaves=8)


@settings(derandomize=True, deadline=None, max_examples=300)
@given(expr=expressions(), reducer=st.sampled_from(("max", "min", "mul", "mean", "or")))
def test_text_of_an_einsum_parses_to_the_same_node(expr: Expr, reducer: str) -> None:
    right = Call(operator="mul", arguments=(load("ALL", "i", "j", "k1"), expr))
    output = Access(tensor="Y", indices=(index("i", offset=1),))
    variables = Einsum(output=Access(tensor="Y", indices=(index("i"), index("j"), index("k1"))), expr=right).variables
    reduction = Reduction(operator=reducer, variables=tuple(name for name in variables if name != "i"))
    einsum = Einsum(output=output, expr=right, reduction=reduction)
    again = parse_einsum(str(einsum))
    assert again == einsum
    assert str(again) == str(einsum)


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("A[] ** 2", "A[] ^ 2"),
        ("A[] ** B[] ^ C[]", "A[] ^ (B[] ^ C[])"),
        ("A[] ^ B[] ** C[]", "A[] ** (B[] ** C[])"),
        ("-A[] ** 2", "-(A[] ^ 2)"),
        ("A[] ** -2 * B[]", "(A[] ^ (-2)) * B[]"),
        ("A[] ** -B[] ** C[]", "A[] ^ (-(B[] ^ C[]))"),
        ("A[] - B[] - C[] * D[] / E[]", "(A[] - B[]) - ((C[] * D[]) / E[])"),
        ("not A[] < B[] + 1 and C[] or not not D[]", "((not (A[] < (B[] + 1))) and C[]) or (not (not D[]))"),
        ("A[] * -B[] + C[]", "(A[] * (-B[])) + C[]"),
    ],
)
def test_what_binds_how(text: str, same: str) -> None:
    assert parse_einsum(f"Y[] = {text}") == parse_einsum(f"Y[] = {same}")


# --- refusals -------------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "Y[] = A[m] :: total(m)",
            "column 15: unknown reducer 'total' (known: sum, mean, prod, max, min, any)",
        ),
        ("Y[m] = A[m] $ 2", "column 13: unexpected character '$'"),
        ("Y[m] A[m]", "column 6: expected '=' after Y[m], found 'A'"),
        ("Y[m] = ", "column 7: expected a tensor, a number, a function or '(', found the end of the Einsum"),
        ("Y[m] = A[m", "column 11: expected ',' or ']' after an index of A, found the end of the Einsum"),
        ("Y[m] = A[m] B[m]", "column 13: expected an operator, 'where', '::' or the end of the Einsum, found 'B'"),
        (
            "Y[m] = A",
            "column 9: expected '[' after A (a tensor without ranks is written A[]), found the end of the Einsum",
        ),
        (
            "Y[m] = A[m] + a",
            "column 15: 'a' is no value: a rank variable stands inside the brackets of a tensor, or of pos( )",
        ),
        ("y[m] = A[m]", "column 1: tensor names have an upper-case letter, found 'y'"),
        ("= A[m]", "column 1: expected the tensor that the Einsum writes, such as QK[m,p], found '='"),
        ("Y[m] = expp(A[m])", "column 8: unknown operator 'expp' (did you mean 'exp'?)"),
        ("Y[m] = max(A[m])", "column 8: max takes 2 arguments, got 1"),
        ("Y[m] = exp(A[m], 2)", "column 8: exp takes 1 argument, got 2"),
        ("Y[m] = (A[m]", "column 13: expected ')' to close the parenthesis, found the end of the Einsum"),
        ("Y[m] = A[m] < 1 < 2", "column 17: comparisons do not chain; use 'and' or parentheses"),
        (
            "Y[] = A[m] :: maxx(m)",
            "column 15: unknown reducer 'maxx' (did you mean 'max'?)",
        ),
        ("Y[] = A[m] :: max m", "column 19: expected '(' after max, found 'm'"),
        ("Y[] = A[m] :: max(M)", "column 19: expected a rank variable (lower case), found 'M'"),
        (
            "Y[] = A[m] :: argmax(m)",
            "column 15: the reducer 'argmax' is not supported: it gives positions or tuples, not one value",
        ),
        ("Y[m] = A[m] where", "column 18: expected a tensor, a number, a function or '(', found the end of the Einsum"),
        (
            "Y[m] = A[m] where m <= Mm",
            "column 24: expected a rank variable (lower case), a rank (upper case) or a tensor with its indices, found 'Mm'",
        ),
        (
            "Y[m] = A[m] where p <= 3",
            "Y: the condition is over 'p', but the Einsum has m; it chooses among points of its own",
        ),
        (
            "Y[] = A[m] :: max(m) where m <= 3",
            "column 22: a condition stands before '::', as in QK[m,p] where m <= p :: max(m)",
        ),
        (
            "Y[m] = A[m] where m // p == 0",
            "column 21: '//' divides rank variables, sizes and integers by a size or an integer above 0, as in m // 64",
        ),
        (
            "Y[m] = A[m] where A[m] % 2 == 0",
            "column 24: '%' divides rank variables, sizes and integers by a size or an integer above 0, as in m // 64",
        ),
        ("Y[m] = A[m] * pos(A[m])", "column 19: pos takes rank variables and sizes, such as pos(m) or pos(m // 64)"),
        ("Y[m] = A[m] where 1 < m < 3", "column 25: comparisons do not chain; use 'and' or parentheses"),
        ("(X[m], Z[m]) = A[m]", "column 1: several outputs, written (A[i], B[i]) = .., are not supported"),
        ("Y[m] = A[T[m]]", "column 11: a tensor as an index, T[..], is not supported"),
        (
            "Y[m] = A[m//2]",
            "column 11: '//' in an index is not supported; an index sums rank variables and integers",
        ),
        (
            "Y[m] = A[m**2]",
            "column 11: '**' in an index is not supported; an index sums rank variables and integers",
        ),
        (
            "Y[m] = A[m] + not B[m]",
            "column 15: 'not' is no value: a rank variable stands inside the brackets of a tensor, or of pos( )",
        ),
        ("Y[m] = A[m] ** ", "column 15: expected a tensor, a number, a function or '(', found the end of the Einsum"),
        (
            "Y[m] = A[M+1] * B[m]",
            "column 10: a rank used as an index is the last coordinate and stands alone, as in RD[M1,p]",
        ),
        (
            "Y[m] = A[1.5]",
            "column 10: expected a rank variable (lower case), a rank (upper case) or an integer, found '1.5'",
        ),
        ("Y[m,m] = A[m]", "Y: rank variable 'm' appears twice on the left"),
        ("Y[m,p] = A[m]", "Y: rank variable 'p' is on the left but not on the right"),
        ("Y[] = A[m,p] :: max(m)", "Y: the reduction names m, but the variables absent on the left are m, p"),
        (
            "Y[m] = A[m] :: max(m)",
            "Y: the reduction names m, but the variables absent on the left are nothing",
        ),
        (
            "Y[] = A[m,p] :: max(m,m)",
            "Y: the reduction names m, m, but the variables absent on the left are m, p",
        ),
        (
            "Y[n] = X[n,m]*C[m] + U[n]",
            "Y: the term U[n] lacks the summed variable 'm' and would be added once for each of its coordinates; "
            "sum the other terms in an Einsum of their own",
        ),
    ],
)
def test_refused_with_one_sentence(text: str, message: str) -> None:
    with pytest.raises(EinsumSyntaxError) as caught:
        parse(text)
    assert str(caught.value) == message
    assert caught.value.line == 1


def test_place_of_an_error_in_a_longer_text() -> None:
    with pytest.raises(EinsumSyntaxError) as caught:
        parse("# a comment\nY[m] = A[m]; Z[m] = B[m]\nX[m] = A[m]; W[m] = A[m] +\n")
    assert (caught.value.line, caught.value.column) == (3, 27)


def test_one_einsum_is_one() -> None:
    with pytest.raises(EinsumSyntaxError, match=r"^expected one Einsum, found 2$"):
        parse_einsum("Y[m] = A[m]; Z[m] = A[m]")
    assert parse("# nothing\n\n ;\n") == ()


def test_depth_is_bounded() -> None:
    with pytest.raises(EinsumSyntaxError) as caught:
        parse("Y[m] = " + "(" * 250 + "A[m]" + ")" * 250)
    assert str(caught.value) == "column 99: more than 90 levels of nesting"
    with pytest.raises(EinsumSyntaxError) as caught:
        parse("Y[m] = " + "A[m] ^ " * 91 + "A[m]")
    assert str(caught.value) == "column 645: more than 90 levels of nesting"
    deepest = "Y[m] = " + "(" * 90 + "A[m]" + ")" * 90
    assert parse_einsum(deepest) == parse_einsum("Y[m] = A[m]")
    with pytest.raises(EinsumSyntaxError) as caught:
        parse("Y[m] = " + " + ".join(["A[m]"] * 200))
    assert str(caught.value) == "column 1: an Einsum of more than 600 words and signs; split it into several"


def test_a_sum_of_terms_that_all_have_the_variable_is_fine() -> None:
    einsum = parse_einsum("Y[n] = X[n,m] - (C[m] + 2 * B[m])")
    assert einsum.reduction == Reduction(operator="add", variables=("m",))
