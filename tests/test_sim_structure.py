"""Data to nouns: every kind of pydantic error, with its file, line and path, in our words."""

from typing import Annotated, Any, Literal

import pytest
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Discriminator,
    Field,
    Tag,
    field_validator,
    model_validator,
)

from sim.load.document import parse_document, plain_document
from sim.load.problems import InputError
from sim.load.structure import structure


class Noun(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


def named(value: Any) -> Any:
    """A mapping of named items as a list of items, as the nouns of the rooms do it."""
    if not isinstance(value, dict):
        return value
    return [{"name": key, **item} if isinstance(item, dict) else item for key, item in value.items()]


class Memory(Noun):
    kind: Literal["memory"]
    name: str
    size_bits: int = Field(alias="size", gt=0)
    parent: str | None = None


class Array(Noun):
    kind: Literal["array"]
    name: str
    rows: int = Field(strict=True, ge=1)
    columns: int = 1
    side: Literal["left", "right"] = "left"


Component = Annotated[Memory | Array, Field(discriminator="kind")]


class Machine(Noun):
    name: str
    clock: float = Field(default=1.0, allow_inf_nan=False)
    components: Annotated[tuple[Component, ...], BeforeValidator(named), Field(min_length=1)]
    notes: tuple[str, ...] = ()
    amount: int | tuple[int, ...] = 0
    ready: bool = False

    @model_validator(mode="after")
    def _one_name_each(self) -> "Machine":
        if len({component.name for component in self.components}) < len(self.components):
            raise ValueError("the names of components are not unique")
        return self


class TextError(ValueError):
    def __init__(self, message: str, line: int) -> None:
        super().__init__(message)
        self.line = line


class Mistake(BaseModel):
    message: str
    line: int


class ManyTextsError(ValueError):
    def __init__(self, problems: tuple[Mistake, ...]) -> None:
        super().__init__("\n".join(problem.message for problem in problems))
        self.problems = problems


def no_question(value: Any) -> Any:
    lines = value.splitlines() if isinstance(value, str) else value
    for number, line in enumerate(lines, 1):
        if "?" in line:
            raise TextError("unexpected '?'", number)
    return tuple(lines)


class Cascade(Noun):
    name: str = ""
    einsums: Annotated[tuple[str, ...], BeforeValidator(no_question)]


class WholeCascade(Noun):
    """Checks its text as a whole, so that the error's location is the noun, not the field."""

    name: str = ""
    einsums: Any

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: Any) -> Any:
        no_question(data["einsums"])
        if "!" in str(data["einsums"]):
            raise ManyTextsError((Mistake(message="first", line=2), Mistake(message="second", line=0)))
        return data


class Loop(Noun):
    loop: str
    tile: int
    body: "tuple[Node, ...]" = ()


class Leaf(Noun):
    einsum: str


def kind_of_node(value: Any) -> str:
    return "loop" if "loop" in value else "einsum"


Node = Annotated[
    Annotated[Loop, Tag("loop")] | Annotated[Leaf, Tag("einsum")],
    Discriminator(kind_of_node),
]


class Mapping(Noun):
    tree: tuple[Node, ...]


def errors(noun: type[BaseModel], text: str) -> list[str]:
    with pytest.raises(InputError) as caught:
        structure(parse_document(text, "f.yaml"), noun)
    return str(caught.value).splitlines()


HEAD = "name: x\ncomponents:\n  A: {kind: array, rows: 2}\n"


