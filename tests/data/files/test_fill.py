"""The cache: filled by many processes, gone on with, shared, checked."""

import json
import os
import re
import resource
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from harness.data.files import cache, folders, table
from harness.data.files.decode import Decoding, decode
from harness.errors import UserError, WriteFailed
from tests.data.files.conftest import Load, Refusal, picture, save

SIZE = 200
"""Of which 34 make a block."""
PROGRAM = (
    "import os, sys; from harness.config.data import DataSection; from harness.data.files.load import load\n"
    "os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])\n"  # more would be done before a test looks
    f"load(DataSection(source='folder:' + sys.argv[1], size={SIZE}, channels=3), print)"
)


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """250 JPEG files, of which a cache has eight blocks."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(250):
        save(folder / "ab"[number % 2] / f"{number:03}.jpg", picture(number))
    return folder


def entry(cache_root: Path) -> Path:
    """The one there is."""
    (found,) = (path.parent for path in cache_root.glob("*/used"))
    return found


def test_several_processes_decode_what_one_would(many: Path, load_files: Load, cache_root: Path) -> None:
    found = load_files(f"folder:{many}", size=SIZE, channels=3)
    paths = sorted(many.glob("*/*.jpg"))
    for row in [0, 33, 34, 199, 200, 249]:
        assert np.array_equal(found.images[row], decode(str(paths[row]), Decoding((SIZE, SIZE), "crop", 3)))
    assert sorted(path.name for path in entry(cache_root).iterdir()) == ["contents.json", "images.npy", "used"]


def test_launch_hears_of_it_while_images_are_decoded(
    many: Path, load_files: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv("HARNESS_HEARTBEAT_FD", str(writing))
    load_files(f"folder:{many}", size=SIZE, channels=3)
    os.close(writing)
    assert len(os.read(reading, 100)) == 3 + 8  # one for 100 files that the key samples, and one a block
    os.close(reading)


def kill_in_the_middle(images: Path, cache_root: Path, blocks: int) -> None:
    """Decode in a process of its own, which is killed once so many blocks are done."""
    process = subprocess.Popen([sys.executable, "-c", PROGRAM, images], stdout=subprocess.DEVNULL)
    try:
        while not any(path.read_text().count("\n") >= blocks for path in cache_root.glob("*/done.jsonl")):
            assert process.poll() is None, "it was to be killed in the middle"
            time.sleep(0.001)
    finally:
        process.kill()
        process.wait()


def interrupted(made: Path, blocks: int) -> None:
    """Set a finished entry back to where it was when so many of its blocks were done."""
    contents = json.loads((made / "contents.json").read_text())
    crcs = contents.pop("crcs")[:blocks]
    (made / "plan.json").write_text(json.dumps(contents))
    (made / "done.jsonl").write_text("".join(f"[{block}, {crc}]\n" for block, crc in enumerate(crcs)))
    shutil.copy(made / "images.npy", made / "images.partial")  # the other is mapped
    for name in ("contents.json", "images.npy"):
        (made / name).unlink()


def test_goes_on_after_a_kill_with_what_was_decoded(many: Path, load_files: Load, cache_root: Path) -> None:
    kill_in_the_middle(many, cache_root, blocks=1)
    folder = entry(cache_root)
    done = [json.loads(line) for line in (folder / "done.jsonl").read_text().splitlines()]
    assert 0 < len(done) < 8
    with (folder / "done.jsonl").open("a") as file:
        file.write("[11")  # a line that the kill has cut off

    told: list[str] = []
    found = load_files(f"folder:{many}", told.append, size=SIZE, channels=3)
    assert [line for line in told if "resuming" in line and f"{34 * len(done):,} of 250" in line]
    contents = json.loads((folder / "contents.json").read_text())
    assert all(contents["crcs"][block] == crc for block, crc in done)
    paths = sorted(many.glob("*/*.jpg"))
    for row in range(0, 250, 17):  # of each block one or two
        assert np.array_equal(found.images[row], decode(str(paths[row]), Decoding((SIZE, SIZE), "crop", 3)))


def test_a_scale_that_no_file_needs_decodes_nothing_again(folder: Path, load_files: Load, cache_root: Path) -> None:
    plain = load_files(f"folder:{folder}")
    scaled = load_files(f"folder:{folder}", scale=(0, 65535))
    assert entry(cache_root)
    assert scaled.sha256 == plain.sha256


def test_an_unreadable_image_is_told_after_a_kill_too(
    many: Path, tmp_path: Path, refusal: Refusal, cache_root: Path
) -> None:
    shutil.copytree(many, tmp_path / "images")
    (tmp_path / "images" / "a" / "000.jpg").write_text("no picture")  # in the first block
    kill_in_the_middle(tmp_path / "images", cache_root, blocks=3)
    assert "a/000.jpg" in refusal(f"folder:{tmp_path / 'images'}", size=SIZE, channels=3)


@pytest.mark.parametrize(("mended", "kept"), [(True, 6), (False, 5)])
def test_what_was_decoded_beside_unreadable_images_is_kept(
    folder: Path, load_files: Load, refusal: Refusal, cache_root: Path, mended: bool, kept: int
) -> None:
    """Of four blocks of three the second holds an unreadable image. Without that the later ones move up, and a block
    is taken where all of its images were decoded, in whichever blocks."""
    bad, content = folder / "cat" / "08.png", (folder / "cat" / "08.png").read_bytes()
    bad.write_text("no picture")
    for _ in range(2):
        assert "cat/08.png" in refusal(f"folder:{folder}", size=600, channels=3)
    save(folder / "cat" / "00.png", picture(99))  # another one since, in the first block
    if mended:
        bad.write_bytes(content)
    else:
        bad.unlink()
    told: list[str] = []
    found = load_files(f"folder:{folder}", told.append, size=600, channels=3)
    (line,) = [line for line in told if "decoded before" in line]
    assert f"{kept} of {len(found.images)}" in line
    for row, path in enumerate(sorted(folder.glob("*/*.png"))):
        assert np.array_equal(found.images[row], decode(str(path), Decoding((600, 600), "crop", 3))), row
    assert sorted(path.name for path in entry(cache_root).iterdir()) == ["contents.json", "images.npy", "used"]


def test_a_block_that_the_disk_has_lost_is_decoded_again(many: Path, load_files: Load, cache_root: Path) -> None:
    """After a power cut the list of blocks may know more than the file holds."""
    whole = load_files(f"folder:{many}", size=SIZE, channels=3)
    folder = entry(cache_root)
    interrupted(folder, blocks=8)
    with (folder / "images.partial").open("r+b") as file:
        file.seek(128 + 5 * 34 * SIZE * SIZE * 3)
        file.write(bytes(1000))
    told: list[str] = []
    assert load_files(f"folder:{many}", told.append, size=SIZE, channels=3).sha256 == whole.sha256
    assert "216 of 250" in told[0]  # the last block is a short one


def test_killed_between_images_and_contents_nothing_is_decoded_again(
    folder: Path, load_files: Load, cache_root: Path
) -> None:
    whole = load_files(f"folder:{folder}")
    made = entry(cache_root)
    interrupted(made, blocks=1)
    (made / "images.partial").rename(made / "images.npy")
    told: list[str] = []
    assert load_files(f"folder:{folder}", told.append).sha256 == whole.sha256
    (line,) = told
    assert "decoded before: 12 of 12" in line
    assert sorted(path.name for path in made.iterdir()) == ["contents.json", "images.npy", "used"]


@pytest.mark.parametrize("damage", ["a flipped byte", "cut off", "no json"])
def test_a_damaged_one_is_made_again_and_that_is_said(
    folder: Path, load_files: Load, cache_root: Path, damage: str
) -> None:
    first = load_files(f"folder:{folder}")
    images = entry(cache_root) / "images.npy"
    pixels = images.read_bytes()
    images.unlink()  # `first` has it mapped
    if damage == "a flipped byte":
        images.write_bytes(pixels[:-100] + bytes([pixels[-100] ^ 1]) + pixels[-99:])
    elif damage == "cut off":
        images.write_bytes(pixels[:-1])
    else:
        images.write_bytes(b"words")
    told: list[str] = []
    again = load_files(f"folder:{folder}", told.append)
    assert again.sha256 == first.sha256
    assert np.array_equal(again.images, first.images)
    assert len(told) == 1
    assert "damaged" in told[0]
    told.clear()
    load_files(f"folder:{folder}", told.append)
    assert not told


def test_one_decodes_and_the_others_wait(folder: Path, load_files: Load, cache_root: Path) -> None:
    whole = load_files(f"folder:{folder}")
    key = entry(cache_root).name
    shutil.rmtree(cache_root / key)
    told: list[str] = []
    digests: list[str] = []
    waiting = threading.Thread(target=lambda: digests.append(load_files(f"folder:{folder}", told.append).sha256))
    with cache.exclusive(key, wait=True):
        waiting.start()
        while not told:
            time.sleep(0.01)
        assert "waiting" in told[0]
        assert not digests
    waiting.join(10)
    assert digests == [whole.sha256]


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """As on a full disk, from that size on."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_full_disk_is_told_in_one_line_and_leaves_nothing(folder: Path, load_files: Load, cache_root: Path) -> None:
    with files_of_at_most(2000), pytest.raises(UserError) as failed:
        load_files(f"folder:{folder}")  # 12 of 8×8×3
    for told in (str(cache_root), "2,304 bytes are needed", "free", "HARNESS_CACHE"):
        assert told in str(failed.value)
    assert "\n" not in str(failed.value)
    assert os.listdir(cache_root) == ["locks"]
    assert len(load_files(f"folder:{folder}").images) == 12


