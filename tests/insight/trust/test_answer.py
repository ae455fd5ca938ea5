import numpy as np
import pytest

from harness.insight.trust.interval import Answer, Interval, all_hold, is_above, is_below


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.1, 0.3, "yes"), (-0.3, -0.1, "no"), (-0.1, 0.1, "can't tell"), (np.nan, np.nan, "can't tell")],
)
def test_an_answer_follows_the_whole_interval(low: float, high: float, answer: Answer) -> None:
    assert is_above(Interval((low + high) / 2, low, high)) == answer
    assert is_above(Interval((low + high) / 2 + 5, low + 5, high + 5), 5) == answer
    reverse: dict[Answer, Answer] = {"yes": "no", "no": "yes", "can't tell": "can't tell"}
    assert is_below(Interval((low + high) / 2 + 5, low + 5, high + 5), 5) == reverse[answer]


@pytest.mark.parametrize(
    ("each", "together", "answer"),
    [
        (["yes", "yes"], ["yes", "can't tell"], "yes"),
        (["yes", "no"], ["yes", "can't tell"], "can't tell"),
        (["yes", "no"], ["can't tell", "no"], "no"),
        (["can't tell", "yes"], ["can't tell", "can't tell"], "can't tell"),
    ],
)
def test_all_hold_where_each_does_and_not_where_one_fails_beside_the_others(
    each: list[Answer], together: list[Answer], answer: Answer
) -> None:
    assert all_hold(each, together) == answer
