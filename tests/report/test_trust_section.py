from dataclasses import replace

import numpy as np
import pytest

from harness.insight.trust import (
    BASELINES,
    STEPS,
    AgainstBest,
    BeyondControls,
    ClassSensitivity,
    Curves,
    Faithfulness,
    Interval,
    Kept,
    MethodTrust,
    NotAsked,
    Sanity,
    Stability,
    Trust,
)
from harness.page.table import Verdict
from harness.report.trust_json import DEFINITIONS, trust_json
from harness.report.trust_section import QUESTIONS, trust_section, trust_table

UNKNOWN = Interval(np.nan, np.nan, np.nan)


def faithful(images: int, probability: float) -> Faithfulness:
    values = np.full((images, STEPS + 1), probability, np.float32)
    curves = dict.fromkeys(BASELINES, Curves(values, np.ones((images, 4, 4), np.uint8)))
    return Faithfulness(curves, curves)


def trust(images: int, interval: Interval) -> Trust:
    """One method with equal values everywhere, better than the controls by 0.25."""
    steps = (interval, interval)
    kept = Kept(interval, interval, -0.04)
    sanity = Sanity(("logits", "conv"), 2, steps, steps, steps, steps, steps, steps, kept, None, interval, interval)
    controls = {name: faithful(images, 0.75) for name in ("random", "edges")}
    known = images >= 5
    gain = AgainstBest("edges", *(2 * [Interval(0.25, *(2 * (0.25 if known else np.nan,)))]))
    beyond = BeyondControls(dict.fromkeys(BASELINES, gain), dict.fromkeys(BASELINES, gain))
    classes = ClassSensitivity(interval, interval, interval)
    method = MethodTrust(faithful(images, 0.5), beyond, classes, sanity, Stability(interval, interval, 0.0, None))
    return Trust({"gradient": method}, controls, {"gradient": method.faithfulness.deletion["black"]})


def with_kept(similarity: Interval, absolute: Interval | None = None) -> Trust:
    method = MANY.methods["gradient"]
    kept = Kept(similarity, similarity, -0.04)
    sanity = replace(method.sanity, kept=kept, kept_absolute=absolute and Kept(absolute, absolute, -0.04))
    return replace(MANY, methods={"gradient": replace(method, sanity=sanity)})


MANY = trust(6, Interval(0.524, 0.51, 0.55))
FEW = trust(3, Interval(0.524, np.nan, np.nan))


def test_an_answer_comes_with_its_interval_where_that_is_known() -> None:
    rows = [trust_table(of, {"gradient": 1.0}, {}).rows[0].cells for of in (MANY, FEW)]
    assert rows[0][1:5] == [
        Verdict("no: 0.52 (0.51 to 0.55)", good=False),
        Verdict("yes: 0.25 (0.25 to 0.25)", good=True),
        Verdict("yes: 0.52 (0.51 to 0.55)", good=True),
        Verdict("yes: 0.52 (0.51 to 0.55)", good=True),
    ]
    assert rows[1][1:5] == [Verdict(f"can't tell: {value}", good=None) for value in ("0.52", "0.25", "0.52", "0.52")]
    assert [row[5] for row in rows] == ["0.50 (0.50 to 0.50)", "0.50"]


@pytest.mark.parametrize(
    ("low", "high", "answer", "good"),
    [(0.2, 0.4, "yes", True), (0.4, 0.6, "can't tell", None), (0.6, 0.8, "no", False)],
)
def test_the_page_says_of_a_method_what_its_interval_does(low: float, high: float, answer: str, good: bool) -> None:
    found = with_kept(Interval((low + high) / 2, low, high))
    table = trust_table(found, {"gradient": 1.0}, {})
    cell = table.rows[0].cells[1]
    assert isinstance(cell, Verdict)
    assert cell.words.startswith(f"{answer}: ")
    assert cell.good is good
    assert trust_section(found, {"gradient": 1.0}, {}).pictures[0].alt.endswith(f"depends on the weights: {answer}.")
    assert trust_json(found, {"gradient": 1.0})["methods"]["gradient"]["answers"]["depends_on_weights"] == {
        "answer": answer,
        "mean": pytest.approx((low + high) / 2),
        "low": low,
        "high": high,
    }


def test_a_map_that_only_changes_its_signs_is_told_so() -> None:
    found = with_kept(Interval(0.0, -0.1, 0.1), Interval(0.8, 0.7, 0.9))
    assert trust_table(found, {"gradient": 1.0}, {}).rows[0].cells[1] == Verdict("no: 0.80 (0.70 to 0.90)", False)
    assert "only the signs change" in trust_section(found, {"gradient": 1.0}, {}).paragraphs[0]
    told = trust_json(found, {"gradient": 1.0})["methods"]["gradient"]["sanity"]
    assert told["verdict"] == "only its signs depend on the model"
    assert told["similarity"]["signed"]["mean"] == 0
    assert told["similarity"]["absolute"] == {
        "mean": 0.8,
        "low": 0.7,
        "high": 0.9,
        "of_both": {"mean": 0.8, "low": 0.7, "high": 0.9},
        "null": -0.04,
        "bound": 0.48,
    }
    assert trust_json(MANY, {"gradient": 1.0})["methods"]["gradient"]["sanity"]["similarity"]["absolute"] is None


