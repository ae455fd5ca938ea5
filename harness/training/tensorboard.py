"""Rows and weights as TensorBoard event files, in two sub-runs so that TensorBoard overlays their curves: `train` and
`validation`. It unticks all runs where there are more than some forty, so what else there is has to fit into these.

`validation` holds what runs are compared by, which the table of hyperparameters takes from the sub-run in which these
are: the evaluations, the test's result under `test/`, and the steps to the target. The report's pictures, which are of
test images, go there too.

Each checkpoint begins new files, named by its step. A resume at step S deletes those begun at or after S, which hold
exactly what came after S, so the curves never fork. The noise scale's moving average goes on from the rows before S.
"""

import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api import hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from harness.config import Config, dump
from harness.config.target import Target
from harness.data.sources import Split
from harness.runs.run_names import RUNS
from harness.training import noise_scale
from harness.training.callback import Callback, Row
from harness.training.event_files import file_errors, write_png
from harness.training.rows import CALLBACK, Mirror
from harness.training.state import State

_NAME = re.compile(r"events\.out\.tfevents\.(\d+)(\..*\.from-step-(\d+)\.v2)")


def rewind(folder: Path, step: int) -> None:
    """Delete what was written after `step`, and let what stays come before what is written from now on.

    TensorBoard reads the files by name, which holds the second at which each was begun. Where the clock has been set
    back since, the names are too.
    """
    kept = []
    for path in folder.rglob("*tfevents*"):
        if begun := _NAME.fullmatch(path.name):
            if int(begun[3]) >= step:
                path.unlink()
            else:
                kept.append((path, int(begun[1]), begun[2]))
    too_late = max((second for _, second, _ in kept), default=0) - int(time.time()) + 1
    if too_late > 0:
        for path, second, rest in kept:
            path.rename(path.with_name(f"events.out.tfevents.{second - too_late:010}{rest}"))


class TensorBoard(Mirror):
    """Scalars, and what describes a run once at its start."""

    def __init__(
        self,
        folder: Path,
        step: int,
        earlier: Sequence[Row] = (),
        target: Target | None = None,
        label_smoothing: float = 0.0,
    ) -> None:
        """Go on after `step`, with the rows of the run up to it."""
        super().__init__(len(earlier))
        self._folder = folder
        # Smoothed labels have another loss, which isn't to be overlaid with that of the evaluations.
        self._loss = "loss_smoothed_labels" if label_smoothing else "loss"
        self._target = target
        self._begun = step
        self._files: dict[str, Any] = {}
        self._noise_scale = noise_scale.Smoothed()
        for row in earlier:
            if row["split"] == noise_scale.SPLIT:
                self._noise_scale.add(row)

    @file_errors
    def write(self, row: Row) -> None:
        if row["split"] == noise_scale.SPLIT:  # flushed with the row of the chunk, which comes next
            # One event for all: there may be many such rows a second, and tf.summary.scalar is slow.
            event = Summary()
            for name, value in self._noise_scale.add(row).items():
                event.MergeFrom(scalar_pb(f"noise_scale/{name}", value))
            with self._file("train").as_default(row["step"]):
                tf.summary.experimental.write_raw_pb(event.SerializeToString())
            return
        if row["split"] == CALLBACK:
            self._write_callback(row)
            return
        file = self._file("train" if row["split"] == "train" else "validation")
        with file.as_default(row["step"]):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(self._tag(row["split"], name), value)
            if row["split"] == "validation" and self._target and self._target.is_reached(row):
                tf.summary.scalar("steps_to_target", float(row["step"]))
        file.flush()

    def _tag(self, split: str, name: str) -> str:
        if split == "test":
            return f"test/{name}"
        return self._loss if (split, name) == ("train", "loss") else name

    def _write_callback(self, row: Row) -> None:
        with self._file("train").as_default(row["step"]):
            for key in sorted(row.keys() - {"step", "split", "name"}):
                tag, value = f"{row['name']}/{key}", row[key]
                if isinstance(value, float):
                    tf.summary.scalar(tag, value)
                elif isinstance(value, str):
                    tf.summary.text(tag, value)
                elif value is not None:
                    tf.summary.image(tag, (value if value.ndim == 3 else value[..., None])[None])
        self._file("train").flush()

    @file_errors
    def begin_files(self, step: int) -> None:
        """Go on in new files, as the checkpoint of `step` is safe."""
        self.close()
        self._begun = step

    @file_errors
    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()

    @file_errors
    def describe(self, model: keras.Model, config: Config, train: Split) -> None:
        """Write the model's graph and summary, the config, and the first training images under their labels.

        What decides the weights is also the run's row, under the run's name, in TensorBoard's table of hyperparameters.
        """
        images = config.tensorboard.images
        parameters = {
            key: value if isinstance(value, str | int | float) else str(value)  # lists are none that the table takes
            for key, value in config.identity().items()
            if value is not None
        }
        with self._file("validation").as_default(0):
            hparams(parameters, trial_id=_trial(self._folder.resolve().parent))  # else a hash, alike for equal runs
        forward = tf.function(lambda pixels: model(pixels, training=False), autograph=False)
        pixels = tf.TensorSpec((None, *model.input.shape[1:]), model.inputs[0].dtype)
        with self._file("train").as_default(0):
            tf.summary.graph(forward.get_concrete_function(pixels).graph)
            tf.summary.text("model", _preformatted(summary_text(model)))
            tf.summary.text("config", _preformatted(dump(config)))
            for index, (image, label) in enumerate(zip(train.images[:images], train.labels[:images], strict=True)):
                # Of bands that are no colours the first three are shown, as in the report.
                shown = image if image.shape[-1] <= 4 else image[..., :3]
                name = train.class_names[label] if train.class_names else label
                tf.summary.image(f"inputs/{index:02d}_label_{name}", shown[None])

    @file_errors
    def histograms(self, step: int, model: keras.Model) -> None:
        with self._file("train").as_default(step):
            for weight in model.trainable_variables:
                tf.summary.histogram(f"weights/{weight.path}", weight.numpy())

    @file_errors
    def image(self, step: int, tag: str, png: bytes, description: str) -> None:
        """Write a picture of `step` under `tag`."""
        with self._file("train").as_default():
            write_png(tag, png, step, description)

    def _file(self, name: str) -> Any:
        if name not in self._files:
            self._files[name] = tf.summary.create_file_writer(
                str(self._folder / name), filename_suffix=f".from-step-{self._begun}.v2"
            )
        return self._files[name]


class Histograms(Callback):
    """The weights' histograms."""

    def __init__(self, board: TensorBoard) -> None:
        self._board = board

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        self._board.histograms(step, state.result)


def summary_text(model: keras.Model) -> str:
    """What `model.summary()` prints."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(lines)


def _trial(run: Path) -> str:
    """The run's name, after that of its folder where this isn't `runs`: TensorBoard merges rows of one name."""
    return run.name if run.parent.name == RUNS.name else f"{run.parent.name}/{run.name}"


def _preformatted(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
