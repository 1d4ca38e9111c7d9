"""YAML text to data with places: whole messages for every mistake that needs no noun."""

from pathlib import Path

import pytest

from sim.load.document import Document, parse_document, parse_set, read_document
from sim.load.problems import InputError, InputProblem, format_path


def error_of(text: str) -> str:
    with pytest.raises(InputError) as caught:
        parse_document(text, "f.yaml")
    return str(caught.value)


def read_error(path: Path) -> str:
    """The message about a file, without the folder of this test."""
    with pytest.raises(InputError) as caught:
        read_document(path)
    return str(caught.value).replace(f"{path.parent}/", "")


def test_data_is_plain_and_remembers_its_lines() -> None:
    text = "name: x\nparts:\n  - size: 16 MiB\n    rows: 3\n  - [1, -2.5, true, null, .inf]\ntext: |\n  one\n  two\n"
    document = parse_document(text, "f.yaml")
    assert document.data == {
        "name": "x",
        "parts": [{"size": "16 MiB", "rows": 3}, [1, -2.5, True, None, float("inf")]],
        "text": "one\ntwo\n",
    }
    lines = {
        (): 1,
        ("name",): 1,
        ("parts",): 2,
        ("parts", 0): 3,
        ("parts", 0, "size"): 3,
        ("parts", 0, "rows"): 4,
        ("parts", 1, 4): 5,
        ("text",): 6,
    }
    assert {path: document.place(path).line for path in lines} == lines
    assert document.place(("text",)).text_line == 7
    assert document.place(("parts", 0, "absent")).line == 3  # the innermost that was written


def test_problem_says_file_line_and_path() -> None:
    document = parse_document("a:\n  - b: 1\n", "dir/f.yaml")
    problem = document.problem(("a", 0, "b"), "too small")
    assert problem == InputProblem("dir/f.yaml", 2, "$.a[0].b", "too small")
    assert str(problem) == "dir/f.yaml:2: $.a[0].b: too small"


def test_path_quotes_keys_that_are_no_names() -> None:
    assert format_path(("a", 2, "fuse-it", "x.y", "")) == "$.a[2].fuse-it['x.y']['']"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x: 1e9", "YAML reads 1e9 as text: write 1.0e+9"),
        ("x: -1.5E3", "YAML reads -1.5E3 as text: write -1.5e+3"),
        ("x: 2.e-3", None),
        ("x: 2e-3", "YAML reads 2e-3 as text: write 2.0e-3"),
        ("x: 1.0e+9", None),
        ("x: '1e9'", None),
        ('x: "no"', None),
        ("x: 010", "YAML reads 010 as the octal number 8: write 10"),
        ("x: -010", "YAML reads -010 as the octal number -8: write -10"),
        ("x: 09", "YAML reads 09 as text: write 9"),
        ("x: 0", None),
        ("x: 0.5", None),
        ("x: 0x10", None),
        ("x: on", "YAML reads on as true: write true, or 'on' in quotes for the text"),
        ("x: Yes", "YAML reads Yes as true: write true, or 'Yes' in quotes for the text"),
        ("x: OFF", "YAML reads OFF as false: write false, or 'OFF' in quotes for the text"),
        ("x: no", "YAML reads no as false: write false, or 'no' in quotes for the text"),
        ("x: True", None),
        ("x: 12:30", "YAML reads 12:30 as a number in base 60: write '12:30' in quotes for the text"),
        ("x: 1:30.5", "YAML reads 1:30.5 as a number in base 60: write '1:30.5' in quotes for the text"),
        ("x: 2024-01-31", "YAML reads 2024-01-31 as a date: write '2024-01-31' in quotes for the text"),
        (
            "x: !!python/name:os.system ''",
            "the tag !!python/name:os.system is not allowed: files are plain data",
        ),
        ("x: !size 3", "the tag !size is not allowed: files are plain data"),
        ("x: !!set {a}", "the tag !!set is not allowed: files are plain data"),
        ("x: !!int five", "expected !!int, got 'five'"),
        ("x: &a [*a]", "an alias contains itself"),
    ],
)
def test_scalars_that_read_otherwise_than_they_look(text: str, message: str | None) -> None:
    if message is None:
        assert list(parse_document(text, "f.yaml").data) == ["x"]
    else:
        path = "$.x[0]" if "alias" in message else "$.x"
        assert error_of(f"# first line\n{text}\n") == f"f.yaml:2: {path}: {message}"


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("on", "YAML reads the key on as a truth value: write 'on' in quotes"),
        ("N", None),
        ("y", None),
        ("3", "YAML reads the key 3 as a number: write '3' in quotes"),
        ("1.5", "YAML reads the key 1.5 as a number: write '1.5' in quotes"),
        ("null", "YAML reads the key null as nothing: write 'null' in quotes"),
        ("2024-01-31", "YAML reads the key 2024-01-31 as a date: write '2024-01-31' in quotes"),
        ("? [a]\n", "expected text as a key, got a list or a mapping"),
        ("'3'", None),
    ],
)
def test_keys_that_are_no_text(key: str, message: str | None) -> None:
    if message is None:
        assert list(parse_document(f"{key}: 1", "f.yaml").data) == [key.strip("'")]
    else:
        assert error_of(f"{key}: 1") == f"f.yaml:1: $: {message}"


def test_equal_keys_name_both_lines() -> None:
    text = "a:\n  size: 1\n  rows: 2\n  size: 3\nb: 1\nb: 2\n"
    assert error_of(text) == (
        "f.yaml:4: $.a.size: the key 'size' stands already on line 2\n"
        "f.yaml:6: $.b: the key 'b' stands already on line 5"
    )


