"""Each map against the paper's formula on a model of 4×4 positions, worked out in NumPy."""

from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from tf_keras_vis.scorecam import Scorecam

from harness.insight.layers import cam_layer
from harness.insight.saliency.cams import ablationcam, cam_cells, gradcam, gradcam_plus_plus, layercam, scorecam
from harness.insight.saliency.grid import cam_grid
from harness.models.logits import IndependentLogits

CAMS = [gradcam, gradcam_plus_plus, layercam, scorecam, ablationcam]

Images = NDArray[np.uint8]
Labels = NDArray[np.int32]


class ByHand:
    """Two feature maps of as many positions as there are pixels, and two logits that are linear in them."""

    def __init__(self, relu_layer: bool) -> None:
        pixels = keras.Input((4, 4, 1))
        features = keras.layers.Conv2D(2, 1, activation=None if relu_layer else "relu")(pixels)
        features = keras.layers.ReLU()(features) if relu_layer else features
        self.model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(features)))
        random = np.random.default_rng(0)
        self.dense = random.normal(size=(32, 2)).astype(np.float32)
        self.model.set_weights([np.array([[[[1.0, -2.0]]]]), np.array([-3.0, 9.0]), self.dense])
        self.image = random.integers(0, 10, (1, 4, 4, 1))
        self.activations = self.features(self.image[0])

    def features(self, image: NDArray[np.float64]) -> NDArray[np.float64]:
        features: NDArray[np.float64] = np.maximum(image * np.array([1.0, -2.0]) + np.array([-3.0, 9.0]), 0)
        return features

    def gradient(self, label: int) -> NDArray[np.float32]:
        return self.dense[:, label].reshape(4, 4, 2)


@pytest.fixture(params=[False, True], ids=["relu in the layer", "relu as a layer"])
def by_hand(request: pytest.FixtureRequest) -> ByHand:
    return ByHand(request.param)


@pytest.mark.parametrize("label", [0, 1])
def test_gradcam_by_hand(by_hand: ByHand, label: int) -> None:
    weights = by_hand.gradient(label).mean(axis=(0, 1))
    expected = np.maximum((by_hand.activations * weights).sum(axis=-1), 0)
    maps = gradcam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_gradcam_plus_plus_by_hand(by_hand: ByHand, label: int) -> None:
    g, activations = by_hand.gradient(label), by_hand.activations
    alpha = g**2 / (2 * g**2 + g**3 * activations.sum(axis=(0, 1)))
    assert (g < 0).any()
    alpha /= np.where(g > 0, alpha, 0).sum(axis=(0, 1))
    weights = (alpha * np.maximum(g, 0)).sum(axis=(0, 1))
    maps = gradcam_plus_plus(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], np.maximum((activations * weights).sum(axis=-1), 0), rtol=1e-4, atol=1e-6)


def test_gradcam_plus_plus_does_not_overflow_where_a_logit_is_large(by_hand: ByHand) -> None:
    by_hand.model.set_weights([*by_hand.model.get_weights()[:2], 100 * by_hand.dense])
    assert by_hand.model(by_hand.image).numpy().max() > 100  # e^100 is beyond float32
    assert np.isfinite(gradcam_plus_plus(by_hand.model, by_hand.image, np.array([0]))).all()


@pytest.mark.parametrize("label", [0, 1])
def test_layercam_by_hand(by_hand: ByHand, label: int) -> None:
    expected = (np.maximum(by_hand.gradient(label), 0) * by_hand.activations).sum(axis=-1)
    maps = layercam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_scorecam_by_hand(by_hand: ByHand, label: int) -> None:
    expected = np.zeros((4, 4))
    for feature_map in np.moveaxis(by_hand.activations, -1, 0):
        mask = (feature_map - feature_map.min()) / np.ptp(feature_map)
        logits = by_hand.features(by_hand.image[0] * mask[..., np.newaxis]).reshape(-1) @ by_hand.dense
        probabilities = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
        expected += probabilities[label] * feature_map
    maps = scorecam(by_hand.model, by_hand.image, np.array([label]))
    np.testing.assert_allclose(maps[0], np.maximum(expected, 0), rtol=1e-4, atol=1e-6)


