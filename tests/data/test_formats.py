"""Each kind of source that lies on disk, as it is and damaged."""

import gzip
import io
import pickle
import struct
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.data import DataSection
from harness.data import sources
from harness.data.images import Stored
from harness.errors import DataError
from harness.imports import handed

X_TRAIN, X_TEST = (np.random.default_rng(n).integers(0, 256, (n, 32, 32, 3), np.uint8) for n in (50, 20))
Y_TRAIN, Y_TEST = np.arange(50) % 10, np.arange(20) % 10
FASHION = Path("/usr/share/datasets/fashion-mnist")


def refusal(source: str, **others: Any) -> str:
    with pytest.raises(DataError) as refused:
        sources.load(DataSection(source=source, **others))
    assert "\n" not in str(refused.value)
    return str(refused.value)


def idx(array: np.ndarray, code: int = 8) -> bytes:
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, code, array.ndim, *array.shape) + array.tobytes()


@pytest.fixture
def idx_folder(tmp_path: Path) -> Path:
    for name, array in [
        ("train-images-idx3", X_TRAIN[..., 0]),
        ("train-labels-idx1", Y_TRAIN.astype(np.uint8)),
        ("t10k-images-idx3", X_TEST[..., 0]),
        ("t10k-labels-idx1", Y_TEST.astype(np.uint8)),
    ]:
        (tmp_path / f"{name}-ubyte").write_bytes(idx(array))
    return tmp_path


def zip_all(folder: Path, prefix: str = "") -> None:
    for path in list(folder.iterdir()):
        (folder / f"{prefix}{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), 1))
        path.unlink()


def test_idx_files_gzipped_or_not(idx_folder: Path) -> None:
    plain = sources.load(f"idx:{idx_folder}")
    zip_all(idx_folder, "emnist-digits-")
    zipped = sources.load(f"idx:{idx_folder}")
    for data in (plain, zipped):
        np.testing.assert_array_equal(data.x_train[:][..., 0], X_TRAIN[..., 0])
        np.testing.assert_array_equal(data.x_test[:][..., 0], X_TEST[..., 0])
        np.testing.assert_array_equal(data.y_train, Y_TRAIN)
        np.testing.assert_array_equal(data.y_test, Y_TEST)
    assert plain.sha256 == zipped.sha256


def test_idx_files_of_16_bits_and_of_colour(idx_folder: Path) -> None:
    wide = (X_TRAIN[..., 0].astype(">i2") * 64).astype(">i2")
    (idx_folder / "train-images-idx3-ubyte").write_bytes(idx(wide, 0x0B))
    (idx_folder / "t10k-images-idx3-ubyte").write_bytes(idx((X_TEST[..., 0].astype(">i2") * 64).astype(">i2"), 0x0B))
    assert "not int16 (50, 32, 32)" in refusal(f"idx:{idx_folder}")
    scaled = sources.load(DataSection(source=f"idx:{idx_folder}", scale=(0, 255 * 64)))
    np.testing.assert_array_equal(scaled.x_train[:][..., 0], X_TRAIN[..., 0])
    for name, images in (("train", X_TRAIN), ("t10k", X_TEST)):
        (idx_folder / f"{name}-images-idx3-ubyte").unlink()
        (idx_folder / f"{name}-images-idx4-ubyte").write_bytes(idx(images))
    np.testing.assert_array_equal(sources.load(f"idx:{idx_folder}").x_train, X_TRAIN)


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.unlink(), "has no file train-images-idx"),
        (lambda path: path.write_bytes(path.read_bytes()[:900]), "51,200 bytes must follow its header, found 884"),
        (lambda path: path.write_bytes(b"\x89PNG, really"), "is not an IDX file"),
        (lambda path: path.write_bytes(b""), "is not an IDX file"),
        (lambda path: path.with_name("b-train-images-idx3-ubyte").write_bytes(b""), "several data sets, b-train"),
        (lambda path: path.rename(path.with_suffix(".gz")), "can't be unzipped"),
    ],
)
def test_an_idx_folder_that_is_none(idx_folder: Path, harm: Callable[[Path], None], told: str) -> None:
    harm(idx_folder / "train-images-idx3-ubyte")
    said = refusal(f"idx:{idx_folder}")
    assert told in said
    assert str(idx_folder) in said


def test_a_truncated_gz_file(idx_folder: Path) -> None:
    zip_all(idx_folder)
    path = idx_folder / "t10k-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:2000])
    assert f"{path} is damaged: it can't be unzipped" in refusal(f"idx:{idx_folder}")
    assert "there is no folder" in refusal(f"idx:{idx_folder}/none")


