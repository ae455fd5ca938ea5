import numpy as np

from harness.insight.trust.controls import chance, constant, edges

LABELS = np.zeros(1, np.int32)


def test_edges_are_those_of_the_image() -> None:
    image = np.zeros((1, 6, 6, 1), np.uint8)
    image[:, :, 3:] = 10
    (found,) = edges(None, image, LABELS)
    assert (found[:, 2:4] == 40).all()  # 10 · (1 + 2 + 1)
    assert found[:, :2].max() == found[:, 4:].max() == 0


def test_edges_of_an_image_do_not_see_its_neighbours() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    labels = np.zeros(3, np.int32)
    np.testing.assert_array_equal(edges(None, images, labels)[1:2], edges(None, images[1:2], labels[1:2]))


def test_chance_is_the_same_for_an_image_wherever_it_stands() -> None:
    images = np.random.default_rng(0).integers(0, 256, (3, 5, 5, 1), dtype=np.uint8)
    labels = np.zeros(3, np.int32)
    np.testing.assert_array_equal(chance(None, images, labels)[1:], chance(None, images[1:], labels[1:]))
    assert (chance(None, images, labels, seed=1) != chance(None, images, labels)).any()


def test_constant_is_constant() -> None:
    assert np.unique(constant(None, np.zeros((1, 4, 4, 3)), LABELS)).tolist() == [1]
