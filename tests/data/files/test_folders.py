"""`folder:PATH`: what is found in it, and what is refused."""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from harness.config.data import DataSection
from harness.data import sources
from harness.data.files.load import ImageFiles
from harness.data.quality import doubts
from harness.errors import DataError
from tests.data.files.conftest import Load, Refusal, picture, save
from tests.processes import AS_A_USER


def of_split(found: ImageFiles, split: int) -> dict[int, int]:
    """By the picture's number its label. Pictures are told apart by their pixels."""
    known = {picture(number).tobytes(): number for number in range(40)}
    return {known[found.images[row].tobytes()]: int(found.labels[row]) for row in found.rows[split]}


def test_one_folder_is_split_by_class_and_by_its_own_seed(tmp_path: Path, load_files: Load) -> None:
    for number in range(40):  # thirty cats and ten dogs
        save(tmp_path / "images" / ("dog" if number % 4 == 0 else "cat") / f"{number:02}.png", picture(number))
    found = load_files(f"folder:{tmp_path / 'images'}")
    assert found.class_names == ("cat", "dog")
    assert found.images.shape == (40, 8, 8, 3)
    assert isinstance(found.images, np.memmap)
    train, validation, test = (of_split(found, split) for split in range(3))
    assert not validation
    assert {**train, **test} == {number: int(number % 4 == 0) for number in range(40)}
    assert list(test.values()).count(0) == 6
    assert list(test.values()).count(1) == 2
    last = found.labels[found.rows[0]][-8:]  # what data.validation holds out, of each class too
    assert np.bincount(last).tolist() == [6, 2]

    again, other = (load_files(f"folder:{tmp_path / 'images'}", split_seed=seed) for seed in (0, 1))
    assert of_split(again, 2) == test
    assert of_split(other, 2) != test
    assert len(of_split(load_files(f"folder:{tmp_path / 'images'}", test="50 %"), 2)) == 20


def test_folders_for_splits_are_taken_as_they_are(tmp_path: Path, load_files: Load) -> None:
    for number, split in enumerate(["train", "train", "train", "validation", "test"] * 4):
        save(tmp_path / split / ("a", "b")[number % 2] / f"{number}.PNG", picture(number))
    save(tmp_path / "train" / "a" / "further" / "20.png", picture(20))
    (tmp_path / "train" / "a" / "notes.txt").write_text("passed over")
    save(tmp_path / "train" / "a" / ".hidden.png", picture(21))
    found = load_files(f"folder:{tmp_path}")
    parts = [of_split(found, split) for split in range(3)]
    assert [set(part) for part in parts] == [
        {number for number in range(20) if number % 5 < 3} | {20},
        {3, 8, 13, 18},
        {4, 9, 14, 19},
    ]
    assert all(label == number % 2 for part in parts for number, label in part.items())


