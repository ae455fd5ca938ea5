"""Where the training images lie while a device computes on them."""

import os
from typing import Literal

from harness.cluster.strategy import is_on_gpus
from harness.data.sources import Split
from harness.resources import free_gpu_bytes, visible_gpus


def fits_on_device(placement: Literal["auto", "device", "host"], train: Split) -> bool:
    """Whether the images are to lie on the device: as asked for, or on GPUs where they take less than a quarter of
    what the fullest has free."""
    if placement != "auto":
        return placement == "device"
    if not is_on_gpus():
        return False
    free = [free_gpu_bytes(name) for name in visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))]
    return bool(free) and all(size is not None and train.images.nbytes < size / 4 for size in free)
