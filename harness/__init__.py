"""Train an image-classification CNN with TensorFlow on one device, all GPUs of a machine or many machines.

    run = harness.train("mnist", **{"train.length": "1 epoch"})
    run.path, run.read_summary(), run.read_metrics()
    harness.evaluate(run, "validation")
    harness.visualize(harness.RunDir.open("latest"))

`harness.train` does what `harness train` does, and takes as keywords what that takes with --set. It also runs in a
thread, in a notebook, and again in the same process. What goes wrong is raised as one of `harness.errors`.
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

from harness import keras_settings
from harness.console import tensorflow_lines

if TYPE_CHECKING:
    from harness.job import evaluate, train
    from harness.report import visualize
    from harness.runs.run_dir import RunDir
    from harness.training.callback import Callback

__all__ = ["Callback", "RunDir", "evaluate", "train", "visualize"]

_LIGHT = {"RunDir": "harness.runs.run_dir"}
_ON_TENSORFLOW = {
    "Callback": "harness.training.callback",
    "evaluate": "harness.job",
    "train": "harness.job",
    "visualize": "harness.report",
}

keras_settings.override_environment()  # before anything here, or its user, imports Keras


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import harness` and `harness --help` stay free of TensorFlow.
    module = (_LIGHT | _ON_TENSORFLOW).get(name)
    if module is None:
        raise AttributeError(f"module 'harness' has no attribute {name!r}")
    if name in _ON_TENSORFLOW:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # a script or notebook has no log for TensorFlow's own lines
        with tensorflow_lines.kept_out():
            keras_settings.import_keras()  # tells a setting that it can't be imported with
            import tensorflow as tf

            tf.config.list_physical_devices()
            return getattr(import_module(module), name)
    return getattr(import_module(module), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]
