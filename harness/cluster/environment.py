"""Who we are among the workers, read from the environment: pure, no TensorFlow."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from harness.errors import DeviceError


@dataclass(frozen=True)
class Membership:
    """The workers' addresses (`host:port`), which of them we are, and where that was read."""

    workers: tuple[str, ...]
    index: int
    source: str

    @property
    def is_chief(self) -> bool:
        return self.index == 0


def detect(environment: Mapping[str, str]) -> Membership | None:
    """The cluster that `TF_CONFIG` names; None without one. Raises DeviceError where it can't be understood."""
    text = environment.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        if not config:
            return None
        workers = config["cluster"]["worker"]
        if not isinstance(workers, list) or not all(isinstance(w, str) and ":" in w for w in workers):
            raise ValueError(f"worker is {workers!r}")
        task = config["task"]
        kind, index = task["type"], int(task["index"])
    except (ValueError, KeyError, TypeError) as error:
        raise DeviceError(
            f"TF_CONFIG is not understood ({type(error).__name__}: {error}): expected "
            '{"cluster": {"worker": ["host:port", …]}, "task": {"type": "worker", "index": 0}}'
        ) from None
    if set(config["cluster"]) != {"worker"} or kind != "worker":
        raise DeviceError("TF_CONFIG names tasks other than 'worker': only workers are supported")
    if not 0 <= index < len(workers):
        raise DeviceError(f"TF_CONFIG: task index {index} is not one of the {len(workers)} workers")
    return Membership(tuple(workers), index, "TF_CONFIG")


def is_chief(strategy: str, environment: Mapping[str, str]) -> bool:
    """Whether we are the worker that reads and writes the disk, under that `cluster.strategy`."""
    membership = detect(environment) if strategy in ("auto", "multi_worker") else None
    return membership is None or membership.is_chief
