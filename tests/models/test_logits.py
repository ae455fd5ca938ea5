"""What the pictures are made of computes what the user's own model does."""

import re
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from harness.errors import RunError
from harness.models.logits import pixels_to_logits, probabilities

SHAPE = (12, 10, 3)


def sequential() -> keras.Model:
    return keras.Sequential(
        [keras.Input(SHAPE), layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dense(5, "softmax")]
    )


def functional() -> keras.Model:
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(4, 3, padding="same")(image)
    x = layers.BatchNormalization()(x) + layers.Conv2D(4, 1)(image)
    return keras.Model([image], [layers.Activation("softmax")(layers.Dense(5)(layers.GlobalMaxPooling2D()(x)))])


def nested() -> keras.Model:
    image, inner = keras.Input(SHAPE), keras.Input(SHAPE)
    base = keras.Model(inner, layers.Conv2D(4, 3, activation="relu")(inner))
    return keras.Model(image, layers.Softmax()(layers.Dense(5)(layers.Flatten()(base(image)))))


def deeply_nested() -> keras.Model:
    """Names twice, batch normalization that is told not to train, a model shared by two branches, a softmax within."""
    inner = keras.Input((10, 8, 4))
    shared = keras.Model(inner, layers.Conv2D(4, 3, padding="same", activation="relu", name="conv")(inner))
    middle = keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization()])
    image = keras.Input(SHAPE)
    x = middle(image, training=False)
    body = keras.Model(image, layers.Flatten()(shared(x) + shared(shared(x))))
    head = keras.Sequential([keras.Input((320,)), layers.Dense(5, name="conv"), layers.Softmax()])
    return keras.Sequential([keras.Input(SHAPE), body, head])


def normalized() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(1).normal(100, 30, (64, *SHAPE)))
    return keras.Sequential([keras.Input(SHAPE), normalization, layers.Flatten(), layers.Dense(5, "softmax")])


def says(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """As `predict`, without its trace."""
    outputs = model([pixels] if isinstance(getattr(model, "input", None), list) else pixels, training=False)
    said: np.ndarray = keras.tree.flatten(outputs)[0].numpy()
    return said


@pytest.mark.parametrize(
    ("make", "low", "high"),
    [(sequential, 0.0, 255.0), (sequential, 0.0, 1.0)]
    + [(make, -1.0, 1.0) for make in (sequential, functional, nested, deeply_nested, normalized)],
)
def test_the_softmax_of_its_logits_is_what_the_model_says(
    make: Callable[[], keras.Model], low: float, high: float
) -> None:
    keras.utils.set_random_seed(0)
    model = make()
    pixels = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32)
    logits = pixels_to_logits(model, SHAPE, low, high)
    assert logits.input_shape == (None, *SHAPE)
    expected = says(model, pixels * (high - low) / 255 + low)
    np.testing.assert_allclose(keras.ops.softmax(logits(pixels)).numpy(), expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(("make", "convolutions"), [(nested, 1), (deeply_nested, 2)])
def test_models_within_it_are_dissolved(make: Callable[[], keras.Model], convolutions: int) -> None:
    model = make()
    found = pixels_to_logits(model, SHAPE).layers
    assert not [layer for layer in found if isinstance(layer, keras.Model)]
    assert sum(isinstance(layer, layers.Conv2D) for layer in found) == convolutions
    assert any(isinstance(layer, keras.Model) for layer in model.layers), "the model itself is left alone"


@pytest.mark.parametrize("make", [sequential, functional, nested, normalized])
def test_its_operations_know_each_other_and_nothing_else(make: Callable[[], keras.Model]) -> None:
    """What walks the graph asks an operation for its input and output, which are those of its first call anywhere."""
    operations = pixels_to_logits(make(), SHAPE, -1, 1).operations
    made = {id(tensor) for operation in operations for tensor in keras.tree.flatten(operation.output)}
    assert {id(tensor) for operation in operations[1:] for tensor in keras.tree.flatten(operation.input)} <= made
    assert "ConvertToTensor" not in {type(operation).__name__ for operation in operations}


def headed(head: Callable[[keras.KerasTensor], keras.KerasTensor]) -> keras.Model:
    keras.utils.set_random_seed(0)
    image = keras.Input(SHAPE)
    return keras.Model(image, head(layers.Flatten()(layers.Conv2D(2, 3, activation="relu")(image))))


@pytest.mark.parametrize(
    "head",
    [
        lambda x: keras.ops.softmax(layers.Dense(5)(x)),
        lambda x: keras.ops.sigmoid(layers.Dense(5)(x)),
        lambda x: layers.Activation("sigmoid")(layers.Dense(5)(x)),
        layers.Dense(5, activation="sigmoid"),
        layers.Dense(1, activation="sigmoid"),
        lambda x: keras.ops.sigmoid(layers.Dense(1)(x)),
    ],
)
def test_probabilities_of_any_ending_are_those_of_the_model(
    head: Callable[[keras.KerasTensor], keras.KerasTensor],
) -> None:
    model = headed(head)
    pixels = np.random.default_rng(0).uniform(0, 1, (6, *SHAPE)).astype(np.float32)
    logits = pixels_to_logits(model, SHAPE)
    expected = says(model, pixels)
    if expected.shape[1] == 1:
        expected = np.concatenate([1 - expected, expected], axis=1)
    np.testing.assert_allclose(probabilities(logits, logits(pixels).numpy()), expected, rtol=1e-4, atol=1e-6)
    assert np.ptp(expected[:, -1]) > 0.001, "the images must not all say the same"


def test_a_single_logit_speaks_for_one_class_as_it_speaks_against_the_other() -> None:
    model = headed(layers.Dense(1))
    pixels = np.random.default_rng(0).uniform(0, 1, (6, *SHAPE)).astype(np.float32)
    halves, z = pixels_to_logits(model, SHAPE)(pixels).numpy(), says(model, pixels)
    np.testing.assert_allclose(halves, np.concatenate([-z / 2, z / 2], axis=1), rtol=1e-5, atol=1e-5)


def test_probabilities_that_no_known_operation_made_are_refused() -> None:
    model = headed(lambda x: keras.ops.exp(keras.ops.log_softmax(layers.Dense(5)(x))))
    said = refused(model)
    assert "returns probabilities" in said
    assert "softmax" in said


class Forgetful(layers.Layer):  # type: ignore[misc]
    """Multiplies by what its config doesn't tell."""

    def __init__(self, factor: float = 1.0, **settings: object) -> None:
        super().__init__(**settings)
        self.factor = factor

    def get_config(self) -> dict[str, object]:
        return dict(super().get_config())

    def call(self, images: tf.Tensor) -> tf.Tensor:
        return images * self.factor


def test_a_copy_that_says_something_else_is_refused() -> None:
    model = keras.Sequential([keras.Input(SHAPE), Forgetful(3.0), layers.Flatten(), layers.Dense(5)])
    assert re.search(r"can't be copied.* off by up to \d", refused(model))


def test_within_a_strategy_of_four_replicas_it_is_the_same() -> None:
    with tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(4)]).scope():
        model = sequential()
        logits = pixels_to_logits(model, SHAPE)
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.float32)
    np.testing.assert_allclose(probabilities(logits, logits(pixels)), says(model, pixels), rtol=1e-5, atol=1e-6)


