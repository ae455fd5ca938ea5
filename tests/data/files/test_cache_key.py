"""What makes two listings the same images, for the cache."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np

from harness.data.files import folders
from harness.data.files.cache_key import key_of
from harness.data.files.decode import Decoding
from tests.data.files.conftest import Load, picture, save

DECODING = Decoding((8, 8), "crop", 3)


def test_it_stays_the_same_and_depends_on_files_and_decoding(folder: Path) -> None:
    key = key_of(folders.listing(f"folder:{folder}"), DECODING)
    assert key_of(folders.listing(f"folder:{folder}"), DECODING) == key
    for other in (replace(DECODING, size=(8, 9)), replace(DECODING, channels=1), replace(DECODING, resize="pad")):
        assert key_of(folders.listing(f"folder:{folder}"), other) != key
    (folder / "cat" / "00.png").unlink()
    assert key_of(folders.listing(f"folder:{folder}"), DECODING) != key


def test_other_images_of_the_same_names_sizes_and_times_are_others(tmp_path: Path, load_files: Load) -> None:
    """In another folder, and in the same one."""
    for number in range(10):
        for where in ("one", "two"):
            path = save(tmp_path / where / "ab"[number % 2] / f"{number}.bmp", picture(number + 9 * (where == "two")))
            os.utime(path, (10**9, 10**9))
    shutil.copytree(tmp_path / "one", tmp_path / "same")
    found = {where: load_files(f"folder:{tmp_path / where}").images.copy() for where in ("one", "two", "same")}
    assert np.array_equal(found["one"], found["same"])
    assert not np.array_equal(found["one"], found["two"])
    for path in (tmp_path / "two").rglob("*.bmp"):
        shutil.copy2(path, tmp_path / "same" / path.relative_to(tmp_path / "two"))
    assert np.array_equal(load_files(f"folder:{tmp_path / 'same'}").images, found["two"])
