"""Where the training images lie while a device computes on them."""

from typing import Literal

from harness.cluster.strategy import is_on_gpus
from harness.data.sources import Split
from harness.resources import free_gpu_bytes


def fits_on_device(placement: Literal["auto", "device", "host"], train: Split) -> bool:
    """Whether the images are to lie on the device: as asked for, or on GPUs where they take less than a quarter of
    what the fullest has free."""
    if placement != "auto":
        return placement == "device"
    free = free_gpu_bytes() if is_on_gpus() else None
    return free is not None and train.images.nbytes < free / 4
