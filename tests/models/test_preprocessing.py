"""`model.input`: what a model does to raw pixels before its network gets them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.cluster.strategy import connect
from harness.config import resolve
from harness.config.cluster import ClusterSection
from harness.data.sources import Split
from harness.errors import ConfigError, DataError
from harness.imports import handed
from harness.insight.saliency import gradcam, lrp, occlusion
from harness.models.build import builder
from harness.models.export import export, load
from harness.models.logits import pixels_to_logits
from harness.training.compile import compiled_chunk
from harness.training.events import Events
from harness.training.state import State

Shape = tuple[int, int, int]


def images(*shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def net(image_shape: Shape, classes: int) -> keras.Model:
    """What it is given goes through `first` as it is."""
    given = keras.Input(image_shape)
    x = keras.layers.Activation("linear", name="first")(given)
    x = keras.layers.Conv2D(4, 3, activation="relu", name="conv")(x)
    return keras.Model(given, keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(x)))


def scaling(image_shape: Shape, classes: int) -> keras.Model:
    return keras.Sequential([keras.Input(image_shape), keras.layers.Rescaling(1 / 255, name="mine"),
                             keras.layers.Flatten(), keras.layers.Dense(classes)])  # fmt: skip


def normalized(image_shape: Shape, classes: int) -> keras.Model:
    """With layers that act otherwise in training: a Resizing of its own too, which says to all after it that it is."""
    given = keras.Input(image_shape)
    x = keras.layers.Conv2D(4, 3)(keras.layers.Resizing(6, 6)(given))
    x = keras.layers.Dropout(0.5)(keras.layers.BatchNormalization()(x))
    return keras.Model(given, keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(x)))


def built(section: dict[str, Any], shape: Shape, model: Any = "test:net", dtype: str | None = None) -> keras.Model:
    config = resolve({"model": {"name": model, "input": section}})
    with handed({"test:net": net, "test:scaling": scaling, "test:normalized": normalized}):
        return builder(config, shape, 5, dtype)()


def given(section: dict[str, Any], pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the network gets."""
    height, width, channels = pixels.shape[1:]
    model = built(section, (height, width, channels))
    assert model.input_shape == (None, height, width, channels)
    return np.asarray(keras.Model(model.input, model.get_layer("first").output)(pixels.astype(np.float32)))


def test_grey_is_what_pillow_makes_of_color() -> None:
    pixels = images(2, 8, 9, 3)
    expected = [np.asarray(Image.fromarray(image).convert("L")) for image in pixels]
    np.testing.assert_allclose(given({"color": "grey"}, pixels)[..., 0], expected, atol=0.6)


def test_grey_images_are_repeated_and_what_has_the_channels_is_left_alone() -> None:
    grey, color = images(2, 8, 9, 1), images(2, 8, 9, 3)
    np.testing.assert_array_equal(given({"color": "rgb"}, grey), np.repeat(grey, 3, axis=3))
    np.testing.assert_array_equal(given({"color": "rgb"}, color), color)
    np.testing.assert_array_equal(given({"color": "grey"}, grey), grey)


def test_larger_is_bilinear_as_pillow_has_it() -> None:
    pixels = images(2, 8, 9, 3)
    larger = [np.asarray(Image.fromarray(image).resize((13, 11), Image.Resampling.BILINEAR)) for image in pixels]
    np.testing.assert_allclose(given({"size": [11, 13]}, pixels), larger, atol=1)


def test_smaller_looks_at_every_pixel() -> None:
    pixels = images(2, 21, 32, 1)
    means = pixels.reshape(2, 7, 3, 8, 4, 1).mean(axis=(2, 4))
    np.testing.assert_allclose(given({"size": [7, 8]}, pixels), means, rtol=1e-6)
    stripes = np.zeros((1, 20, 20, 1), np.uint8)
    stripes[:, ::2] = 255
    assert given({"size": [7, 7]}, stripes).std() < 10, "stripes too fine to be seen are grey"