def test_a_model_of_logits_stays_one_and_half_precision_becomes_whole() -> None:
    image = keras.Input(SHAPE, dtype="float32")
    x = layers.Conv2D(4, 3, activation="relu", dtype="mixed_bfloat16")(image)
    model = keras.Model(image, layers.Dense(3, dtype="float32")(layers.Flatten(dtype="mixed_bfloat16")(x)))
    pixels = np.random.default_rng(0).integers(0, 256, (2, *SHAPE)).astype(np.float32)
    logits = pixels_to_logits(model, SHAPE)
    assert {layer.compute_dtype for layer in logits.layers} == {"float32"}
    np.testing.assert_allclose(logits(pixels).numpy(), model(pixels).numpy(), rtol=0.05, atol=1)


def test_the_model_itself_is_left_alone() -> None:
    model = sequential()
    before = model.get_weights()
    pixels_to_logits(model, SHAPE).set_weights([np.zeros_like(weight) for weight in before])
    assert model.layers[-1].activation is keras.activations.softmax
    for kept, weight in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(kept, weight)


def refused(model: keras.Model, shape: tuple[int, int, int] = SHAPE) -> str:
    with pytest.raises(RunError) as error:
        pixels_to_logits(model, shape)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_what_is_no_classifier_of_such_images_is_refused() -> None:
    vector = keras.Sequential([keras.Input((7,)), layers.Dense(5)])
    assert "(7,), which are not images" in refused(vector)
    assert "takes images of shape (12, 10, 3), not (28, 28, 1)" in refused(sequential(), (28, 28, 1))
    assert "outputs of shape (10, 8, 4)" in refused(keras.Sequential([keras.Input(SHAPE), layers.Conv2D(4, 3)]))
    image = keras.Input(SHAPE)
    assert "1 inputs and 2 outputs" in refused(keras.Model(image, [layers.Flatten()(image)] * 2))


def test_weights_that_are_not_finite_are_refused_and_named() -> None:
    model = sequential()
    model.layers[0].bias.assign([0.0, np.nan, 0.0, 0.0])
    assert "not finite, in " in refused(model)
    assert "bias" in refused(model)


class Subclass(keras.Model):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.body = [layers.Conv2D(4, 3, activation="relu"), layers.Flatten(), layers.Dropout(0.5), layers.Dense(5)]

    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        for layer in self.body:
            images = layer(images)
        return images


def test_a_subclass_is_one_layer_of_the_copy_alone_or_within_a_model() -> None:
    keras.utils.set_random_seed(0)
    pixels = np.random.default_rng(0).integers(0, 256, (6, *SHAPE)).astype(np.float32)
    alone = Subclass()
    image = keras.Input(SHAPE)
    within = keras.Model(image, layers.Softmax()(alone(image)))
    logits = pixels_to_logits(alone, SHAPE, 0, 1)
    np.testing.assert_allclose(logits(pixels), alone.predict(pixels / 255, verbose=0), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(pixels_to_logits(within, SHAPE, 0, 1)(pixels), logits(pixels), rtol=1e-4, atol=1e-5)
    assert alone in logits.layers


class Broken(keras.Model):  # type: ignore[misc]
    def call(self, images: keras.KerasTensor) -> keras.KerasTensor:
        raise ValueError("what is this?\nIt never worked.")


def test_a_subclass_that_can_not_be_called_is_refused() -> None:
    told = refused(Broken())
    assert "can't be called" in told
    assert "(12, 10, 3)" in told


def test_images_may_have_any_number_of_channels() -> None:
    model = keras.Sequential([keras.Input((6, 6, 8)), layers.Flatten(), layers.Dense(3)])
    pixels = np.random.default_rng(0).integers(0, 256, (2, 6, 6, 8)).astype(np.float32)
    np.testing.assert_allclose(pixels_to_logits(model, (6, 6, 8))(pixels), says(model, pixels), rtol=1e-4, atol=1e-3)
