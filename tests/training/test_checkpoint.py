import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from harness.config import Config
from harness.config.callbacks import CheckpointSection
from harness.errors import RunError
from harness.training.checkpoint import (
    Checkpoint,
    Checkpoints,
    assign_result,
    discard_after,
    load,
    load_newest,
    save,
    steps,
    with_packed_moments,
)
from harness.training.chunk import Chunk
from harness.training.state import State

ARRAYS: dict[str, NDArray[Any]] = {
    "model/conv/kernel": np.random.default_rng(0).normal(size=(3, 3, 1, 4)).astype(np.float32),
    "model/conv/bias": np.array([0.0, -0.0, 1e-40, np.finfo(np.float32).max], np.float32),
    "optimizer/iteration": np.array(2**40, np.int64),
    "optimizer/learning_rate": np.array(0.1, np.float64),
}


def header(accuracy: float | None = None) -> dict[str, Any]:
    return {"identity": "abc", "validation": None if accuracy is None else {"accuracy": accuracy, "loss": 1.0}}


def save_each(folder: Path, accuracies: dict[int, float | None], keep: int = 3) -> None:
    for step, accuracy in accuracies.items():
        save(folder, step, ARRAYS | {"step": np.array(step)}, header(accuracy), keep)


class Warnings(list[str]):
    """What was warned of, each in one line."""

    def __call__(self, text: str) -> None:
        assert "\n" not in text
        self.append(text)


@pytest.fixture
def warnings() -> Warnings:
    return Warnings()


def test_round_trip(tmp_path: Path, warnings: Warnings) -> None:
    save(tmp_path / "checkpoints", 12, ARRAYS, header(0.5), keep=3)
    loaded = load_newest(tmp_path / "checkpoints", warnings)
    assert loaded is not None
    assert loaded.step == 12
    assert loaded.header == {"step": 12, **header(0.5)}
    assert loaded.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert (loaded.arrays[name].dtype, loaded.arrays[name].shape) == (array.dtype, array.shape)
        assert loaded.arrays[name].tobytes() == array.tobytes()
    assert not warnings


@pytest.fixture(scope="module")
def state(begin: Callable[..., tuple[State, Chunk]], small_training: Callable[..., Config]) -> State:
    """After three steps of Adam, with averaged weights."""
    config = small_training(optimizer={"name": "adam", "learning_rate": 0.01}, train={"ema": 0.9})
    state, chunk = begin(config)
    chunk(3)
    return state


def test_a_state_comes_back_bit_for_bit(tmp_path: Path, warnings: Warnings, state: State) -> None:
    safe: list[int] = []
    Checkpoints(tmp_path / "checkpoints", CheckpointSection(), 0, header, safe.append)(3, state, [])
    assert safe == [3]
    loaded = load_newest(tmp_path / "checkpoints", warnings)
    assert loaded is not None
    assert loaded.arrays.keys() == state.variables().keys()
    for path, variable in state.variables().items():
        assert loaded.arrays[path].tobytes() == variable.numpy().tobytes(), path


def test_by_the_clock_or_at_the_end_each_step_is_saved_once(tmp_path: Path, state: State) -> None:
    safe: list[int] = []
    now = 1000.0
    section = CheckpointSection.model_validate({"every": "1.5 minutes"})
    checkpoints = Checkpoints(tmp_path / "checkpoints", section, 2, header, safe.append, lambda: now)
    for step, seconds in ((2, 1000.0), (3, 1089.0), (4, 1090.0), (5, 1179.0), (6, 1180.0)):
        now = seconds
        checkpoints(step, state, [])
    assert safe == [4, 6]
    checkpoints.end(6, state, [])
    checkpoints.end(7, state, [])
    assert safe == [4, 6, 7]


def test_the_file_is_plain_safetensors_and_its_digest_that_of_sha256sum(tmp_path: Path) -> None:
    save_each(tmp_path, {7: 0.5})
    data = (tmp_path / "step-7.safetensors").read_bytes()
    assert (tmp_path / "step-7.sha256").read_text() == f"{hashlib.sha256(data).hexdigest()}  step-7.safetensors\n"
    assert set(safetensors.numpy.load(data)) == {*ARRAYS, "step"}
    with safetensors.safe_open(tmp_path / "step-7.safetensors", "numpy") as file:
        assert json.loads(file.metadata()["harness"])["step"] == 7
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-7.safetensors", "step-7.sha256"]


