"""Devices → a `tf.distribute` strategy, and why that one."""

import os
import resource
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from harness.cluster.environment import Membership, detect
from harness.config.cluster import ClusterSection
from harness.errors import DeviceError


@dataclass(frozen=True)
class Cluster:
    """The strategy to train under, and our place in it."""

    strategy: tf.distribute.Strategy
    description: str
    worker: int = 0
    workers: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that reads and writes the disk."""
        return self.worker == 0

    def distribute(self, batches: Callable[[tf.distribute.InputContext], tf.data.Dataset]) -> Any:
        """The data sets that `batches` makes for each worker, as one whose elements go to the replicas in turn.

        They are copied ahead to GPUs only. Where everything lies in the host's memory that would cost copies, and the
        end of an iterator would wait, for a minute per device at worst, for threads that TensorFlow 2.21 wakes late.
        """
        on_gpus = bool(tf.config.get_visible_devices("GPU"))
        options = tf.distribute.InputOptions(experimental_fetch_to_device=on_gpus)
        return self.strategy.distribute_datasets_from_function(batches, options)

    @property
    def replicas(self) -> int:
        """Replicas over all workers."""
        return int(self.strategy.num_replicas_in_sync)


def connect(section: ClusterSection, environment: Mapping[str, str] = os.environ) -> Cluster:
    """Set up the devices that `section` asks for and build the strategy; once per process.

    Raises DeviceError, listing what exists, where the devices are not there.
    """
    membership = detect(environment)
    gpus = _use_gpus(section)
    if section.logical_cpus is not None:
        _split_cpu(section.logical_cpus)
    if gpus:
        # GPU kernels add in any order unless told otherwise, and one config has to give one set of weights.
        tf.config.experimental.enable_op_determinism()

    if section.strategy == "multi_worker" or (section.strategy == "auto" and membership is not None):
        return _multi_worker(section, membership, gpus)
    devices = [f"GPU:{index}" for index in range(len(gpus))]
    if section.logical_cpus is not None:
        devices = [f"CPU:{index}" for index in range(section.logical_cpus)]
    if section.strategy == "mirrored" or (section.strategy == "auto" and len(devices) > 1):
        if not devices:
            raise DeviceError(f"cluster.strategy: mirrored needs GPUs or cluster.logical_cpus; {_available(gpus)}")
        strategy = _mirrored(tuple(devices))
        asked = "asked for" if section.strategy == "mirrored" else f"{len(devices)} devices"
        return Cluster(strategy, f"mirrored over {', '.join(devices)} ({asked})")
    device = (devices or ["CPU:0"])[0]
    reason = "asked for" if section.strategy == "single" else ("one GPU" if gpus else "no GPU found")
    if section.strategy == "auto" and section.logical_cpus is not None:
        reason = "one logical CPU"
    return Cluster(tf.distribute.OneDeviceStrategy(device), f"single device {device} ({reason})")


def describe_device() -> str:
    """The hardware trained on: GPU names with their number, or the processor and its cores."""
    gpus = tf.config.get_visible_devices("GPU")
    if gpus:
        names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
        return ", ".join(f"{names.count(name)} × {name}" for name in dict.fromkeys(names))
    return f"{_processor()} ({len(os.sched_getaffinity(0))} cores)"


def peak_memory_bytes() -> int:
    """The most memory used so far: of the fullest GPU, or of this process where there is none."""
    gpus = tf.config.list_logical_devices("GPU")
    if gpus:
        return max(int(tf.config.experimental.get_memory_info(gpu.name)["peak"]) for gpu in gpus)
    # Not getrusage where it can be helped: its peak survives fork and exec, so a child would report its parent's.
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _processor() -> str:
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return names[0] if names else os.uname().machine


def _use_gpus(section: ClusterSection) -> list[tf.config.PhysicalDevice]:
    found = tf.config.list_physical_devices("GPU")
    if section.logical_cpus is not None:
        tf.config.set_visible_devices([], "GPU")
        return []
    wanted = section.gpus if section.gpus is not None else range(len(found))
    missing = [index for index in wanted if index >= len(found)]
    if missing:
        raise DeviceError(f"cluster.gpus: there is no GPU {missing[0]}; {_available(found)}")
    chosen = [found[index] for index in wanted]
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen:
        tf.config.experimental.set_memory_growth(gpu, True)
    return chosen


def _split_cpu(count: int) -> None:
    (cpu,) = tf.config.list_physical_devices("CPU")
    wanted = [tf.config.LogicalDeviceConfiguration() for _ in range(count)]
    try:
        tf.config.set_logical_device_configuration(cpu, wanted)
    except (RuntimeError, ValueError):  # TensorFlow already runs in this process
        if len(tf.config.list_logical_devices("CPU")) < count:
            raise DeviceError(
                f"cluster.logical_cpus: {count}, but TensorFlow already runs in this process with "
                f"{len(tf.config.list_logical_devices('CPU'))}: choose before its first operation"
            ) from None


@cache
def _mirrored(devices: tuple[str, ...]) -> tf.distribute.Strategy:
    """One strategy a process for the same devices: two would number their collectives alike, and mix them up."""
    on_cpu = devices[0].startswith("CPU")
    # Logical CPUs share their memory, and collectives of two sets of them would get in each other's way.
    reduction = tf.distribute.ReductionToOneDevice() if on_cpu else None
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=reduction)


def _multi_worker(
    section: ClusterSection, membership: Membership | None, gpus: list[tf.config.PhysicalDevice]
) -> Cluster:
    if membership is None:
        raise DeviceError(
            f"cluster.strategy: multi_worker needs a cluster in the environment (TF_CONFIG); {_available(gpus)}"
        )
    if section.logical_cpus is not None:
        raise DeviceError("cluster.logical_cpus is not for several workers: leave it out")
    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    count = len(membership.workers)
    description = f"multi_worker: worker {membership.index} of {count} ({membership.source})"
    return Cluster(strategy, description, membership.index, count)


def _available(gpus: list[tf.config.PhysicalDevice]) -> str:
    names = [f"GPU:{index}" for index in range(len(gpus))]
    return f"devices here: {', '.join(['CPU:0', *names])}"
