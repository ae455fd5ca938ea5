from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from keras import layers
from numpy.typing import NDArray

from harness.config import resolve
from harness.errors import UserError
from harness.insight.saliency import lrp
from harness.insight.saliency.lrp import unsupported
from harness.models.build import builder
from harness.models.cnn import build


def model(shape: tuple[int, int, int], *stack: layers.Layer) -> keras.Model:
    """With biases where it has any, drawn anew."""
    sequence = keras.Sequential([keras.Input(shape), *stack])
    random = np.random.default_rng(0)
    for layer in sequence.layers:
        if isinstance(layer, layers.BatchNormalization):
            layer.set_weights([random.uniform(0.5, 2, weight.shape) for weight in layer.weights])
        elif getattr(layer, "bias", None) is not None:
            layer.bias.assign(random.normal(0, 0.2, layer.bias.shape))
    return keras.Model(sequence.inputs[0], sequence.outputs[0])


def noise(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)


def test_a_dense_network_by_hand() -> None:
    """Two dense layers: z^B at the pixels, LRP-ε above."""
    net = model((1, 3, 1), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(2, "relu"), layers.Dense(2))
    lower = np.array([[1.0, -1], [-1, 1], [2, 3]])
    upper = np.array([[1.0, 2], [3, -1]])
    net.set_weights([lower, np.array([0.5, 0.25]), upper, np.array([0.1, 0.2])])
    x = np.array([255, 51, 102]) / 255
    hidden = x @ lower + [0.5, 0.25]
    assert (hidden > 0).all()
    logits = hidden @ upper + [0.1, 0.2]
    # At the logits: ε is 0.5 of their root mean square.
    distance = 0.5 * np.sqrt((logits**2).mean())
    relevance = hidden * upper[:, 0] / (logits[0] + distance) * logits[0]
    # At the pixels, between 0 and 1: without bias.
    shares = x[:, np.newaxis] * lower - np.minimum(lower, 0)
    expected = (shares / shares.sum(axis=0)) @ relevance
    (found,) = lrp(net, np.array([[[[255], [51], [102]]]], np.uint8), np.array([0]), epsilon=0.5)
    np.testing.assert_allclose(found[0], expected, rtol=1e-4)


def test_gamma_by_hand_also_where_inputs_have_signs() -> None:
    """A convolution of 1 by 1 on three channels, one of them negative, between dense layers of a kind."""
    net = model(
        (1, 1, 1),
        layers.Rescaling(1 / 255),
        layers.Conv2D(3, 1, use_bias=False, name="first"),
        layers.Conv2D(2, 1, name="second"),
        layers.Flatten(),
        layers.Dense(1, use_bias=False),
    )
    inputs = np.array([2.0, -1, 3])
    weights = np.array([[1.0, -2], [2, 1], [1, -1]])
    bias = np.array([0.5, -0.5])
    net.set_weights([2 * inputs.reshape(1, 1, 1, 3), weights.reshape(1, 1, 3, 2), bias, np.array([[1.0], [1]])])
    contributions = inputs[:, np.newaxis] * weights
    outputs = contributions.sum(axis=0) + bias
    assert (np.sign(outputs) == [1, -1]).all()
    gamma = 0.5
    raised = contributions + gamma * np.where(np.sign(contributions) == np.sign(outputs), contributions, 0)
    sums = raised.sum(axis=0) + bias * (1 + gamma)  # both have their output's sign
    relevance = (raised / sums) @ outputs  # what the logit, their sum, gives back to them with ε = 0
    # All three channels give what they have to the one pixel, which is grey: black or white would take from one sign.
    found = lrp(net, np.full((1, 1, 1, 1), 127.5), np.array([0]), gamma=gamma, epsilon=0.0)
    np.testing.assert_allclose(found.item(), relevance.sum(), rtol=1e-4)


def without_biases() -> keras.Model:
    net = build("cnn", (28, 28, 1), 10, seed=1)
    assert all((weight.numpy() == 0).all() for weight in net.weights if weight.name == "bias")
    return net


