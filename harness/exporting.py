"""A run's `model.keras` → the same model as a SavedModel, for TensorFlow Lite or in ONNX, checked against it."""

import os
import re
import tempfile
import warnings
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from harness import keras_settings
from harness.data import sources
from harness.data.images import evenly
from harness.errors import HarnessError, UserError
from harness.imports import reason
from harness.keras_internals import graph_layers
from harness.models.build import trained
from harness.models.logits import takes
from harness.runs.run_dir import RunDir

TOLERANCE = 1e-4
_IMAGES = 100


@keras_settings.pinned()
def export(run: RunDir, form: str, path: Path) -> tuple[float, int]:
    """Write the model of `run` at `path`, where nothing may be yet; it is there once it has been checked, or never.

    Like `model.keras` it takes pixels (n, height, width, channels), 0 to 255, of the same dtype, for any n, and gives
    probabilities (n, classes). It needs neither Keras nor the user's own code.

    Args:
        form: "savedmodel" (a folder), "tflite" or "onnx" (a file).

    Returns:
        The largest difference between its probabilities and those of `model.keras`, and of how many test images.

    Raises UserError where the model can't be had in that form, HarnessError where the difference is above TOLERANCE.
    """
    model = trained(run)
    _check_precision(model, form)
    test = sources.load(run.read_config().data).x_test
    if not takes(model, test.shape[1:]):
        raise UserError(f"{run.path} takes images of shape {model.input_shape[1:]}, not {test.shape[1:]}")
    images = test[evenly(len(test), _IMAGES)].astype(model.input.dtype)  # the first may all be of one class
    write, probabilities = {
        "savedmodel": (_write_savedmodel, _of_savedmodel),
        "tflite": (_write_tflite, _of_tflite),
        "onnx": (_write_onnx, _of_onnx),
    }[form]
    with tf.device("CPU:0"):  # a GPU's rounding is not a difference of the file
        expected = model(images, training=False).numpy()
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        written = Path(folder) / "model"
        try:
            with warnings.catch_warnings(action="ignore"):  # of the converters' own, which no user can fix
                write(model, written)
                given = probabilities(written, images)
        except Exception as error:  # each converter has errors of its own; tf2onnx leaves them to what reads its file
            raise UserError(
                f"{run.model_file} can't be exported as {form}: {_why(error)}; try another format"
            ) from error
        difference = float(np.abs(given - expected).max())
        if not difference <= TOLERANCE:  # NaN too
            raise HarnessError(
                f"{form}: its probabilities differ from those of {run.model_file} by up to {difference:.1e} over "
                f"{len(images)} test images, and {TOLERANCE:.0e} is allowed: nothing was kept"
            )
        os.rename(written, path)
    return difference, len(images)


def _check_precision(model: keras.Model, form: str) -> None:
    """Both formats' runtimes lack kernels of the other dtypes, and rounding in 16 bits is their own."""
    computing = {layer.compute_dtype for layer in graph_layers(model)} - {"float32"}
    if form != "savedmodel" and computing:
        raise UserError(
            f"this model computes in {' and '.join(sorted(computing))}, and {form} is for models in float32: "
            "export it --to savedmodel, or train with train.precision=float32"
        )


def _write_savedmodel(model: keras.Model, path: Path) -> None:
    model.export(path, format="tf_saved_model", verbose=False)


def _of_savedmodel(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    with tf.device("CPU:0"):
        loaded = tf.saved_model.load(path)
        (probabilities,) = loaded.signatures["serving_default"](tf.constant(images)).values()
    return np.asarray(probabilities.numpy())


def _write_tflite(model: keras.Model, path: Path) -> None:
    # By way of a SavedModel: a converter given the function itself leaves its variables without values.
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        _write_savedmodel(model, Path(folder))
        path.write_bytes(tf.lite.TFLiteConverter.from_saved_model(folder).convert())


def _of_tflite(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(taken["index"], images.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(taken["index"], images)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(given["index"]))


def _write_onnx(model: keras.Model, path: Path) -> None:
    model.export(path, format="onnx", verbose=False)


def _of_onnx(path: Path, images: NDArray[Any]) -> NDArray[Any]:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    (probabilities,) = session.run(None, {taken.name: images})
    return np.asarray(probabilities)


def _why(error: Exception) -> str:
    """In one line; of the pages that the formats' libraries write, which operations they lack."""
    lacking = sorted(set(re.findall(r"'tf\.(\w+)' op is neither|No Op registered for (\w+)", str(error))))
    return f"it has no {' and no '.join(map(''.join, lacking))}" if lacking else reason(error)
