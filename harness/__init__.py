"""Train an image-classification CNN with TensorFlow on one device, all GPUs of a machine or many machines.

    run = harness.train("mnist", **{"train.length": "1 epoch"})
    run.path, run.read_summary(), run.read_metrics()

`harness.train` does what `harness train` does, and takes as keywords what that takes with --set. It also runs in a
thread, in a notebook, and again in the same process.
"""

import os
from typing import TYPE_CHECKING, Any

from harness import keras_settings

if TYPE_CHECKING:
    from harness.job import train
    from harness.training.callback import Callback

__all__ = ["Callback", "train"]

keras_settings.override_environment()  # before anything here, or its user, imports Keras


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import harness` and `harness --help` stay free of TensorFlow.
    if name == "train":
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")  # a script or notebook has no log for TensorFlow's own lines
        keras_settings.import_keras()  # tells a setting that it can't be imported with
        from harness.job import train

        return train
    if name == "Callback":
        keras_settings.import_keras()
        from harness.training.callback import Callback

        return Callback
    raise AttributeError(f"module 'harness' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*globals(), *__all__]
