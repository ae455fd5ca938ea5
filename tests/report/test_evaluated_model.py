from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from harness.errors import DataError, RunError
from harness.report.evaluated_model import of_files, of_run
from harness.runs.run_dir import RunDir

IMAGES = np.random.default_rng(0).integers(0, 256, (20, 12, 10, 3), dtype=np.uint8)
LABELS = np.arange(20) % 4


def layers() -> list[keras.layers.Layer]:
    keras.utils.set_random_seed(1)
    return [
        keras.layers.Conv2D(3, 3, activation="relu"),
        keras.layers.Flatten(),
        keras.layers.Dense(4, activation="softmax"),
    ]


@pytest.fixture(scope="module")
def model_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Somebody's own Sequential model, that takes images from 0 to 1."""
    path = tmp_path_factory.mktemp("own") / "my.keras"
    keras.Sequential([keras.Input((12, 10, 3)), *layers()]).save(path)
    return path


def data(folder: Path, **arrays: Any) -> Path:
    path = folder / "images.npz"
    np.savez(path, **{"images": IMAGES / np.float32(255), "labels": LABELS} | arrays)
    return path


def test_a_model_of_ones_own_says_of_pixels_what_it_says_of_its_inputs(model_file: Path, tmp_path: Path) -> None:
    evaluated = of_files(model_file, data(tmp_path))
    expected = keras.saving.load_model(model_file).predict(IMAGES / np.float32(255), verbose=0)
    np.testing.assert_allclose(evaluated.probabilities, expected, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(evaluated.images, IMAGES, atol=1e-3)
    assert evaluated.name == "my"
    assert evaluated.labels.tolist() == LABELS.tolist()


def test_uint8_is_given_to_the_model_as_it_is(model_file: Path, tmp_path: Path) -> None:
    evaluated = of_files(model_file, data(tmp_path, images=IMAGES))
    expected = keras.saving.load_model(model_file).predict(IMAGES.astype(np.float32), verbose=0)
    np.testing.assert_allclose(evaluated.probabilities, expected, rtol=1e-4, atol=1e-6)
    assert evaluated.images.dtype == np.uint8


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 255.0), (-2.5, 3.0)])
def test_floats_of_other_ranges_become_pixels(model_file: Path, tmp_path: Path, low: float, high: float) -> None:
    inputs = (low + (high - low) * (IMAGES / 255)).astype(np.float32)
    inputs[0, 0, 0, 0], inputs[0, 0, 0, 1] = low, high
    evaluated = of_files(model_file, data(tmp_path, images=inputs))
    assert evaluated.images.min() == pytest.approx(0, abs=1e-3)
    assert evaluated.images.max() == pytest.approx(255, abs=1e-3)
    expected = keras.saving.load_model(model_file).predict(inputs, verbose=0)
    np.testing.assert_allclose(evaluated.probabilities, expected, rtol=1e-3, atol=1e-5)


def test_grey_images_may_leave_out_their_channel_and_arrays_may_be_called_as_in_mnist(tmp_path: Path) -> None:
    inputs = keras.Input((12, 10, 1))
    x = inputs
    for layer in layers():
        x = layer(x)
    keras.Model(inputs, x).save(tmp_path / "grey.keras")
    np.savez(tmp_path / "data.npz", x_test=IMAGES[..., 0], y_test=LABELS)
    assert of_files(tmp_path / "grey.keras", tmp_path / "data.npz").images.shape == (20, 12, 10, 1)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"labels": LABELS[:5]}, r"labels must be 20 integers, not int64 \(5,\)"),
        ({"labels": LABELS.astype(np.float32)}, "labels must be 20 integers, not float32"),
        ({"labels": LABELS - 1}, "labels must be 0 or more, found -1"),
        ({"labels": LABELS + 1}, "label 4 .* 4 classes, 0 to 3"),
        ({"images": IMAGES.astype(np.int32)}, r"images must be uint8 or floats \(n, height, width"),
        ({"images": IMAGES.astype(np.uint16)}, "images must be uint8 or floats, not uint16"),
        ({"images": IMAGES[0]}, "labels must be 12 integers"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "holds no images"),
        ({"images": np.where(IMAGES > 3, IMAGES, np.nan)}, "images must be finite"),
        ({"images": np.where(IMAGES > 3, IMAGES, 1e300)}, r"between -1e\+30 and 1e\+30"),
        ({"images": np.full(IMAGES.shape, 300.0)}, "between 0 and 255: all are 300"),
        ({"images": np.full(IMAGES.shape, -5.0)}, "more than one value.*: all are -5"),
        ({"labels": LABELS + 2**32}, "label 4294967299 .* 4 classes, 0 to 3"),
        ({"images": IMAGES[..., :1]}, r"takes images of shape \(12, 10, 3\), not \(12, 10, 1\)"),
        ({"images": IMAGES[:, :8]}, r"takes images of shape \(12, 10, 3\), not \(8, 10, 3\)"),
    ],
)
def test_arrays_that_do_not_fit_are_refused_in_one_line(
    model_file: Path, tmp_path: Path, arrays: dict[str, Any], words: str
) -> None:
    with pytest.raises((DataError, RunError), match=words) as error:
        of_files(model_file, data(tmp_path, **arrays))
    assert "\n" not in str(error.value)


