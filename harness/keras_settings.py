"""Keras as this package needs it, whatever its user has set for other projects.

Keras reads ~/.keras/keras.json (KERAS_HOME/keras.json) and some environment variables when it is imported, and a
program may change the same settings later. `override_environment` acts before the import, `pin` and `pinned` after it.
"""

import json
import os
import sys
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.errors import UserError

_ENVIRONMENT = {
    "KERAS_BACKEND": "tensorflow",
    "KERAS_NNX_ENABLED": "0",
    "TF_USE_LEGACY_KERAS": "0",
    "KERAS_MAX_EPOCHS": None,
    "KERAS_MAX_STEPS_PER_EPOCH": None,
}
"""By variable, what it has to be; None for not set."""
_SHARED = {"floatx": "float32", "epsilon": 1e-7, "image_data_format": "channels_last"}
"""By name in keras.config: Keras's own defaults, which all that is trained and exported here relies on."""
_OF_A_THREAD = {"dtype_policy": "float32"}
"""The same, of what Keras keeps for each thread."""
_SETTINGS = _SHARED | _OF_A_THREAD

_overridden: dict[str, str] = {}


def override_environment() -> None:
    """Set the variables, for this process and those it starts; not where Keras has read them already."""
    if "keras" in sys.modules or "tensorflow" in sys.modules:
        return
    for name, value in _ENVIRONMENT.items():
        given = os.environ.pop(name, None)
        if given and given != value:
            _overridden[name] = given
        if value is not None:
            os.environ[name] = value


def overridden() -> list[str]:
    """The user's own settings that count for nothing here, each as it is written and where."""
    file, values = settings_file(), _in_file()
    needed = _SETTINGS | {"backend": "tensorflow"}
    differing = [name for name, value in values.items() if name in needed and value != needed[name]]
    return [f"{name}={value}" for name, value in _overridden.items()] + [
        f"{name} {values[name]} in {file}" for name in differing
    ]


def settings_file() -> Path:
    """Where Keras looks for its settings; there need be no file."""
    home = Path.home() if os.access(Path.home(), os.W_OK) else Path("/tmp")
    return Path(os.environ.get("KERAS_HOME", home / ".keras")).expanduser() / "keras.json"


def _in_file() -> dict[str, Any]:
    try:
        values = json.loads(settings_file().read_bytes())
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}


def import_keras() -> Any:
    """The module keras, on TensorFlow. Raises UserError where the user's own settings don't let it be that."""
    if "tensorflow" in sys.modules and os.environ.get("TF_USE_LEGACY_KERAS") in ("1", "true", "True"):
        raise UserError(
            "TF_USE_LEGACY_KERAS was set when TensorFlow was imported, and harness needs Keras 3: "
            "unset it and restart Python"
        )
    try:
        import keras
    except (ValueError, TypeError, AttributeError, OSError) as error:  # how Keras stumbles over what the file holds
        reason = str(error).splitlines()[0]
        raise UserError(f"{settings_file()} keeps Keras from being imported: {reason}: fix or delete it") from None
    except ImportError:  # of a backend that isn't installed, or of Keras itself
        backend = os.environ.get("KERAS_BACKEND") or _in_file().get("backend", "tensorflow")
        if backend == "tensorflow":
            raise
        raise _wrong_backend(backend) from None
    if keras.config.backend() != "tensorflow":
        raise _wrong_backend(keras.config.backend())
    return keras


def _wrong_backend(name: str) -> UserError:
    return UserError(
        f"TensorFlow or Keras was imported with the backend {name}, and harness needs tensorflow: "
        "restart Python with KERAS_BACKEND=tensorflow, or import harness first"
    )


def pin() -> None:
    """Give the settings the values needed. Raises UserError as `import_keras` does."""
    _set(_SETTINGS)


_lock = threading.Lock()
_holders = 0
"""How many threads are in `pinned`."""
_before: dict[str, Any] = {}
"""What the settings that threads share were before the first of these."""


@contextmanager
def pinned() -> Iterator[None]:
    """The same for a while, in a process that is not ours alone: its own settings are back when the last thread is
    through."""
    global _holders, _before
    before = _get(_OF_A_THREAD)
    with _lock:
        if not _holders:
            _before = _get(_SHARED)
        _holders += 1
        pin()
    try:
        yield
    finally:
        with _lock:
            _holders -= 1
            if not _holders:
                _set(_before)
        _set(before)


def _get(names: Iterable[str]) -> dict[str, Any]:
    keras = import_keras()
    return {name: getattr(keras.config, name)() for name in names}


def _set(values: dict[str, Any]) -> None:
    keras = import_keras()
    for name, value in values.items():
        getattr(keras.config, f"set_{name}")(value)
