from dataclasses import replace

import numpy as np
import pytest

from harness.insight.trust import BASELINES, STEPS, Curves, Faithfulness, Interval, MethodTrust, Sanity, Trust
from harness.report.table import Verdict
from harness.report.trust_section import trust_json, trust_section, trust_table


def faithful(images: int, probability: float) -> Faithfulness:
    values = np.full((images, STEPS + 1), probability, np.float32)
    curves = dict.fromkeys(BASELINES, Curves(values, np.ones((images, 4, 4), np.uint8)))
    return Faithfulness(curves, curves)


def trust(images: int, interval: Interval) -> Trust:
    """One method that deletes better than the edges do, with equal values everywhere."""
    steps = (interval, interval)
    sanity = Sanity(("logits", "conv"), steps, steps, steps, steps)
    controls = {name: faithful(images, 0.75) for name in ("random", "edges")}
    return Trust({"gradient": MethodTrust(faithful(images, 0.5), sanity, interval)}, controls)


MANY = trust(6, Interval(0.524, 0.5, 0.55))
FEW = trust(3, Interval(0.524, np.nan, np.nan))


def test_an_interval_is_told_where_it_is_known() -> None:
    rows = [trust_table(of, {"gradient": 1.0}, []).table.rows[0].cells for of in (MANY, FEW)]
    assert [row[1] for row in rows] == ["0.50 (0.50 to 0.50)", "0.50"]
    assert [row[5] for row in rows] == ["0.52 (0.50 to 0.55)", "0.52"]
    assert [row[3] for row in rows] == [Verdict("yes", good=True), Verdict("no telling", good=None)]


def test_an_interval_that_is_not_known_is_null() -> None:
    found = trust_json(FEW, {"gradient": 1.0})["methods"]["gradient"]
    assert found["stability"] == {"mean": 0.524, "low": None, "high": None}
    assert found["against"]["edges"]["deletion"]["black"] == {"mean": -0.25, "low": None, "high": None}


@pytest.mark.parametrize("of", [MANY, FEW], ids=["many", "few"])
def test_the_cascade_is_drawn_with_and_without_intervals(of: Trust) -> None:
    picture = trust_section(of).pictures[0]
    assert picture.alt.endswith("Gradient 0.52, passes.")
    assert picture.table is not None
    assert picture.table.rows[0].cells == ["Gradient", "signed", "0.524", "0.524"]


def test_error_bars_are_drawn_where_they_are_known() -> None:
    with_bars, without = (trust_section(of).pictures[0].png for of in (MANY, FEW))
    assert with_bars != without


def test_a_correlation_that_is_not_known_is_told_so() -> None:
    method = MANY.methods["gradient"]
    unknown = replace(method.sanity, foreground=(Interval(np.nan, np.nan, np.nan),) * 2)
    picture = trust_section(replace(MANY, methods={"gradient": replace(method, sanity=unknown)})).pictures[0]
    assert picture.alt.endswith("Gradient 0.52, passes.")
    assert picture.table is not None
    assert picture.table.rows[2].cells == ["Gradient", "foreground", "not known", "not known"]
