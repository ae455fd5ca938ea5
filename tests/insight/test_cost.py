import keras

from harness.insight.cost import work

PER_VALUE = 10


def test_multiplications_and_values_by_hand() -> None:
    pixels = keras.Input((10, 8, 3))
    hidden = keras.layers.Conv2D(4, 3)(pixels)  # 8 × 6 positions
    hidden = keras.layers.DepthwiseConv2D(3, padding="same", strides=2)(hidden)  # 4 × 3 positions
    hidden = keras.layers.GlobalAveragePooling2D()(keras.layers.ReLU()(hidden))
    model = keras.Model(pixels, keras.layers.Dense(5)(hidden))
    multiplications = 48 * (3 * 3 * 3 * 4) + 12 * (3 * 3 * 4) + 4 * 5
    values = 10 * 8 * 3 + 48 * 4 + 12 * 4 + 12 * 4 + 4 + 5
    assert work(model) == multiplications + PER_VALUE * values
