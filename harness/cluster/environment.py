"""Who we are among the workers, read from the environment: pure, no TensorFlow.

The first of these that is there counts:

1. `TF_CONFIG`, TensorFlow's own; `harness launch` sets it for the workers that it starts.
2. Slurm, where the job step has several tasks (`srun`): a task is a worker.
3. Kubernetes, in an Indexed Job of several pods with a headless service: a pod is a worker. Kubernetes sets
   `JOB_COMPLETION_INDEX`; scripts/kubernetes.yaml sets `HARNESS_WORKERS` and `HARNESS_WORKER_ADDRESS`.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.errors import DeviceError

# Below the ports that Linux gives to outgoing connections (32768 and up), and clear of well-known services.
_SLURM_FIRST_PORT, _SLURM_PORTS = 20000, 10000

_CLUSTER_VARIABLES = ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "HARNESS_WORKERS")


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
    """The cluster that the environment names; None without one. Raises DeviceError where it can't be understood."""
    return _tf_config(environment) or _slurm(environment) or _kubernetes(environment)


def membership(strategy: str, environment: Mapping[str, str]) -> Membership | None:
    """The cluster that counts under that `cluster.strategy`: none where a process is to train by itself."""
    return detect(environment) if strategy in ("auto", "multi_worker") else None


def is_chief(strategy: str, environment: Mapping[str, str]) -> bool:
    """Whether we are the worker that reads and writes the disk, under that `cluster.strategy`."""
    found = membership(strategy, environment)
    return found is None or found.is_chief


def alone(environment: Mapping[str, str]) -> dict[str, str]:
    """The environment without what names a cluster, for a process that is to be told of another, or of none."""
    return {name: value for name, value in environment.items() if name not in _CLUSTER_VARIABLES}


def tf_config(workers: Sequence[str], index: int) -> str:
    """What `TF_CONFIG` has to be for the worker of that index among these addresses."""
    return json.dumps({"cluster": {"worker": list(workers)}, "task": {"type": "worker", "index": index}})


def _tf_config(environment: Mapping[str, str]) -> Membership | None:
    text = environment.get("TF_CONFIG")
    if not text:
        return None
    try:
        config = json.loads(text)
        if not config:
            return None
        workers = config["cluster"]["worker"]
        if not isinstance(workers, list) or not all(isinstance(w, str) and _is_address(w) for w in workers):
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


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and bool(re.fullmatch(r"\d{1,5}", port)) and int(port) < 2**16


def _slurm(environment: Mapping[str, str]) -> Membership | None:
    """The tasks of our job step, in the order of their ranks, which is by node (Slurm's block distribution)."""
    count = environment.get("SLURM_STEP_NUM_TASKS") or "1"
    if count == "1":
        return None
    try:
        nodes = expand_nodes(environment["SLURM_STEP_NODELIST"])
        tasks = _tasks_per_node(environment["SLURM_STEP_TASKS_PER_NODE"])
        index = int(environment["SLURM_PROCID"])
        job = int(environment["SLURM_JOB_ID"])
        placed = list(zip(nodes, tasks, strict=True))
        if sum(tasks) != int(count):
            raise ValueError(f"{sum(tasks)} tasks on {len(nodes)} nodes, but SLURM_STEP_NUM_TASKS={count}")
    except (ValueError, KeyError) as error:
        raise DeviceError(f"Slurm's variables are not understood ({type(error).__name__}: {error})") from None
    # Jobs that share a node must not meet, nor tasks of one job that share a machine.
    first = _SLURM_FIRST_PORT + 16 * job % _SLURM_PORTS
    places = [node for node, here in placed for _ in range(here)]
    workers = [f"{node}:{first + rank}" for rank, node in enumerate(places)]
    if not 0 <= index < len(workers):
        raise DeviceError(f"Slurm's variables are not understood: SLURM_PROCID={index} of {len(workers)} tasks")
    return Membership(tuple(workers), index, "Slurm")


def expand_nodes(nodelist: str) -> list[str]:
    """Slurm's short form of a node list in full: `n[08-10,12],login` → n08, n09, n10, n12, login; the order is kept.

    Raises ValueError where it is no such list.
    """
    nodes: list[str] = []
    names = re.findall(r"(?:[^,\[\]]|\[[^\]]*\])+", nodelist)
    for name in names:
        nodes.extend(_expand(name))
    if not nodes or ",".join(names) != nodelist or not all(re.fullmatch(r"[\w.-]+", node) for node in nodes):
        raise ValueError(f"node list {nodelist!r}")
    return nodes


def _expand(name: str) -> list[str]:
    head, bracket, rest = name.partition("[")
    if not bracket:
        return [name]
    ranges, _, tail = rest.partition("]")
    numbers: list[str] = []
    for part in ranges.split(","):
        low, _, high = part.partition("-")
        numbers.extend(f"{number:0{len(low)}}" for number in range(int(low), int(high or low) + 1))
    return [head + number + end for number in numbers for end in _expand(tail)]


def _tasks_per_node(text: str) -> list[int]:
    """`2(x3),1` → 2, 2, 2, 1."""
    counts: list[int] = []
    for part in text.split(","):
        match = re.fullmatch(r"(\d+)(?:\(x(\d+)\))?", part)
        if not match:
            raise ValueError(f"tasks per node {text!r}")
        counts += [int(match[1])] * int(match[2] or 1)
    return counts


def _kubernetes(environment: Mapping[str, str]) -> Membership | None:
    if not environment.get("HARNESS_WORKERS"):
        return None
    try:
        count = int(environment["HARNESS_WORKERS"])
        index = int(environment["JOB_COMPLETION_INDEX"])
        pattern = environment["HARNESS_WORKER_ADDRESS"]
        if "{index}" not in pattern or not re.fullmatch(r"[\w.-]+:\d+", pattern.replace("{index}", "0")):
            raise ValueError(f"HARNESS_WORKER_ADDRESS is {pattern!r}")
    except (ValueError, KeyError) as error:
        raise DeviceError(
            f"the variables of the Kubernetes job are not understood ({type(error).__name__}: {error}): expected "
            "HARNESS_WORKERS=2, HARNESS_WORKER_ADDRESS='JOB-{index}.SERVICE:2222' and JOB_COMPLETION_INDEX"
        ) from None
    if not 0 <= index < count:
        raise DeviceError(f"JOB_COMPLETION_INDEX={index} is not one of the {count} workers of HARNESS_WORKERS")
    if count == 1:
        return None
    return Membership(tuple(pattern.replace("{index}", str(i)) for i in range(count)), index, "Kubernetes")
