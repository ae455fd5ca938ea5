"""Training on data that are not in memory: the same weights as from memory, on any devices and through a resume."""

import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

import harness
from harness.cluster.strategy import connect
from harness.comparison.sides import open_sides
from harness.config.cluster import ClusterSection
from harness.config.data import DataSection
from harness.data import sources
from harness.errors import DataError
from harness.imports import handed
from harness.training.evaluate import Evaluator
from tests.processes import MAIN, completed

NAMES = ("ape", "bee", "cat")
SETTINGS: dict[str, Any] = {
    "train.length": "4 steps",
    "train.global_batch": 16,
    "data.fold": "2/3",
    "data.subset": 50,
    "checkpoint.every": "2 steps",
    "schedule.warmup": "0 steps",
    "schedule.name": "constant",
    "tensorboard.images": 3,
    "insight.methods": ["gradient"],
    "insight.filters": False,
    "insight.images": 2,
}


def net(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    pixels = keras.Input(image_shape)
    return keras.Model(
        pixels, keras.layers.Dense(classes)(keras.layers.Flatten()(keras.layers.Rescaling(1 / 255)(pixels)))
    )


class Photos:
    """What a user hands over whose images lie elsewhere."""

    def __init__(self, images: np.ndarray, labels: np.ndarray, most_reads: int = 10**9) -> None:
        self.labels = labels
        self.images, self.reads_left = images, most_reads

    def __len__(self) -> int:
        return len(self.images)

    def read(self, rows: np.ndarray) -> np.ndarray:
        self.reads_left -= 1
        if self.reads_left < 0:
            raise OSError("the disk is gone")
        images: np.ndarray = self.images[rows]
        return images


def arrays() -> dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    train, test = (random.integers(0, 256, (count, 10, 10, 3), np.uint8) for count in (120, 40))
    labels = np.array(NAMES)
    return {
        "x_train": train,
        "y_train": labels[np.arange(120) % 3],
        "x_test": test,
        "y_test": labels[np.arange(40) % 3],
    }


def photos(kind: type[Photos] = Photos, *arguments: int) -> tuple[Photos, Photos]:
    of = arrays()
    return kind(of["x_train"], of["y_train"], *arguments), kind(of["x_test"], of["y_test"])


@pytest.fixture
def mapped(tmp_path: Path) -> str:
    folder = tmp_path / "data"
    folder.mkdir()
    for name, array in arrays().items():
        np.save(folder / f"{name}.npy", array)
    return f"npy:{folder}"


def weights(run_dir: Path, data: Any, **changes: Any) -> str:
    options: dict[str, Any] = {"quiet": True, "only_training": True}
    run = harness.train("mnist", run_dir, model=net, data=data, **options, **(SETTINGS | changes))
    assert run is not None
    return str(run.read_summary()["weights_sha256"])


@pytest.mark.slow
def test_weights_are_those_of_memory_also_through_a_resume_and_on_the_device(tmp_path: Path, mapped: str) -> None:
    in_memory = weights(tmp_path / "memory", arrays())
    half = weights(tmp_path / "mapped", mapped, **{"train.length": "2 steps"})
    on_device = SETTINGS | {"data.placement": "device"}
    options: dict[str, Any] = {"quiet": True, "only_training": True}
    resumed = harness.train("mnist", resume=tmp_path / "mapped", model=net, data=mapped, **options, **on_device)
    assert resumed is not None
    assert resumed.read_summary()["weights_sha256"] == in_memory != half


@pytest.mark.slow
def test_replicas_read_the_same_rows(tmp_path: Path, mapped: str) -> None:
    two = {"cluster.logical_cpus": 2}
    assert weights(tmp_path / "memory", arrays(), **two) == weights(tmp_path / "mapped", mapped, **two)


@pytest.mark.slow
def test_a_run_on_mapped_images_is_told_pictured_and_evaluated(
    tmp_path: Path, mapped: str, call: Callable[..., Any], capfd: pytest.CaptureFixture[str]
) -> None:
    run = harness.train("mnist", tmp_path / "run", model=net, data=mapped, **SETTINGS)
    assert run is not None
    assert run.report_file.exists()
    told = capfd.readouterr().out
    assert "50 train, 40 validation, 40 test" in told
    assert "labels    given as names" in told
    assert "classes   3: ape, bee, cat" in told
    board = EventAccumulator(str(run.path / "tensorboard" / "train"), size_guidance={"tensors": 0}).Reload()
    shown = [tag for tag in board.Tags()["tensors"] if tag.startswith("inputs/")]
    assert len(shown) == 3
    assert all(tag.rpartition("_")[2] in NAMES for tag in shown)
    sides = open_sides(run.path, run.checkpoints_dir / "step-2.safetensors")
    assert sides[0].data is sides[1].data
    assert harness.evaluate(run)["examples"] == 40


def test_a_read_that_fails_in_the_middle_of_training_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(DataError) as error:
        weights(tmp_path / "run", photos(Photos, 4), **{"train.length": "50 steps"})
    assert "\n" not in str(error.value)
    assert "Photos.read fails: OSError: the disk is gone (test_data_by_rows.py:" in str(error.value)
    assert (tmp_path / "run").exists(), "it had begun"


def test_a_read_that_fails_in_an_evaluation_is_one_line() -> None:
    with handed({"__main__:<arrays>": photos(Photos, 3)}):
        train, _, _ = sources.load("__main__:<arrays>").splits(0)
    evaluate = Evaluator(connect(ClusterSection(strategy="single")), net((10, 10, 3), 3), 16)
    with pytest.raises(DataError, match=r"Photos.read fails: OSError: the disk is gone \(test_data_by_rows.py:"):
        evaluate(train)


IN_LITTLE_MEMORY = f"""
import os, resource
os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])  # TensorFlow's threads take memory, and are as many
resource.setrlimit(resource.RLIMIT_DATA, (900_000_000, 900_000_000))
{MAIN}
"""


@pytest.mark.slow
def test_images_larger_than_the_memory_that_a_process_may_have_train_where_they_are_mapped(
    tmp_path: Path, tiny_model: str
) -> None:
    """Of 0.9 GB TensorFlow itself takes 0.6; the images are four times what is left, and in memory don't fit."""
    content: dict[str, Any] = {
        "x_train": np.lib.format.open_memmap(tmp_path / "x_train.npy", "w+", np.uint8, (400_000, 50, 60, 1)),
        "y_train": np.arange(400_000) % 3,
        "x_test": np.zeros((10, 50, 60, 1), np.uint8),
        "y_test": np.arange(10) % 3,
    }
    for name in ("y_train", "x_test", "y_test"):  # the other is sparse: 1.2 GB, of which none is on the disk
        np.save(tmp_path / f"{name}.npy", content[name])
    np.savez_compressed(tmp_path / "all.npz", **content)
    settings = ["train.length=3 steps", "data.validation=1000", "data.stratify=true", tiny_model]
    sets = [word for setting in settings for word in ("--set", setting)]
    environment = {**os.environ, "HARNESS_CACHE": str(tmp_path / "cache")}

    def train(source: str, run: Path) -> "subprocess.CompletedProcess[str]":
        arguments = ["train", "mnist", "--run-dir", run, "--only-training", *sets, "--set", f"data.source={source}"]
        return completed(*arguments, program=IN_LITTLE_MEMORY, env=environment)

    mapped = train(f"npy:{tmp_path}", tmp_path / "mapped")
    assert mapped.returncode == 0, mapped.stderr
    assert "399,000 train, 1,000 validation" in mapped.stdout
    in_memory = train(str(tmp_path / "all.npz"), tmp_path / "in-memory")
    assert in_memory.returncode == 2
    (line,) = in_memory.stderr.splitlines()
    assert "all.npz doesn't fit in the memory" in line
    assert "1.12 GiB" in line
    assert not (tmp_path / "in-memory").exists()


class Wrong(Photos):
    def read(self, rows: np.ndarray) -> np.ndarray:
        return super().read(rows)[: max(1, len(rows) - 1)]


class Floats(Photos):
    def read(self, rows: np.ndarray) -> np.ndarray:
        return super().read(rows) / 255


class Empty(Photos):
    def __len__(self) -> int:
        return 0


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        (Wrong, "Wrong.read returned uint8 (10, 10, 3) for row 0, and for 40 rows uint8 (39, 10, 10, 3)"),
        (Floats, "Floats.read([0]) must return uint8 pixels (1, height, width[, channels]), not float64"),
        (Empty, "Empty has no rows"),
    ],
)
def test_an_object_that_reads_something_else_is_refused(kind: type[Photos], told: str) -> None:
    with handed({"__main__:<arrays>": photos(kind)}), pytest.raises(DataError) as error:
        sources.load("__main__:<arrays>")
    assert told in str(error.value)


def test_an_objects_floats_are_scaled() -> None:
    with handed({"__main__:<arrays>": photos(Floats)}):
        data = sources.load(DataSection(source="__main__:<arrays>", scale=(0, 1)))
    np.testing.assert_array_equal(data.x_train[:], arrays()["x_train"])