def test_what_no_disk_holds_takes_no_room_before_it_is_refused(folder: Path, load_files: Load) -> None:
    """Reserving would take all of the disk first, which others need."""
    before = shutil.disk_usage(folder).free
    with pytest.raises(UserError) as failed:
        load_files(f"folder:{folder}", size=2**20)
    free = re.search(r"needed and ([\d,]+) are free", str(failed.value))
    assert free
    assert int(free[1].replace(",", "")) > before / 2


def test_a_place_that_can_not_be_written_to_is_told(
    folder: Path, load_files: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARNESS_CACHE", str(folder / "cat" / "00.png"))
    with pytest.raises(UserError, match=r"00\.png.*HARNESS_CACHE"):
        load_files(f"folder:{folder}")


@pytest.mark.parametrize("blocks", [3, 8])
def test_a_disk_that_is_full_in_the_middle_is_no_mistake_and_costs_nothing(
    many: Path, load_files: Load, cache_root: Path, blocks: int
) -> None:
    """While images are written by another process, or all of them are there and only their checksums are not."""
    whole = load_files(f"folder:{many}", size=SIZE, channels=3).sha256
    interrupted(entry(cache_root), blocks)
    with files_of_at_most(200), pytest.raises(WriteFailed, match="HARNESS_CACHE"):
        load_files(f"folder:{many}", size=SIZE, channels=3)
    told: list[str] = []
    assert load_files(f"folder:{many}", told.append, size=SIZE, channels=3).sha256 == whole
    assert f"decoded before: {min(34 * blocks, 250)} of 250" in told[0]


def test_without_a_place_of_its_own_it_lies_where_caches_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("HARNESS_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache.root() == tmp_path / "harness"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache.root() == tmp_path / ".cache" / "harness"


def test_launch_hears_of_it_while_many_files_are_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    monkeypatch.setenv("HARNESS_HEARTBEAT_FD", str(writing))
    for number in range(2000):
        (tmp_path / "images" / "ab"[number % 2]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / "ab"[number % 2] / f"{number}.png").touch()
    lines = [f"images/{'ab'[number % 2]}/{number}.png,{number % 2}" for number in range(2000)]
    (tmp_path / "table.csv").write_text("\n".join(["path,label", *lines]))
    folders.listing(f"folder:{tmp_path}/images")
    assert len(os.read(reading, 100)) == 2
    table.listing(f"csv:{tmp_path}/table.csv")
    assert len(os.read(reading, 100)) == 2
    os.close(writing)
    os.close(reading)