@pytest.mark.parametrize(
    "names", [("train", "val", "test"), ("Train", "Validation", "Test"), ("training", "valid", "testing")]
)
def test_folders_for_splits_have_the_names_that_people_give_them(
    tmp_path: Path, load_files: Load, names: tuple[str, ...]
) -> None:
    for number in range(12):
        save(tmp_path / names[number // 4] / ("a", "b")[number % 2] / f"{number}.png", picture(number))
    found = load_files(f"folder:{tmp_path}")
    assert found.class_names == ("a", "b")
    assert [set(of_split(found, split)) for split in range(3)] == [{0, 1, 2, 3}, {4, 5, 6, 7}, {8, 9, 10, 11}]


def test_valid_may_be_a_class_and_two_folders_for_one_split_are_refused(
    tmp_path: Path, load_files: Load, refusal: Refusal
) -> None:
    for number in range(12):
        save(tmp_path / "kept" / ("valid", "invalid")[number % 2] / f"{number}.png", picture(number))
        save(tmp_path / "split" / ("train", "val", "valid")[number % 3] / "a" / f"{number}.png", picture(number))
        save(tmp_path / "vehicles" / ("Bus", "Train")[number % 2] / f"{number}.png", picture(number))
    assert load_files(f"folder:{tmp_path / 'kept'}").class_names == ("invalid", "valid")
    assert load_files(f"folder:{tmp_path / 'vehicles'}").class_names == ("Bus", "Train")
    assert "val/ and valid/ are for the same" in refusal(f"folder:{tmp_path / 'split'}")


def test_what_lies_beside_the_class_folders_is_told(folder: Path, load_files: Load, refusal: Refusal) -> None:
    (folder / "notes.txt").symlink_to("nowhere.txt")
    save(folder / "1.png", picture(20))
    assert "left out, as it is in no class folder: 1.png" in load_files(f"folder:{folder}").left_out
    (folder / "1.png").unlink()
    whole = folder.rename(folder.parent / "train")
    (folder / "unlabelled").mkdir(parents=True)
    whole.rename(folder / "train")
    save(folder / "2.png", picture(20))
    assert "left out, as they are in no class folder: 2.png; unlabelled/" in load_files(f"folder:{folder}").left_out
    (folder / "validation").mkdir()
    assert "validation/ has no class folders" in refusal(f"folder:{folder}")
    (folder / "validation").rmdir()
    (folder / "test").symlink_to("nowhere")
    assert f"{folder / 'test'} is a link to nowhere" in refusal(f"folder:{folder}")


def test_what_can_not_be_read_is_told_in_one_list(folder: Path, refusal: Refusal) -> None:
    os.mkfifo(folder / "cat" / "pipe.png")
    (folder / "dog" / "gone.png").symlink_to("nowhere.png")
    message = refusal(f"folder:{folder}")
    for told in ("2 of 14 images", f"{folder / 'cat/pipe.png'}: is not a file", f"{folder / 'dog/gone.png'}: No such"):
        assert told in message
    (folder / "emu").symlink_to("nowhere")
    assert f"{folder / 'emu'} is a link to nowhere, where nothing is" in refusal(f"folder:{folder}")


def test_links_are_followed(folder: Path, load_files: Load) -> None:
    (folder / "dog").rename(folder.parent / "elsewhere")
    (folder / "dog").symlink_to(folder.parent / "elsewhere")
    assert len(load_files(f"folder:{folder}").labels) == 12


@pytest.mark.parametrize("links", [{"cat/a": "."}, {"cat/a": ".."}, {"cat/a": "../dog", "dog/a": "../cat"}])
def test_a_link_that_leads_back_is_refused(folder: Path, refusal: Refusal, links: dict[str, str]) -> None:
    for link, target in links.items():
        (folder / link).symlink_to(target)
    message = refusal(f"folder:{folder}")
    assert f"{folder / 'cat/a'}" in message
    assert "remove the link" in message


@pytest.mark.slow
def test_a_folder_that_can_not_be_read_is_not_left_out(folder: Path, small_config: Path, script: Path) -> None:
    (folder / "cat" / "more").mkdir(mode=0)
    sets = ["--set", f"data={{source: 'folder:{folder}'}}"]
    ended = subprocess.run([*AS_A_USER, script, "data", small_config, *sets], capture_output=True, text=True)
    (folder / "cat" / "more").rmdir()
    assert ended.returncode == 2
    assert ended.stderr == f"error: Permission denied: {folder / 'cat/more'}\n"


def test_files_of_other_kinds_are_left_out_and_counted(folder: Path, load_files: Load, refusal: Refusal) -> None:
    assert load_files(f"folder:{folder}").left_out == ""
    for name in ("cat/.DS_Store", "cat/Thumbs.db", "cat/.hidden/a.tif"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    assert load_files(f"folder:{folder}").left_out == ""
    for name in ("cat/a.TIF", "cat/further/b.tif", "dog/c.tif", "dog/notes.txt", "dog/LICENSE"):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).touch()
    told = load_files(f"folder:{folder}").left_out
    for words in ("5 files", "3 .tif (cat/a.TIF, …)", "1 .txt (dog/notes.txt)", "1 without an ending (dog/LICENSE)"):
        assert words in told
    data = sources.load(DataSection(source=f"folder:{folder}"))
    assert told in doubts(data, data.splits(2), None)
    (folder / "emu").mkdir()
    (folder / "emu" / "1.heic").touch()
    said = refusal(f"folder:{folder}")
    assert "emu, but 1 .heic (1.heic)" in said
    assert "fill or remove" in said


def test_the_digest_changes_with_a_pixel_a_class_and_the_split(folder: Path, load_files: Load) -> None:
    source = f"folder:{folder}"
    first = load_files(source).sha256
    assert load_files(source).sha256 == first
    assert load_files(source, split_seed=3).sha256 != first
    shutil.copytree(folder, folder.with_name("copy"))
    assert load_files(f"folder:{folder.with_name('copy')}").sha256 == first  # wherever it lies
    (folder / "cat" / "00.png").rename(folder / "dog" / "00.png")
    moved = load_files(source).sha256
    assert moved != first
    save(folder / "dog" / "00.png", picture(99))
    assert load_files(source).sha256 not in (first, moved)


def test_mixed_sizes_are_refused_with_the_sizes_found_and_brought_to_one(
    folder: Path, load_files: Load, refusal: Refusal
) -> None:
    save(folder / "cat" / "wide.png", picture(50, 8, 20))
    message = refusal(f"folder:{folder}")
    for told in ("8×8 (12)", "8×20 (1)", "data.size: 8"):
        assert told in message
    assert load_files(f"folder:{folder}", size=[6, 7], resize="pad").images.shape == (13, 6, 7, 3)


def test_mixed_colour_is_refused_with_the_fix_and_made_alike(folder: Path, load_files: Load, refusal: Refusal) -> None:
    grey = save(folder / "dog" / "grey.png", picture(51, channels=1))
    message = refusal(f"folder:{folder}")
    for told in ("1 grey", str(grey), "12 in colour", "data.channels: 3"):
        assert told in message
    assert load_files(f"folder:{folder}", channels=1).images.shape == (13, 8, 8, 1)


def test_grey_files_make_one_channel(tmp_path: Path, load_files: Load) -> None:
    for number in range(6):
        save(tmp_path / "images" / "ab"[number % 2] / f"{number}.jpg", picture(number, channels=1))
    assert load_files(f"folder:{tmp_path / 'images'}").images.shape == (6, 8, 8, 1)


def test_unreadable_images_are_told_all_at_once(folder: Path, load_files: Load, cache_root: Path) -> None:
    for number in range(11):
        (folder / "dog" / f"bad{number:02}.jpg").write_text("no picture")
    whole = save(folder / "cat" / "cut.jpg", picture(52)).read_bytes()
    (folder / "cat" / "cut.jpg").write_bytes(whole[:-100])
    with pytest.raises(DataError) as refused:
        load_files(f"folder:{folder}")
    heading, cut, *bad, more = str(refused.value).splitlines()
    assert f"{folder}: 12 of 24 images can't be read" in heading
    assert cut.startswith(f"  {folder / 'cat' / 'cut.jpg'}: ")
    assert [line.split(": ")[0].strip() for line in bad] == [str(folder / "dog" / f"bad{n:02}.jpg") for n in range(9)]
    assert more == "  and 2 more"
    assert [path.name for path in cache_root.iterdir()] == ["locks"]  # nothing half-made is left


def test_sizes_colours_and_missing_classes_are_told_in_one_list(tmp_path: Path, load_files: Load) -> None:
    images = tmp_path / "images"
    for split, name, pixels in (
        ("train", "ant", picture(0)),
        ("train", "bee", picture(1, 8, 20)),
        ("test", "ant", picture(2, channels=1)),
        ("test", "cow", picture(3)),
    ):
        save(images / split / name / "1.png", pixels)
    (images / "test" / "bee").mkdir()
    (images / "test" / "bee" / "2.png").write_text("no picture")
    with pytest.raises(DataError) as refused:
        load_files(f"folder:{images}")
    heading, *problems = str(refused.value).splitlines()
    assert f"{images} has 4 problems" in heading
    told = (
        ["no training image", "cow"],
        ["8×20 (1)", "data.size"],
        ["1 grey"],
        ["1 of 5 images can't be read", "2.png"],
    )
    for problem, words in zip(problems, told, strict=True):
        assert all(word in problem for word in words)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda images: shutil.rmtree(images), ["there is no folder"]),
        (lambda images: (images / "empty").mkdir(), ["without an image", "empty"]),
        (lambda images: list(map(shutil.rmtree, images.iterdir())), ["no class folders"]),
        (lambda images: (images / "test").mkdir(), ["test/", "no train/"]),
        (
            lambda images: [
                save(images / split / name, picture(0)) for split, name in (("train", "a/1.png"), ("test", "b/1.png"))
            ],
            ["no training image", "b"],
        ),
    ],
    ids=["no folder", "an empty class", "no classes", "no train", "a class without training images"],
)
def test_a_folder_that_will_not_do_is_refused(
    folder: Path, refusal: Refusal, change: Callable[[Path], Any], told: list[str]
) -> None:
    change(folder)
    message = refusal(f"folder:{folder}")
    assert str(folder) in message
    for part in told:
        assert part in message


def test_too_few_images_for_a_test_split_are_refused(folder: Path, refusal: Refusal) -> None:
    message = refusal(f"folder:{folder}", test="1 %")
    assert "data.test: 1 %" in message
    assert "12 images" in message
