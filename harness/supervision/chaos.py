"""Faults injected into real runs of a config: did each fire, what came of it, does the resumed run end as if nothing
had happened? No TensorFlow in this process."""

import json
import os
import random
import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.config import Config, dump
from harness.errors import HarnessError, UserError
from harness.runs.run_dir import RunDir
from harness.supervision.launch import PROGRAM, PYTHON, die_with_parent

_LONGEST_HANG_TIMEOUT = 30.0
"""Seconds, from a worker's first progress on; well above a chunk, an evaluation and what these may have to compile,
below the patience of a user."""
_ROOM_TO_END = 4096
"""Bytes; more than the largest file takes in which a run says how it ended."""


@dataclass(frozen=True)
class Outcome:
    """What came of a fault. `fired` and `as_expected` with what was seen; `hash_equal` to the undisturbed run's."""

    fault: str
    moment: str
    fired: bool
    outcome: str
    as_expected: bool
    hash_equal: bool

    @property
    def passed(self) -> bool:
        return self.fired and self.as_expected and self.hash_equal


def run(
    config: Config, faults: Sequence[str], seed: int, folder: Path, progress: Callable[[str], None] = lambda line: None
) -> list[Outcome]:
    """Train `config` undisturbed, then once for each fault, and once more to go on.

    Args:
        config: what to train. Nothing is changed in it.
        faults: names from FAULTS.
        seed: decides, with the fault's name, the moment.
        folder: a new directory for the config and the runs, which stay there.
        progress: is given a line of text for each run.

    Raises UserError, and leaves no folder, where the config can't be trained; HarnessError where the undisturbed run
    fails.
    """
    folder.mkdir(parents=True, exist_ok=True)
    config_file = folder / "config.yaml"
    config_file.write_text(dump(config))
    progress("undisturbed")
    undisturbed = _Trial(config_file, config, RunDir(folder / "undisturbed"))
    begin = time.monotonic()
    exit_code, error = undisturbed.start().wait()
    # No part of a run takes twice as long as a whole one: where that is short, a hang is known sooner.
    hang_timeout = min(2 * (time.monotonic() - begin), _LONGEST_HANG_TIMEOUT)
    if exit_code == 2:
        shutil.rmtree(folder)
        raise UserError(error.removeprefix("error: "))
    if exit_code:
        raise HarnessError(f"the undisturbed run failed with exit code {exit_code}: {error}")
    summary = undisturbed.run.read_summary()
    reported = [row["step"] for row in undisturbed.run.read_metrics() if row["split"] in ("train", "validation")]
    outcomes = []
    for fault in faults:
        moment = random.Random(f"{seed} {fault}").uniform(0.3, 0.9)
        step = step_at(moment, reported, summary["steps"])
        progress(f"{fault}, from step {step:,} on")
        trial = _Trial(config_file, config, RunDir(folder / fault), hang_timeout)
        fired, outcome, as_expected = FAULTS[fault](trial, step)
        exit_code, error = trial.start().wait()
        if exit_code:
            outcome += f"; then the resumed run failed with exit code {exit_code}: {error}"
            equal = False
        else:
            equal = trial.run.read_summary()["weights_sha256"] == summary["weights_sha256"]
        outcomes.append(Outcome(fault, f"step {step:,}", fired, outcome, as_expected, equal))
    return outcomes


def step_at(moment: float, reported: Sequence[int], steps: int) -> int:
    """The last step within that share of the training at which a run like this one reports a row.

    From any other one it would be known too late: where a device is fast, not before there is no training left.
    """
    return max((step for step in reported if step <= moment * steps), default=int(moment * steps))


class _Trial:
    """A run, and the process that trains it at the moment."""

    def __init__(
        self, config_file: Path, config: Config, run: RunDir, hang_timeout: float = _LONGEST_HANG_TIMEOUT
    ) -> None:
        self.config_file = config_file
        self.config = config
        self.run = run
        self.hang_timeout = hang_timeout
        self.output_file = run.path.with_suffix(".txt")

    def start(self, *assignments: str, launch: Sequence[str] = ()) -> "_Trial":
        train = [
            "train",
            str(self.config_file),
            "--run-dir",
            str(self.run.path),
            "--resume",
            "auto",
            "--quiet",
            "--only-training",
        ]
        # A fault is to be reported, not worked around, whatever the config says.
        train += [word for each in ("train.on_nonfinite=stop", *assignments) for word in ("--set", each)]
        with self.output_file.open("w") as output:  # a pipe that nobody reads would fill up
            self.process = subprocess.Popen(
                [*PYTHON, "-c", PROGRAM, *launch, *train],
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                preexec_fn=die_with_parent,
            )
        return self

    def wait(self) -> tuple[int, str]:
        """The exit code, and the last line that was printed."""
        exit_code = self.process.wait()
        lines = self.output_file.read_text().strip().splitlines()
        return exit_code, lines[-1] if lines else "it printed nothing"

    def reached(self, step: int, checkpoints: int = 0) -> bool:
        """Wait until training has come to that step, with so many checkpoints; False where the process ends before."""
        while self.process.poll() is None:
            if any(row["step"] >= step for row in self.run.read_metrics()) and len(self.checkpoints()) >= checkpoints:
                return True
            time.sleep(0.02)
        return False

    def checkpoints(self) -> list[Path]:
        """From old to new."""
        return sorted(self.run.checkpoints_dir.glob("step-*.safetensors"), key=lambda path: int(path.stem[5:]))

    def status(self) -> str:
        return str(self.run.read_summary().get("status"))


