import math

import pytest

from harness.page.wording import capitalized, counted, listed, number, percent


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0"),
        (16384, "16,384"),
        (284.9, "285"),
        (56.94, "56.9"),
        (9.996, "10"),
        (123456, "123,000"),
        (1.5e9, "1,500,000,000"),
        (0.00106066, "0.00106"),
        (3.66e-5, "3.66e-05"),
        (math.inf, "inf"),
    ],
)
def test_a_number_has_three_digits_or_all_of_a_whole_one(value: float, text: str) -> None:
    assert number(value) == text


def test_a_percentage_never_rounds_up_to_certainty() -> None:
    assert [percent(share) for share in (0.5, 0.99949, 0.9999)] == ["50.0%", "> 99.9%", "> 99.9%"]


def test_counts_and_lists_are_english() -> None:
    assert [counted(count, "image") for count in (0, 1, 2000)] == ["0 images", "1 image", "2,000 images"]
    assert [listed(list(parts)) for parts in ("a", "ab", "abc")] == ["a", "a and b", "a, b and c"]
    assert capitalized("a CAM") == "A CAM"
