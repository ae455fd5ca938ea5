"""The maps of a few images while the model trains, for TensorBoard: one sees them form."""

from collections.abc import Sequence

import keras
import numpy as np

from harness.config import Config
from harness.data.sources import Split
from harness.insight.saliency import METHODS, bound
from harness.models.logits import pixels_to_logits, probabilities
from harness.report.evaluated_model import outputs_of
from harness.report.examples import correct
from harness.report.explanation import left_out
from harness.report.saliency_figures import saliency_picture
from harness.training.callback import Callback, Row
from harness.training.state import State
from harness.training.tensorboard import TensorBoard

_IMAGES = 8


class FormingMaps(Callback):
    """Hands TensorBoard a picture for each of `insight.methods`, always of the same images.

    These are eight validation images, or training ones where none are held out, evenly over the classes.
    """

    def __init__(self, board: TensorBoard, config: Config, split: str, images: Split) -> None:
        self._board = board
        self._insight = config.insight
        rows = correct(images.labels, images.labels, _IMAGES, config.seed)
        self._images, self._labels = images.images[rows], images.labels[rows].tolist()
        self._class_names = images.class_names
        self._names = [f"{split} image {row}" for row in rows]
        self._twin: keras.Model | None = None
        self._methods: list[str] = []

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        model = state.result
        if self._twin is None:
            height, width, channels = self._images.shape[1:]
            self._twin = pixels_to_logits(model, (height, width, channels))
            without = left_out(self._twin, self._insight, model.name)
            self._methods = [name for name in self._insight.methods if name not in without]
        self._twin.set_weights(model.get_weights())
        says = probabilities(self._twin, outputs_of(self._twin, self._images))
        for name in self._methods:
            values = bound(name, self._insight.layer)(self._twin, self._images, says.argmax(axis=1))
            picture = saliency_picture(
                f"saliency-{name}",
                f"{METHODS[name].title} at step {step:,}",
                self._images,
                self._names,
                self._labels,
                says,
                {name: values.astype(np.float32)},
                self._class_names,
            )
            self._board.image(step, f"saliency/{name}", picture.png, ", ".join(self._names))
