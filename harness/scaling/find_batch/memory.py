"""How much memory a training process may take: what the user allows, and what the machine or its GPUs have."""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from harness.config.cluster import ClusterSection
from harness.errors import ConfigError
from harness.machine import gpus
from harness.machine.resources import available_memory, share_gpus

_UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_UNITS |= {"KIB": 2**10, "MIB": 2**20, "GIB": 2**30, "TIB": 2**40}
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?)\s*([a-z]*)", re.IGNORECASE)


@dataclass(frozen=True)
class Limit:
    """The most bytes that a process, or the fullest of its GPUs, may take; None if unknown."""

    size: int | None
    source: str
    """Where the number comes from, for a person."""

    def __str__(self) -> str:
        return self.source if self.size is None else f"{mebibytes(self.size)} ({self.source})"


def parse(text: str) -> int:
    """Bytes from `4GiB`, `800MiB`, `4GB` or `4096`. Raises ConfigError."""
    match = _SIZE.fullmatch(text.strip())
    factor = _UNITS.get(match[2].upper()) if match else None
    size = int(float(match[1]) * factor) if match and factor else 0
    if size < 1:
        raise ConfigError(f"--memory {text}: write a size above zero such as 4GiB, 800MiB, 4GB or 4096 (bytes)")
    return size


def mebibytes(size: int) -> str:
    """A number of bytes as `1,024 MiB`."""
    return f"{size / 2**20:,.0f} MiB"


def above(size: int) -> str:
    """Why a process does not fit that took more."""
    return f"above {mebibytes(size)}"


def host_limit(asked: int | None) -> Limit:
    """For a process that computes on the CPU: what was `asked` for, else all that is there.

    Raises ConfigError where more was asked for than is there.
    """
    limits = [Limit(available_memory(), "available on this machine")]
    group = cgroup_limit(Path("/proc/self/cgroup").read_text(), Path("/sys/fs/cgroup"))
    if group is not None:
        limits.append(Limit(group, "the limit of this control group"))
    return _within(min(limits, key=lambda limit: limit.size or 0), asked)


def cgroup_limit(membership: str, root: Path) -> int | None:
    """The smallest memory limit of a control group and its parents; None if there is none.

    Args:
        membership: what `/proc/self/cgroup` says (cgroups(7)), of version 1 or 2.
        root: where the groups are mounted.
    """

    def found() -> Iterator[int]:
        for line in membership.splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                top, name = root, "memory.max"
            elif "memory" in controllers.split(","):
                top, name = root / "memory", "memory.limit_in_bytes"
            else:
                continue
            group = top / path.lstrip("/")
            for folder in (group, *group.parents):
                with suppress(OSError, ValueError):  # no such file, or `max`
                    yield int((folder / name).read_text())

    return min(found(), default=None)


def gpu_limit(section: ClusterSection, asked: int | None) -> Limit:
    """For a process on the GPUs that it may see: what was `asked` for, else the memory of the smallest one.

    Raises ConfigError where more was asked for than that has.
    """
    (names,) = share_gpus(1, None, os.environ.get("CUDA_VISIBLE_DEVICES")) or [[]]
    with suppress(IndexError):
        names = [names[index] for index in section.gpus] if section.gpus is not None else names
    sizes = [size for name in names if (size := gpus.memory_bytes("total", name)) is not None]
    if not sizes or len(sizes) < len(names):
        return Limit(asked, "unknown: nvidia-smi doesn't report it" if asked is None else "--memory")
    return _within(Limit(min(sizes), "of the smallest GPU" if len(sizes) > 1 else "of the GPU"), asked)


def _within(most: Limit, asked: int | None) -> Limit:
    if asked is None:
        return most
    if most.size is not None and asked > most.size:
        raise ConfigError(f"--memory: {mebibytes(asked)} is more than the {most}: ask for less")
    return Limit(asked, "--memory")