def residual() -> keras.Model:
    pixels = keras.Input((12, 12, 3))
    x = layers.ZeroPadding2D(1)(layers.Rescaling(1 / 127.5, -1)(pixels))
    x = layers.ReLU()(layers.Conv2D(4, 3, use_bias=False)(x))
    y = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(layers.Dropout(0.5)(x))
    x = layers.Add()([x, layers.Activation("relu")(y)])
    y = layers.Conv2D(4, 1, use_bias=False)(x)
    x = layers.Concatenate()([layers.AveragePooling2D(2)(y + x), layers.MaxPooling2D(2)(x)])
    x = layers.Conv2D(6, 3, groups=2, strides=2, padding="same", activation="relu", use_bias=False)(x)
    x = layers.Reshape((3, 18))(x)
    x = layers.Dense(5, use_bias=False)(layers.Flatten()(x))
    return keras.Model(pixels, x)


def pooled() -> keras.Model:
    return model(
        (9, 9, 1),
        layers.Conv2D(4, 3, activation="relu", use_bias=False),
        layers.GlobalAveragePooling2D(),
        layers.Dense(3, use_bias=False),
    )


@pytest.mark.parametrize("made", [without_biases, residual, pooled])
def test_without_biases_and_epsilon_the_map_adds_up_to_the_logit(made: Callable[[], keras.Model]) -> None:
    net = made()
    images = noise(4, *net.input_shape[1:])
    labels = np.array([0, 2, 1, 0])
    logits = net(images.astype(np.float32)).numpy()[np.arange(4), labels]
    found = lrp(net, images, labels, epsilon=0.0).sum(axis=(1, 2))
    np.testing.assert_allclose(found, logits, rtol=2e-3)


