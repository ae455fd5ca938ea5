import keras
import numpy as np
import pytest

from harness.errors import UserError
from harness.insight.layers import convolution, convolutions, receptive_field


def test_convolutions_come_from_the_pixels_upwards(cnn: keras.Model) -> None:
    assert [layer.name for layer in convolutions(cnn)] == ["conv_1", "conv_2", "conv_3"]


def test_a_model_without_convolutions_is_refused() -> None:
    pixels = keras.Input((4, 4, 1))
    model = keras.Model(pixels, keras.layers.Dense(2)(keras.layers.Flatten()(pixels)))
    with pytest.raises(UserError, match="no Conv2D"):
        convolutions(model)


@pytest.mark.parametrize(
    ("layer", "first", "size"),
    # The middle of 26×26 is unit 13; of 11×11, unit 5, of 3×3, unit 1: each pooling doubles the step.
    [("conv_1", 13, 3), ("conv_2", 2 * 5, 8), ("conv_3", 4 * 1, 18)],
)
def test_receptive_field(cnn: keras.Model, layer: str, first: int, size: int) -> None:
    assert receptive_field(cnn, layer) == (slice(first, first + size), slice(first, first + size))


def test_a_layer_that_answers_to_nothing_sees_the_whole_image() -> None:
    pixels = keras.Input((5, 6, 1))
    model = keras.Model(pixels, keras.layers.Conv2D(2, 3, name="conv")(pixels))
    model.set_weights([np.zeros((3, 3, 1, 2)), np.zeros(2)])
    assert receptive_field(model, "conv") == (slice(0, 5), slice(0, 6))


def test_a_layer_is_found_by_name_and_one_that_is_not_there_is_refused_with_those_that_are(cnn: keras.Model) -> None:
    assert convolution(cnn).name == "conv_3"
    assert convolution(cnn, "conv_1").name == "conv_1"
    with pytest.raises(UserError, match="no convolutional layer 'conv_9': it has conv_1, conv_2, conv_3"):
        convolution(cnn, "conv_9")
