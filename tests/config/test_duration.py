"""Durations: what is read, what is refused, exact arithmetic, and text that reads back."""

from fractions import Fraction

import pytest

from harness.config.duration import Duration

NUMBERS = [
    "0",
    "1",
    "0.1",
    "2.5",
    "0.3333333333333333",
    "0.00001",
    "0.000000000123",
    "123456789012345.25",
    "1000000",
]


@pytest.mark.parametrize(
    ("text", "amount", "unit"),
    [
        ("5 epochs", Fraction(5), "epochs"),
        ("1 epoch", Fraction(1), "epochs"),
        ("300steps", Fraction(300), "steps"),
        ("  20000   examples  ", Fraction(20000), "examples"),
        ("0.1 epochs", Fraction(1, 10), "epochs"),
        ("10 minutes", Fraction(10), "minutes"),
        ("0 steps", Fraction(0), "steps"),
    ],
)
def test_reads_a_number_and_a_unit(text: str, amount: Fraction, unit: str) -> None:
    assert Duration.parse(text) == Duration(amount, unit)


@pytest.mark.parametrize(
    "value",
    [
        "5",
        5,
        5.0,
        None,
        True,
        "",
        "epochs",
        "nan epochs",
        "inf steps",
        "5 epochs more",
        ["5 epochs"],
    ],
)
def test_refuses_what_is_not_a_number_and_a_unit_and_shows_how_to_write_one(value: object) -> None:
    with pytest.raises(ValueError, match=r"'5 epochs'.*epochs, steps, examples, minutes"):
        Duration.parse(value)


@pytest.mark.parametrize("value", ["-5 epochs", " -0.5steps "])
def test_a_negative_one_is_told_as_that(value: str) -> None:
    with pytest.raises(ValueError, match="negative"):
        Duration.parse(value)


@pytest.mark.parametrize("unit", ["parsecs", "hours", "stepss", "e"])
def test_an_unknown_unit_is_named_with_those_there_are(unit: str) -> None:
    with pytest.raises(ValueError, match=f"'{unit}'.*epochs, steps, examples, minutes"):
        Duration.parse(f"5 {unit}")


@pytest.mark.parametrize("number", NUMBERS)
@pytest.mark.parametrize("unit", ["epochs", "steps", "examples", "minutes"])
def test_its_text_reads_back_to_the_same_duration(number: str, unit: str) -> None:
    duration = Duration.parse(f"{number} {unit}")
    assert Duration.parse(str(duration)) == duration


def test_a_share_is_read_where_one_is_taken() -> None:
    assert Duration.parse("20%", ("epochs", "%")) == Duration(Fraction(20), "%")
    assert str(Duration.parse("1 %", ("%",))) == "1 %"


def test_whole_numbers_are_written_without_a_point() -> None:
    assert str(Duration.parse("5.0 epochs")) == "5 epochs"
    assert str(Duration.parse("0.25 epoch")) == "0.25 epochs"


def test_one_is_written_in_the_singular() -> None:
    assert str(Duration.parse("1 epochs")) == "1 epoch"
    assert str(Duration.parse("1.0 steps")) == "1 step"


def test_examples_are_exact_fractions() -> None:
    assert Duration.parse("3 epochs").examples(55_000, 128) == 165_000
    assert Duration.parse("3 steps").examples(55_000, 128) == 384
    assert Duration.parse("3 examples").examples(55_000, 128) == 3
    tenth = Duration.parse("0.1 epochs").examples(55_000, 128)
    assert isinstance(tenth, Fraction)
    assert 10 * tenth == 55_000  # 10 · 55000 · 0.1 in floats would be 55000.00000000001


def test_minutes_in_seconds() -> None:
    assert Duration.parse("1.5 minutes").seconds == 90.0