def test_scorecam_is_that_of_tf_keras_vis_where_cells_are_pixels(by_hand: ByHand) -> None:
    theirs = Scorecam(keras.Model(by_hand.model.inputs, by_hand.model.outputs))(
        lambda outputs: outputs[:, 1],
        by_hand.image.astype(np.float32),
        penultimate_layer=cam_layer(by_hand.model).name,
        seek_penultimate_conv_layer=False,
        normalize_cam=False,
    )
    np.testing.assert_allclose(scorecam(by_hand.model, by_hand.image, np.array([1])), theirs, rtol=1e-4)


@pytest.mark.parametrize("label", [0, 1])
def test_ablationcam_by_hand(by_hand: ByHand, label: int) -> None:
    logit = by_hand.activations.reshape(-1) @ by_hand.dense[:, label]
    weights = []
    for feature in (0, 1):
        without = by_hand.activations.copy()
        without[..., feature] = 0
        weights.append((logit - without.reshape(-1) @ by_hand.dense[:, label]) / abs(logit))
    expected = np.maximum((by_hand.activations * weights).sum(axis=-1), 0)
    maps = ablationcam(by_hand.model, by_hand.image, np.array([label]))
    assert expected.max() > 0
    np.testing.assert_allclose(maps[0], expected, rtol=1e-4, atol=1e-5)


def test_ablationcam_within_a_branch_leaves_the_other_as_it_is() -> None:
    """The logit is 3 a + 5 a + 2, and without the features of the branch, 3 a, it is 5 a + 2."""
    pixels = keras.Input((2, 2, 1))
    branch = keras.layers.Conv2D(1, 1, use_bias=False, name="branch")(pixels)
    other = keras.layers.Conv2D(1, 1, use_bias=False)(pixels)
    flat = keras.layers.GlobalAveragePooling2D()(branch + other)
    model = keras.Model(pixels, keras.layers.Dense(1, name="logits")(flat))
    model.get_layer("branch").kernel.assign([[[[3.0]]]])
    model.layers[2].kernel.assign([[[[5.0]]]])
    model.get_layer("logits").set_weights([np.ones((1, 1)), np.array([2.0])])
    image = np.array([1.0, 2.0, 3.0, 6.0]).reshape(1, 2, 2, 1)  # of mean 3: the logit is 26, and 17 without
    maps = ablationcam(model, image, np.array([0]), layer="branch")
    np.testing.assert_allclose(maps[0], (26 - 17) / 26 * 3 * image[0, ..., 0], rtol=1e-5)


@pytest.mark.parametrize("method", CAMS)
def test_cells_stand_at_the_centres_of_their_receptive_fields(
    method: Any, cnn: keras.Model, images: Images, labels: Labels
) -> None:
    """Those of conv_3 see pixels 0 to 17, 4 to 21 and 8 to 25, so that 8.5, 12.5 and 16.5 are their centres; the third
    ones go no further, since the pooling of 2×2 drops them."""
    images, labels = images[:2], labels[:2]
    cells = cam_cells(method.__name__, cnn, images, labels)
    assert cells.shape == (2, 3, 3)
    assert not cells[:, 2].any()
    assert not cells[:, :, 2].any()
    share = np.zeros(28)  # of the second cell in each pixel's value; the first has the rest
    share[9:13] = (9 - 8.5) / 4, (10 - 8.5) / 4, (11 - 8.5) / 4, (12 - 8.5) / 4
    share[13:] = 1
    weights = np.stack([1 - share, share], axis=1)
    weights[22:] = 0  # pixels that only the third cells see
    expected = np.einsum("pr,nrc,qc->npq", weights, cells[:, :2, :2], weights)
    maps = method(cnn, images, labels)
    assert maps.max() > 0
    np.testing.assert_allclose(maps, expected, rtol=1e-5, atol=1e-6 * maps.max())


