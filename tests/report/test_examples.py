import numpy as np

from harness.report.examples import choose, clearest, confident_mistakes, correct, least_sure

LABELS = np.repeat(np.arange(4, dtype=np.int32), 25)


def test_correct_images_are_correct_and_even_over_the_classes() -> None:
    predicted = np.where(np.arange(100) % 5 == 0, (LABELS + 1) % 4, LABELS).astype(np.int32)
    rows = correct(LABELS, predicted, 10, seed=0)
    assert len(set(rows.tolist())) == 10
    assert (LABELS[rows] == predicted[rows]).all()
    assert LABELS[rows].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]


def test_other_classes_fill_up_for_a_class_that_has_too_few() -> None:
    predicted = np.where((LABELS == 0) & (np.arange(100) > 0), 3, LABELS).astype(np.int32)
    rows = correct(LABELS, predicted, 8, seed=0)
    assert np.bincount(LABELS[rows]).tolist() == [1, 3, 2, 2]


def test_correct_images_follow_the_seed() -> None:
    first, again, other = (correct(LABELS, LABELS, 12, seed).tolist() for seed in (0, 0, 1))
    assert first == again
    assert first != other


def test_mistakes_come_surest_first() -> None:
    labels = np.array([0, 0, 1, 1, 1], np.int32)
    probabilities = np.array([[0.9, 0.1], [0.3, 0.7], [0.2, 0.8], [0.6, 0.4], [0.99, 0.01]], np.float32)
    assert confident_mistakes(labels, probabilities, 2).tolist() == [4, 1]
    assert confident_mistakes(labels, probabilities, 9).tolist() == [4, 1, 3]


def test_clearest_is_the_surest_of_each_class_right_or_wrong() -> None:
    labels = np.array([0, 0, 1, 3], np.int32)
    probabilities = np.array([[0.5, 0.3, 0.1, 0.1], [0.8, 0.1, 0, 0.1], [0.7, 0.2, 0.1, 0], [0, 0, 0, 1]], np.float32)
    assert clearest(labels, probabilities).tolist() == [1, 2, 3]


def test_least_sure_are_those_whose_two_best_classes_are_closest() -> None:
    probabilities = np.array([[0.5, 0.4, 0.1], [0.05, 0.9, 0.05], [0.34, 0.33, 0.33], [0.1, 0.3, 0.6]], np.float32)
    assert least_sure(probabilities, 3).tolist() == [2, 0, 3]


def test_no_image_is_chosen_twice_and_every_kind_gets_its_number() -> None:
    random = np.random.default_rng(0)
    probabilities = random.dirichlet(np.ones(4), 100).astype(np.float32)
    chosen = choose(LABELS, probabilities, 5, seed=0, named=(99, 3, 99))
    rows = [row for kind in chosen.values() for row in kind.tolist()]
    assert len(set(rows)) == len(rows)
    assert chosen["named"].tolist() == [99, 3]
    assert {kind: len(of) for kind, of in chosen.items() if kind != "named"} == {
        "correct": 5 - len({99, 3} & set(correct(LABELS, probabilities.argmax(axis=1), 5, 0).tolist())),
        "mistakes": 5 - len({99, 3} & set(confident_mistakes(LABELS, probabilities, 5).tolist())),
        "unsure": 5,
    }