def test_nothing_written_yet_is_no_checkpoint(tmp_path: Path, warnings: Warnings) -> None:
    assert load_newest(tmp_path, warnings) is None
    assert load_newest(tmp_path / "missing", warnings) is None
    assert not warnings


@pytest.mark.parametrize(
    ("accuracies", "keep", "kept"),
    [
        ({1: None, 2: None, 3: None, 10: None}, 3, [2, 3, 10]),
        ({1: 0.1, 2: 0.9, 3: 0.2, 4: 0.3, 5: 0.4}, 2, [2, 4, 5]),
        ({1: 0.1, 2: 0.2, 3: 0.3, 4: 0.4}, 1, [4]),
        ({1: 0.9, 2: 0.9, 3: 0.1, 4: 0.1}, 1, [2, 4]),  # of equals the newest
        ({1: None, 2: 0.1, 3: None, 4: None}, 1, [2, 4]),
        ({5: 0.5, 6: 0.4}, 100, [5, 6]),
        ({9: 0.5, 10: 0.4, 100: 0.3}, 2, [9, 10, 100]),  # by number, not by name
    ],
)
def test_the_newest_and_the_best_are_kept(
    tmp_path: Path, accuracies: dict[int, float | None], keep: int, kept: list[int]
) -> None:
    save_each(tmp_path, accuracies, keep)
    assert steps(tmp_path) == kept
    names = {f"step-{step}.{suffix}" for step in kept for suffix in ("safetensors", "sha256")}
    assert {path.name for path in tmp_path.iterdir()} == names


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-5] ^= 4
    path.write_bytes(data)


def empty(path: Path) -> None:
    path.write_bytes(b"")


def lose_the_digest(path: Path) -> None:
    path.with_suffix(".sha256").unlink()


def empty_the_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"")


def garble_the_digest(path: Path) -> None:
    path.with_suffix(".sha256").write_bytes(b"\xff\xfe\x00")


def make_it_a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


DAMAGES = [
    truncate,
    flip_a_bit,
    empty,
    lose_the_digest,
    empty_the_digest,
    garble_the_digest,
    make_it_a_folder,
]


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_told_and_passed_over(
    tmp_path: Path, warnings: Warnings, damage: Callable[[Path], None]
) -> None:
    save_each(tmp_path, {1: 0.1, 2: 0.2, 3: 0.3})
    damage(tmp_path / "step-3.safetensors")
    loaded = load_newest(tmp_path, warnings)
    assert loaded is not None
    assert loaded.step == 2
    assert loaded.arrays["step"] == 2
    (told,) = warnings
    assert told.startswith("checkpoint step-3.safetensors (")
    assert told.endswith("): resuming from step-2.safetensors")


def test_several_damaged_ones_are_passed_over_in_turn(tmp_path: Path, warnings: Warnings) -> None:
    save_each(tmp_path, {1: None, 2: None, 3: None})
    flip_a_bit(tmp_path / "step-3.safetensors")
    lose_the_digest(tmp_path / "step-2.safetensors")
    loaded = load_newest(tmp_path, warnings)
    assert loaded is not None
    assert loaded.step == 1
    (told,) = warnings
    assert told.index("step-3.safetensors (") < told.index("step-2.safetensors (") < told.index("resuming from step-1")


def test_without_a_usable_checkpoint_all_that_was_tried_is_named(tmp_path: Path, warnings: Warnings) -> None:
    save_each(tmp_path, {10: None, 20: None})
    truncate(tmp_path / "step-10.safetensors")
    lose_the_digest(tmp_path / "step-20.safetensors")
    with pytest.raises(RunError, match="no usable checkpoint") as refused:
        load_newest(tmp_path, warnings)
    told = str(refused.value)
    assert str(tmp_path) in told
    assert "\n" not in told
    assert 0 < told.index("step-20.safetensors") < told.index("step-10.safetensors")


@pytest.mark.parametrize("keep", [1, 2])
@pytest.mark.parametrize("damage", DAMAGES[:-1], ids=lambda damage: damage.__name__)
def test_a_run_goes_on_saving_behind_a_damaged_checkpoint(
    tmp_path: Path, warnings: Warnings, damage: Callable[[Path], None], keep: int
) -> None:
    """The damaged one is of a later step than those a resumed run saves, and must not crowd them out."""
    save_each(tmp_path, {20: None, 30: None}, keep=2)
    damage(tmp_path / "step-30.safetensors")
    resumed = load_newest(tmp_path, warnings)
    assert resumed is not None
    assert resumed.step == 20
    discard_after(tmp_path, resumed.step)
    for step in (22, 24, 26):
        save_each(tmp_path, {step: None}, keep)
        newest = load_newest(tmp_path, lambda _: None)
        assert newest is not None
        assert newest.step == step


