import numpy as np

from harness.report.page.confusion import confusion
from harness.report.training_figures import confusion_matrix, confusion_picture, curves_picture, occurring


def test_confusion_matrix_counts_rows_as_true_and_columns_as_predicted() -> None:
    labels, predicted = np.array([0, 0, 1, 2, 2, 2], np.int32), np.array([0, 1, 1, 2, 0, 0])
    assert confusion_matrix(labels, predicted, 3).tolist() == [[1, 1, 0], [0, 1, 0], [2, 0, 1]]


def test_confusion_picture_says_what_it_shows() -> None:
    picture = confusion_picture(np.array([[10, 0, 1], [0, 12, 0], [3, 0, 9]]))
    assert picture.alt == (
        "Confusion matrix: 31 of 35 test images right. Most frequent mistakes: 2 as 0 (3), 0 as 2 (1)."
    )


def test_confusion_picture_without_a_mistake_and_with_many_classes() -> None:
    assert confusion_picture(np.diag([5, 5])).alt.endswith("Most frequent mistakes: none.")
    assert confusion_picture(np.eye(100, dtype=np.int64)).png


def test_curves_of_a_run_without_validation_or_of_no_step_at_all() -> None:
    train = {"step": 1, "split": "train", "loss": 2.0, "accuracy": 0.1, "learning_rate": 0.1}
    assert "Last train: loss 2.0000, accuracy 0.1000." in curves_picture([train]).alt
    assert curves_picture([]).png


def test_of_a_hundred_thousand_classes_those_that_occur_are_counted() -> None:
    labels, predicted = np.array([7, 7, 99_999, 5], np.int32), np.array([7, 99_999, 99_999, 5])
    names = occurring(labels, predicted, 100_000)
    assert names.tolist() == [5, 7, 99_999]
    matrix = confusion_matrix(np.searchsorted(names, labels), np.searchsorted(names, predicted), len(names))
    assert confusion_picture(matrix, names).alt.endswith("Most frequent mistakes: 7 as 99999 (1).")
    (pair,) = confusion(labels, predicted, 100_000).pairs
    assert (pair.label, pair.predicted, pair.count, pair.rows) == (7, 99_999, 1, [1])
