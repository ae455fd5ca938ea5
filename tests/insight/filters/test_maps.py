import keras
import numpy as np
from numpy.typing import NDArray

from harness.insight.filters import feature_maps


def test_feature_maps_are_what_the_layers_give(cnn: keras.Model, images: NDArray[np.uint8]) -> None:
    maps = feature_maps(cnn, images)
    assert {name: values.shape for name, values in maps.items()} == {
        "conv_1": (6, 32, 26, 26),
        "conv_2": (6, 64, 11, 11),
        "conv_3": (6, 64, 3, 3),
    }
    kernel, bias = cnn.get_layer("conv_1").get_weights()
    before = np.einsum("hwc,hwcf->f", images[4, 10:13, 7:10] / 255, kernel) + bias
    np.testing.assert_allclose(maps["conv_1"][4, :, 10, 7], np.maximum(before, 0), rtol=1e-4, atol=1e-6)


def test_after_an_activation_that_is_a_layer_of_its_own(images: NDArray[np.uint8]) -> None:
    inputs = keras.Input((28, 28, 1))
    hidden = keras.layers.BatchNormalization()(keras.layers.Conv2D(2, 3, name="conv")(inputs))
    model = keras.Model(inputs, keras.layers.ReLU()(hidden))
    expected = model(images.astype(np.float32)).numpy()
    np.testing.assert_array_equal(feature_maps(model, images)["conv"], np.moveaxis(expected, -1, 1))


def test_a_model_with_one_convolutional_layer() -> None:
    inputs = keras.Input((5, 4, 3))
    hidden = keras.layers.Conv2D(2, 3, name="only")(inputs)
    model = keras.Model(inputs, keras.layers.Dense(2)(keras.layers.Flatten()(hidden)))
    assert feature_maps(model, np.ones((7, 5, 4, 3)))["only"].shape == (7, 2, 3, 2)