def test_a_noun_comes_back() -> None:
    machine = structure(parse_document(HEAD + "  M: {kind: memory, size: 8}\n", "f.yaml"), Machine)
    assert [component.name for component in machine.components] == ["A", "M"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + "notse: [a]", "f.yaml:4: $.notse: unknown key 'notse' (did you mean 'notes'?)"),
        (HEAD + "zzzz: 1", "f.yaml:4: $.zzzz: unknown key 'zzzz' (known: clock, notes, amount, ready)"),
        (HEAD + "  M: {kind: memory}", "f.yaml:4: $.components.M: missing key 'size'"),
        # One mistake, one sentence: the key that was misspelt is not missing too.
        (
            HEAD + "  M:\n    kind: memory\n    sise: 3",
            "f.yaml:6: $.components.M.sise: unknown key 'sise' (did you mean 'size'?)",
        ),
        (
            HEAD + "  M: {kind: memory, size_bits: 3}",
            "f.yaml:4: $.components.M.size_bits: unknown key 'size_bits' (did you mean 'size'?)",
        ),
        (HEAD + "  M: {size: 3}", "f.yaml:4: $.components.M: missing key 'kind'"),
        (
            HEAD + "  M: {kind: memroy, size: 3}",
            "f.yaml:4: $.components.M.kind: expected 'memory' or 'array', got 'memroy' (did you mean 'memory'?)",
        ),
        (
            HEAD + "  M: {kind: memory, size: twelve}",
            "f.yaml:4: $.components.M.size: expected an integer, got 'twelve'",
        ),
        (
            HEAD + "  M: {kind: memory, size: 1.5}",
            "f.yaml:4: $.components.M.size: expected an integer, got 1.5",
        ),
        (
            HEAD + "  M: {kind: memory, size: 0}",
            "f.yaml:4: $.components.M.size: expected a number greater than 0, got 0",
        ),
        (
            HEAD + "  B: {kind: array, rows: 0}",
            "f.yaml:4: $.components.B.rows: expected a number of at least 1, got 0",
        ),
        (
            HEAD + "  B: {kind: array, rows: true}",
            "f.yaml:4: $.components.B.rows: expected an integer, got true",
        ),
        (
            HEAD + "  B: {kind: array, rows: 1, side: letf}",
            "f.yaml:4: $.components.B.side: expected 'left' or 'right', got 'letf' (did you mean 'left'?)",
        ),
        (HEAD + "  B: 3", "f.yaml:4: $.components.B: expected keys and values, got 3"),
        (HEAD + "clock: fast", "f.yaml:4: $.clock: expected a number, got 'fast'"),
        (HEAD + "clock: .nan", "f.yaml:4: $.clock: expected a finite number, got nan"),
        (HEAD + "clock:", "f.yaml:4: $.clock: expected a number, got nothing"),
        (HEAD + "ready: perhaps", "f.yaml:4: $.ready: expected true or false, got 'perhaps'"),
        (HEAD + "notes: one", "f.yaml:4: $.notes: expected a list, got 'one'"),
        (HEAD + "notes:\n  - a\n  - {b: 1}", "f.yaml:6: $.notes[1]: expected text, got keys and values"),
        (HEAD + "amount: many", "f.yaml:4: $.amount: expected an integer or a list, got 'many'"),
        ("name: x\ncomponents: {}", "f.yaml:2: $.components: expected a list of at least 1 item, got 0"),
        ("components:\n  A: {kind: array, rows: 2}", "f.yaml:1: $: missing key 'name'"),
        (
            "name: x\ncomponents:\n  - {kind: array, rows: 2, name: A}\n  - {kind: array, rows: 2, name: A}",
            "f.yaml:1: $: the names of components are not unique",
        ),
    ],
)
def test_every_kind_of_mistake(text: str, expected: str) -> None:
    assert errors(Machine, text) == [expected]


def test_all_mistakes_come_at_once_in_file_order() -> None:
    text = "nam: x\ncomponents:\n  A: {kind: array, rows: two}\n  M: {kind: memory, size: 1, sise: 2}\nclock: slow\n"
    assert errors(Machine, text) == [
        "f.yaml:1: $.nam: unknown key 'nam' (did you mean 'name'?)",
        "f.yaml:3: $.components.A.rows: expected an integer, got 'two'",
        "f.yaml:4: $.components.M.sise: unknown key 'sise' (known: name, parent)",
        "f.yaml:5: $.clock: expected a number, got 'slow'",
    ]


def test_line_inside_a_block_of_text() -> None:
    text = "name: x\neinsums: |   # the computation\n  A = B\n\n  C = ? D\n"
    assert errors(Cascade, text) == ["f.yaml:5: $.einsums: unexpected '?'"]
    assert errors(WholeCascade, text) == ["f.yaml:5: $.einsums: unexpected '?'"]


def test_line_inside_a_list_of_lines() -> None:
    text = "name: x\neinsums:\n  - A = B\n  # between\n  - C = ? D\n"
    assert errors(Cascade, text) == ["f.yaml:5: $.einsums[1]: unexpected '?'"]
    assert errors(WholeCascade, text) == ["f.yaml:5: $.einsums[1]: unexpected '?'"]


def test_line_of_text_on_one_line() -> None:
    assert errors(Cascade, "name: x\neinsums: A = ?\n") == ["f.yaml:2: $.einsums: unexpected '?'"]


def test_several_sentences_are_several_problems() -> None:
    text = "name: x\neinsums: |\n  A = B\n  C = ! D\n"
    assert errors(WholeCascade, text) == ["f.yaml:1: $: second", "f.yaml:4: $.einsums: first"]


def test_labels_of_unions_are_no_keys_even_if_spelt_like_one() -> None:
    # The tag 'loop' of the union is also the key 'loop' of the file.
    text = "tree:\n  - loop: M\n    tile: four\n    body:\n      - loop: N\n      - einsum: QK\n        lop: 1\n"
    assert errors(Mapping, text) == [
        "f.yaml:3: $.tree[0].tile: expected an integer, got 'four'",
        "f.yaml:5: $.tree[0].body[0]: missing key 'tile'",
        "f.yaml:7: $.tree[0].body[1].lop: unknown key 'lop'",
    ]


def test_data_without_text_has_paths_but_no_lines() -> None:
    with pytest.raises(InputError) as caught:
        structure(plain_document({"name": "x", "components": {"A": {"kind": "array"}}}, "--set"), Machine)
    assert str(caught.value) == "--set: $.components.A: missing key 'rows'"


def test_validator_message_is_kept() -> None:
    class Even(Noun):
        count: int

        @field_validator("count")
        @classmethod
        def _even(cls, value: int) -> int:
            if value % 2:
                raise ValueError(f"expected an even count, got {value}")
            return value

    assert errors(Even, "count: 3") == ["f.yaml:1: $.count: expected an even count, got 3"]
