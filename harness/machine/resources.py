"""What each of several workers on this machine gets, a port, GPUs, logical CPUs; and the memory that is left."""

import socket
from contextlib import ExitStack
from itertools import takewhile

from harness.errors import DeviceError
from harness.machine import gpus


def share_logical_cpus(workers: int, count: int | None) -> list[str]:
    """The setting that gives each worker its equal share of `count` logical CPUs. Raises DeviceError."""
    if count is None:
        return []
    if count % workers:
        raise DeviceError(f"cluster.logical_cpus: {count} can't be shared equally among {workers} workers")
    return ["--set", f"cluster.logical_cpus={count // workers}"]


def share_gpus(workers: int, per_worker: int | None, visible: str | None) -> list[list[str]] | None:
    """Each worker's GPUs, in turn from those that are there; None where there are none and none were asked for.

    Args:
        workers: how many share them.
        per_worker: how many each gets; None for an equal share of all.
        visible: CUDA_VISIBLE_DEVICES, if it is set.

    Raises DeviceError where there are not enough.
    """
    present = visible_gpus(visible)
    if per_worker is None:
        if not present:
            return None
        per_worker = len(present) // workers
    if workers * max(1, per_worker) > len(present):
        raise DeviceError(
            f"{workers} workers with {max(1, per_worker)} GPU{'s' if per_worker > 1 else ''} each need "
            f"{workers * max(1, per_worker)}, and there are {len(present)}: start fewer workers, or set "
            "CUDA_VISIBLE_DEVICES= to train on the CPU"
        )
    return [present[index * per_worker : (index + 1) * per_worker] for index in range(workers)]


def visible_gpus(visible: str | None) -> list[str]:
    """What `nvidia-smi -i` calls each GPU that a process may see; `visible` is CUDA_VISIBLE_DEVICES, if it is set."""
    if visible is None:
        return [str(number) for number in range(len(gpus.known()))]
    # As CUDA reads it: what stands behind a -1 is hidden too.
    return list(takewhile(lambda name: name not in ("", "-1"), visible.split(",")))


def deal_gpus(processes: int, visible: str | None) -> list[list[str]] | None:
    """The GPUs of each of several processes that know nothing of each other; None where there are none.

    An equal share of them, or one in turn where the processes are more than the GPUs and have to share these.

    Args:
        processes: how many run at a time.
        visible: CUDA_VISIBLE_DEVICES, if it is set.
    """
    present = visible_gpus(visible)
    if not present:
        return None
    if processes > len(present):
        return [[present[index % len(present)]] for index in range(processes)]
    return share_gpus(processes, None, visible)


def available_memory() -> int:
    """Bytes that a new program can take without swapping, as the kernel estimates them."""
    with open("/proc/meminfo") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith("MemAvailable:"))


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens at on 127.0.0.1."""
    with ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
