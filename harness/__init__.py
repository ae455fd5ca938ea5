"""Train an image-classification CNN with TensorFlow on one device, all GPUs of a machine or many machines.

`harness.train("mnist")` does what `harness train mnist` does; see harness.job.train.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.job import train

__all__ = ["train"]


def __getattr__(name: str) -> Any:
    # Imported on first use, so that `import harness` and `harness --help` stay free of TensorFlow.
    if name == "train":
        from harness.job import train

        return train
    raise AttributeError(f"module 'harness' has no attribute {name!r}")
