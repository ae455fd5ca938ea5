from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from harness.config import dump, resolve
from harness.config.target import Target
from harness.data.sources import Split
from harness.models.cnn import build
from harness.training.tensorboard import TensorBoard, rewind, summary_text


def events(folder: Path) -> list[Event]:
    """Every event in the files of `folder`, older files first."""
    files = sorted(folder.glob("*tfevents*"), key=lambda path: (path.stat().st_mtime_ns, path.name))
    return [
        Event.FromString(record) for file in files for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator()
    ]


def scalars(folder: Path) -> dict[tuple[str, int], float]:
    """(name, step) → value; a point written twice fails."""
    found: dict[tuple[str, int], float] = {}
    for event in events(folder):
        for value in event.summary.value:
            if value.metadata.plugin_data.plugin_name == "scalars":
                assert (value.tag, event.step) not in found
                found[value.tag, event.step] = float(tf.make_ndarray(value.tensor))
    return found


def row(step: int, split: str = "train", **values: Any) -> dict[str, Any]:
    return {"step": step, "split": split, "loss": 1 / step, "accuracy": 0.5, **values}


@pytest.fixture(scope="module")
def model() -> keras.Model:
    return build("cnn", (28, 28, 1), 10, seed=0)


def test_event_files_hold_the_rows(tmp_path: Path) -> None:
    rows = [
        row(10, learning_rate=1e-3, images_per_second=np.float64(123.5)),
        row(10, "validation", examples=200),
        row(20, learning_rate=2e-3, images_per_second=np.float64(7.0)),
    ]
    board = TensorBoard(tmp_path, 0)
    for each in rows:
        board.write(each)
    board.close()
    for split in ("train", "validation"):
        expected = {
            (name, each["step"]): np.float32(value)
            for each in rows
            if each["split"] == split
            for name, value in each.items()
            if name not in ("step", "split", "examples")
        }
        assert scalars(tmp_path / split) == expected
    assert sorted(path.name for path in tmp_path.iterdir()) == ["train", "validation"]


def test_the_tests_result_stands_with_the_evaluations(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0)
    board.write(row(10, "validation"))
    board.write(row(10, "test"))
    board.close()
    assert {tag for tag, _ in scalars(tmp_path / "validation")} == {"loss", "accuracy", "test/loss", "test/accuracy"}
    assert [path.name for path in tmp_path.iterdir()] == ["validation"]


def test_a_loss_on_smoothed_labels_is_not_overlaid_with_one_without(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0, label_smoothing=0.1)
    for split in ("train", "validation"):
        board.write(row(10, split))
    board.close()
    assert {tag for tag, _ in scalars(tmp_path / "train")} == {"loss_smoothed_labels", "accuracy"}
    assert {tag for tag, _ in scalars(tmp_path / "validation")} == {"loss", "accuracy"}


def test_rows_are_on_disk_as_soon_as_they_are_written(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0)
    for step in (1, 2, 3):
        board.write(row(step))
        assert len(scalars(tmp_path / "train")) == 2 * step
    board.close()


@pytest.mark.parametrize("checkpoint", [0, 20, 40])
def test_rewinding_deletes_exactly_what_came_behind_the_checkpoint(tmp_path: Path, checkpoint: int) -> None:
    board = TensorBoard(tmp_path, 0)
    for step in (10, 20, 30, 40, 50):
        board.write(row(step))
        if step % 20 == 0:
            board.write(row(step, "validation"))
            board.begin_files(step)
    board.close()

    def present() -> set[tuple[str, str]]:  # but for the second in the name
        return {(path.parent.name, path.name.split(".", 4)[4]) for path in tmp_path.rglob("*tfevents*")}

    kept = {(folder, name) for folder, name in present() if int(name.split("-step-")[1].split(".")[0]) < checkpoint}
    rewind(tmp_path, checkpoint)
    assert present() == kept
    assert {step for _, step in scalars(tmp_path / "train")} == set(range(10, checkpoint + 1, 10))
    assert {step for _, step in scalars(tmp_path / "validation")} == set(range(20, checkpoint + 1, 20))