@pytest.mark.skipif(not FASHION.is_dir(), reason="needs Fashion-MNIST: apt install dataset-fashion-mnist")
def test_fashion_mnist_is_the_whole_set() -> None:
    data = sources.load(f"fashion_mnist:{FASHION}")
    assert (data.x_train.shape, data.x_test.shape) == ((60_000, 28, 28, 1), (10_000, 28, 28, 1))
    assert np.bincount(data.y_train).tolist() == [6000] * 10
    assert np.bincount(data.y_test).tolist() == [1000] * 10
    assert data.class_names[data.y_train[0]] == "Ankle boot"
    assert data.x_train[:].mean() == pytest.approx(72.94, abs=0.01), "as published: 0.2860 of 255"


def cifar_batch(images: np.ndarray, labels: np.ndarray, key: str) -> bytes:
    """A pickle as Python 2 and NumPy 1 wrote the published ones, with texts that are bytes."""
    data = np.ascontiguousarray(images.transpose(0, 3, 1, 2)).tobytes()

    def text(value: str) -> bytes:
        return b"U" + bytes([len(value)]) + value.encode()

    def number(value: int) -> bytes:
        return b"J" + struct.pack("<i", value)

    dtype = b"cnumpy\ndtype\n" + text("u1") + number(0) + number(1) + b"\x87R"
    dtype += b"(" + number(3) + text("|") + b"NNN" + number(-1) + number(-1) + number(0) + b"tb"
    array = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\n" + number(0) + b"\x85" + text("b") + b"\x87R"
    array += b"(" + number(1) + number(len(images)) + number(3072) + b"\x86" + dtype + b"\x89"
    array += b"T" + struct.pack("<i", len(data)) + data + b"tb"
    numbers = b"](" + b"".join(map(number, labels.tolist())) + b"e"
    return b"\x80\x02}(" + text("data") + array + text(key) + numbers + b"u."


CIFAR10 = {
    **{f"data_batch_{n + 1}": cifar_batch(X_TRAIN[n::5], Y_TRAIN[n::5], "labels") for n in range(5)},
    "test_batch": cifar_batch(X_TEST, Y_TEST, "labels"),
    "batches.meta": pickle.dumps({b"label_names": [f"class {n}".encode() for n in range(10)]}, 2),
}
CIFAR100 = {
    "train": cifar_batch(X_TRAIN, Y_TRAIN, "fine_labels"),
    "test": cifar_batch(X_TEST, Y_TEST, "fine_labels"),
    "meta": pickle.dumps(
        {b"fine_label_names": [f"class {n}".encode() for n in range(100)], b"coarse_label_names": []}, 2
    ),
}


def archive(path: Path, folder: str, files: dict[str, bytes]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz") as file:
        for name, content in files.items():
            member = tarfile.TarInfo(f"{folder}/{name}")
            member.size = len(content)
            file.addfile(member, io.BytesIO(content))
    return path


def test_cifar_of_an_archive_a_folder_and_the_cache_of_keras(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    cache = tmp_path / "keras" / "datasets"
    told = refusal("cifar10")
    assert f"put cifar-10-python.tar.gz, from cs.toronto.edu/~kriz/cifar.html, into {cache}" in told
    file = archive(tmp_path / "c.tar.gz", "cifar-10-batches-py", CIFAR10)
    extracted = cache / "cifar-10-batches-py-target"
    with tarfile.open(file) as opened:
        opened.extractall(extracted, filter="data")
    order = np.concatenate([np.arange(n, 50, 5) for n in range(5)])
    for source in (f"cifar10:{file}", f"cifar10:{extracted}", f"cifar10:{extracted}/cifar-10-batches-py", "cifar10"):
        data = sources.load(source)
        np.testing.assert_array_equal(data.x_train, X_TRAIN[order])
        np.testing.assert_array_equal(data.y_train, Y_TRAIN[order])
        np.testing.assert_array_equal(data.x_test, X_TEST)
        assert data.class_names[3] == "class 3"
    archive(cache / "cifar-100-python-target_archive", "cifar-100-python", CIFAR100)
    data = sources.load("cifar100")
    np.testing.assert_array_equal(data.x_train, X_TRAIN)
    assert data.classes == len(data.class_names) == 100


class _Evil:
    def __reduce__(self) -> tuple[object, ...]:
        return (exec, ("raise SystemExit('ran code of the file')",))


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (
            CIFAR10 | {"test_batch": pickle.dumps({b"data": _Evil()}, 2)},
            "test_batch is damaged, or holds more than arrays",
        ),
        (CIFAR10 | {"test_batch": CIFAR10["test_batch"][:500]}, "test_batch is damaged"),
        (CIFAR10 | {"batches.meta": pickle.dumps({}, 2)}, "is not cifar-10-python.tar.gz"),
        (CIFAR100, "has no data_batch_1, data_batch_2"),
    ],
)
def test_an_archive_that_is_not_cifar(tmp_path: Path, files: dict[str, bytes], told: str) -> None:
    assert told in refusal(f"cifar10:{archive(tmp_path / 'c.tar.gz', 'any', files)}")


