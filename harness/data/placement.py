"""Where the training images lie while a device computes on them."""

import os
from functools import cache

from harness.cluster.strategy import is_on_gpus
from harness.config import Config
from harness.data.images import Images, Stored
from harness.data.sources import Split
from harness.machine import gpus
from harness.machine.resources import available_memory, visible_gpus


def fits_on_device(config: Config, train: Split) -> bool:
    """Whether the images are to lie on each replica's device: as asked for, or on GPUs where they take less than a
    quarter of what the fullest of those that are used had free when this was first asked, and can be read into memory
    on their way there."""
    if config.data.placement != "auto":
        return config.data.placement == "device"
    if not is_on_gpus():
        return False
    names = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    used = config.cluster.gpus or range(len(names))
    free = [_free(name) for index, name in enumerate(names) if index in used]
    replicas = config.cluster.logical_gpus or 1
    return is_small(train.images.nbytes, free, replicas) and can_be_read(train.images, _host_memory())


def is_small(size: int, free: list[int | None], replicas: int) -> bool:
    """Whether so many bytes are less than a quarter of what each GPU has free for each of its replicas; unknown is not
    enough."""
    return bool(free) and all(each is not None and size < each / replicas / 4 for each in free)


def can_be_read(images: Images, memory: int) -> bool:
    """Whether the images are in memory already, or half of what is left of that holds them: on the way to the device
    TensorFlow may copy them once."""
    return not isinstance(images, Stored) or images.nbytes <= memory // 2


@cache  # what this process takes meanwhile, it does not give back: the answer would change from run to run
def _free(name: str) -> int | None:
    return gpus.memory_bytes("free", name)


@cache  # for the same reason
def _host_memory() -> int:
    return available_memory()
