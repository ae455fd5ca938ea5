"""The speed of settings, each batch of them in one process, and of PyTorch and JAX on the same CNN."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from harness.gpu_check import processes
from harness.gpu_check.plan import TF32, Plan, SpeedSetting
from harness.gpu_check.processes import Ended, Task
from harness.supervision.launch import PYTHON

_LAST_BEGIN, _LAST_BEGIN_OF_PEERS = 12.0, 8.0
"""Seconds before a process's limit after which it begins no further measurement: each compiles first."""
_PEERS = {"PyTorch": "torch", "JAX": "jax"}
_HERE = Path(__file__).parent

Say = Callable[[str], None]


class Speed:
    """What is measured, an entry each; the rows of one device are kept apart from those of several.

    A row of ours: {"replicas", "global_batch", "precision", "jit", "images_per_second", "step_seconds" (spreads),
    "compile_seconds", "peak_memory_bytes", "device", "problem", "left_out", "how"}: the numbers are None where there
    is a problem, which is no failure where it was left out.
    A row of a peer: {"peer", "global_batch", "precision", "images_per_second", "step_seconds", "problem", "how"}.
    """

    def __init__(self, plan: Plan, out: Path, say: Say) -> None:
        self._plan = plan
        self._logs = out / "logs"
        self._say = say

    def on_one_device(self, rows: list[dict[str, Any]]) -> None:
        """Measure the plan's settings on one device; rows are added as they come, and those that never came last."""
        self._measure("speed", self._plan.speed, self._plan.seconds.speed, rows)

    def on_several(self, rows: list[dict[str, Any]]) -> None:
        """Measure numbers of devices, a process each, at a fixed batch on each device and at a fixed global one."""
        for count in self._plan.scaling:
            batches = dict.fromkeys((self._plan.weak_batch * count, self._plan.strong_batch))
            settings = [SpeedSetting(batch, self._plan.precisions[0], self._plan.jit, count) for batch in batches]
            self._measure(f"speed-{count}", settings, self._plan.seconds.scaling, rows)

    def of_peers(self, rows: list[dict[str, Any]]) -> None:
        """Measure PyTorch and JAX with whatever Python has them. One that is not there is a row that says so."""
        names = [precision.name for precision in self._plan.precisions]
        for peer, module in _PEERS.items():
            python = python_with(module)
            if python is None:
                rows.append(_of_peer(peer, f"no Python here has {module}"))
                continue
            job = {
                "gpu": self._plan.machine.kind == "gpus",
                "batches": self._plan.batches,
                # JAX computes float32 in TF32 unless told otherwise, so that comes first.
                "precisions": [name for name in (TF32, "bfloat16", "float32") if name in names],
                **self._how_long(self._plan.seconds.peer, _LAST_BEGIN_OF_PEERS),
            }
            command = [python, str(_HERE / f"{module}_peer.py"), json.dumps(job)]
            # What points our TensorFlow to its libraries is not for another Python's, which bring their own.
            environment = {} if python == sys.executable else {"LD_LIBRARY_PATH": None, "XLA_FLAGS": None}
            self._peer(peer, Task(module, command, {**environment, "PYTHONPATH": None}), rows)

    def _how_long(self, limit: float, last_begin: float) -> dict[str, float]:
        return {
            "seconds": limit - last_begin,
            "repeats": self._plan.repeats,
            "chunk_seconds": self._plan.chunk_seconds,
        }

    def _measure(self, name: str, settings: Sequence[SpeedSetting], limit: float, rows: list[dict[str, Any]]) -> None:
        assignments = [setting.assignments(self._plan.machine) for setting in settings]
        job = {"config": self._plan.config, "settings": assignments, **self._how_long(limit, _LAST_BEGIN)}
        command = [*PYTHON, "-m", "harness.gpu_check.measuring", json.dumps(job)]
        found: dict[int, dict[str, Any]] = {}

        def heard(name: str, line: str) -> None:
            said = _parsed(line)
            if "number" in said:
                number = said["number"]
                found[number] = self._row(settings[number], said["measured"], said["problem"], said["left_out"])
                rows.append(found[number])
                self._say(as_line(found[number]))

        ends: dict[str, Ended] = {}
        try:
            processes.run([Task(name, command)], 1, limit, self._logs, ends, heard)
        finally:
            ended = ends[name]
            problem = ended.problem or "its process printed nothing about it"
            missing = [setting for number, setting in enumerate(settings) if number not in found]
            rows += [self._row(setting, None, problem, ended.stopped) for setting in missing]

    def _row(
        self, setting: SpeedSetting, measured: dict[str, Any] | None, problem: str | None, left_out: bool
    ) -> dict[str, Any]:
        sets = [word for each in setting.assignments(self._plan.machine) for word in ("--set", each)]
        command = ["harness", "bench", self._plan.config, *sets, "--quick", "--repeats", str(self._plan.repeats)]
        numbers = ("images_per_second", "step_seconds", "compile_seconds", "peak_memory_bytes", "device")
        return {
            "replicas": setting.replicas,
            "global_batch": setting.global_batch,
            "precision": setting.precision.name,
            "jit": setting.jit,
            **{name: measured[name] if measured else None for name in numbers},
            "problem": problem,
            "left_out": left_out,
            "how": shlex.join(command),
        }

    def _peer(self, peer: str, task: Task, rows: list[dict[str, Any]]) -> None:
        heading: dict[str, Any] = {}
        before = len(rows)

        def heard(name: str, line: str) -> None:
            said = _parsed(line)
            if "peer" in said:
                heading.update(said)
            elif "step_seconds" in said:
                rows.append(
                    {
                        "peer": peer,
                        "global_batch": said["global_batch"],
                        "precision": said["precision"],
                        "images_per_second": _speeds(said["global_batch"], said["step_seconds"]),
                        "step_seconds": said["step_seconds"],
                        "problem": None,
                        "how": f"{Path(task.command[1]).name}, {peer} {heading['version']}, {task.command[0]}",
                    }
                )
                self._say(as_line(rows[-1]))

        ends: dict[str, Ended] = {}
        try:
            processes.run([task], 1, self._plan.seconds.peer, self._logs, ends, heard)
        finally:
            if ends[task.name].problem:
                rows.append(_of_peer(peer, str(ends[task.name].problem)))
            elif len(rows) == before:
                rows.append(_of_peer(peer, "it finds no GPU"))


