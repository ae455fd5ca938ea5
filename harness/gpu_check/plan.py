"""What is checked, and how long it may take, on a machine with so many cards: pure."""

import os
import subprocess
from dataclasses import dataclass, field
from typing import Literal

from harness.config import Config
from harness.errors import DeviceError
from harness.machine.resources import visible_gpus

TF32 = "float32, TF32"
"""What the tables call float32 whose products are rounded to TF32."""


@dataclass(frozen=True)
class Machine:
    """The devices that are checked."""

    kind: Literal["gpus", "logical_cpus"]
    """Cards; or parts of the CPU, with which the check itself is tested."""
    count: int
    names: tuple[str, ...] = ()
    """What they are, a line each, where that is known."""

    def replicas(self, count: int) -> list[str]:
        """The assignments that train on so many: on cards, or on parts of the card where there are not so many."""
        if self.kind == "logical_cpus":
            return ["cluster.strategy=single"] if count == 1 else [f"cluster.logical_cpus={count}"]
        if count <= self.count:
            return [f"cluster.gpus={list(range(count))}"]
        return ["cluster.gpus=[0]", f"cluster.logical_gpus={count}"]


@dataclass(frozen=True)
class Precision:
    """What is computed in, by its name in the tables."""

    name: str
    assignments: tuple[str, ...]


@dataclass(frozen=True)
class SpeedSetting:
    """One measurement of speed."""

    global_batch: int
    precision: Precision
    jit: str
    replicas: int = 1

    def assignments(self, machine: Machine) -> list[str]:
        return [
            f"train.global_batch={self.global_batch}",
            f"train.jit={self.jit}",
            # The plan of the learning rate has a length in steps, and speed does not depend on it.
            "schedule={name: constant, warmup: 0 steps}",
            *self.precision.assignments,
            *machine.replicas(self.replicas),
        ]


@dataclass(frozen=True)
class Seconds:
    """The most that a stage may take; what is not done by then is ended, and reported."""

    trainings: float = 70
    replicas: float = 25
    """For each number of replicas above one."""
    speed: float = 115
    scaling: float = 50
    """For each number of devices above one."""
    peer: float = 28
    """For each of two."""


@dataclass(frozen=True)
class Plan:
    """Everything that is looked at."""

    machine: Machine
    precisions: tuple[Precision, ...]
    """The first is what the others are compared with."""
    replicas: tuple[int, ...]
    """Trained one after another, and compared with one; none for a plan without."""
    scaling: tuple[int, ...]
    """Numbers of devices above one whose speed is measured."""
    speed: tuple[SpeedSetting, ...]
    """On one device, the most important first: time may run out."""
    batches: tuple[int, ...] = (32, 256, 4096)
    jit: str = "on"
    """`train.jit` of what is measured on several devices."""
    weak_batch: int = 256
    """Examples on each device where the batch grows with them; one of the batches above."""
    strong_batch: int = 4096
    """The global batch where it does not; one of the batches above."""
    peers: bool = True
    """Whether PyTorch and JAX are measured too."""
    quick: bool = False
    config: str = "mnist"
    """What is trained and measured."""
    steps: int = 400
    """Of the runs whose weights have to be equal; there is a checkpoint each quarter."""
    at_once: int = 5
    """Trainings at a time."""
    repeats: int = 3
    """Windows of each measurement."""
    chunk_seconds: float = 0.25
    """About how long each of these lasts."""
    seconds: Seconds = field(default_factory=Seconds)


def plan(machine: Machine, quick: bool) -> Plan:
    """The whole check of `machine`, or the quick one."""
    all_precisions = precisions()
    float32 = all_precisions[0]
    counts = powers_of_two(machine.count)[1:]
    if quick:
        return Plan(
            machine=machine,
            precisions=all_precisions,
            replicas=counts[-1:],
            scaling=counts[-1:],
            speed=tuple(SpeedSetting(batch, float32, "on") for batch in Plan.batches),
            peers=False,
            quick=True,
            seconds=Seconds(trainings=50, speed=36),
        )
    with_xla = [SpeedSetting(batch, precision, "on") for precision in all_precisions for batch in Plan.batches]
    without = [SpeedSetting(batch, float32, "off") for batch in Plan.batches]
    float32_first = len(Plan.batches)
    return Plan(
        machine=machine,
        precisions=all_precisions,
        replicas=counts or (2, 3),
        scaling=counts,
        speed=(*with_xla[:float32_first], *without, *with_xla[float32_first:]),
    )


def precisions() -> tuple[Precision, ...]:
    """Those that the config knows, float32 first, and float32 with TF32."""
    names = Config.model_json_schema()["$defs"]["TrainSection"]["properties"]["precision"]["enum"]
    plain = [Precision(name, (f"train.precision={name}",)) for name in names if name != "float32"]
    float32 = Precision("float32", ("train.precision=float32",))
    return (float32, Precision(TF32, (*float32.assignments, "train.tf32=true")), *plain)


def powers_of_two(count: int) -> tuple[int, ...]:
    """1, 2, 4 … and `count` itself."""
    return tuple(sorted({2**power for power in range(count.bit_length())} | {count}))


def this_machine() -> Machine:
    """The cards that a process may see here. Raises DeviceError where there is none."""
    names = visible_gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))
    if not names or not visible_gpus(None):
        raise DeviceError(
            "gpu-check needs a GPU: nvidia-smi -L lists none here, or CUDA_VISIBLE_DEVICES hides them; "
            "harness doctor says what is missing"
        )
    query = [
        "nvidia-smi",
        "--query-gpu=name,memory.total,driver_version",
        "--format=csv,noheader",
        "-i",
        ",".join(names),
    ]
    answer = subprocess.run(query, capture_output=True, text=True)
    lines = answer.stdout.strip().splitlines() if answer.returncode == 0 else []
    return Machine("gpus", len(names), tuple(lines))
