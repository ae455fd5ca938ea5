from collections.abc import Iterator
from functools import partial
from typing import Any

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.console.tensorflow_lines import without_tracing_warnings
from harness.errors import UserError
from harness.insight.saliency import METHODS, bound, cam_cells, views

FEWER = {
    "smoothgrad": {"samples": 3},
    "integrated_gradients": {"steps": 3},
    "contrast": {"steps": 3},
    "rise": {"masks": 20},
}
Images = NDArray[np.uint8]


@pytest.fixture(scope="module")
def model() -> keras.Model:
    keras.utils.set_random_seed(0)
    pixels = keras.Input((13, 13, 1))
    x = keras.layers.Conv2D(5, 3, activation="relu", name="first")(keras.layers.Rescaling(1 / 255)(pixels))
    x = keras.layers.Conv2D(6, 3, activation="relu")(keras.layers.MaxPooling2D()(x))
    return keras.Model(pixels, keras.layers.Dense(10)(keras.layers.Flatten()(x)))


@pytest.fixture
def images() -> Images:
    return np.random.default_rng(0).integers(0, 256, (6, 13, 13, 1), dtype=np.uint8)


def explain(method: str) -> Any:
    return partial(METHODS[method].explain, **FEWER.get(method, {}))


@pytest.mark.parametrize("method", METHODS)
def test_batched_is_one_by_one(method: str, model: keras.Model) -> None:
    random = np.random.default_rng(2)
    images = random.integers(0, 256, (70, 13, 13, 1), dtype=np.uint8)
    labels = random.integers(0, 10, 70)
    maps = explain(method)(model, images, labels)
    assert maps.shape == (70, 13, 13)
    assert maps.dtype == np.float32
    for index in (0, 63, 64, 69):
        alone = explain(method)(model, images[index : index + 1], labels[index : index + 1])
        np.testing.assert_allclose(maps[index], alone[0], rtol=1e-3, atol=1e-6 * np.abs(maps).max())


@pytest.mark.parametrize("method", METHODS)
def test_only_a_signed_method_has_negative_values(method: str, model: keras.Model, images: Images) -> None:
    maps = explain(method)(model, images, np.array([3, 1, 4, 1, 5, 9]))
    assert maps.max() > 0
    assert (maps.min() < 0) == METHODS[method].signed


@pytest.mark.parametrize("method", METHODS)
def test_refuses_labels_that_do_not_fit(method: str, model: keras.Model, images: Images) -> None:
    with pytest.raises(UserError, match="one label an image"):
        explain(method)(model, images, np.array([1, 2]))
    with pytest.raises(UserError, match="height"):
        explain(method)(model, images[..., 0], np.zeros(6, int))
    with pytest.raises(UserError, match=r"labels from -1 to 9: .*10 classes, 0 to 9"):
        explain(method)(model, images, np.array([3, 1, 4, -1, 5, 9]))
    with pytest.raises(UserError, match=r"labels from 1 to 10: .*10 classes, 0 to 9"):
        explain(method)(model, images, np.array([3, 1, 4, 1, 5, 10]))
    with pytest.raises(UserError, match="labels of float64: give integers"):
        explain(method)(model, images, np.array([3.0, 1, 4, 1, 5, 9]))


@pytest.mark.parametrize("method", METHODS)
def test_refuses_images_and_models_that_do_not_fit(method: str, model: keras.Model, images: Images) -> None:
    labels = np.array([3, 1, 4, 1, 5, 9])
    with pytest.raises(UserError, match=r"shape \(13, 11, 1\): .* takes \(13, 13, 1\)"):
        explain(method)(model, images[:, :, 2:], labels)
    vectors = keras.Sequential([keras.Input((169,)), keras.layers.Dense(10)])
    with pytest.raises(UserError, match=r"shape \(13, 13, 1\): .* takes \(169,\)"):
        explain("gradient")(vectors, images, labels)
    twice = keras.Model(model.inputs[0], [model.outputs[0], model.outputs[0]])
    with pytest.raises(UserError, match="has 2 outputs"):
        explain(method)(twice, images, labels)


@pytest.fixture
def without_retracing_warnings() -> Iterator[None]:
    """TensorFlow adds up the tracings of all models explained in a process: the warning says nothing of this one."""
    with without_tracing_warnings():
        yield


@pytest.mark.usefixtures("without_retracing_warnings")
@pytest.mark.parametrize(
    ("method", "shape"),
    # Of one channel, and where windows, grids of masks and cells have hardly any room.
    [
        *((method, (20, 24, 3)) for method in METHODS),
        *((method, (9, 9, 1)) for method in ("occlusion", "rise", "gradcam")),
    ],
)
def test_takes_a_model_of_another_size_and_prints_nothing(
    method: str, shape: tuple[int, int, int], capfd: pytest.CaptureFixture[str]
) -> None:
    model = keras.Sequential(
        [
            keras.Input(shape),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.Conv2D(5, 3, strides=2, activation="relu"),
            keras.layers.Flatten(),
            keras.layers.Dense(3),
        ]
    )
    images = np.random.default_rng(0).integers(0, 256, (2, *shape), dtype=np.uint8)
    maps = explain(method)(model, images, np.array([0, 2]))
    assert maps.shape == (2, *shape[:2])
    assert np.isfinite(maps).all()
    assert capfd.readouterr() == ("", "")


def test_a_cam_is_compared_in_its_own_cells_and_another_map_in_its_pixels(model: keras.Model, images: Images) -> None:
    labels = np.zeros(len(images), int)
    pixels, cells = views(bound("gradcam", "first"), model, images, labels)
    np.testing.assert_array_equal(pixels, METHODS["gradcam"].explain(model, images, labels, layer="first"))
    whole = cam_cells("gradcam", model, images, labels, layer="first")
    rows, columns = cells.shape[1:]
    assert rows <= whole.shape[1]
    np.testing.assert_array_equal(cells, whole[:, :rows, :columns])
    assert not whole[:, rows:].any()
    pixels, compared = views(bound("gradient"), model, images, labels)
    assert compared is pixels
