import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config import resolve
from harness.data import sources
from harness.errors import ConfigError, DataError

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Save an .npz of sound arrays, some of them replaced; None leaves one out."""

    def save(compressed: bool = False, **replaced: Any) -> str:
        random = np.random.default_rng(0)
        arrays: dict[str, Any] = {
            "x_train": random.integers(0, 256, (12, 28, 28), dtype=np.uint8),
            "y_train": np.arange(12) % 10,
            "x_test": random.integers(0, 256, (5, 28, 28), dtype=np.uint8),
            "y_test": np.arange(5),
        }
        arrays |= replaced
        path = tmp_path / "own.npz"
        (np.savez_compressed if compressed else np.savez)(path, **{k: v for k, v in arrays.items() if v is not None})
        return str(path)

    return save


def refusal(source: str) -> str:
    """The one line with which `source` is refused."""
    with pytest.raises(DataError) as refused:
        sources.load(source)
    message = str(refused.value)
    assert "\n" not in message
    assert message.startswith("data.source: ")
    assert source in message
    return message


def test_mnist_is_the_whole_set() -> None:
    mnist = sources.load("mnist")
    assert mnist.x_train.shape == (60_000, 28, 28, 1)
    assert mnist.x_test.shape == (10_000, 28, 28, 1)
    assert mnist.x_train.dtype == mnist.x_test.dtype == np.uint8
    assert mnist.y_train.dtype == mnist.y_test.dtype == np.int32
    assert (mnist.classes, mnist.image_shape) == (10, (28, 28, 1))
    assert mnist.y_train[:5].tolist() == [5, 0, 4, 1, 9]


def test_gray_images_get_a_channel(write: Write) -> None:
    data = sources.load(write())
    assert data.x_train.shape == (12, 28, 28, 1)
    assert data.x_test.shape == (5, 28, 28, 1)
    assert data.y_train.dtype == np.int32


def test_colour_images_of_any_size_are_taken_as_they_are(write: Write) -> None:
    images = np.random.default_rng(1).integers(0, 256, (17, 20, 32, 3), dtype=np.uint8)
    data = sources.load(write(x_train=images[:12], x_test=images[12:], compressed=True))
    assert data.image_shape == (20, 32, 3)
    np.testing.assert_array_equal(data.x_train, images[:12])


def test_classes_count_the_labels_of_both_sets(write: Write) -> None:
    assert sources.load(write(y_test=np.array([0, 1, 2, 3, 16]))).classes == 17


def test_validation_is_the_last_of_the_training_rows(write: Write) -> None:
    data = sources.load(write())
    train, validation, test = data.splits(5)
    assert (len(train), len(validation), len(test)) == (7, 5, 5)
    np.testing.assert_array_equal(np.concatenate([train.images, validation.images]), data.x_train)
    np.testing.assert_array_equal(np.concatenate([train.labels, validation.labels]), data.y_train)
    np.testing.assert_array_equal(test.labels, data.y_test)
    assert len(data.splits(0)[1]) == 0


@pytest.mark.parametrize("validation", [12, 100])
def test_validation_must_leave_training_rows(write: Write, validation: int) -> None:
    with pytest.raises(DataError, match=rf"^data\.validation: {validation} .* of the 12 .*at most 11\b"):
        sources.load(write()).splits(validation)


def test_an_unknown_name_is_told_the_known_ones() -> None:
    assert "(mnist, fashion_mnist, cifar10, cifar100)" in refusal("mnits")


def test_a_folder_is_no_data_set(tmp_path: Path) -> None:
    assert f"write folder:{tmp_path}" in refusal(str(tmp_path))


@pytest.mark.parametrize("missing", ["x_train", "y_train", "x_test", "y_test"])
def test_all_four_arrays_must_be_there(write: Write, missing: str) -> None:
    assert "x_train, y_train, x_test, y_test" in refusal(write(**{missing: None}))


@pytest.mark.parametrize("content", [b"", b"not an archive", b"PK\x03\x04 nor this", b"\x93NUMPY"])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "other.npz"
    path.write_bytes(content)
    said = refusal(str(path))
    assert "can't be read" in said
    assert ".npz file" in said


def test_a_single_array_is_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "single.npy", np.zeros((3, 28, 28), np.uint8))
    assert "can't be read as an .npz file" in refusal(str(tmp_path / "single.npy"))


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "texts.npz", "w") as archive:
        for name in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{name}.npy", "text")
    assert "can't be read" in refusal(str(tmp_path / "texts.npz"))


def test_a_truncated_file_is_refused(write: Write) -> None:
    path = Path(write())
    path.write_bytes(path.read_bytes()[:5000])
    assert "can't be read" in refusal(str(path))


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("first", [45, 60, 1000])  # in the first array's header, in its pixels
def test_a_damaged_file_is_refused(write: Write, compressed: bool, first: int) -> None:
    path = Path(write(compressed=compressed))
    data = bytearray(path.read_bytes())
    data[first : first + 100] = b"\xff" * 100
    path.write_bytes(data)
    assert "can't be read" in refusal(str(path))


def test_an_array_whose_header_is_cut_short_is_refused(write: Write) -> None:
    path = Path(write())
    path.write_bytes(path.read_bytes().replace(b"}", b" "))
    assert "can't be read" in refusal(str(path))


def test_an_archive_packed_in_an_unknown_way_is_refused(write: Write) -> None:
    path = Path(write())
    data = bytearray(path.read_bytes())
    entry = data.index(b"PK\x01\x02")  # the first entry of the directory; its method stands 10 bytes in
    data[entry + 10] = 99
    path.write_bytes(data)
    assert "can't be read" in refusal(str(path))


def test_objects_are_never_unpickled(write: Write) -> None:
    assert "can't be read" in refusal(write(y_train=np.array([{"a": 1}] * 12, dtype=object)))


@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((12, 28, 28), np.float32), "not float32 (12, 28, 28)"),
        (np.zeros((12, 28, 28), np.int64), "not int64 (12, 28, 28)"),
        (np.zeros((12, 784), np.uint8), "not uint8 (12, 784)"),
        (np.zeros((12, 28, 28, 1, 1), np.uint8), "not uint8 (12, 28, 28, 1, 1)"),
        (np.zeros((0, 28, 28), np.uint8), "there are no images: uint8 (0, 28, 28)"),
        (np.zeros((12, 3, 28, 28), np.uint8), "(12, 3, 28, 28) have their channels first: give np.moveaxis(x, 1, 3)"),
    ],
)
def test_images_must_be_pixels(write: Write, images: Any, told: str) -> None:
    assert told in refusal(write(x_train=images))


@pytest.mark.parametrize("name", ["y_train", "y_test"])
@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (np.arange(4), "labels for 5 t"),
        (np.zeros(5, np.float32), "5 integers, not float32 (5,)"),
        (np.zeros((5, 1), np.int64), "5 integers, not int64 (5, 1)"),
        (np.zeros(5, bool), "5 integers, not bool (5,)"),
        (np.array(["a"] * 5), "5 integers, not <U1 (5,)"),
        (np.array([0, 1, 2, 3, -1]), "found -1"),
        (np.array([0, 1, 2, 3, 2**31 + 1]), "found 2147483649"),
        (np.array([0, 1, 2, 3, 2**64 - 1], np.uint64), "found 18446744073709551615"),
    ],
)
def test_labels_must_be_one_small_integer_an_image(write: Write, name: str, labels: Any, told: str) -> None:
    images = {"x_train": np.zeros((5, 28, 28), np.uint8)} if name == "y_train" else {}
    assert told in refusal(write(**images, **{name: labels}))


@pytest.mark.parametrize("shape", [(5, 28, 27), (5, 28, 28, 3)])
def test_train_and_test_images_must_have_one_shape(write: Write, shape: tuple[int, ...]) -> None:
    told = refusal(write(x_test=np.zeros(shape, np.uint8)))
    assert "train images (28, 28)" in told
    assert f"test images {shape[1:]}" in told


def test_rows_that_are_not_there() -> None:
    sources.check_rows([0, 9999], 10_000)
    for row in (-1, 10_000):
        with pytest.raises(DataError, match=f"--images {row}: .*10,000 test images, 0 to 9,999"):
            sources.check_rows([3, row], 10_000)


@pytest.mark.parametrize(
    ("source", "told"),
    [("foldr:photos", "folder:photos"), ("there", "folder:there"), ("csvs:a.csv", "csv:a.csv")],
)
def test_what_was_probably_meant_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, told: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    with pytest.raises(DataError, match=told):
        sources.load(source)


def test_a_module_of_ones_own_that_is_called_almost_as_a_kind_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "folders.py").write_text(
        "import numpy as np\n"
        "def load():\n"
        "    part = np.zeros((4, 8, 8), np.uint8), np.arange(4) % 2\n"
        "    return part, part\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "folders", raising=False)
    assert sources.load("folders:load").classes == 2
    with pytest.raises(DataError, match=r"csv:a\.csv"):
        sources.load("csv.x:a.csv")


def test_a_space_after_the_kind_is_named() -> None:
    with pytest.raises(ConfigError, match="folder:PATH, without a space"):
        resolve({}, ["data.source=folder: photos"])
