"""Devices → a `tf.distribute` strategy, and why that one."""

import os
import resource
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import tensorflow as tf

from harness.cluster.environment import Membership, membership
from harness.cluster.rendezvous import meet
from harness.config.cluster import ClusterSection
from harness.config.train import TrainSection
from harness.errors import DeviceError
from harness.keras_internals import MultiWorkerOverDevices, disable_op_determinism
from harness.machine.gpus import memory_bytes
from harness.machine.resources import visible_gpus

_SPLIT_SHARE = 0.8
"""Of a card's free memory, what its logical GPUs take together."""


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
        """The data set that `batches` makes for this worker; of an iterator over it, `next` gives the elements.

        To GPUs its elements are copied ahead. On CPUs it is left as it is: the iterator that TensorFlow 2.21 puts
        around a distributed one was seen to crash when it is dropped while it fills, and its end to wait, for a minute
        at worst, for a thread that is woken late.
        """
        if is_on_gpus():
            return self.strategy.distribute_datasets_from_function(batches)
        return batches(tf.distribute.InputContext(self.workers, self.worker, self.replicas))

    def next(self, batches: Iterator[Any]) -> Any:
        """The next elements, one for each replica here in turn, as `strategy.run` deals them out."""
        if is_on_gpus():
            return next(batches)
        return self.strategy.experimental_distribute_values_from_function(lambda _: next(batches))

    def on_each_replica(self, arrays: tuple[Any, ...]) -> Any:
        """The same arrays on the device of each replica here."""
        # Captured, so that they are copied once: what is traced with them as constants would hold them too.
        tensors = tuple(map(tf.constant, arrays))
        return self.strategy.run(tf.function(lambda: tuple(map(tf.identity, tensors)), autograph=False))

    @property
    def replicas(self) -> int:
        """Replicas over all workers."""
        return int(self.strategy.num_replicas_in_sync)


def connect(
    section: ClusterSection,
    environment: Mapping[str, str] = os.environ,
    common: Mapping[str, Any] | None = None,
    train: TrainSection | None = None,
    say: Callable[[str], None] = lambda text: None,
) -> Cluster:
    """Set up the devices that `section` asks for, meet the other workers and build the strategy; once per process.

    Args:
        section: the config's.
        environment: where a cluster may be named.
        common: flat `section.key` → value, of what all workers must have alike.
        train: the config's section of that name, for how GPUs round and add; None for the defaults.
        say: is given a line with who is awaited, where that takes longer than a few seconds.

    Raises DeviceError, listing what exists, where the devices are not there; WorkerMissing or ConfigError where
    another worker is not there or has another config.
    """
    train = train or TrainSection()
    members = membership(section.strategy, environment)
    if members is not None and section.logical_gpus is not None:
        raise DeviceError(
            f"cluster.logical_gpus is for one process, and {members.source} names a cluster: "
            "set cluster.strategy: mirrored to leave that unread, or leave cluster.logical_gpus out"
        )
    gpus = _use_gpus(section)
    devices = _logical_devices(section, gpus)
    check_all_reduce(section.all_reduce, section.logical_gpus or len(gpus), several_workers=members is not None)
    tf.config.experimental.enable_tensor_float_32_execution(train.tf32)  # which TensorFlow has on by default
    if train.deterministic is True or (gpus and train.deterministic == "auto"):
        # GPU kernels add in any order unless told otherwise, and one config has to give one set of weights.
        tf.config.experimental.enable_op_determinism()
    else:  # of an earlier call in this process
        disable_op_determinism()

    if members is not None:
        meet(members, {**(common or {}), "devices of a worker": len(devices or ["CPU:0"])}, section.start_timeout, say)
        return _multi_worker(section, members, devices or ["CPU:0"], gpus)
    if section.strategy == "multi_worker":
        raise DeviceError(
            "cluster.strategy: multi_worker needs a cluster in the environment (TF_CONFIG, Slurm or Kubernetes; "
            f"`harness launch` makes one on this machine); {_available(gpus)}"
        )
    if section.strategy == "mirrored" or (section.strategy == "auto" and len(devices) > 1):
        if not devices:
            raise DeviceError(f"cluster.strategy: mirrored needs GPUs or cluster.logical_cpus; {_available(gpus)}")
        strategy = _mirrored(tuple(devices), section.all_reduce, one_card=section.logical_gpus is not None)
        asked = "asked for" if section.strategy == "mirrored" else f"{len(devices)} devices"
        if section.logical_gpus is not None:
            asked = "logical GPUs of one card"
        return Cluster(strategy, f"mirrored over {', '.join(devices)} ({asked})")
    device = (devices or ["CPU:0"])[0]
    reason = "asked for" if section.strategy == "single" else ("one GPU" if gpus else "no GPU found")
    if section.strategy == "auto" and section.logical_cpus is not None:
        reason = "one logical CPU"
    return Cluster(tf.distribute.OneDeviceStrategy(device), f"single device {device} ({reason})")


def is_on_gpus() -> bool:
    """Whether this process computes on GPUs."""
    return bool(tf.config.get_visible_devices("GPU"))


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
    if section.logical_gpus is not None and not found:
        raise DeviceError(
            f"cluster.logical_gpus: {section.logical_gpus}, and there is no GPU to split; use logical_cpus"
        )
    wanted = section.gpus if section.gpus is not None else range(len(found) if section.logical_gpus is None else 1)
    missing = [index for index in wanted if index >= len(found)]
    if missing:
        raise DeviceError(f"cluster.gpus: there is no GPU {missing[0]}; {_available(found)}")
    chosen = [found[index] for index in wanted]
    tf.config.set_visible_devices(chosen, "GPU")
    for gpu in chosen if section.logical_gpus is None else []:  # a logical GPU has a limit, which rules growth out
        tf.config.experimental.set_memory_growth(gpu, True)
    return chosen