def test_a_run_rewound_and_gone_on_with_makes_one_curve(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0)
    for step in (10, 20, 30):  # killed at 30, 10 steps behind its checkpoint
        board.write(row(step))
        if step == 20:
            board.begin_files(step)
    rewind(tmp_path, 20)
    board.close()
    resumed = TensorBoard(tmp_path, 20)
    for step in (30, 40):
        resumed.write(row(step, loss=9.0))
    resumed.close()
    losses = {step: value for (name, step), value in scalars(tmp_path / "train").items() if name == "loss"}
    assert losses == {10: np.float32(0.1), 20: np.float32(0.05), 30: 9.0, 40: 9.0}


def test_a_run_gone_on_with_after_the_clock_was_set_back_makes_one_curve(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0)
    for step in (10, 20, 30):
        board.write(row(step))
        if step < 30:
            board.begin_files(step)
    board.close()
    for path in tmp_path.rglob("*tfevents*"):  # as a clock that is an hour ahead would have named them
        second = path.name.split(".")[3]
        path.rename(path.with_name(path.name.replace(second, str(int(second) + 3600))))
    rewind(tmp_path, 20)
    resumed = TensorBoard(tmp_path, 20)
    resumed.write(row(30))
    resumed.close()
    shown = EventAccumulator(str(tmp_path / "train"), size_guidance={TENSORS: 0})
    shown.Reload()
    assert [point.step for point in shown.Tensors("loss")] == [10, 20, 30]


def norms(step: int) -> dict[str, Any]:
    """Of a measured step, with |G|² = 3 - step/10 and tr Σ = 32·step, which is not above 0 everywhere."""
    grad_sq, trace = 3 - step / 10, 32.0 * step
    norms = {"small_sq": grad_sq + trace / 16, "big_sq": grad_sq + trace / 32}
    both = norms | {f"{name}_preconditioned": 100 * value for name, value in norms.items()}
    return {"step": step, "split": "noise_scale", "small_batch": 16.0, "big_batch": 32, **both}


def test_the_noise_scale_is_shown_smoothed_among_the_curves_of_training(tmp_path: Path) -> None:
    board = TensorBoard(tmp_path, 0)
    for step in range(10, 101, 10):
        board.write(norms(step))
        board.write(row(step))
    board.close()
    found = scalars(tmp_path / "train")
    assert [path.name for path in tmp_path.iterdir()] == ["train"]
    assert found["noise_scale/grad_sq", 10] == pytest.approx(2)
    assert found["noise_scale/trace", 10] == pytest.approx(320)
    for name in ("b_simple", "b_preconditioned"):
        assert found[f"noise_scale/{name}", 10] == pytest.approx(160)
        shown = {step for tag, step in found if tag == f"noise_scale/{name}"}
        assert shown == {step for step in range(10, 101, 10) if found["noise_scale/grad_sq", step] > 0}
        assert 10 < len(shown) * 10 < 100
    weights = 0.98 ** np.arange(9, -1, -1)
    expected = np.average([3 - step / 10 for step in range(10, 101, 10)], weights=weights)
    assert found["noise_scale/grad_sq", 100] == pytest.approx(expected, rel=1e-5)


def test_a_resumed_noise_scale_goes_on_as_if_never_interrupted(tmp_path: Path) -> None:
    rows = [norms(step) for step in range(5, 101, 5)]
    whole = TensorBoard(tmp_path / "whole", 0)
    first = TensorBoard(tmp_path / "parts", 0)
    for each in rows:
        whole.write(each)
    for each in rows[:8]:
        first.write(each)
        if each["step"] == 30:
            first.begin_files(30)
    first.close()
    rewind(tmp_path / "parts", 30)
    resumed = TensorBoard(tmp_path / "parts", 30, [row(10), *rows[:6]])
    for each in rows[6:]:
        resumed.write(each)
    for board in (whole, resumed):
        board.close()
    assert scalars(tmp_path / "parts" / "train") == scalars(tmp_path / "whole" / "train")


def test_rewinding_leaves_files_of_other_origin(tmp_path: Path) -> None:
    (tmp_path / "plugins").mkdir()
    (tmp_path / "plugins" / "events.out.tfevents.1.host.own").write_text("another tool's")
    rewind(tmp_path, 0)
    rewind(tmp_path / "missing", 0)
    assert (tmp_path / "plugins" / "events.out.tfevents.1.host.own").exists()


