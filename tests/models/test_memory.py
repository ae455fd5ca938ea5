import math

import keras

from harness.models.cnn import build
from harness.models.memory import estimate_bytes


def test_a_model_counted_by_hand() -> None:
    pixels = keras.Input((4, 4, 1))
    flat = keras.layers.Flatten()(pixels)
    model = keras.Model(pixels, keras.layers.Dense(3)(flat))
    weights, activations = 16 * 3 + 3, 16 + 16 + 3
    # Weights and two slots in three copies, gradients; activations and their gradients, for each of 10 rows.
    assert estimate_bytes(model, optimizer_slots=2, rows=10) == 4 * ((3 * 3 + 1) * weights + 2 * 10 * activations)


def test_pixels_may_be_integers() -> None:
    pixels = keras.Input((4, 4, 1), dtype="uint8")
    model = keras.Model(pixels, keras.layers.Flatten(dtype="float32")(keras.layers.Rescaling(1 / 255)(pixels)))
    assert estimate_bytes(model, optimizer_slots=2, rows=1) == 2 * (16 * 1 + 16 * 4 + 16 * 4)


def test_it_grows_with_rows_and_slots_and_dtype() -> None:
    model = build("cnn", (28, 28, 1), 10, seed=0)
    few, more, many = (estimate_bytes(model, 2, rows) for rows in (1, 2, 1000))
    assert many - few == 999 * (more - few) > 0
    assert estimate_bytes(model, 3, 1) - few == 3 * 4 * 60_554
    assert estimate_bytes(build("cnn", (28, 28, 1), 10, seed=0, dtype="float64"), 2, 1) == 2 * few


def test_bfloat16_halves_what_the_hidden_layers_keep_and_nothing_else() -> None:
    exact, rounded = (build("cnn", (28, 28, 1), 10, seed=0, dtype=dtype) for dtype in ("float32", "bfloat16"))
    assert estimate_bytes(exact, 2, 0) == estimate_bytes(rounded, 2, 0) == 10 * 4 * 60_554
    ends = 2 * 28 * 28 + 10
    all_values = sum(math.prod(layer.output.shape[1:]) for layer in exact.layers)
    saved = estimate_bytes(exact, 2, 1) - estimate_bytes(rounded, 2, 1)
    assert saved == 2 * 2 * (all_values - ends)
