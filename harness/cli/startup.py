"""How a command that computes begins: TensorFlow, without its own lines on the terminal, and GPUs that it can't use."""

import gc
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import keras_settings
from harness.console import tensorflow_lines
from harness.errors import UserError


def keep_current_folder_out() -> None:
    """Take empty entries out of PYTHONPATH, as in `/mine:`, for the processes that we start: Python reads them as the
    current folder, where a user's `random.py` is not the library's."""
    if "PYTHONPATH" in os.environ:
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, os.environ["PYTHONPATH"].split(os.pathsep)))


def import_tensorflow() -> None:
    """Import TensorFlow and look for devices; its lines are kept off the terminal, unless this fails.

    Raises UserError where the user's settings of Keras are such that it can't be imported.
    """
    tensorflow_lines.divert()
    try:
        with _without_collections():
            keras_settings.pin()
            import tensorflow as tf

        tf.config.list_physical_devices()
    except UserError:
        raise
    except Exception:
        sys.stderr.write(tensorflow_lines.held().decode(errors="replace"))
        raise
    tensorflow_lines.divert_loggers()
    if log := os.environ.get(tensorflow_lines.LOG_VARIABLE):
        tensorflow_lines.append_to(Path(log))


@contextmanager
def _without_collections() -> Iterator[None]:
    """Import TensorFlow without garbage collections, and keep what it has made out of all later ones.

    Of nearly four seconds of processor they take more than one: they would go again and again, and once more at the end
    of the process, through a million objects that stay. Not in a process that has TensorFlow already: it is not ours
    alone, and what lies about there would never be freed.
    """
    if "tensorflow" in sys.modules or not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
    gc.freeze()


def use_devices() -> None:
    """The same, for a command that trains or computes in this process, with a warning where a GPU can't be used."""
    import_tensorflow()
    import tensorflow as tf

    if not tf.config.list_physical_devices("GPU"):
        _warn_of_gpus()


def check_devices() -> None:
    """Give that warning for the processes that a command starts; TensorFlow is not imported in this one."""
    from harness.machine import cuda

    if cuda.missing():
        _warn_of_gpus()


def _warn_of_gpus() -> None:
    from harness.machine import gpus

    if gpus.TOLD not in os.environ and (text := gpus.warning(os.environ)):
        print(f"warning: {text}", file=sys.stderr, flush=True)
        tensorflow_lines.add(f"warning: {text}")
        os.environ[gpus.TOLD] = "1"
