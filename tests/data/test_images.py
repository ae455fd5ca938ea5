"""Images by row number: the same whether they lie in memory, in a mapped file or behind an object's `read`."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.data.gather import gather
from harness.data.images import Stored, aligned, can_be_lent, equal, map_file, of_mapped, view
from harness.data.pipeline import evaluation_batches, training_batches
from harness.data.sources import DataSet, Split

ROWS = 400


def repr_of(key: Any) -> str:
    return repr(key) if not isinstance(key, np.ndarray) else f"{len(key)} {key.dtype}"


KEYS = [
    7,
    -1,
    slice(5, 9),
    slice(None),
    slice(None, None, -3),
    np.array([3, 3, 0, ROWS - 1, -2]),
    np.array([], np.int64),
    np.arange(ROWS) % 5 == 0,
]


@pytest.fixture
def pixels() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (ROWS, 6, 5, 3), np.uint8)


@pytest.fixture(params=["mapped", "read"])
def stored(request: pytest.FixtureRequest, pixels: np.ndarray, tmp_path: Path) -> Stored:
    if request.param == "read":
        return Stored(lambda rows: pixels[rows], range(ROWS), (6, 5, 3))
    np.save(tmp_path / "pixels.npy", pixels)
    return of_mapped(map_file(tmp_path / "pixels.npy"))


@pytest.mark.parametrize("key", KEYS, ids=repr_of)
def test_is_indexed_like_an_array(stored: Stored, pixels: np.ndarray, key: Any) -> None:
    np.testing.assert_array_equal(stored[key], pixels[key])
    assert (stored.shape, stored.dtype, stored.nbytes, len(stored)) == (
        pixels.shape,
        pixels.dtype,
        pixels.nbytes,
        len(pixels),
    )


@pytest.mark.parametrize("first", [key for key in KEYS if not isinstance(key, int)], ids=repr_of)
def test_a_view_of_a_view_reads_nothing_and_is_the_same_rows(stored: Stored, pixels: np.ndarray, first: Any) -> None:
    once, of_array = view(stored, first), pixels[first]
    assert isinstance(once, Stored)
    np.testing.assert_array_equal(once[:], of_array)
    rows = np.arange(len(of_array))[::2]
    np.testing.assert_array_equal(view(once, rows)[:], of_array[::2])
    if len(of_array):
        np.testing.assert_array_equal(once[0], of_array[0])


def test_rows_that_are_not_there(stored: Stored) -> None:
    assert len(list(stored)) == ROWS  # type: ignore[call-overload]  # mypy knows no iteration by __getitem__
    for key in (ROWS, np.array([0, ROWS]), np.array([-ROWS - 1])):
        with pytest.raises(IndexError):
            stored[key]
        with pytest.raises(IndexError):
            stored.view(np.arange(ROWS))[key]


def test_equal_images_are_found_so_wherever_they_lie(stored: Stored, pixels: np.ndarray) -> None:
    assert equal(stored, pixels)
    other = pixels.copy()
    other[-1, -1, -1, -1] ^= 1
    assert not equal(stored, other)
    assert not equal(stored[:9], pixels)


@pytest.mark.parametrize(
    ("key", "block"),
    [(slice(30, 300, 3), None), (np.random.default_rng(1).permutation(ROWS), 2)],
    ids=["slice", "rows"],
)
def test_batches_are_those_of_memory(stored: Stored, pixels: np.ndarray, context: Any, key: Any, block: Any) -> None:
    labels = np.arange(ROWS, dtype=np.int32)[key]
    given, in_memory = Split(view(stored, key), labels), Split(pixels[key], labels)
    plan = BatchPlan(50, 1, 7)
    streams = (training_batches(split, 6, plan, 0, context(1), block).take(6) for split in (given, in_memory))
    for one, other in zip(*streams, strict=True):
        assert one.images.shape == other.images.shape
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)
    evaluations = (evaluation_batches(split, 32, context(1)) for split in (given, in_memory))
    for one, other in zip(*evaluations, strict=True):
        for part, same in zip(one, other, strict=True):
            np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("kind", ["in the order of columns", "at an odd place of the file"])
def test_a_file_that_can_not_be_lent_as_it_lies_is_read(tmp_path: Path, pixels: np.ndarray, kind: str) -> None:
    path = tmp_path / "pixels.npy"
    if kind == "in the order of columns":
        np.save(path, np.asfortranarray(pixels))
    else:  # as writers other than NumPy have it
        head = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {pixels.shape}, }}".encode()
        head += b" " * (-(10 + len(head) + 1) % 16) + b"\n"
        head += b" " * 15 + b"\n" if (10 + len(head)) % 64 == 0 else b""
        path.write_bytes(b"\x93NUMPY\x01\x00" + len(head).to_bytes(2, "little") + head + pixels.tobytes())
        assert np.load(path, mmap_mode="r").ctypes.data % 64
    images = of_mapped(map_file(path))
    np.testing.assert_array_equal(images[:], pixels)
    np.testing.assert_array_equal(gather(images)(tf.constant([[5, 399], [0, 5]], tf.int64)), pixels[[[5, 399], [0, 5]]])


def anonymous_bytes() -> int:
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    return int(line.split()[1]) * 1024


def test_a_mapped_file_is_never_copied_into_memory(tmp_path: Path, context: Callable[..., Any]) -> None:
    size = 128 * 2**20
    file = np.lib.format.open_memmap(tmp_path / "large.npy", "w+", np.uint8, (size // 1024, 32, 32, 1))
    file[::1000] = 7
    del file
    before = anonymous_bytes()
    split = Split(of_mapped(map_file(tmp_path / "large.npy")), np.zeros(size // 1024, np.int32))
    stream = iter(training_batches(split, 0, BatchPlan(64, 1), 0, context(1)))
    for _ in range(50):
        next(stream)
    assert anonymous_bytes() - before < size / 4


def test_images_in_memory_are_copied_once_only(context: Callable[..., Any]) -> None:
    size = 128 * 2**20
    split = Split(np.ones((size // 1024, 32, 32, 1), np.uint8), np.zeros(size // 1024, np.int32))
    before = anonymous_bytes()
    stream = iter(training_batches(split, 0, BatchPlan(64, 1), 0, context(1)))
    next(stream)
    assert anonymous_bytes() - before < 1.5 * size


def test_images_in_memory_are_lent_to_every_split_of_a_fold(context: Callable[..., Any]) -> None:
    size = 128 * 2**20
    images = aligned(np.ones((size // 1024, 32, 32, 1), np.uint8))
    images[:, 0, 0, 0] = np.arange(len(images)) % 251
    labels = np.arange(len(images), dtype=np.int32) % 251
    before = anonymous_bytes()
    data = DataSet(images, labels, images[:1], labels[:1])
    for split in data.splits(0, fold="2/5", stratify=True)[:2]:
        batch = next(iter(training_batches(split, 0, BatchPlan(64, 1), 0, context(1))))
        np.testing.assert_array_equal(batch.images[:, 0, 0, 0], batch.labels)
    assert anonymous_bytes() - before < size / 4


def test_an_array_is_aligned_by_a_copy_only_where_it_has_to_be() -> None:
    memory = aligned(np.zeros((65, 4, 4, 4), np.uint8))
    assert aligned(memory) is memory
    assert np.shares_memory(aligned(memory[1:]), memory)
    for other in (memory.reshape(-1)[1:65].reshape(1, 4, 4, 4), memory.transpose(0, 2, 1, 3)):
        assert not can_be_lent(other)
        assert can_be_lent(aligned(other))
        np.testing.assert_array_equal(aligned(other), other)


def test_a_mapped_file_stays_as_long_as_something_reads_it(tmp_path: Path) -> None:
    np.save(tmp_path / "few.npy", np.arange(60, dtype=np.uint8).reshape(5, 2, 2, 3))
    gathered = gather(of_mapped(map_file(tmp_path / "few.npy")))
    (tmp_path / "few.npy").unlink()
    assert gathered(tf.constant([4], tf.int64)).numpy().ravel().tolist() == list(range(48, 60))