def test_a_run_is_described_at_its_start(tmp_path: Path, model: keras.Model, train_rows: Split) -> None:
    config = resolve({"name": "own", "seed": 3, "tensorboard": {"images": 3}})
    board = TensorBoard(tmp_path, 0)
    board.describe(model, config, train_rows)
    board.close()
    written = events(tmp_path / "train")
    assert any(event.graph_def for event in written)
    values = {value.tag: value for event in written for value in event.summary.value}
    assert {event.step for event in written} == {0}
    text = tf.make_ndarray(values["config"].tensor).item().decode()
    assert text.splitlines() == [f"    {line}" for line in dump(config).splitlines()]
    assert "conv_1" in tf.make_ndarray(values["model"].tensor).item().decode()
    images = [tag for tag in values if tag.startswith("inputs/")]
    assert images == [f"inputs/{index:02d}_label_{label}" for index, label in enumerate(train_rows.labels[:3])]
    for index, tag in enumerate(images):
        _, _, png = tf.make_ndarray(values[tag].tensor)
        np.testing.assert_array_equal(tf.io.decode_png(png).numpy(), train_rows.images[index])


def test_a_run_is_a_row_in_the_table_of_hyperparameters_with_its_steps_to_target(
    tmp_path: Path, model: keras.Model, train_rows: Split
) -> None:
    folder = tmp_path / "chaos-tiny" / "undisturbed" / "tensorboard"
    board = TensorBoard(folder, 0, target=Target(at_least=0.5))
    board.describe(model, resolve({"seed": 3, "train": {"global_batch": 64, "clip_norm": None}}), train_rows)
    board.write(row(50))
    board.write(row(50, "validation"))
    board.close()
    (start,) = (
        HParamsPluginData.FromString(value.metadata.plugin_data.content).session_start_info
        for event in events(folder / "validation")
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "hparams"
    )
    assert start.group_name == "chaos-tiny/undisturbed"  # what the table calls the row; of a run in `runs` its name
    parameters = {name: value.number_value or value.string_value for name, value in start.hparams.items()}
    assert (parameters["seed"], parameters["train.global_batch"], parameters["optimizer.name"]) == (3, 64, "adam")
    assert "train.clip_norm" not in parameters
    assert list(scalars(folder / "validation").items())[-1] == (("steps_to_target", 50), 50.0)


def test_an_image_is_written_as_it_is_under_its_step(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (6, 4, 3), dtype=np.uint8)
    board = TensorBoard(tmp_path, 0)
    board.image(30, "saliency/gradient", tf.io.encode_png(pixels).numpy(), "two digits")
    board.close()
    ((step, value),) = [
        (event.step, value)
        for event in events(tmp_path / "train")
        for value in event.summary.value
        if value.metadata.plugin_data.plugin_name == "images"
    ]
    assert (step, value.tag) == (30, "saliency/gradient")
    np.testing.assert_array_equal(tf.io.decode_png(tf.make_ndarray(value.tensor)[2]), pixels)


def test_histograms_are_those_of_the_weights(tmp_path: Path, model: keras.Model) -> None:
    board = TensorBoard(tmp_path, 0)
    board.histograms(7, model)
    board.close()
    found = {
        value.tag: tf.make_ndarray(value.tensor)
        for event in events(tmp_path / "train")
        for value in event.summary.value
        if event.step == 7
    }
    assert found.keys() == {f"weights/{weight.path}" for weight in model.trainable_variables}
    for weight in model.trainable_variables:
        buckets = found[f"weights/{weight.path}"]
        assert buckets[:, 2].sum() == np.prod(weight.shape)
        np.testing.assert_allclose([buckets[0, 0], buckets[-1, 1]], [weight.numpy().min(), weight.numpy().max()])


def test_the_summary_is_what_keras_prints(model: keras.Model, capsys: pytest.CaptureFixture[str]) -> None:
    text = summary_text(model)
    for name in ("conv_1", "conv_2", "conv_3", "dense", "logits", "60,554"):
        assert name in text
