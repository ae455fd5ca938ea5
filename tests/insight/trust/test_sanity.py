"""The check is checked: on a model that has been trained, what must fail fails, and what must pass passes."""

import keras
import numpy as np
import pytest

from harness.insight.saliency import METHODS, Maps, bound
from harness.insight.trust.controls import constant, edges
from harness.insight.trust.sanity import Sanity, cascade, layers_with_weights


@pytest.fixture(scope="module")
def cascades(trained: keras.Model, digits: np.ndarray, predicted: np.ndarray) -> dict[str, Sanity]:
    names = ("gradient", "integrated_gradients", "gradcam", "guided_backpropagation")
    methods = {name: bound(name) for name in names} | {"edges": edges, "constant": constant}
    return cascade(trained, methods, digits[:12], predicted[:12], seeds=2)


@pytest.mark.parametrize("name", ["gradient", "integrated_gradients", "gradcam"])
def test_what_explains_the_model_passes(cascades: dict[str, Sanity], name: str) -> None:
    assert cascades[name].depends_on_model


@pytest.mark.parametrize("name", ["guided_backpropagation", "edges", "constant"])
def test_what_redraws_the_image_fails(cascades: dict[str, Sanity], name: str) -> None:
    assert not cascades[name].depends_on_model


def test_a_map_that_ignores_the_model_does_not_change_at_all(cascades: dict[str, Sanity]) -> None:
    for name in ("edges", "constant"):
        for kind in ("signed", "absolute", "foreground", "ssim"):
            assert [step.mean for step in getattr(cascades[name], kind)] == pytest.approx([1] * 5)
        assert cascades[name].likeness == pytest.approx(1)


def test_the_black_background_gives_integrated_gradients_its_absolute_correlation(
    cascades: dict[str, Sanity],
) -> None:
    found = cascades["integrated_gradients"]
    assert min(step.mean for step in found.absolute) > 0.95
    assert max(step.mean for step in found.foreground) < 0.9
    assert max(abs(step.mean) for step in found.signed) < 0.5


def test_the_cascade_goes_down_from_the_logits_and_keeps_what_was_drawn(trained: keras.Model) -> None:
    """Seen by a map that is the weights themselves: how many layers differ from the trained ones after each step."""
    before = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    changed: list[list[str]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        now = {layer.name: layer.get_weights() for layer in logits.layers if layer.weights}
        changed.append([name for name in before if not np.array_equal(now[name][0], before[name][0])])
        return np.zeros(images.shape[:3], np.float32)

    found = cascade(trained, {"spy": spy}, np.zeros((1, 28, 28, 1)), np.array([0]), seeds=2)["spy"]
    order = ["logits", "dense", "conv_3", "conv_2", "conv_1"]
    assert found.layers == tuple(order)
    expected = [sorted(order[: count + 1]) for count in range(5)]
    assert [sorted(names) for names in changed] == [[], *expected, *expected]


def test_the_weights_are_drawn_by_the_layers_own_initialisers(trained: keras.Model) -> None:
    drawn: list[np.ndarray] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        kernel, bias = logits.get_layer("conv_2").get_weights()
        drawn.append(kernel)
        assert len(drawn) < 5 or not bias.any()  # zeros, as its initialiser says
        return np.zeros(images.shape[:3], np.float32)

    cascade(trained, {"spy": spy}, np.zeros((1, 28, 28, 1)), np.array([0]), seeds=1)
    initializer = trained.get_layer("conv_2").kernel_initializer
    fresh = np.asarray(initializer(drawn[-1].shape))
    assert not np.array_equal(drawn[-1], drawn[0])
    assert drawn[-1].std() == pytest.approx(fresh.std(), rel=0.05)
    assert np.abs(drawn[-1]).max() <= np.abs(fresh).max() * 1.01


def test_the_weights_are_put_back_even_after_an_error(trained: keras.Model, digits: np.ndarray) -> None:
    before = [weight.numpy() for weight in trained.weights]
    calls = []

    def failing(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("in the middle")
        return np.zeros(images.shape[:3], np.float32)

    with pytest.raises(ValueError, match="in the middle"):
        cascade(trained, {"failing": failing}, digits[:1], np.array([0]))
    for weight, value in zip(trained.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_seed_gives_the_same_cascade_and_another_one_another(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    methods = {"gradient": METHODS["gradient"].explain}
    first, again, other = (
        cascade(trained, methods, digits[:3], predicted[:3], seeds=1, seed=seed)["gradient"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first.absolute != other.absolute


def weights_at_the_end(layer: keras.layers.Layer, trained: list[np.ndarray]) -> list[np.ndarray]:
    """Of a layer with the weights `trained`, once the cascade has gone through it."""
    pixels = keras.Input((4, 4, 6))
    model = keras.Model(pixels, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(layer(pixels))))
    layer.set_weights(trained)
    seen: list[list[np.ndarray]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        seen.append(layer.get_weights())
        return np.zeros(images.shape[:3], np.float32)

    found = cascade(model, {"spy": spy}, np.zeros((1, 4, 4, 6)), np.array([0]), seeds=1)["spy"]
    assert found.layers == ("logits", layer.name)
    for weight, value in zip(seen[1], trained, strict=True):
        np.testing.assert_array_equal(weight, value)  # the logits alone are drawn by then
    return seen[-1]


def test_depthwise_kernels_are_drawn_by_the_initialiser_of_another_name() -> None:
    layer = keras.layers.DepthwiseConv2D(3, depthwise_initializer=keras.initializers.Constant(7.0))
    kernel, bias = weights_at_the_end(layer, [np.arange(54.0).reshape(3, 3, 6, 1), np.ones(6)])
    assert (kernel == 7).all()
    assert not bias.any()


def test_both_kernels_of_a_separable_convolution_are_drawn_by_their_initialisers() -> None:
    layer = keras.layers.SeparableConv2D(
        2,
        3,
        depthwise_initializer=keras.initializers.Constant(7.0),
        pointwise_initializer=keras.initializers.Constant(8.0),
    )
    trained = [np.arange(54.0).reshape(3, 3, 6, 1), np.arange(12.0).reshape(1, 1, 6, 2), np.ones(2)]
    depthwise, pointwise, bias = weights_at_the_end(layer, trained)
    assert (depthwise == 7).all()
    assert (pointwise == 8).all()
    assert not bias.any()


def test_a_weight_without_an_initialiser_is_shuffled() -> None:
    (scale,) = weights_at_the_end(keras.layers.RMSNormalization(), [np.arange(6.0)])
    assert sorted(scale.tolist()) == [0, 1, 2, 3, 4, 5]
    assert scale.tolist() != sorted(scale.tolist())


def test_the_statistics_of_the_data_stay() -> None:
    normal = keras.layers.Normalization(name="normal")
    normal.adapt(np.random.default_rng(0).normal(3, 2, (8, 4, 4, 1)))
    assert normal.weights
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.BatchNormalization(name="batch")(normal(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))
    assert [layer.name for layer in layers_with_weights(model)] == ["logits", "batch"]


def test_images_without_a_foreground_are_judged_with_the_signs(trained: keras.Model) -> None:
    grey = np.full((2, 28, 28, 1), 100, np.uint8)
    found = cascade(trained, {"gradient": bound("gradient")}, grey, np.array([1, 2]), seeds=1)["gradient"]
    assert np.isnan([step.mean for step in found.foreground]).all()
    assert found.likeness == np.mean([step.mean for step in found.signed])
