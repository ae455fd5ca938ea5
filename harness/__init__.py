"""Train an image-classification CNN with TensorFlow on one device, all GPUs of a machine or many machines.

`harness.train("mnist")` does what `harness train mnist` does; see harness.job.train.
"""

from typing import TYPE_CHECKING, Any

from harness import keras_settings

if TYPE_CHECKING:
    from harness.job import train

__all__ = ["train"]

keras_settings.override_environment()  # before anything here, or its user, imports Keras


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import harness` and `harness --help` stay free of TensorFlow.
    if name == "train":
        keras_settings.import_keras()  # tells a setting that it can't be imported with
        from harness.job import train

        return train
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
