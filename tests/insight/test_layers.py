from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.layers import before_activation, cam_layer, convolution, convolutions, features, image_shape
from harness.models.cnn import build

Tensor = Any


def test_convolutions_come_from_the_pixels_upwards(cnn: keras.Model) -> None:
    assert [layer.name for layer in convolutions(cnn)] == ["conv_1", "conv_2", "conv_3"]


def test_a_model_without_convolutions_is_refused() -> None:
    pixels = keras.Input((4, 4, 1))
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(pixels)))
    with pytest.raises(UserError, match="no Conv2D"):
        convolutions(model)


def test_a_layer_is_found_by_name_and_one_that_is_not_there_is_refused_with_those_that_are(cnn: keras.Model) -> None:
    assert convolution(cnn).name == "conv_3"
    assert convolution(cnn, "conv_1").name == "conv_1"
    with pytest.raises(UserError, match=r"'conv_9': .*conv_1, conv_2, conv_3"):
        convolution(cnn, "conv_9")


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
def test_before_activation_is_what_the_activation_is_given(
    images: NDArray[np.uint8], use_bias: bool, padding: str
) -> None:
    pixels = keras.Input((28, 28, 1))
    layer = keras.layers.Conv2D(
        3, (3, 5), strides=2, padding=padding, use_bias=use_bias, activation="relu", bias_initializer="normal"
    )
    outputs = layer(pixels)
    before = keras.Model(pixels, before_activation(keras.Model(pixels, outputs), layer))(images).numpy()
    assert before.min() < 0
    np.testing.assert_allclose(np.maximum(before, 0), keras.Model(pixels, outputs)(images), rtol=1e-5, atol=1e-4)


def test_before_activation_follows_the_layers_weights_and_leaves_the_layer_as_it_was(
    images: NDArray[np.uint8],
) -> None:
    pixels = keras.Input((28, 28, 1))
    layer = keras.layers.Conv2D(2, 3, activation="relu")
    model = keras.Model(pixels, layer(pixels))
    before = keras.Model(pixels, before_activation(model, layer))
    model.set_weights([np.zeros((3, 3, 1, 2)), np.array([-7, 7])])
    assert (before(images).numpy() == [-7, 7]).all()
    assert layer.activation is keras.activations.relu
    assert layer.output is model.output


def behind(convolution: keras.layers.Conv2D, *layers: keras.layers.Layer) -> keras.Model:
    outputs = pixels = keras.Input((9, 8, 1))
    for layer in (convolution, *layers):
        outputs = layer(outputs)
    return keras.Model(pixels, outputs)


def test_an_activation_may_be_a_layer_of_its_own(images: NDArray[np.uint8]) -> None:
    layers = keras.layers
    for following, ends_in in [
        ([layers.ReLU(name="end")], "end"),
        ([layers.BatchNormalization(), layers.LeakyReLU(name="end"), layers.ReLU()], "end"),
        ([layers.BatchNormalization(), layers.Activation("relu", name="end"), layers.MaxPooling2D()], "end"),
        ([layers.BatchNormalization(), layers.MaxPooling2D(), layers.ReLU()], "conv"),
        ([], "conv"),
    ]:
        convolution = layers.Conv2D(3, 3, name="conv")
        assert features(behind(convolution, *following), convolution).name == ends_in
    convolution = layers.Conv2D(3, 3, activation="relu", name="conv")
    assert features(behind(convolution, layers.BatchNormalization(), layers.ReLU()), convolution).name == "conv"
    pixels = keras.Input((9, 8, 1))
    convolution = layers.Conv2D(3, 3, name="conv")
    branch = convolution(pixels)
    assert features(keras.Model(pixels, branch + layers.ReLU()(branch)), convolution).name == "conv"


def test_before_an_activation_layer_is_what_it_is_given(images: NDArray[np.uint8]) -> None:
    normalization = keras.layers.BatchNormalization(gamma_initializer=keras.initializers.Constant(-2))
    convolution = keras.layers.Conv2D(3, 3)
    model = behind(convolution, normalization, keras.layers.ReLU())
    before = keras.Model(model.inputs[0], before_activation(model, convolution))(images[:, :9, :8])
    expected = normalization(convolution(images[:, :9, :8].astype(np.float32)))
    np.testing.assert_allclose(before, expected, rtol=1e-5)