@pytest.mark.parametrize("damage", DAMAGES[:-1], ids=lambda damage: damage.__name__)
def test_a_damaged_checkpoint_is_dropped_in_its_turn(tmp_path: Path, damage: Callable[[Path], None]) -> None:
    save_each(tmp_path, {10: None, 20: None}, keep=2)
    damage(tmp_path / "step-10.safetensors")
    save_each(tmp_path, {30: None, 40: None}, keep=2)
    assert steps(tmp_path) == [30, 40]
    assert len(list(tmp_path.iterdir())) == 4


def test_files_of_an_interrupted_save_are_ignored(tmp_path: Path, warnings: Warnings) -> None:
    save_each(tmp_path, {1: None, 2: None})
    (tmp_path / ".step-3.safetensors-x8f2").write_bytes(b"half of it")
    (tmp_path / "step-3.sha256").write_text("0" * 64 + "  step-3.safetensors\n")  # the digest is written first
    (tmp_path / "step-4.safetensors.tmp").write_bytes(b"")
    (tmp_path / "step-x.safetensors").write_bytes(b"")
    assert steps(tmp_path) == [1, 2]
    loaded = load_newest(tmp_path, warnings)
    assert loaded is not None
    assert loaded.step == 2
    assert not warnings


def test_a_save_that_fails_leaves_the_older_checkpoints(
    tmp_path: Path, warnings: Warnings, monkeypatch: pytest.MonkeyPatch
) -> None:
    save_each(tmp_path, {1: None})

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        save_each(tmp_path, {2: None})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-1.safetensors", "step-1.sha256"]
    loaded = load_newest(tmp_path, warnings)
    assert loaded is not None
    assert loaded.step == 1


def test_one_that_is_named_is_loaded_or_refused_in_one_line(tmp_path: Path) -> None:
    save_each(tmp_path, {1: 0.1, 2: 0.2})
    assert load(tmp_path / "step-1.safetensors").step == 1
    (tmp_path / "step-1.safetensors").write_bytes(b"torn")
    (tmp_path / "step-2.sha256").unlink()
    for step, words in ((1, "is damaged: its SHA-256"), (2, "is unreadable, or its step-2.sha256 is")):
        with pytest.raises(RunError, match=words) as error:
            load(tmp_path / f"step-{step}.safetensors")
        assert f"step-{step}.safetensors" in str(error.value)
        assert "\n" not in str(error.value)


@pytest.mark.parametrize("averaged", [False, True])
def test_the_weights_of_the_result_are_the_average_where_there_is_one(averaged: bool) -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="logits")])
    owners = {"model": 1.0, "optimizer": 2.0} | ({"average": 3.0} if averaged else {})
    arrays = {
        f"{owner}/{variable.path}": np.full(variable.shape, value, np.float32)
        for owner, value in owners.items()
        for variable in model.variables
    }
    assign_result(Checkpoint(7, arrays, {}), model)
    assert {float(value) for weight in model.get_weights() for value in weight.ravel()} == {3.0 if averaged else 1.0}


def test_weights_of_another_model_are_refused() -> None:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="logits")])
    arrays = {f"model/{variable.path}": np.zeros((5, 5), np.float32) for variable in model.variables}
    with pytest.raises(RunError, match=r"step 7 has no model/.*kernel that fits"):
        assign_result(Checkpoint(7, arrays, {}), model)


def test_moments_of_version_0_1_0_are_read_as_one_vector(state: State) -> None:
    arrays = {path: variable.numpy() for path, variable in state.variables().items()}
    weights = state.model.trainable_variables
    old = {path: array for path, array in arrays.items() if "/weights_" not in path}
    for kind in ("momentum", "velocity"):
        for weight, part in zip(weights, state.packing.unpack(arrays[f"optimizer/adam/weights_{kind}"]), strict=True):
            old[f"optimizer/adam/{weight.path.replace('/', '_')}_{kind}"] = part.numpy()
    read = with_packed_moments(old, weights)
    assert arrays.keys() <= read.keys()
    for path, array in arrays.items():
        np.testing.assert_array_equal(read[path], array, err_msg=path)
    assert with_packed_moments(arrays, weights).keys() == arrays.keys()
