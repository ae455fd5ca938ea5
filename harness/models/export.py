"""The trained logits model → `model.keras`, which takes raw pixels, gives probabilities and needs only Keras."""

import os
import tempfile
import zipfile
import zlib
from pathlib import Path

import keras

from harness.errors import RunError


def export(logits_model: keras.Model, path: Path) -> None:
    """Save the model with a softmax behind it at `path`, replacing the file there at once."""
    probabilities = keras.layers.Softmax(name="probabilities")(logits_model.output)
    model = keras.Model(logits_model.input, probabilities, name=logits_model.name)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        temporary = Path(folder) / path.name
        model.save(temporary)
        os.replace(temporary, path)


def load(path: Path) -> keras.Model:
    """The exported model at `path`, in safe mode. Raises RunError where it can't be loaded."""
    try:
        return keras.saving.load_model(path)
    except (OSError, ValueError, TypeError, KeyError, zipfile.BadZipFile, zlib.error) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise RunError(f"{path} can't be loaded as a Keras model in safe mode: {reason}") from None


def logits_of(exported: keras.Model) -> keras.Model:
    """The part of an exported model before its softmax."""
    return keras.Model([exported.input], exported.get_layer("logits").output, name=exported.name)