def test_scorecam_masks_the_image_where_its_cells_stand() -> None:
    """One feature, 2×1 cells that see two rows each: the centres are at rows 0.5 and 2.5, and row 4 is seen by none."""
    pixels = keras.Input((5, 1, 1))
    features = keras.layers.Conv2D(1, (2, 1), strides=(2, 1), use_bias=False)(pixels)
    model = keras.Model(pixels, keras.layers.Dense(2, use_bias=False)(keras.layers.Flatten()(features)))
    dense = np.array([[0.5, 0.0], [0.25, 0.0]], np.float32)
    model.set_weights([np.ones((2, 1, 1, 1)), dense])
    image = np.array([0.0, 1.0, 2.0, 3.0, 9.0])  # cells 1 and 5
    mask = np.array([0, 0.25, 0.75, 1, 0])  # from 0 to 1 over the rows 0.5 to 2.5, then held
    masked = image * mask
    logits = np.array([masked[0] + masked[1], masked[2] + masked[3]]) @ dense
    probability = np.exp(logits[0]) / np.exp(logits).sum()
    cells = cam_cells("scorecam", model, image.reshape(1, 5, 1, 1), np.array([0]))
    np.testing.assert_allclose(cells[0, :, 0], probability * np.array([1, 5]), rtol=1e-5)


def test_where_what_a_cell_sees_is_not_known_each_has_an_equal_part_of_the_image() -> None:
    pixels = keras.Input((4, 6, 1))
    unknown = keras.layers.Reshape((2, 3, 4))(pixels)
    features = keras.layers.Conv2D(1, 1, use_bias=False)(unknown)
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(features)))
    grid = cam_grid(model)
    assert not grid.by_fields
    np.testing.assert_allclose(grid.rows.centres, [0.5, 2.5])
    np.testing.assert_allclose(grid.columns.centres, [0.5, 2.5, 4.5])
    maps = grid.on_pixels(np.array([[[0, 2, 4], [8, 10, 12]]], np.float32))
    np.testing.assert_allclose(maps[0, 0], [0, 0.5, 1.5, 2.5, 3.5, 4])
    np.testing.assert_allclose(maps[0, :, 0], [0, 2, 6, 8])


def test_a_grid_says_what_a_page_tells_of_it(cnn: keras.Model) -> None:
    last, first = cam_grid(cnn), cam_grid(cnn, "conv_1")
    assert (last.layer, last.shape, last.is_coarse, last.by_fields) == ("conv_3", (3, 3), True, True)
    assert last.reaching.tolist() == [[True, True, False], [True, True, False], [False] * 3]
    assert (first.layer, first.shape, first.is_coarse) == ("conv_1", (26, 26), False)


@pytest.mark.parametrize("method", CAMS)
def test_another_layer_gives_another_map(method: Any, cnn: keras.Model, images: Images, labels: Labels) -> None:
    images, labels = images[:2], labels[:2]
    last = method(cnn, images, labels)
    np.testing.assert_array_equal(method(cnn, images, labels, layer="conv_3"), last)
    assert not np.allclose(method(cnn, images, labels, layer="conv_2"), last)


@pytest.mark.parametrize("method", CAMS)
def test_the_output_of_an_addition_can_be_looked_at(method: Any) -> None:
    """It is what a layer that passes it on gives."""
    pixels = keras.Input((5, 4, 1))
    left, right = (keras.layers.Conv2D(2, 3, padding="same", bias_initializer="ones")(pixels) for _ in range(2))
    passed_on = keras.layers.Activation("linear", name="passed_on")(left + right)
    model = keras.Model(pixels, keras.layers.Dense(3)(keras.layers.GlobalMaxPooling2D()(passed_on)))
    (name,) = (each.name for each in model.operations if not isinstance(each, keras.Layer))
    given = np.random.default_rng(0).integers(0, 9, (2, 5, 4, 1)), np.array([0, 2])
    np.testing.assert_allclose(method(model, *given, layer=name), method(model, *given, layer="passed_on"), rtol=1e-5)


def test_scorecam_weighs_by_sigmoids_where_classes_are_independent() -> None:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((6, 6, 1))
    maps = keras.layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones", name="maps")(pixels)
    logits = keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(maps))
    image, label = np.random.default_rng(0).integers(1, 9, (1, 6, 6, 1)), np.array([1])
    feature = image[0, ..., 0].astype(float)
    mask = (feature - feature.min()) / np.ptp(feature)
    alike, apart = keras.Model(pixels, logits), keras.Model(pixels, IndependentLogits()(logits))
    z = alike.predict((feature * mask).reshape(1, 6, 6, 1), verbose=0)[0]
    for model, probability in [(alike, np.exp(z[1]) / np.exp(z).sum()), (apart, 1 / (1 + np.exp(-z[1])))]:
        np.testing.assert_allclose(scorecam(model, image, label, layer="maps")[0], probability * feature, rtol=1e-4)