def test_batch_normalization_is_one_with_the_layer_before_it() -> None:
    net = model(
        (8, 8, 1),
        layers.Conv2D(4, 3),
        layers.BatchNormalization(),
        layers.ReLU(),
        layers.DepthwiseConv2D(3, depth_multiplier=2),
        layers.BatchNormalization(scale=False),
        layers.ReLU(),
        layers.Flatten(),
        layers.Dense(6, use_bias=False),
        layers.BatchNormalization(center=False),
        layers.ReLU(),
        layers.Dense(3),
    )
    merged = model(
        (8, 8, 1),
        layers.Conv2D(4, 3, activation="relu"),
        layers.DepthwiseConv2D(3, depth_multiplier=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(6, activation="relu"),
        layers.Dense(3),
    )
    plain = [layer for layer in net.layers if layer.weights]
    into = [layer for layer in merged.layers if layer.weights]
    for layer, norm, one in zip(plain[:6:2], plain[1:6:2], into[:3], strict=True):
        gamma = norm.gamma.numpy() if norm.scale else 1
        beta = norm.beta.numpy() if norm.center else 0
        scale = gamma / np.sqrt(norm.moving_variance.numpy() + norm.epsilon)
        kernel = layer.kernel.numpy()
        by_channel = scale.reshape(kernel.shape[2:]) if isinstance(layer, layers.DepthwiseConv2D) else scale
        bias = layer.bias.numpy() if layer.use_bias else 0
        one.set_weights([kernel * by_channel, (bias - norm.moving_mean.numpy()) * scale + beta])
    merged.layers[-1].set_weights(net.layers[-1].get_weights())
    images, labels = noise(3, 8, 8, 1), np.array([0, 1, 2])
    np.testing.assert_allclose(net(images), merged(images), rtol=1e-3, atol=1e-3)
    expected = lrp(merged, images, labels)
    np.testing.assert_allclose(lrp(net, images, labels), expected, rtol=1e-2, atol=1e-4 * np.abs(expected).max())


def test_the_pixels_rule_knows_what_scaling_makes_of_black_and_white() -> None:
    """A pixel of -1 to 1 and a pixel of 0 to 255 are the same to the same function."""
    plain = model((6, 6, 1), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(3))
    scaled = model(
        (6, 6, 1),
        layers.Rescaling(1 / 127.5, -1),
        layers.Conv2D(4, 3, activation="relu"),
        layers.Flatten(),
        layers.Dense(3),
    )
    kernel, bias, *rest = plain.get_weights()
    scaled.set_weights([kernel * 127.5, bias + 127.5 * kernel.sum(axis=(0, 1, 2)), *rest])
    images, labels = noise(2, 6, 6, 1), np.array([0, 1])
    np.testing.assert_allclose(plain(images), scaled(images), rtol=1e-3, atol=1e-3)
    expected = lrp(plain, images, labels)
    np.testing.assert_allclose(lrp(scaled, images, labels), expected, rtol=1e-2, atol=1e-4 * np.abs(expected).max())


def test_layers_before_the_network_pass_all_on_to_the_pixels() -> None:
    """The network's first convolution still is the one at pixels, and black ones have their share."""
    settings = {"name": "harness.models.vgg:small_vgg", "widths": [4], "depths": [1]}
    network = builder(resolve({"model": settings}), (6, 6, 3), 3)()
    whole = builder(resolve({"model": {**settings, "input": {"color": "rgb", "size": [6, 6]}}}), (15, 16, 1), 3)()
    images = noise(2, 15, 16, 1) * (np.arange(16) > 7)[:, None]
    shown = np.asarray(keras.Model(whole.input, whole.get_layer("scale").input)(images.astype(np.float32)))
    maps, inner = (lrp(model, of, np.array([1, 2])) for model, of in ((whole, images), (network, shown)))
    np.testing.assert_allclose(maps.sum(axis=(1, 2)), inner.sum(axis=(1, 2)), rtol=1e-4)
    assert np.abs(maps[:, :, :8]).sum() > 0


def test_max_pooling_gives_all_to_the_winner() -> None:
    net = model((2, 2, 1), layers.MaxPooling2D(2), layers.Flatten(), layers.Dense(1, use_bias=False))
    net.set_weights([np.array([[2.0]])])
    (found,) = lrp(net, np.array([[[[7], [9]], [[3], [8]]]], np.uint8), np.array([0]), epsilon=0.0)
    np.testing.assert_allclose(found, [[0, 18], [0, 0]], rtol=1e-5)


def _multiplied() -> keras.Model:
    pixels = keras.Input((4, 4, 1))
    x = layers.Conv2D(2, 3, name="conv")(pixels)
    x = layers.Multiply(name="gate")([x, layers.Activation("sigmoid", name="squash")(x)])
    return keras.Model(pixels, layers.Dense(2)(layers.Flatten()(x)))


def _called_twice() -> keras.Model:
    pixels = keras.Input((4, 4, 1))
    twice = layers.Conv2D(1, 3, padding="same", name="twice")
    return keras.Model(pixels, layers.Dense(2)(layers.Flatten()(twice(twice(pixels)))))


def _with_a_constant() -> keras.Model:
    pixels = keras.Input((4, 4, 1))
    return keras.Model(pixels, layers.Dense(2)(layers.Flatten()(pixels + 1)))


@pytest.mark.parametrize(
    ("made", "named"),
    [
        (_multiplied, "squash|gate"),
        (_called_twice, "a layer twice"),
        (_with_a_constant, "Add"),
        (lambda: model((4, 4, 1), layers.Flatten(), layers.Dense(2, "sigmoid")), "dense"),
        (lambda: model((4, 4, 1), layers.SeparableConv2D(2, 3), layers.Flatten(), layers.Dense(2)), "SeparableConv2D"),
    ],
)
def test_a_model_with_a_layer_without_a_rule_is_refused(made: Callable[[], Any], named: str) -> None:
    net = made()
    reason = unsupported(net)
    assert reason is not None
    with pytest.raises(UserError, match=named):
        lrp(net, noise(1, 4, 4, 1), np.array([0]))
    assert unsupported(residual()) is None
