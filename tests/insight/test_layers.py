import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.errors import UserError
from harness.insight.layers import before_activation, convolution, convolutions, features, image_shape


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
    with pytest.raises(UserError, match="no convolutional layer 'conv_9': it has conv_1, conv_2, conv_3"):
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
