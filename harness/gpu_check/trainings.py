"""Trainings by `harness train`, a process each: that they end alike, resume after a kill, and agree across replicas."""

import json
import shlex
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import safetensors.numpy

from harness.gpu_check import judging, processes
from harness.gpu_check.judging import Check, unfinished
from harness.gpu_check.plan import Plan, Precision
from harness.gpu_check.processes import Ended, Task
from harness.runs.run_dir import RunDir
from harness.supervision.launch import HARNESS

_CONSTANT = "schedule={name: constant, warmup: 0 steps}"
_TEN_STEPS = (
    "train={length: 10 steps, global_batch: 256}",
    "optimizer={name: adam, learning_rate: 0.001}",
    _CONSTANT,
)
_SGD_STEPS = 50
_FIFTY_SGD_STEPS = (
    f"train={{length: {_SGD_STEPS} steps, global_batch: 100}}",  # on 3 and on 8 replicas with padding rows
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.0}",
    _CONSTANT,
    f"checkpoint.every={_SGD_STEPS} steps",
)


class Trainings:
    """The runs of a plan, under one folder, and what came of their processes."""

    def __init__(self, plan: Plan, out: Path, say: Callable[[str], None]) -> None:
        self._plan = plan
        self._runs = out / "runs"
        self._logs = out / "logs"
        self._one = plan.machine.replicas(1)
        self._say = say
        self._ends: dict[str, Ended] = {}

    def on_one_device(self, checks: list[Check]) -> None:
        """Doctor, three runs that have to end equal, and ten steps of each precision, several processes at a time.

        The checks are added to `checks`, also where the user stops it all: then of what had ended.
        """
        quarter = self._plan.steps // 4
        same = [
            f"train={{length: {self._plan.steps} steps, global_batch: 32}}",
            _CONSTANT,
            f"evaluate.every={quarter} steps",
            f"checkpoint={{every: {quarter} steps, keep: 9}}",
            *self._one,
        ]
        checkpoint = self._run("killed").checkpoints_dir / f"step-{quarter}.safetensors"
        resumed = Task("resumed", self._train("killed", same))
        tasks = [
            Task("killed", resumed.command, kill_at=checkpoint, then=resumed),
            Task("first", self._train("first", same)),
            Task("second", self._train("second", same)),
            *(self._ten_steps(precision) for precision in self._plan.precisions),
            *([self._fifty_steps(1)] if self._plan.replicas else []),
            Task("doctor", [*HARNESS, "doctor", "--json"]),
        ]
        try:
            self._process(tasks, self._plan.at_once, self._plan.seconds.trainings)
        finally:
            checks.append(self._doctor())
            checks += self._equal(_command_line(tasks[1]))
            checks += map(self._precision, self._plan.precisions)

    def on_replicas(self, checks: list[Check]) -> None:
        """Fifty steps on several replicas, one process after another, against those on one that were trained before.

        The checks are added to `checks`, as by `on_one_device`.
        """
        tasks = {count: self._fifty_steps(count) for count in self._plan.replicas}
        seconds = self._plan.seconds.replicas * len(tasks)
        try:
            self._process(list(tasks.values()), 1, seconds)
        finally:
            checks += [self._agree(count, task) for count, task in tasks.items()]
            if not tasks:
                checks.append(Check("replicas train what one trains", None, "left out by --quick on one card", ""))
            over_nccl = [task for count, task in tasks.items() if self._over_nccl(count)]
            checks.append(
                self._nccl(over_nccl[-1]) if over_nccl else Check("NCCL at work", None, "needs two cards", "")
            )

    def _process(self, tasks: Sequence[Task], at_once: int, seconds: float) -> None:
        def print_end(name: str, ended: Ended) -> None:
            outcome = "killed, as it was meant to be," if ended.killed else ended.problem or "done"
            self._say(f"  {name:<22}  {outcome} after {ended.seconds:.0f} s")

        processes.run(tasks, at_once, seconds, self._logs, self._ends, on_end=print_end)

    def _run(self, name: str) -> RunDir:
        return RunDir(self._runs / name)

    def _train(self, run: str, assignments: Sequence[str]) -> list[str]:
        sets = [word for assignment in assignments for word in ("--set", assignment)]
        where = ["--run-dir", str(self._runs / run), "--resume", "auto", "--only-training"]
        return [*HARNESS, "train", self._plan.config, *where, *sets]

    def _ten_steps(self, precision: Precision) -> Task:
        name = f"ten-steps-{precision.name.replace(', ', '-')}"
        return Task(name, self._train(name, [*_TEN_STEPS, *precision.assignments, *self._one]))

    def _over_nccl(self, replicas: int) -> bool:
        return self._plan.machine.kind == "gpus" and 1 < replicas <= self._plan.machine.count

    def _fifty_steps(self, replicas: int) -> Task:
        name = f"fifty-steps-{replicas}"
        settings = [*_FIFTY_SGD_STEPS, *self._plan.machine.replicas(replicas)]
        if self._over_nccl(replicas):
            return Task(name, self._train(name, [*settings, "cluster.all_reduce=nccl"]), {"NCCL_DEBUG": "INFO"})
        return Task(name, self._train(name, settings))

    def _doctor(self) -> Check:
        name, how = "doctor finds no problem", "harness doctor"
        try:
            findings = json.loads((self._logs / "doctor.out").read_text())["findings"]
        except (OSError, ValueError):
            return unfinished(name, how, [self._ends["doctor"]]) or Check(name, False, "no findings", how)
        problems = [f"{each['name']}: {each['problem']}" for each in findings if each["problem"]]
        devices = next(each["found"] for each in findings if each["name"] == "devices")
        return Check(name, not problems, "; ".join(problems) or f"devices {devices}", how)

    def _equal(self, how: str) -> list[Check]:
        twice, resumed = "two runs end with equal weights", "a killed and resumed run does too"
        at_a_checkpoint = f"SIGKILL at a checkpoint, then again; {how}"
        return [
            unfinished(twice, how, [self._ends[each] for each in ("first", "second")])
            or judging.equal_weights(twice, how, self._hashes("first", "second")),
            unfinished(resumed, at_a_checkpoint, [self._ends[each] for each in ("first", "killed", "resumed")])
            or judging.killed(resumed, at_a_checkpoint, self._ends["killed"])
            or judging.equal_weights(resumed, at_a_checkpoint, self._hashes("first", "killed")),
        ]

    def _hashes(self, *runs: str) -> list[str]:
        return [self._run(run).read_summary()["weights_sha256"] for run in runs]

    def _precision(self, precision: Precision) -> Check:
        reference, own = self._ten_steps(self._plan.precisions[0]), self._ten_steps(precision)
        name, how = f"ten steps in {precision.name}", _command_line(own)
        return unfinished(name, how, [self._ends[own.name], self._ends[reference.name]]) or judging.precision(
            name, how, precision.name, self._loss(own.name), self._loss(reference.name)
        )

    def _loss(self, run: str) -> float:
        """The mean loss of the steps that were trained."""
        return next(float(row["loss"]) for row in self._run(run).read_metrics() if row["split"] == "train")

    def _agree(self, replicas: int, task: Task) -> Check:
        kind = "replicas" if replicas <= self._plan.machine.count else "replicas on logical GPUs of one card"
        name, how = f"{replicas} {kind} train what one trains", _command_line(task)
        return unfinished(
            name, how, [self._ends[self._fifty_steps(1).name], self._ends[task.name]]
        ) or judging.replicas(name, how, self._differences(self._fifty_steps(1).name, task.name))

    def _differences(self, one: str, several: str) -> dict[str, float]:
        """By weight array: |a - b| / |a|."""
        checkpoint = f"step-{_SGD_STEPS}.safetensors"
        arrays = [safetensors.numpy.load_file(self._run(run).checkpoints_dir / checkpoint) for run in (one, several)]
        return {
            path: float(np.linalg.norm(arrays[1][path] - array) / np.linalg.norm(array))
            for path, array in arrays[0].items()
            if path.startswith("model/")
        }

    def _nccl(self, task: Task) -> Check:
        name, how = "NCCL at work", f"NCCL_DEBUG=INFO {_command_line(task)}"
        said = "".join((self._logs / f"{task.name}.{end}").read_text(errors="replace") for end in ("out", "err"))
        return unfinished(name, how, [self._ends[task.name]]) or judging.nccl(name, how, said)


def _command_line(task: Task) -> str:
    """The command as a user would write it."""
    return shlex.join(["harness", *task.command[len(HARNESS) :]])