def _logical_devices(section: ClusterSection, gpus: list[tf.config.PhysicalDevice]) -> list[str]:
    """The names of the devices to train on, after splitting what is to be split; none for the CPU as it is."""
    if section.logical_cpus is not None:
        _split_cpu(section.logical_cpus)
        return [f"CPU:{index}" for index in range(section.logical_cpus)]
    if section.logical_gpus is not None:
        _split_gpu(gpus[0], section.logical_gpus)
    return [f"GPU:{index}" for index in range(section.logical_gpus or len(gpus))]


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


def _split_gpu(gpu: tf.config.PhysicalDevice, count: int) -> None:
    """Make `count` logical devices of it, each with an equal share of most of the memory that is free now.

    TensorFlow asks for a limit a logical device and takes all of it at the start: growing into shares of what is there
    would let the first replica crowd out the last. What is left is for the CUDA contexts and for other processes.
    """
    made = tf.config.get_logical_device_configuration(gpu)
    if made is not None and len(made) >= count:  # by an earlier call in this process
        return
    names = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    index = tf.config.list_physical_devices("GPU").index(gpu)
    free = memory_bytes("free", names[index]) if index < len(names) else None
    if free is None:
        raise DeviceError(
            f"cluster.logical_gpus: {count}, but nvidia-smi doesn't report the free memory of GPU {index}"
        )
    share = int(_SPLIT_SHARE * free / count) // 2**20
    try:
        tf.config.set_logical_device_configuration(
            gpu, [tf.config.LogicalDeviceConfiguration(memory_limit=share) for _ in range(count)]
        )
    except RuntimeError:
        raise DeviceError(
            f"cluster.logical_gpus: {count}, but TensorFlow already runs in this process with "
            f"{len(made or [gpu])}: choose before its first operation"
        ) from None


def check_all_reduce(all_reduce: str, gpus: int, several_workers: bool) -> None:
    """Raise DeviceError where so many GPUs, of one machine or of each worker, can't add up gradients in that way."""
    if all_reduce == "auto":
        return
    if gpus == 0:
        raise DeviceError(f"cluster.all_reduce: {all_reduce} is for GPUs, and none is used here: leave it at auto")
    if all_reduce == "hierarchical" and several_workers:
        raise DeviceError(
            "cluster.all_reduce: hierarchical is for the GPUs of one machine, not for several workers: use nccl or auto"
        )
    # TensorFlow 2.21 copies within two halves of the GPUs, and silently leaves out the last of an odd number.
    if all_reduce == "hierarchical" and gpus > 1 and gpus % 2:
        raise DeviceError(
            f"cluster.all_reduce: hierarchical needs an even number of GPUs, not {gpus}: use nccl or auto, or name "
            "fewer in cluster.gpus"
        )


@cache
def _mirrored(devices: tuple[str, ...], all_reduce: str, one_card: bool) -> tf.distribute.Strategy:
    """One strategy a process for the same devices: two would number their collectives alike, and mix them up."""
    operations = cross_device_ops(devices, all_reduce, one_card)
    return tf.distribute.MirroredStrategy(list(devices), cross_device_ops=operations)


def cross_device_ops(
    devices: Sequence[str], all_reduce: str, one_card: bool = False
) -> tf.distribute.CrossDeviceOps | None:
    """How the devices of one machine, or of one card, add up their gradients; None for TensorFlow's choice."""
    if devices[0].startswith("CPU") or (one_card and all_reduce == "auto"):
        # Devices that share their memory. NCCL refuses two of one card, and collectives of two sets of logical CPUs
        # would get in each other's way.
        return tf.distribute.ReductionToOneDevice()
    if all_reduce == "nccl":
        return tf.distribute.NcclAllReduce()
    return tf.distribute.HierarchicalCopyAllReduce() if all_reduce == "hierarchical" else None


def communication(
    section: ClusterSection, gpus: Sequence[tf.config.PhysicalDevice]
) -> tf.distribute.experimental.CommunicationOptions:
    """How several workers, with these GPUs each, add up their gradients; raises as check_all_reduce does."""
    check_all_reduce(section.all_reduce, len(gpus), several_workers=True)
    implementations = tf.distribute.experimental.CommunicationImplementation
    implementation = implementations.NCCL if section.all_reduce == "nccl" else implementations.AUTO
    return tf.distribute.experimental.CommunicationOptions(implementation=implementation)


def _multi_worker(
    section: ClusterSection, members: Membership, devices: Sequence[str], gpus: list[tf.config.PhysicalDevice]
) -> Cluster:
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": list(members.workers)}),
        task_type="worker",
        task_id=members.index,
        rpc_layer="grpc",
    )
    strategy = MultiWorkerOverDevices(resolver, communication(section, gpus), devices)
    count = len(members.workers)
    each = f" with {len(devices)} devices each" if len(devices) > 1 else ""
    description = f"multi_worker: worker {members.index} of {count}{each} ({members.source})"
    return Cluster(strategy, description, members.index, count)


def _available(gpus: list[tf.config.PhysicalDevice]) -> str:
    names = [f"GPU:{index}" for index in range(len(gpus))]
    return f"devices here: {', '.join(['CPU:0', *names])}"
