"""The look through all pixels: in parts, and once for what takes long."""

import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from harness.data.images import of_mapped
from harness.data.scan import Scan, scans
from harness.data.sources import DataSet

SHAPE = (5600, 224, 224, 1)  # 281 MB, of which the disk holds next to nothing


def noise(count: int, shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (count, *shape), dtype=np.uint8)


def test_large_images_are_looked_at_in_parts_as_small_ones_are() -> None:
    images = noise(5, (4096, 3000, 1))  # 12 MB each: two in a part
    images[3] = 7
    whole = Scan.of(images)
    for row in range(5):
        alone = Scan.of(images[row : row + 1])
        assert (whole.digests[row], whole.contrast[row]) == (alone.digests[0], alone.contrast[0])
    assert whole.contrast.tolist() == [255, 255, 255, 0, 255]
    assert len(set(whole.digests.tolist())) == 5


@pytest.fixture
def mapped(tmp_path: Path) -> np.memmap:
    return np.lib.format.open_memmap(tmp_path / "x.npy", "w+", np.uint8, SHAPE)


def data_of(images: np.memmap) -> DataSet:
    labels = np.zeros(len(images), np.int32)
    return DataSet(of_mapped(images), labels, np.zeros((2, 224, 224, 1), np.uint8), labels[:2])


def test_many_images_are_read_in_parts_and_what_was_found_is_kept_until_they_change(
    mapped: np.memmap, tmp_path: Path
) -> None:
    mapped[17, 5, 6] = 200
    said: list[str] = []
    tracemalloc.start()
    try:
        found = scans(data_of(mapped), said.append, folder=tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 120e6
    finally:
        tracemalloc.stop()
    assert found is not None
    assert (np.flatnonzero(found[0].contrast) == [17]).all()
    assert len(said) == 1

    kept = scans(data_of(mapped), pytest.fail, most=0, folder=tmp_path)
    assert kept is not None
    for of_found, of_kept in zip((*found[0], *found[1]), (*kept[0], *kept[1]), strict=True):
        np.testing.assert_array_equal(of_found, of_kept)

    mapped[0, 0, 0] = 1
    assert scans(data_of(mapped), pytest.fail, most=0, folder=tmp_path) is None, "of other images"
    (file,) = (tmp_path / "scans").iterdir()
    mapped[0, 0, 0] = 0
    file.write_bytes(file.read_bytes()[:1000])
    assert scans(data_of(mapped), pytest.fail, most=0, folder=tmp_path) is None, "damaged"


def test_few_images_are_looked_through_each_time_and_nothing_is_kept(tmp_path: Path) -> None:
    images, labels = noise(6, (8, 8, 1)), np.zeros(6, np.int32)
    data = DataSet(images, labels, images[:2], labels[:2])
    found = scans(data, pytest.fail, most=0, folder=tmp_path)
    assert found is not None
    assert found[0].digests[:2].tolist() == found[1].digests.tolist()
    assert not list(tmp_path.iterdir())