def test_normalize_is_by_channel_on_pixels_from_0_to_1() -> None:
    pixels = images(2, 8, 9, 3)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    expected = (pixels / 255 - mean) / std
    np.testing.assert_allclose(given({"normalize": {"mean": mean, "std": std}}, pixels), expected, atol=1e-5)
    ends = given({"normalize": {"mean": [0.5], "std": [0.5]}}, np.array([0, 255] * 40, np.uint8).reshape(1, 8, 10, 1))
    np.testing.assert_allclose([ends.min(), ends.max()], [-1, 1], rtol=1e-6)
    np.testing.assert_allclose(given({"normalize": {}}, pixels), pixels / 255, rtol=1e-6)


def test_names_weights_and_frozen_layers_are_those_of_the_network() -> None:
    plain, scaled = built({}, (28, 28, 1), "cnn"), built({"size": [28, 28], "color": "grey"}, (40, 40, 3), "cnn")
    assert [weight.path for weight in plain.weights] == [weight.path for weight in scaled.weights]
    for one, other in zip(plain.get_weights(), scaled.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    config = resolve({"model": {"freeze": ["conv_1"], "input": {"size": [30, 30]}}})
    assert "conv_1/kernel" not in {weight.path for weight in builder(config, (28, 28, 1), 5)().trainable_variables}


def test_the_export_takes_raw_pixels_and_holds_layers_of_keras_alone(tmp_path: Path) -> None:
    model = built({"color": "grey", "size": [9, 9], "normalize": {}}, (20, 22, 3))
    export(model, tmp_path / "model.keras")
    exported, pixels = load(tmp_path / "model.keras"), images(2, 20, 22, 3).astype(np.float32)
    np.testing.assert_allclose(exported(pixels), keras.ops.softmax(model(pixels)), atol=1e-6)
    assert {type(operation).__module__.partition(".")[0] for operation in exported.operations} == {"keras"}


@pytest.mark.slow
def test_a_network_of_keras_takes_mnist_by_two_lines() -> None:
    section = {"size": [32, 32], "color": "rgb", "normalize": {"mean": [0.25], "std": [0.5]}}
    model = built(section, (28, 28, 1), "keras.applications:MobileNet")
    assert model.output_shape == (None, 5)
    first = keras.Model(model.input, model.get_layer("conv1").input)
    ends = np.stack([np.zeros((28, 28, 1)), np.full((28, 28, 1), 255)]).astype(np.float32)
    given_to_it = first(ends)
    assert given_to_it.shape == (2, 32, 32, 3)
    np.testing.assert_allclose(given_to_it[:, 0, 0], [[-0.5] * 3, [1.5] * 3], rtol=1e-6), "and not scaled once more"


def test_the_cnn_does_not_scale_what_is_normalized() -> None:
    assert [layer.name for layer in built({"normalize": {}}, (28, 28, 1), "cnn").layers[:3]] == [
        "pixels", "input_normalize", "conv_1",
    ]  # fmt: skip


def test_half_precision_and_double_are_the_networks() -> None:
    section = {"size": [7, 7], "normalize": {}}
    half, double = (built(section, (9, 9, 3), dtype=dtype) for dtype in ("bfloat16", "float64"))
    assert half.get_layer("input_normalize").compute_dtype == "float32"
    assert half.get_layer("conv").compute_dtype == "bfloat16"
    assert {layer.compute_dtype for layer in double.layers[1:]} == {"float64"}


@pytest.mark.parametrize(("section", "shape", "model", "told"), [
    ({"color": "grey"}, (8, 8, 4), "test:net", "4 channels: it takes 1 or 3"),
    ({"normalize": {"mean": [0.1, 0.2]}}, (8, 8, 3), "test:net", "give 1 or 3"),
    ({"normalize": {"std": [0.1, 0.2, 0.3]}}, (8, 8, 1), "test:net", "std: 3 numbers, but the network gets 1"),
    ({"normalize": {}}, (8, 8, 1), "test:scaling", "scales its pixels itself, by its layer mine"),
    ({}, (28, 28, 1), "keras.applications:MobileNet", "model.input can give it"),
])  # fmt: skip
def test_what_does_not_fit_is_refused(section: dict[str, Any], shape: Shape, model: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refusal:
        built(section, shape, model)
    assert "\n" not in str(refusal.value)


def test_a_run_goes_on_from_a_model_that_already_has_such_layers(tmp_path: Path) -> None:
    first = built({"size": [9, 9]}, (20, 20, 1))
    first.save(tmp_path / "first.keras")
    config = resolve({"model": {"file": str(tmp_path / "first.keras"), "input": {"size": [20, 20]}}})
    model = builder(config, (10, 10, 1), 5)()
    pixels = images(2, 10, 10, 1).astype(np.float32)
    np.testing.assert_allclose(model(pixels), first(keras.layers.Resizing(20, 20)(pixels)), rtol=1e-4, atol=1e-4)


def test_images_too_small_are_told_how_they_become_large_enough() -> None:
    with pytest.raises(DataError, match=r"model\.input\.size: 22"):
        built({}, (8, 8, 1), "cnn")
    assert built({"size": 22}, (8, 8, 1), "cnn").output_shape == (None, 5)
    assert resolve({"model": {"input": {"size": 22}}}) == resolve({"model": {"input": {"size": [22, 22]}}})


@pytest.mark.parametrize(("section", "told"), [
    ({"size": "32"}, "model.input.size"),
    ({"size": True}, "model.input.size"),
    ({"size": [32]}, "model.input.size"),
    ({"size": [0, 32]}, "model.input.size"),
    ({"color": "gray"}, "model.input.color"),
    ({"normalize": {"mean": [123.7]}}, "model.input.normalize.mean"),
    ({"normalize": {"std": [0]}}, "model.input.normalize.std"),
    ({"antialias": True}, "antialias"),
])  # fmt: skip
def test_a_section_that_says_nothing_sensible_is_refused(section: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refusal:
        resolve({"model": {"name": "cnn", "input": section}})
    assert "\n" not in str(refusal.value)


@pytest.mark.slow
def test_one_program_of_xla_and_two_replicas_end_alike() -> None:
    section = {"color": "grey", "size": [9, 9], "normalize": {"mean": [0.4], "std": [0.3]}}
    tree = {"model": {"name": "test:net", "input": section}, "train": {"length": "3 steps", "global_batch": 6},
            "schedule": {"warmup": "0 steps"}, "optimizer": {"name": "sgd"}}  # fmt: skip
    rows = Split(images(12, 20, 22, 3), np.arange(12, dtype=np.int32) % 3)
    ended = []
    for cpus, jit in ((1, "on"), (2, "off")):
        config = resolve(tree, [f"train.jit={jit}"])
        cluster, events = connect(ClusterSection(logical_cpus=cpus)), Events.of(config, len(rows))
        with handed({"test:net": net}):
            state = State(config, cluster, events, builder(config, (20, 22, 3), 3))
        assert compiled_chunk(config, cluster, state, rows, 0, pytest.fail)(3).steps == 3
        ended.append(state.model.get_weights())
    for one, two in zip(*ended, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", [gradcam, lrp, occlusion])
def test_maps_are_of_the_raw_pixels(method: Callable[..., Any]) -> None:
    logits = pixels_to_logits(built({"color": "grey", "size": [9, 9], "normalize": {}}, (20, 22, 3)), (20, 22, 3))
    maps = np.asarray(method(logits, images(2, 20, 22, 3), np.array([0, 1])))
    assert maps.shape == (2, 20, 22)
    assert np.isfinite(maps).all()


def test_the_exported_model_infers_where_a_call_says_nothing(tmp_path: Path) -> None:
    model = built({"size": [9, 9]}, (12, 12, 3), "test:normalized")
    export(model, tmp_path / "model.keras")
    pixels = images(4, 12, 12, 3).astype(np.float32)
    for each in (keras.saving.load_model(tmp_path / "model.keras"), load(tmp_path / "model.keras")):
        np.testing.assert_array_equal(each(pixels), each(pixels, training=False))
        assert not np.allclose(each(pixels), each(pixels, training=True))
