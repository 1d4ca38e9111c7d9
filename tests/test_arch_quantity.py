"""Quantities: units to stored units and back, and every refusal word for word."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from arch.quantity import Dimension, exact_quantity, format_quantity, is_quantity, parse_quantity

DIMENSIONS: tuple[Dimension, ...] = ("size", "bandwidth", "frequency", "energy", "area", "time", "length")


@pytest.mark.parametrize(
    ("text", "dimension", "stored"),
    [
        ("16 MiB", "size", 16 * 2**20 * 8),
        ("16 MB", "size", 16e6 * 8),
        ("32KiB", "size", 32 * 1024 * 8),
        ("4096 bit", "size", 4096),
        ("2 Mibit", "size", 2 * 2**20),
        ("2 Mbit", "size", 2e6),
        ("1 byte", "size", 8),
        ("940 MHz", "frequency", 940e6),
        ("1.2 GHz", "frequency", 1.2e9),
        ("400 GiB/s", "bandwidth", 400 * 2**30 * 8),
        ("3.35 TB/s", "bandwidth", 3.35e12 * 8),
        ("10 Gbps", "bandwidth", 1e10),
        ("249.6 pJ", "energy", 249.6),
        ("0 pJ", "energy", 0),
        ("1 fJ", "energy", 1e-3),
        ("2 J", "energy", 2e12),
        ("1 um^2", "area", 1),
        ("1 um2", "area", 1),
        ("0.43 mm2", "area", 430000),
        ("1 cm^2", "area", 1e8),
        ("1.03e8 um2", "area", 1.03e8),
        ("45 nm", "length", 45),
        ("0.09 um", "length", 90),
        ("5 us", "time", 5e-6),
        (" 16  MiB ", "size", 16 * 2**20 * 8),
        (".5 MiB", "size", 2**22),
    ],
)
def test_text_with_a_unit_becomes_the_stored_unit(text: str, dimension: Dimension, stored: float) -> None:
    assert parse_quantity(text, dimension) == stored


SIZE = "expected a size such as '16 MiB', got "


@pytest.mark.parametrize(
    ("value", "dimension", "message"),
    [
        ("16 MBy", "size", SIZE + "'16 MBy' (did you mean '16 MB'?)"),
        ("16 KB", "size", SIZE + "'16 KB' (did you mean '16 KiB'?)"),
        ("940 MHz", "size", SIZE + "'940 MHz', which is a frequency"),
        ("400 GiB/s", "size", SIZE + "'400 GiB/s', which is a bandwidth"),
        (16, "size", SIZE + "16, which has no unit"),
        ("16", "size", SIZE + "'16', which has no unit"),
        (1.5e9, "frequency", "expected a frequency such as '940 MHz', got 1500000000.0, which has no unit"),
        (True, "size", SIZE + "true"),
        (None, "size", SIZE + "nothing"),
        ({"a": 1}, "size", SIZE + "a mapping"),
        ([1], "size", SIZE + "a list"),
        ("", "size", SIZE + "''"),
        ("MiB", "size", SIZE + "'MiB'"),
        ("big", "size", SIZE + "'big'"),
        ("-16 MiB", "size", SIZE + "'-16 MiB', which is negative"),
        ("nan MiB", "size", SIZE + "'nan MiB', which is not finite"),
        ("inf MiB", "size", SIZE + "'inf MiB', which is not finite"),
        ("-inf MiB", "size", SIZE + "'-inf MiB', which is not finite"),
        ("1e999 MiB", "size", SIZE + "'1e999 MiB', which is too large"),
        ("1e9999999999 MiB", "size", SIZE + "'1e9999999999 MiB'"),
        ("16 MiB", "energy", "expected an energy such as '249.6 pJ', got '16 MiB', which is a size"),
        (
            "3 GB/sec",
            "bandwidth",
            "expected a bandwidth such as '400 GiB/s', got '3 GB/sec' (did you mean '3 GB/s'?)",
        ),
        ("1 mm3", "area", "expected an area such as '1 um2', got '1 mm3' (did you mean '1 mm2'?)"),
        ("45", "length", "expected a length such as '45 nm', got '45', which has no unit"),
    ],
)
def test_what_is_no_quantity_is_refused_in_one_sentence(value: object, dimension: Dimension, message: str) -> None:
    with pytest.raises(ValueError) as refusal:
        parse_quantity(value, dimension)
    assert str(refusal.value) == message


@pytest.mark.parametrize("dimension", DIMENSIONS)
@given(value=st.just(0.0) | st.floats(min_value=1e-29, max_value=1e30))
def test_exact_text_gives_back_the_same_float(dimension: Dimension, value: float) -> None:
    assert parse_quantity(exact_quantity(value, dimension), dimension) == value


@pytest.mark.parametrize("dimension", DIMENSIONS)
@given(value=st.floats(min_value=1e-6, max_value=1e18))
def test_readable_text_is_within_its_four_digits(dimension: Dimension, value: float) -> None:
    assert parse_quantity(format_quantity(value, dimension), dimension) == pytest.approx(value, rel=6e-4)


@pytest.mark.parametrize(
    ("value", "dimension", "text"),
    [
        (16 * 2**23, "size", "16 MiB"),
        (4, "size", "4 bit"),
        (12, "size", "12 bit"),
        (16, "size", "2 B"),
        (1023 * 8, "size", "1023 B"),
        (1000 * 2**23, "size", "1000 MiB"),
        (400 * 2**33, "bandwidth", "400 GiB/s"),
        (940e6, "frequency", "940 MHz"),
        (249.6, "energy", "249.6 pJ"),
        (0, "energy", "0 pJ"),
        (0.028036, "energy", "28.04 fJ"),
        (1.03e8, "area", "1.03 cm2"),
        (45, "length", "45 nm"),
        (-2e12, "energy", "-2 J"),
    ],
)
def test_readable_text(value: float, dimension: Dimension, text: str) -> None:
    assert format_quantity(value, dimension) == text


@pytest.mark.parametrize(("text", "claim"), [("5 um3", True), ("1e3um2", True), ("5*depth", False), ("depth", False)])
def test_a_number_with_a_word_reads_as_a_quantity(text: str, claim: bool) -> None:
    assert is_quantity(text) is claim