def test_what_is_not_asked_is_neither_a_yes_nor_a_no() -> None:
    method = replace(MANY.methods["gradient"], class_sensitivity=NotAsked("two classes"))
    found = replace(MANY, methods={"gradient": method})
    assert trust_table(found, {"gradient": 1.0}, {}).rows[0].cells[4] == Verdict("not asked: two classes", None)
    told = trust_json(found, {"gradient": 1.0})["methods"]["gradient"]
    nothing = {"mean": None, "low": None, "high": None}
    assert told["answers"]["class_specific"] == {"answer": "not asked: two classes", **nothing}
    assert told["class_sensitivity"] is None


def test_a_row_has_a_cell_for_each_question_and_a_control_none() -> None:
    table = trust_table(MANY, {"gradient": 1.0}, {})
    assert {len(row.cells) for row in table.rows} == {len(table.headings)}
    assert [cell for row in table.rows[1:] for cell in row.cells[1 : 1 + len(QUESTIONS)]] == [""] * 2 * len(QUESTIONS)


def test_what_a_method_draws_and_how_many_layers_a_step_has_is_told() -> None:
    method = MANY.methods["gradient"]
    stable = replace(method.stability, redrawn=Interval(0.954, 0.94, 0.96))
    drawing = replace(method, stability=stable, sanity=replace(method.sanity, of_layers=53))
    found = replace(MANY, methods={"smoothgrad": drawing})
    notes = " ".join(trust_table(found, {"smoothgrad": 1.0}, {}).notes)
    assert "SmoothGrad 0.954" in notes
    assert "53 layers" in notes
    assert "53 layers" in trust_section(found, {"smoothgrad": 1.0}, {}).pictures[0].caption
    told = trust_json(found, {"smoothgrad": 1.0})["methods"]["smoothgrad"]
    assert told["redrawn"]["mean"] == 0.954
    assert told["sanity"]["steps_of_layers"] == [2, 53]


def test_an_interval_that_is_not_known_is_null() -> None:
    found = trust_json(FEW, {"gradient": 1.0})["methods"]["gradient"]
    assert found["stability"] == {"mean": 0.524, "low": None, "high": None}
    assert found["against"]["edges"]["deletion"]["black"] == {"mean": -0.25, "low": None, "high": None}
    assert found["redrawn"] is None


def test_every_question_is_defined() -> None:
    assert {f"answers.{key}" for key in QUESTIONS} <= set(DEFINITIONS)
    assert set(trust_json(MANY, {"gradient": 1.0})["methods"]["gradient"]["answers"]) == set(QUESTIONS)


@pytest.mark.slow
@pytest.mark.parametrize("of", [MANY, FEW], ids=["many", "few"])
def test_the_cascade_is_drawn_with_and_without_intervals(of: Trust) -> None:
    picture = trust_section(of, {"gradient": 1.0}, {}).pictures[0]
    assert picture.table is not None
    assert picture.table.rows[0].cells == ["Gradient", "own", "0.524", "0.524", "-0.040", ""]
    assert picture.table.rows[1].cells == ["Gradient", "own_absolute", "0.524", "0.524", "-0.040", ""]
    assert picture.table.rows[2].cells == ["Gradient", "signed", "0.524", "0.524", "0.524", "0.524"]


@pytest.mark.slow
def test_error_bars_are_drawn_where_they_are_known() -> None:
    with_bars, without = (trust_section(of, {"gradient": 1.0}, {}).pictures[0].png for of in (MANY, FEW))
    assert with_bars != without


def test_a_correlation_that_is_not_known_is_told_so() -> None:
    method = MANY.methods["gradient"]
    kept = method.sanity.kept._replace(null=np.nan)
    unknown = replace(method.sanity, foreground=(UNKNOWN,) * 2, kept=kept, between_images=UNKNOWN)
    found = replace(MANY, methods={"gradient": replace(method, sanity=unknown)})
    picture = trust_section(found, {"gradient": 1.0}, {}).pictures[0]
    assert picture.alt.endswith("depends on the weights: can't tell.")
    assert picture.table is not None
    assert picture.table.rows[4].cells == ["Gradient", "foreground", "not known", "not known", "", ""]
    assert "nan" not in " ".join(trust_table(found, {"gradient": 1.0}, {}).notes)