def _kill(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    fired = trial.start().reached(step)
    trial.process.kill()
    exit_code, _ = trial.wait()
    return fired and exit_code == -signal.SIGKILL, f"killed; status {trial.status()}", True


def _term(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    fired = trial.start().reached(step)
    trial.process.terminate()
    exit_code, line = trial.wait()
    expected = exit_code == 128 + signal.SIGTERM and trial.status() == "stopped" and "resume with" in line
    return fired, f"exit code {exit_code}, status {trial.status()}", expected


def _stop(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    launch = ["launch", "--workers", "1", "--max-restarts", "1", "--hang-timeout", f"{trial.hang_timeout:.1f}", "--"]
    fired = trial.start(launch=launch).reached(step)
    if fired:
        for worker in _children(trial.process.pid):
            os.kill(worker, signal.SIGSTOP)
    exit_code, _ = trial.wait()
    found = re.search(r"made no progress .*\n.*, which is stopped", trial.output_file.read_text()) is not None
    outcome = f"hang {'found' if found else 'not found'}, {trial.status()} after the restart"
    return fired and found, outcome, exit_code == 0


def _nan(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    callbacks = trial.config.model_dump(mode="json")["callbacks"]
    # After one step more no checkpoint is due, as a rule.
    poisoning = {"name": f"{__name__}:{poison.__name__}", "every": f"{step + 1} steps"}
    exit_code, line = trial.start(f"callbacks={json.dumps([*callbacks, poisoning])}").wait()
    if any(path.stem == f"step-{step + 1}" for path in trial.checkpoints()):
        return False, "a checkpoint took the NaN: make checkpoint.every longer, or choose another --seed", False
    fired = "not finite" in line
    kept = len(trial.checkpoints())
    outcome = f"exit code {exit_code}, status {trial.status()}; {kept} checkpoint{'s' * (kept != 1)} kept"
    return fired, outcome, exit_code == 1 and trial.status() == "failed"


def _torn_checkpoint(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    fired = trial.start().reached(step, checkpoints=2)
    trial.process.kill()
    trial.wait()
    if not fired:
        return False, "there were never two checkpoints: make checkpoint.every shorter", False
    *before, newest = trial.checkpoints()
    with newest.open("r+b") as file:
        file.truncate(newest.stat().st_size // 2)
    return True, f"killed; {newest.name} cut in half, {len(before)} before it", True


def _disk_full(trial: _Trial, step: int) -> tuple[bool, str, bool]:
    """No file may grow beyond half a checkpoint from the given step on: as a full disk, but for this process alone.

    Where the model is tiny, the limit is what it takes to say how the run ended, and another file meets it first.
    """
    fired = trial.start().reached(step, checkpoints=1)
    before = trial.checkpoints()
    if fired:
        limit = max(before[0].stat().st_size // 2, _ROOM_TO_END)
        resource.prlimit(trial.process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    exit_code, line = trial.wait()
    if fired and not exit_code:
        return False, f"no file grew beyond {limit:,} bytes: make train.length longer, or choose another --seed", False
    whole = all(path.exists() for path in before[-1:]) and not list(trial.run.checkpoints_dir.glob(".step-*"))
    expected = exit_code == 1 and "can't write" in line and trial.status() == "failed" and whole
    return fired, f"exit code {exit_code}, status {trial.status()}: {line.removeprefix('error: ')[:60]}", expected


FAULTS: dict[str, Callable[[_Trial, int], tuple[bool, str, bool]]] = {
    "kill": _kill,
    "term": _term,
    "stop": _stop,
    "nan": _nan,
    "torn-checkpoint": _torn_checkpoint,
    "disk-full": _disk_full,
}
"""Each brings its fault about at a step, and says whether it fired, what came of it, and whether that is right."""


def poison(step: int, state: Any, rows: Sequence[Any]) -> None:
    """A callback after which all weights are NaN, and with them the loss of the next step.

    Those of one layer would not do: a ReLU may make 0 of NaN.
    """
    for weight in state.model.trainable_variables:
        weight.assign(weight.numpy() * float("nan"))


def _children(pid: int) -> list[int]:
    """The processes that process `pid` has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def as_text(outcomes: Sequence[Outcome]) -> str:
    """A table for a person."""
    rows = [("fault", "from", "fired", "hash equal", "outcome")]
    for outcome in outcomes:
        mark = "" if outcome.as_expected else "UNEXPECTED: "
        fired, equal = ("yes" if each else "NO" for each in (outcome.fired, outcome.hash_equal))
        rows.append((outcome.fault, outcome.moment, fired, equal, mark + outcome.outcome))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    return "\n".join(
        "  ".join([*(cell.ljust(width) for cell, width in zip(row, widths, strict=False)), row[4]]) for row in rows
    )
