"""Rows and weights as TensorBoard event files, one sub-run a split so that TensorBoard overlays their curves.

What belongs to the run as a whole stands above them: its hyperparameters, and the steps to its target.

Each checkpoint begins new files, named by its step. A resume at step S deletes those begun at or after S, which hold
exactly what came behind S, so the curves never fork. The noise scale's moving average goes on from the rows before S.
"""

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api import hparams
from tensorboard.plugins.scalar.summary_v2 import scalar_pb

from harness.config import Config, dump
from harness.data.sources import Split
from harness.event_files import file_errors, write_png
from harness.run_names import RUNS
from harness.training import noise_scale
from harness.training.state import State
from harness.training.writers import Row, Writer

_SUFFIX = re.compile(r"\.from-step-(\d+)\.v2$")


def rewind(folder: Path, step: int) -> None:
    """Delete what was written behind `step`."""
    for path in folder.rglob("*tfevents*"):
        begun = _SUFFIX.search(path.name)
        if begun and int(begun[1]) >= step:
            path.unlink()


class TensorBoard(Writer):
    """Scalars and histograms, and what describes a run once at its start."""

    def __init__(self, folder: Path, step: int, earlier: Iterable[Row] = ()) -> None:
        """Go on behind `step`, with the rows of the run up to it."""
        self._folder = folder
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
        with self._file(row["split"]).as_default(row["step"]):
            for name, value in row.items():
                if isinstance(value, float):
                    tf.summary.scalar(name, value)
        self._file(row["split"]).flush()

    @file_errors
    def reached_target(self, step: int) -> None:
        with self._file("").as_default(step):
            tf.summary.scalar("steps_to_target", float(step))

    @file_errors
    def save(self, step: int, state: State, header: dict[str, Any]) -> None:
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
        with self._file("").as_default(0):
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
                tf.summary.image(f"inputs/{index:02d}_label_{label}", shown[None])

    @file_errors
    def histograms(self, step: int, model: keras.Model) -> None:
        with self._file("train").as_default(step):
            for weight in model.trainable_variables:
                tf.summary.histogram(f"weights/{weight.path}", weight.numpy())

    @file_errors
    def image(self, step: int, tag: str, png: bytes) -> None:
        """Write a picture of `step` under `tag`."""
        with self._file("train").as_default():
            write_png(tag, png, step)

    def _file(self, split: str) -> Any:
        if split not in self._files:
            self._files[split] = tf.summary.create_file_writer(
                str(self._folder / split), filename_suffix=f".from-step-{self._begun}.v2"
            )
        return self._files[split]


def summary_text(model: keras.Model) -> str:
    """What `model.summary()` prints."""
    lines: list[str] = []
    model.summary(print_fn=lines.append, line_length=80)
    return "\n".join(lines)


def _trial(run: Path) -> str:
    """The run's name, behind that of its folder where this isn't `runs`: TensorBoard merges rows of one name."""
    return run.name if run.parent.name == RUNS.name else f"{run.parent.name}/{run.name}"


def _preformatted(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