def test_the_size_of_the_images_must_be_known(cnn: keras.Model) -> None:
    assert image_shape(cnn) == (28, 28, 1)
    pixels = keras.Input((None, None, 3))
    with pytest.raises(UserError, match="images of any size"):
        image_shape(keras.Model(pixels, keras.layers.Conv2D(2, 3)(pixels)))


def classifier(body: Callable[[Tensor], Tensor]) -> keras.Model:
    pixels = keras.Input((12, 12, 3))
    return keras.Model(pixels, keras.layers.Dense(2)(body(keras.layers.Rescaling(1 / 255, name="scale")(pixels))))


def conv(name: str, *, filters: int = 4, strides: int = 1) -> keras.layers.Conv2D:
    return keras.layers.Conv2D(filters, 3, strides=strides, padding="same", name=name)


def residual(x: Tensor) -> Tensor:
    """As in a ResNet: the shortcut's convolution comes last in the list of layers, and neither is it the features."""
    for number in (1, 2):
        inner = conv(f"inner_{number}")(keras.layers.ReLU()(conv(f"outer_{number}")(x)))
        x = keras.layers.Add(name=f"add_{number}")([inner, conv(f"shortcut_{number}")(x)])
    return x


def pool(x: Tensor) -> Tensor:
    return keras.layers.GlobalAveragePooling2D()(x)


def keras_example(x: Tensor) -> Tensor:
    x = keras.layers.MaxPooling2D()(keras.layers.ReLU(name="before_the_pool")(conv("conv")(x)))
    return keras.layers.Flatten()(keras.layers.SpatialDropout2D(0.5)(x))


def squeezed(x: Tensor) -> Tensor:
    x = conv("conv")(x)
    gate = keras.layers.Dense(4)(keras.layers.GlobalAveragePooling2D(keepdims=True)(x))
    head = conv("head")(
        keras.layers.GlobalAveragePooling2D(keepdims=True)(keras.layers.Multiply(name="gated")([x, gate]))
    )
    return keras.layers.Flatten()(head)


@pytest.mark.parametrize(
    ("body", "expected"),
    [
        (lambda x: pool(residual(x)), "add_2"),
        (lambda x: pool(keras.layers.ReLU(name="behind")(residual(x))), "behind"),
        (lambda x: keras.ops.mean(residual(x), axis=(1, 2)), "add_2"),
        (keras_example, "before_the_pool"),
        (squeezed, "gated"),
        (lambda x: keras.layers.Flatten()(keras.layers.Conv2D(5, 12)(conv("below")(x))), "below"),
    ],
)
def test_a_cam_looks_at_the_last_feature_maps_before_the_vector(
    body: Callable[[Tensor], Tensor], expected: str
) -> None:
    assert cam_layer(classifier(body)).name == expected


def test_the_shipped_models_are_looked_at_in_conv_3(cnn: keras.Model) -> None:
    assert cam_layer(cnn).name == "conv_3"
    assert cam_layer(build("cnn_two_pools", (28, 28, 1), 10, seed=0)).name == "conv_3"


def patches(x: Tensor) -> Tensor:
    tokens = keras.layers.Reshape((9, 8))(keras.layers.Conv2D(8, 4, strides=4, name="patches")(x))
    return keras.layers.GlobalAveragePooling1D()(keras.layers.Dense(8, activation="gelu")(tokens))


def test_the_patches_of_a_vision_transformer_are_looked_at_only_where_they_are_named() -> None:
    model = classifier(patches)
    with pytest.raises(UserError, match=r"neither pools nor flattens .*insight\.layer, such as patches"):
        cam_layer(model)
    assert cam_layer(model, "patches").name == "patches"


def test_scaled_pixels_are_no_feature_maps() -> None:
    model = classifier(keras.layers.Flatten())
    for name in (None, "scale"):
        with pytest.raises(UserError, match="no layer"):
            cam_layer(model, name)


def test_a_cam_looks_at_any_layer_with_feature_maps_and_a_wrong_name_gets_the_nearest_ones() -> None:
    model = classifier(lambda x: pool(residual(x)))
    for name in ("add_1", "inner_2", "shortcut_1"):
        assert cam_layer(model, name).name == name
    with pytest.raises(UserError, match=r"'ad_1'.* outer_1, add_1, add_2 and 7 more$"):
        cam_layer(model, "ad_1")