def test_an_archive_that_can_not_be_read(tmp_path: Path) -> None:
    file = archive(tmp_path / "c.tar.gz", "any", CIFAR10)
    file.write_bytes(file.read_bytes()[:3000])
    assert "c.tar.gz is not a readable archive" in refusal(f"cifar10:{file}")
    file.write_bytes(b"not one")
    assert "c.tar.gz is not a readable archive" in refusal(f"cifar10:{file}")
    assert "No such file" in refusal(f"cifar10:{tmp_path}/none")


@pytest.fixture
def npy_folder(tmp_path: Path) -> Path:
    for name, array in [("x_train", X_TRAIN), ("y_train", Y_TRAIN), ("x_test", X_TEST), ("y_test", Y_TEST)]:
        np.save(tmp_path / f"{name}.npy", array)
    return tmp_path


def test_npy_files_are_mapped(npy_folder: Path) -> None:
    data = sources.load(f"npy:{npy_folder}")
    assert isinstance(data.x_train, Stored)
    np.testing.assert_array_equal(data.x_train[:], X_TRAIN)
    np.testing.assert_array_equal(data.y_test, Y_TEST)
    np.save(npy_folder / "x_train.npy", X_TRAIN[..., 0])
    np.save(npy_folder / "x_test.npy", X_TEST[..., 0])
    assert sources.load(f"npy:{npy_folder}").image_shape == (32, 32, 1)


def test_mapped_arrays_of_a_function_stay_mapped(npy_folder: Path) -> None:
    def load() -> dict[str, np.ndarray]:
        return {path.stem: np.load(path, mmap_mode="r") for path in npy_folder.glob("*.npy")}

    with handed({"__main__:<load>": load}):
        data = sources.load("__main__:<load>")
    assert isinstance(data.x_train, Stored)
    np.testing.assert_array_equal(data.x_train[5:9], X_TRAIN[5:9])
    assert data.sha256 == sources.load(f"npy:{npy_folder}").sha256


def test_the_digest_of_npy_files_knows_content_and_not_time(npy_folder: Path) -> None:
    before = sources.load(f"npy:{npy_folder}").sha256
    (npy_folder / "x_train.npy").touch()
    assert sources.load(f"npy:{npy_folder}").sha256 == before
    for name, array in (("x_train", X_TRAIN), ("y_test", Y_TEST)):
        changed = array.copy()
        changed[7] ^= 1
        np.save(npy_folder / f"{name}.npy", changed)
        assert sources.load(f"npy:{npy_folder}").sha256 != before
        np.save(npy_folder / f"{name}.npy", array)


def test_the_digest_of_a_large_file_reads_little_of_it(tmp_path: Path) -> None:
    shape = (100_000, 32, 32, 3)
    np.lib.format.open_memmap(tmp_path / "x_train.npy", "w+", np.uint8, shape).flush()  # sparse: no block is written
    for name, array in [("y_train", np.zeros(shape[0], np.uint8)), ("x_test", X_TEST), ("y_test", Y_TEST)]:
        np.save(tmp_path / f"{name}.npy", array)
    one = sources.load(f"npy:{tmp_path}")
    images = np.lib.format.open_memmap(tmp_path / "x_train.npy", "r+")
    images[-1, 0, 0, 0] = 1
    images.flush()
    assert sources.load(f"npy:{tmp_path}").sha256 != one.sha256


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (lambda path: path.unlink(), "has no x_train.npy"),
        (lambda path: path.write_bytes(path.read_bytes()[:5000]), "damaged"),
        (lambda path: path.write_bytes(b"\x93NUMPY"), "x_train.npy is not a .npy file"),
        (lambda path: path.write_bytes(b""), "x_train.npy is not a .npy file"),
        (lambda path: np.save(path, np.array([{}])), "x_train.npy is not a .npy file"),
        (lambda path: np.save(path, X_TRAIN[:0]), "there are no images"),
        (lambda path: np.save(path, X_TRAIN[:9]), "50 train labels for 9 train images"),
    ],
)
def test_an_npy_folder_that_is_none(npy_folder: Path, harm: Callable[[Path], None], told: str) -> None:
    harm(npy_folder / "x_train.npy")
    assert told in refusal(f"npy:{npy_folder}")


def test_mapped_images_are_scaled_as_they_are_read(npy_folder: Path) -> None:
    np.save(npy_folder / "x_train.npy", X_TRAIN.astype(np.uint16) * 257)
    np.save(npy_folder / "x_test.npy", X_TEST.astype(np.uint16) * 257)
    said = refusal(f"npy:{npy_folder}")
    assert "not uint16" in said
    assert "data.scale" in said
    data = sources.load(DataSection(source=f"npy:{npy_folder}", scale=(0, 65535)))
    assert isinstance(data.x_train, Stored)
    np.testing.assert_array_equal(data.x_train[:], X_TRAIN)
    with pytest.raises(DataError, match=r"data\.scale: \[0, 4095\] .*found 0 to 65535"):
        sources.load(DataSection(source=f"npy:{npy_folder}", scale=(0, 4095))).x_train[:]