def test_all_problems_come_at_once() -> None:
    assert error_of("a: on\nb:\n  - 010\n").splitlines() == [
        "f.yaml:1: $.a: YAML reads on as true: write true, or 'on' in quotes for the text",
        "f.yaml:3: $.b[0]: YAML reads 010 as the octal number 8: write 10",
    ]


def test_aliases_and_merge_keys() -> None:
    text = "a: &a {p: 1, q: 2}\nb: *a\nc:\n  <<: *a\n  q: 3\nd: {<<: [{p: 7}, *a]}\n"
    document = parse_document(text, "f.yaml")
    assert document.data == {
        "a": {"p": 1, "q": 2},
        "b": {"p": 1, "q": 2},
        "c": {"q": 3, "p": 1},
        "d": {"p": 7, "q": 2},
    }
    assert document.place(("c", "p")).line == 1
    assert document.place(("c", "q")).line == 5
    assert error_of("a: {<<: 3}") == "f.yaml:1: $.a: expected a mapping, or a list of mappings, after '<<'"


def test_aliases_cannot_explode() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 12)]
    assert error_of("\n".join(lines)) == "f.yaml:1: there are more than 200000 values, those of aliases included"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f.yaml: the file is empty"),
        ("# nothing but a comment\n", "f.yaml: the file is empty"),
        ("a: 1\nb: [1, 2\nc: 3\n", "f.yaml:3: not valid YAML: while parsing a flow sequence, did not find "
         "expected ',' or ']' (column 2)"),
        ("a:\n\tb: 1\n", "f.yaml:2: not valid YAML: indent with spaces, not tabs (column 1)"),
        ("a: @x\n", "f.yaml:1: not valid YAML: put text that begins with '@' in quotes (column 4)"),
        ("a: b: c\n", "f.yaml:1: not valid YAML: put text that contains ': ' in quotes (column 5)"),
        ("a: *nope\n", "f.yaml:1: not valid YAML: found undefined alias (column 4)"),
        ("a: 1\n---\nb: 2\n", "f.yaml:2: not valid YAML: expected a single document in the stream, but found "
         "another document (column 1)"),
        ("a: \x00\n", "f.yaml: not valid YAML: control characters are not allowed"),
        ("[" * 900 + "]" * 900, "f.yaml: the values are nested too deeply"),
    ],
)  # fmt: skip
def test_text_that_is_not_yaml(text: str, message: str) -> None:
    assert error_of(text) == message


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1\n- 2\n", "f.yaml:1: $: expected keys and values at the top level, got a list"),
        ("# a\njust text\n", "f.yaml:2: $: expected keys and values at the top level, got 'just text'"),
    ],
)
def test_top_level_is_a_mapping(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "f.yaml").write_text(text)
    assert read_error(tmp_path / "f.yaml") == message


def test_read_document(tmp_path: Path) -> None:
    path = tmp_path / "f.yaml"
    path.write_bytes(b"\xef\xbb\xbfname: \xc2\xb5m\r\nsize: 1\r\n")  # a byte order mark, UTF-8, Windows lines
    document = read_document(path)
    assert isinstance(document, Document)
    assert document.data == {"name": "µm", "size": 1}
    assert document.file == str(path)
    assert document.place(("size",)).line == 2


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "fusemax-cloud.yaml").write_text("a: 1")
    (tmp_path / "binary.yaml").write_bytes(b"a: 1\nb: \xff\n")
    assert read_error(tmp_path / "fusemax-clud.yaml") == (
        "fusemax-clud.yaml: no such file (did you mean 'fusemax-cloud.yaml'?)"
    )
    assert read_error(tmp_path / "zzz.yaml") == "zzz.yaml: no such file"
    assert read_error(tmp_path / "binary.yaml") == "binary.yaml:2: expected UTF-8 text, got the byte 0xff"
    with pytest.raises(InputError) as caught:
        read_document(tmp_path)
    assert str(caught.value) == f"{tmp_path}: expected a YAML file, got a folder"
    with pytest.raises(InputError) as caught:
        read_document(tmp_path / "absent" / "f.yaml")
    assert str(caught.value) == f"{tmp_path}/absent/f.yaml: no such file (there is no folder '{tmp_path}/absent')"


def test_file_without_permission(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: Path, mode: str) -> None:
        raise PermissionError(13, "Permission denied", str(self))

    # The owner of a machine may read everything, so the refusal itself is given.
    (tmp_path / "f.yaml").write_text("a: 1")
    monkeypatch.setattr(Path, "open", refuse)
    assert read_error(tmp_path / "f.yaml") == "f.yaml: cannot be read (Permission denied)"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("seq_len=65536", ("seq_len", 65536)),
        ("a.b=8 MiB", ("a.b", "8 MiB")),
        (" model = XLM", ("model", "XLM")),
        ("x=[1, 2]", ("x", [1, 2])),
        ("x=null", ("x", None)),
        ("x=a=b", ("x", "a=b")),
        ("x=1.0e+9", ("x", 1e9)),
    ],
)
def test_parse_set(text: str, expected: tuple[str, object]) -> None:
    assert parse_set(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("seq_len", "--set: expected key=value, got 'seq_len'"),
        ("=3", "--set: expected key=value, got '=3'"),
        ("a=", "--set: expected a value after 'a=' (write null for none)"),
        ("a.b=1e9", "--set: $.a.b: YAML reads 1e9 as text: write 1.0e+9"),
        ("a={x: on}", "--set: $.a.x: YAML reads on as true: write true, or 'on' in quotes for the text"),
    ],
)
def test_parse_set_refuses(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_set(text)
    assert str(caught.value) == message
