"""`harness data`: what it prints, writes and refuses."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray
from PIL import Image

from harness.config import resolve
from harness.data.augment import augmented
from tests.conftest import Result

CLASSES = 3


@pytest.fixture
def arrays() -> dict[str, Any]:
    """60 training images of noise, of which the last 12 will be held out, and 15 for the test."""
    random = np.random.default_rng(0)
    return {
        "x_train": random.integers(0, 256, (60, 12, 10, 3), dtype=np.uint8),
        "y_train": np.arange(60) % CLASSES,
        "x_test": random.integers(0, 256, (15, 12, 10, 3), dtype=np.uint8),
        "y_test": np.arange(15) % CLASSES,
    }


@pytest.fixture
def look(call: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Save arrays, and run `harness data` on them in `tmp_path`."""
    monkeypatch.chdir(tmp_path)

    def on(arrays: dict[str, Any], *options: str) -> Any:
        np.savez(tmp_path / "mine.npz", **arrays)
        settings = ("data.source=mine.npz", "data.validation=12", "name=mine")
        return call("data", "mnist", *(word for setting in settings for word in ("--set", setting)), *options)

    return on


def test_prints_and_writes_what_is_in_the_data(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    arrays["x_test"][4] = arrays["x_train"][7]
    shown = look(arrays)
    assert shown.exit_code == 0, shown.stderr
    (line,) = shown.stderr.splitlines()
    assert line.startswith("warning: ")
    assert "test row 4 is training row 7" in line
    lines = shown.stdout.splitlines()
    assert "48 train, 12 validation, 15 test" in lines[0]
    assert "12×10, 3 channels; 27,000 bytes" in lines[1]
    table = [line.split() for line in lines[3 : 4 + CLASSES]]
    assert table == [["class", "train", "validation", "test"], *([str(label), "16", "4", "5"] for label in range(3))]
    assert lines[-1].startswith("pictures  data-mine: 3 class-*.png, augmentation.png")

    told = json.loads((tmp_path / "data-mine" / "data.json").read_text())
    scaled = arrays["x_train"][:48].reshape(-1, 3) / 255
    np.testing.assert_allclose(told["mean"], scaled.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(told["standard_deviation"], scaled.std(axis=0), rtol=1e-9)
    for value in (*told["mean"], *told["standard_deviation"]):
        assert f"{value:.4f}" in lines[2]
    assert told["rows"] == {"train": 48, "validation": 12, "test": 15}
    assert told["image_shape"] == [12, 10, 3]
    assert told["classes"][2] == {"class": 2, "name": None, "train": 16, "validation": 4, "test": 5}
    assert told["warnings"] == [line.partition("mine.npz: ")[2]]
    assert {*told["pictures"], "data.json"} == {path.name for path in (tmp_path / "data-mine").iterdir()}


def test_classes_are_called_by_their_names_and_images_by_their_rows(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    arrays["y_train"], arrays["y_test"] = (
        np.array(["ant", "bee", "cow"])[arrays[key]] for key in ("y_train", "y_test")
    )
    shown = look(arrays, "--set", "data.fold=1/5")
    assert "    1     16           4     5  bee" in shown.stdout
    told = json.loads((tmp_path / "data-mine" / "data.json").read_text())
    assert [of["name"] for of in told["classes"]] == ["ant", "bee", "cow"]
    # the first of the training images are held out: the sheet begins with row 12
    first = tiles(tmp_path / "data-mine" / "class-0.png", 1, 1, 72, 60)[0, 0, ::6, ::6]
    np.testing.assert_array_equal(first, arrays["x_train"][12])


def test_the_dry_run_has_the_same_warnings(
    look: Callable[..., Result], arrays: dict[str, Any], call: Callable[..., Result]
) -> None:
    arrays["x_train"][5] = 0
    settings = ("data.source=mine.npz", "data.validation=12")
    warned = look(arrays).stderr
    assert "row 5" in warned
    dry = call("train", "mnist", "--dry-run", *(word for setting in settings for word in ("--set", setting)))
    assert warned in dry.stderr


def tiles(path: Path, rows: int, columns: int, height: int, width: int) -> NDArray[np.uint8]:
    """The images of a contact sheet, (rows, columns, height, width, 3)."""
    with Image.open(path) as file:
        sheet = np.asarray(file.convert("RGB"))
    across, down = 6 + width, 6 + 16 + height
    found = [
        [sheet[22 + row * down :][:height, 6 + column * across :][:, :width] for column in range(columns)]
        for row in range(rows)
    ]
    return np.array(found)


def test_a_sheet_of_a_class_shows_its_images_from_the_first_to_the_last(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    look(arrays)
    of_class = np.arange(1, 48, CLASSES)
    shown = tiles(tmp_path / "data-mine" / "class-1.png", 2, 8, 72, 60)  # enlarged six times
    np.testing.assert_array_equal(shown.reshape(16, 72, 60, 3)[:, ::6, ::6], arrays["x_train"][of_class])


@pytest.mark.parametrize("key", ["shift=2", "augment=[{name: flip}, {name: cutout, size: 4}, {name: mixup}]"])
def test_the_sheet_of_augmentation_shows_images_as_they_are_and_as_training_sees_them(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path, key: str
) -> None:
    config = resolve({}, [f"data.{key}", "seed=5"])
    look(arrays, "--set", "data.shift=0", "--set", f"data.{key}", "--set", "seed=5")
    images = arrays["x_train"][np.linspace(0, 47, 8).astype(int)]
    shown = tiles(tmp_path / "data-mine" / "augmentation.png", 8, 8, 72, 60)[:, :, ::6, ::6]
    np.testing.assert_array_equal(shown[:, 0], images)
    seen = augmented(tf.constant(images), tf.range(8, 16, dtype=tf.int64), 5, config.data).numpy()
    np.testing.assert_array_equal(shown[:, 2], seen)
    assert (seen != images).any(axis=(1, 2, 3)).sum() > 5


def test_without_augmentation_there_is_no_sheet_of_it(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    look(arrays, "--set", "data.shift=2")
    assert (tmp_path / "data-mine" / "augmentation.png").exists()
    assert "augmentation.png" not in look(arrays, "--set", "data.shift=0").stdout
    assert not (tmp_path / "data-mine" / "augmentation.png").exists(), "of another time"


@pytest.mark.parametrize(("shape", "mode"), [((9, 12), "L"), ((9, 12, 1), "L"), ((9, 12, 2), "L"), ((9, 12, 4), "RGB")])
def test_images_of_any_number_of_channels_are_shown(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path, shape: tuple[int, ...], mode: str
) -> None:
    images = np.random.default_rng(1).integers(0, 256, (75, *shape), dtype=np.uint8)
    shown = look({**arrays, "x_train": images[:60], "x_test": images[60:]}, "--out", "elsewhere/deep")
    assert shown.exit_code == 0, shown.stderr
    with Image.open(tmp_path / "elsewhere" / "deep" / "class-0.png") as sheet:
        assert sheet.mode == mode


def test_large_images_are_made_smaller(look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path) -> None:
    images = np.random.default_rng(1).integers(0, 256, (75, 40, 400, 1), dtype=np.uint8)
    assert look({**arrays, "x_train": images[:60], "x_test": images[60:]}).exit_code == 0
    with Image.open(tmp_path / "data-mine" / "class-0.png") as sheet:
        assert sheet.width == 8 * (96 + 6) + 6


def test_the_same_again_gives_the_same_bytes_and_leaves_no_sheet_of_another_class(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    def written() -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (tmp_path / "data-mine").iterdir()}

    look(arrays)
    first = written()
    arrays["y_train"][arrays["y_train"] == 2] = 1
    arrays["y_test"][arrays["y_test"] == 2] = 1
    look(arrays)
    assert first.keys() - written() == {"class-2.png"}
    arrays["y_train"], arrays["y_test"] = np.arange(60) % CLASSES, np.arange(15) % CLASSES
    look(arrays)
    assert written() == first


def test_what_training_refuses_is_refused_and_nothing_is_written(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    for changed, words in (
        (["data.validation=60"], "data.validation: 60 leaves no training rows"),
        (["data.shift=30"], "data.shift: 30"),
        (["data.sourse=x"], "sourse"),
    ):
        refused = look(arrays, *(word for setting in changed for word in ("--set", setting)))
        assert refused.exit_code == 2
        assert words in refused.stderr
        assert refused.stderr.count("\n") == 1
    refused = look({**arrays, "y_train": arrays["y_train"] - 1})
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "labels must be from 0" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_all_that_is_wrong_is_one_list(look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path) -> None:
    arrays["y_train"][[3, 8]] = -1
    arrays["y_test"][5] = 200_000
    refused = look({**arrays, "x_test": arrays["x_test"].astype(np.float32)})
    assert (refused.exit_code, refused.stdout) == (2, "")
    heading, *problems = refused.stderr.splitlines()
    assert "mine.npz has 3 problems" in heading
    told = (["float32", "data.scale"], ["-1", "2 of 60 train", "3, 8"], ["200000", "row 5"])
    for problem, words in zip(problems, told, strict=True):
        assert all(word in problem for word in words)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.npz"]


def test_a_folder_of_other_files_is_left_alone(
    look: Callable[..., Result], arrays: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "class-7.png").touch()
    refused = look(arrays, "--out", "photos")
    assert refused.exit_code == 2
    assert "photos holds other files" in refused.stderr
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["class-7.png"]
