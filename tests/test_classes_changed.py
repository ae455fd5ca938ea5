"""A model's outputs mean the classes that it was trained on, whatever its data have since become."""

import shutil
from pathlib import Path

import numpy as np
import pytest

import harness
from harness.config import load
from harness.errors import DataError, RunError
from harness.runs.run_dir import RunDir
from tests.data.files.conftest import picture, save

SETTINGS = [
    "data.size=8",
    "data.validation=0",
    "train={length: 2 steps, global_batch: 4}",
    "schedule.warmup=0 steps",
]


def images(folder: Path, names: tuple[str, ...]) -> None:
    for number in range(8 * len(names)):
        save(folder / names[number // 8] / f"{number}.png", picture(number))


@pytest.fixture(scope="module")
def run(small_config: Path, tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    folder = tmp_path_factory.mktemp("classes")
    images(folder / "images", ("cat", "dog", "frog"))
    settings = [*SETTINGS, tiny_model, f"data.source=folder:{folder / 'images'}"]
    trained = harness.train(load(small_config, settings), folder / "run", quiet=True, with_report=False)
    assert trained is not None
    return trained


@pytest.mark.slow
def test_renamed_added_and_missing_classes_are_refused(run: RunDir) -> None:
    folder = run.path.parent / "images"
    assert harness.evaluate(run)["examples"] == 4
    (folder / "cat").rename(folder / "zebra")
    config = run.read_config()
    for refused in (
        lambda: harness.evaluate(run),
        lambda: harness.visualize(run),
        lambda: harness.compare(run, run.checkpoints_dir / "step-2.safetensors"),
        lambda: harness.train(config, resume=run.path, data_changed=True, quiet=True),
    ):
        with pytest.raises(RunError, match=r"cat, dog, frog.* now has 3 classes .dog, frog, zebra.") as told:
            refused()
        assert str(run.path) in str(told.value)
    (folder / "zebra").rename(folder / "cat")
    assert harness.evaluate(run)["examples"] == 4


@pytest.mark.slow
def test_labels_beyond_the_outputs_are_refused(run: RunDir) -> None:
    run.classes_file.rename(run.path / "kept")
    images(run.path.parent / "images", ("cat", "dog", "emu", "frog", "gnu"))
    with pytest.raises(DataError, match="label 4 is not one of the model's 3 classes"):
        harness.evaluate(run, warn=lambda line: None)
    (run.path / "kept").rename(run.classes_file)
    for name in ("emu", "gnu"):
        shutil.rmtree(run.path.parent / "images" / name)


@pytest.mark.slow
def test_other_data_are_called_so(run: RunDir) -> None:
    random = np.random.default_rng(0)
    names = np.array(["cat", "dog", "frog"])[np.arange(6) % 3]
    arrays = random.integers(0, 256, (6, 8, 8, 3), dtype=np.uint8), names
    with pytest.warns(UserWarning, match="these are other data than those it was trained on, folder:"):
        assert harness.evaluate(run, data=(arrays, arrays))["examples"] == 6
    with pytest.raises(RunError, match="these data have classes without names"):
        harness.evaluate(run, data=((arrays[0], np.arange(6) % 3), (arrays[0], np.arange(6) % 3)))
    larger = random.integers(0, 256, (6, 9, 9, 3), dtype=np.uint8), names
    with pytest.raises(DataError, match=r"takes images of shape \(8, 8, 3\), not \(9, 9, 3\)"):
        harness.evaluate(run, data=(larger, larger))


@pytest.mark.parametrize("label", [0, 3])
def test_one_label_alone_is_refused(small_config: Path, tmp_path: Path, label: int) -> None:
    arrays = np.zeros((40, 8, 8), np.uint8), np.full(40, label)
    with pytest.raises(DataError, match=f"all rows are of one class, {label}"):
        harness.train(load(small_config, SETTINGS[1:]), tmp_path / "run", data=(arrays, arrays))


def test_one_class_alone_is_refused(small_config: Path, tmp_path: Path) -> None:
    images(tmp_path / "images", ("cat",))
    with pytest.raises(DataError, match="all rows are of one class, 0 cat"):
        harness.train(load(small_config, [*SETTINGS, f"data.source=folder:{tmp_path / 'images'}"]), tmp_path / "run")
    assert not (tmp_path / "run").exists()
