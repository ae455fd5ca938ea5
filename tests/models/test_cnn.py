import keras
import numpy as np
import pytest

from harness.models.cnn import NAMES, build

MNIST = (28, 28, 1)


def weights(model: keras.Model) -> list[np.ndarray]:
    return [weight.numpy() for weight in model.weights]


@pytest.mark.parametrize(("name", "parameters"), [("cnn", 60_554), ("cnn_two_pools", 93_322)])
def test_parameters_and_output(name: str, parameters: int) -> None:
    model = build(name, MNIST, 10, seed=0)
    assert model.count_params() == parameters
    assert sum(layer.count_params() for layer in model.layers if isinstance(layer, keras.layers.Conv2D)) == 55_744
    assert model(np.zeros((5, *MNIST))).shape == (5, 10)
    assert model.name == name


@pytest.mark.parametrize("name", NAMES)
def test_models_are_functional_from_pixels_to_logits(name: str) -> None:
    model = build(name, MNIST, 10, seed=0)
    assert type(model) is keras.src.models.functional.Functional
    assert [tensor.name for tensor in model.inputs] == ["pixels"]
    logits = model(np.random.default_rng(0).integers(0, 256, (50, *MNIST))).numpy()
    assert logits.min() < 0
    assert not np.allclose(np.exp(logits).sum(axis=1), 1)


def test_shape_and_classes_are_those_of_the_data() -> None:
    model = build("cnn", (24, 32, 3), 17, seed=0)
    assert model.input.shape == (None, 24, 32, 3)
    assert model(np.zeros((2, 24, 32, 3))).shape == (2, 17)


@pytest.mark.parametrize(("name", "smallest"), [("cnn", 22), ("cnn_two_pools", 18)])
def test_the_smallest_images_leave_one_unit_before_the_dense_layers(name: str, smallest: int) -> None:
    model = build(name, (smallest, smallest, 1), 10, seed=0)
    assert model.get_layer("flatten").output.shape == (None, 64)


def test_the_seed_alone_decides_the_weights() -> None:
    keras.utils.set_random_seed(1)
    first = weights(build("cnn", MNIST, 10, seed=7))
    keras.utils.set_random_seed(2)
    again = weights(build("cnn", MNIST, 10, seed=7))
    other = weights(build("cnn", MNIST, 10, seed=8))
    for one, same, different in zip(first, again, other, strict=True):
        np.testing.assert_array_equal(one, same)
        assert one.ndim == 1 or not np.array_equal(one, different)  # biases begin at zero


def test_no_two_layers_begin_alike() -> None:
    kernels = [kernel.ravel()[:100] for kernel in weights(build("cnn", MNIST, 10, seed=0)) if kernel.ndim > 1]
    scaled = [np.round(kernel / np.abs(kernel).max(), 6) for kernel in kernels]
    assert len({tuple(kernel) for kernel in scaled}) == 5


def test_pixels_are_scaled_by_the_model_itself() -> None:
    model = build("cnn", MNIST, 10, seed=0)
    scale = keras.Model(model.input, model.get_layer("scale").output)
    np.testing.assert_allclose(scale(np.full((1, *MNIST), 255.0)), np.ones((1, *MNIST)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_dtype_holds_for_weights_and_computation(dtype: str) -> None:
    model = build("cnn", MNIST, 10, seed=0, dtype=dtype)
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.weights} == {dtype}
    assert {layer.compute_dtype for layer in model.layers[1:]} == {dtype}  # the first is the input
    assert model(np.zeros((1, *MNIST), dtype)).dtype == dtype


@pytest.mark.parametrize("name", NAMES)
def test_bfloat16_is_for_the_hidden_layers_only(name: str) -> None:
    model = build(name, MNIST, 10, seed=0, dtype="bfloat16")
    assert {keras.backend.standardize_dtype(weight.dtype) for weight in model.weights} == {"float32"}
    ends = {"pixels", "scale", "logits"}
    assert {layer.name for layer in model.layers if layer.compute_dtype == "float32"} == ends
    assert {layer.compute_dtype for layer in model.layers if layer.name not in ends} == {"bfloat16"}
    for one, other in zip(weights(model), weights(build(name, MNIST, 10, seed=0)), strict=True):
        np.testing.assert_array_equal(one, other)
