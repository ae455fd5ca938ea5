import numpy as np
import pytest

from harness.insight.trust.answer import Answer, is_above, is_below
from harness.insight.trust.interval import Interval


@pytest.mark.parametrize(
    ("low", "high", "answer"),
    [(0.1, 0.3, "yes"), (-0.3, -0.1, "no"), (-0.1, 0.1, "can't tell"), (np.nan, np.nan, "can't tell")],
)
def test_an_answer_follows_the_whole_interval(low: float, high: float, answer: Answer) -> None:
    assert is_above(Interval((low + high) / 2, low, high)) == answer
    assert is_above(Interval((low + high) / 2 + 5, low + 5, high + 5), 5) == answer
    reverse: dict[Answer, Answer] = {"yes": "no", "no": "yes", "can't tell": "can't tell"}
    assert is_below(Interval((low + high) / 2 + 5, low + 5, high + 5), 5) == reverse[answer]