def test_a_model_that_gives_no_finite_numbers_is_refused(tmp_path: Path) -> None:
    inputs = keras.Input((12, 10, 3))
    huge = keras.layers.Rescaling(1e38)(keras.layers.Rescaling(1e30)(inputs))
    keras.Model(inputs, keras.layers.Dense(4)(keras.layers.Flatten()(huge))).save(tmp_path / "huge.keras")
    with pytest.raises(DataError, match=r"model huge .*not finite for test image 0"):
        of_files(tmp_path / "huge.keras", data(tmp_path))


def test_images_of_one_value_within_a_known_range_are_taken(model_file: Path, tmp_path: Path) -> None:
    assert of_files(model_file, data(tmp_path, images=np.full(IMAGES.shape, 7.0))).images.max() == 7


def test_an_image_that_is_not_there_is_told_before_the_model_is_loaded(unseen_run: RunDir, tmp_path: Path) -> None:
    (tmp_path / "no.keras").touch()
    with pytest.raises(DataError, match=r"--images 20: .*20 test images, 0 to 19"):
        of_files(tmp_path / "no.keras", data(tmp_path), [20])
    with pytest.raises(DataError, match=r"--images -1: .*60 test images, 0 to 59"):
        of_run(unseen_run, unseen_run.read_config(), [3, -1])


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"\x93NUMPY"])
def test_what_is_no_npz_file_is_refused(model_file: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "images.npz").write_bytes(content)
    with pytest.raises(DataError, match=r"images\.npz can't be read"):
        of_files(model_file, tmp_path / "images.npz")


def test_an_npz_file_without_the_arrays_or_with_objects_is_refused(model_file: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", pictures=IMAGES)
    with pytest.raises(DataError, match="images and labels, or x_test and y_test"):
        of_files(model_file, tmp_path / "other.npz")
    with pytest.raises(DataError, match="can't be read"):
        of_files(model_file, data(tmp_path, images=np.array([{"a": 1}] * 20)))


def test_a_model_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"no model .*/nowhere\.keras"):
        of_files(tmp_path / "nowhere.keras", data(tmp_path))


def test_unsafe_content_is_not_loaded(tmp_path: Path) -> None:
    unsafe = keras.Sequential([keras.Input((12, 10, 3)), keras.layers.Lambda(lambda x: x + 1), *layers()])
    unsafe.save(tmp_path / "unsafe.keras")
    with pytest.raises(RunError, match=r"unsafe\.keras .*code, in a Lambda layer") as error:
        of_files(tmp_path / "unsafe.keras", data(tmp_path))
    assert "\n" not in str(error.value)


def test_a_run_is_shown_on_its_test_images(unseen_run: RunDir) -> None:
    evaluated = of_run(unseen_run, unseen_run.read_config())
    assert evaluated.name == "small-run"
    assert evaluated.images.shape == (60, 28, 28, 1)
    expected = keras.saving.load_model(unseen_run.model_file).predict(evaluated.images, verbose=0)
    np.testing.assert_allclose(evaluated.probabilities, expected, rtol=1e-4, atol=1e-6)
