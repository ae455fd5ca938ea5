"""Expected calibration error, and precision and recall by class."""

import numpy as np
import pytest

from harness.report.calibration import Calibration, reliability_picture
from harness.report.class_scores import class_scores, classes_section


def test_the_error_is_the_mean_distance_of_confidence_and_accuracy() -> None:
    """Four images said with 0.9, of which two are right, and one with 0.58, which is right."""
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.1, 0.9], [0.1, 0.9], [0.58, 0.42]], np.float32)
    calibration = Calibration.of(probabilities, np.array([0, 1, 0, 1, 0], np.int32))
    assert calibration.error == pytest.approx(4 / 5 * 0.4 + 1 / 5 * 0.42, rel=1e-6)
    assert calibration.counts.tolist() == [0] * 8 + [1] + [0] * 4 + [4, 0]
    told = calibration.as_json()
    assert told["bins"]["accuracy"][13] == 0.5
    assert told["bins"]["accuracy"][0] is None


def test_one_that_is_right_as_often_as_it_says_has_no_error() -> None:
    random = np.random.default_rng(0)
    said = random.uniform(0.5, 1, 200_000)
    labels = (random.uniform(size=200_000) > said).astype(np.int32)
    probabilities = np.stack([said, 1 - said], axis=1).astype(np.float32)
    assert Calibration.of(probabilities, labels).error < 0.005


def test_a_bin_is_closed_above_and_the_last_holds_certainty() -> None:
    calibration = Calibration.of(np.array([[1.0, 0.0], [0.5, 0.5]], np.float32), np.array([0, 0], np.int32), bins=2)
    assert calibration.counts.tolist() == [1, 1]
    assert reliability_picture(calibration).png.startswith(b"\x89PNG")


def test_precision_and_recall_are_shares_of_what_is_predicted_and_of_what_is() -> None:
    labels, predicted = np.array([0, 0, 0, 2, 2, 5], np.int32), np.array([0, 2, 2, 2, 2, 3])
    scores = {score.name: score for score in class_scores(labels, predicted)}
    assert list(scores) == [0, 2, 3, 5]
    assert scores[0].precision == 1
    assert scores[0].recall == pytest.approx(1 / 3)
    assert (scores[2].precision, scores[2].recall) == (0.5, 1)
    assert (scores[3].precision, scores[3].recall) == (0, None)
    assert (scores[5].precision, scores[5].recall) == (None, 0)


def test_of_many_classes_those_found_least_are_tabled() -> None:
    labels = np.arange(100, dtype=np.int32)
    predicted = np.where(labels < 40, 99, labels)
    (table,) = classes_section(class_scores(labels, predicted)).tables
    assert len(table.rows) == 30
    assert {row.cells[4] for row in table.rows} == {"0.00%"}
