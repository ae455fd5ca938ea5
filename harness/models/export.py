"""The trained logits model → `model.keras`, which takes raw pixels, gives probabilities and needs only Keras."""

import os
import re
import tempfile
from pathlib import Path

import keras

from harness.errors import RunError
from harness.keras_internals import infer_by_default

_ENDING = "probabilities"


def export(logits_model: keras.Model, path: Path, is_binary: bool = False) -> None:
    """Save the model with a softmax behind it, or a sigmoid where it is `is_binary`, one logit for two classes, at
    `path`, replacing the file there at once."""
    ending = keras.layers.Activation("sigmoid", name=_ENDING) if is_binary else keras.layers.Softmax(name=_ENDING)
    probabilities = ending(logits_model.output)
    model = keras.Model(logits_model.input, probabilities, name=logits_model.name)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".export-") as folder:
        temporary = Path(folder) / path.name
        model.save(temporary)
        os.replace(temporary, path)


def load(path: Path) -> keras.Model:
    """The model at `path`, in safe mode and not compiled. Raises RunError where it can't be loaded."""
    if not path.exists():
        raise RunError(f"there is no model {path}")
    if path.is_dir():
        raise RunError(f"{path} is a folder: give a .keras file")
    if not os.access(path, os.R_OK):
        raise RunError(f"{path} can't be read: Permission denied")
    try:
        model = keras.saving.load_model(path, compile=False)  # a loss of the user's own can't be loaded, nor is needed
    except Exception as error:  # noqa: BLE001  zipfile and Keras stumble over a damaged file in a dozen ways
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        if "safe_mode=False" in reason:  # Keras's advice is for who calls it
            reason = "it holds code, in a Lambda layer or the like, which would run when it is loaded"
        elif path.is_file() and re.search("not found|format not supported", reason):
            raise RunError(f"{path} is damaged, or not a .keras file") from None
        raise RunError(f"{path} is not a Keras model that loads in safe mode: {reason}") from None
    if not isinstance(model, keras.Model):
        raise RunError(f"{path} holds a Keras {type(model).__name__}, which is not a model")
    if not model.built:
        raise RunError(f"{path} holds a model that was never built: call it on an image, and save it again")
    infer_by_default(model)
    return model


def logits_of(exported: keras.Model) -> keras.Model:
    """The part of an exported model before its softmax or sigmoid."""
    return keras.Model([exported.input], exported.get_layer(_ENDING).input, name=exported.name)