def python_with(module: str) -> str | None:
    """This Python, or the first `python3` on the PATH, that has the module; None where none does."""
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    on_path = [found for folder in folders if (found := shutil.which("python3", path=folder))]
    # What lies in the current folder is not installed. Another Python may be too old for -P.
    look = (
        "import sys; sys.path = [*filter(None, sys.path)]; import importlib.util; "
        f"sys.exit(importlib.util.find_spec({module!r}) is None)"
    )
    for python in dict.fromkeys([sys.executable, *on_path]):
        try:
            if subprocess.run([python, "-c", look], capture_output=True, timeout=10).returncode == 0:
                return python
        except (OSError, subprocess.TimeoutExpired):
            continue
    return None


def as_line(row: dict[str, Any]) -> str:
    """A row for a person who watches."""
    what = f"  {row['peer'] if 'peer' in row else _setting(row):<22}"
    if row["global_batch"] is not None:
        what += f" {row['precision']:<13} batch {row['global_batch']:>6,}"
    if row["problem"] is not None:
        return f"{what}  {row['problem']}"
    return f"{what}  {row['images_per_second']['median']:>12,.0f} images/s"


def _setting(row: dict[str, Any]) -> str:
    return f"{row['replicas']} device{'s' if row['replicas'] > 1 else ''}, XLA {row['jit']}"


def _speeds(batch: int, seconds: dict[str, float]) -> dict[str, float]:
    return {"median": batch / seconds["median"], "min": batch / seconds["max"], "max": batch / seconds["min"]}


def _of_peer(peer: str, problem: str) -> dict[str, Any]:
    nothing = dict.fromkeys(("global_batch", "precision", "images_per_second", "step_seconds"))
    return {"peer": peer, **nothing, "problem": problem, "how": ""}


def _parsed(line: str) -> dict[str, Any]:
    """The JSON object in a line; nothing where it is something that TensorFlow, or a peer, printed."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}
