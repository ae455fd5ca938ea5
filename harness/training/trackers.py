"""Mirrors of metrics.jsonl in MLflow and Weights & Biases, one tracker's run for each run of ours.

A tracker can't take back what it was sent, and a resume cuts off the rows after the checkpoint that it begins from. So
a row is sent once a checkpoint has made it certain, and the curves of a tracker never fork. Whenever a mirror begins,
the tracker is asked what it has, and sent what it lacks: after a crash, or when it couldn't be reached.

Nothing that a tracker does ends a training. It is told once, and the rows are sent with a later checkpoint, or when the
run is resumed, also a finished one.
"""

import json
import logging
import os
import posixpath
import re
import secrets
import shutil
import time
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Self

from harness.config import Config
from harness.config.callbacks import MLflowSection, TrackerSection, WandBSection
from harness.console.terminal import Terminal
from harness.errors import Stopped
from harness.imports import reason
from harness.machine.requirements import check_extra
from harness.runs import provenance
from harness.runs.run_dir import RunDir, write_atomically
from harness.training.callback import Row
from harness.training.rows import CALLBACK, Mirror, without_images

Status = Literal["completed", "stopped", "failed"]


def check(config: Config) -> None:
    """Raise UserError, with the command that installs it, where a tracker's library is missing."""
    for section in config.trackers:
        check_extra(section.name, f"callbacks: {section.name}")


class Tracker(ABC):
    """What a mirror writes to: one run in it. What it raises, of whatever kind, ends no training."""

    @abstractmethod
    def begin(self, config: Config, run: RunDir) -> str:
        """Go on with the run that it has for ours, or make one, with the config; says which.

        It can be called again after any method has failed.
        """

    @abstractmethod
    def add(self, rows: Sequence[Row]) -> None:
        """Take the next rows, after `begin` from the run's first on; those that it has already it leaves out."""

    @abstractmethod
    def end(self, status: Status) -> None:
        """Nothing more comes before another `begin`."""


class TrackerMirror(Mirror):
    """Sends a run's rows to a tracker, in a with-statement, at whose end the tracker learns how the run has ended."""

    def __init__(
        self,
        name: str,
        tracker: Tracker,
        config: Config,
        run: RunDir,
        rows: Sequence[Row],
        step: int,
        terminal: Terminal,
    ) -> None:
        """Follow on the `rows` that `run` has; those up to `step` are certain."""
        super().__init__(taken=len(rows))
        self._rows = list(rows)
        self._name = name
        self._tracker = tracker
        self._config = config
        self._run = run
        self._certain = step
        self._terminal = terminal
        self._sent: int | None = None
        """How many of the rows the tracker has taken since it began; None before that, and after a failure."""
        self._has_warned = False

    def __enter__(self) -> Self:
        self._send()
        return self

    def write(self, row: Row) -> None:
        self._rows.append(without_images(row))

    def saved(self, step: int) -> None:
        """Send the rows up to a checkpoint that is safe now."""
        self._certain = step
        self._send()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._send()
        is_stopped = isinstance(error, Stopped | KeyboardInterrupt)
        try:
            self._tracker.end("completed" if error is None else "stopped" if is_stopped else "failed")
        except Exception as failure:  # noqa: BLE001  whatever a library or its server comes up with
            self._warn_once(failure)

    def _send(self) -> None:
        try:
            if self._sent is None:
                found = self._tracker.begin(self._config, self._run)
                self._terminal.line(f"tracker   {self._name}, {found}")
                self._sent = 0
            rows = [row for row in self._rows[self._sent :] if row["step"] <= self._certain]
            self._tracker.add(rows)
            self._sent += len(rows)
        except Exception as failure:  # noqa: BLE001  as above
            self._sent = None
            self._warn_once(failure)

    def _warn_once(self, failure: Exception) -> None:
        if not self._has_warned:
            self._has_warned = True
            self._terminal.warning(
                f"{self._name} can't be written to: {reason(failure)}. The rows are sent with a later checkpoint, or "
                f"by: {self._run.resume_command()}"
            )


def tracker_mirrors(
    config: Config, run: RunDir, rows: Sequence[Row], step: int, terminal: Terminal
) -> list[TrackerMirror]:
    """One for each tracker of the config, of the `rows` that `run` has up to `step` and those that will follow."""
    return [
        TrackerMirror(section.name, tracker_of(section), config, run, rows, step, terminal)
        for section in config.trackers
    ]


def catch_up(config: Config, run: RunDir, terminal: Terminal) -> None:
    """Send what the config's trackers lack of a run that has ended."""
    run.lock()
    try:
        rows = run.read_metrics()
        last = max((row["step"] for row in rows), default=0)
        with ExitStack() as stack:
            for mirror in tracker_mirrors(config, run, rows, last, terminal):
                stack.enter_context(mirror)
    finally:
        run.unlock()


def tracker_of(section: TrackerSection) -> Tracker:
    return MLflow(section) if isinstance(section, MLflowSection) else WandB(section)


class MLflow(Tracker):
    """A point for each number of each row, by `split/name` and step. Its params can't be changed: what a resume changes
    of the config is a tag, `now.KEY`."""

    _MOST_METRICS, _MOST_PARAMS = 1000, 100
    """MLflow takes so many in one call; of tags as many as of params."""
    _LONGEST_TEXT = 5000

    def __init__(self, section: MLflowSection) -> None:
        self._section = section
        self._client: Any = None
        self._run_id = ""
        self._there: set[tuple[str, int, float]] = set()

    def begin(self, config: Config, run: RunDir) -> str:
        # A server that is away holds up the training at each checkpoint; MLflow's own patience is minutes.
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
        from mlflow import MlflowClient
        from mlflow.entities import Param, RunTag
        from mlflow.exceptions import MlflowException

        logging.getLogger("mlflow").setLevel(logging.WARNING)  # of a new database it tells each table
        logging.getLogger("alembic").setLevel(logging.WARNING)
        self._client = MlflowClient(self._section.tracking_uri)
        known = _read(run, "mlflow").get("run_id")
        try:
            found = self._client.get_run(known) if known else None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None  # the config names another server now
        if found is None:
            found = self._client.create_run(self._experiment(), run_name=run.path.resolve().name)
            _keep(run, "mlflow", run_id=found.info.run_id)
        self._run_id = found.info.run_id
        self._there = {
            (key, metric.step, metric.value)
            for key in found.data.metrics
            for metric in self._client.get_metric_history(self._run_id, key)
        }
        self._mark_abandoned(run)
        self._client.update_run(self._run_id, status="RUNNING")
        params = {_mlflow_key(key): str(value) for key, value in config.flat().items()}
        changed = {f"now.{key}": value for key, value in params.items() if found.data.params.get(key, value) != value}
        tags = [RunTag(key, str(value)) for key, value in {**_about(run), **changed}.items()]
        self._client.log_batch(self._run_id, tags=tags)
        new = [Param(key, value) for key, value in params.items() if key not in found.data.params]
        for first in range(0, len(new), self._MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[first : first + self._MOST_PARAMS])
        return f"run {self._run_id}"

    def add(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(1000 * time.time())
        points = [
            Metric(key, value, now, row["step"])
            for row in rows
            for key, value in _points(row)
            if (key, row["step"], value) not in self._there
        ]
        for first in range(0, len(points), self._MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=points[first : first + self._MOST_METRICS])
        texts = {_mlflow_key(key): value for row in rows for key, value in _named(row) if isinstance(value, str)}
        tags = [RunTag(key, value[: self._LONGEST_TEXT]) for key, value in texts.items()]  # of each the newest
        for first in range(0, len(tags), self._MOST_PARAMS):
            self._client.log_batch(self._run_id, tags=tags[first : first + self._MOST_PARAMS])

    def end(self, status: Status) -> None:
        of_mlflow = {"completed": "FINISHED", "stopped": "KILLED", "failed": "FAILED"}
        self._client.set_terminated(self._run_id, of_mlflow[status])

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self._section.experiment
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another run has just made it, or it can't be made
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        return str(found.experiment_id)

    def _mark_abandoned(self, run: RunDir) -> None:
        """Name the steps of points that are in no row of the run: the checkpoint that they came before was damaged."""
        own = {(key, row["step"], value) for row in run.read_metrics() for key, value in _points(row)}
        steps = sorted({step for key, step, value in self._there - own if not key.startswith("test/")})
        if steps:
            self._client.set_tag(self._run_id, "abandoned", _which(steps))


class WandB(Tracker):
    """A line of history for each row, with the training's step as `step`; the result of the test is in the summary.

    Offline, W&B can't go on with what it wrote earlier (`wandb sync` replaces one part by the next), so each time it
    begins all rows are written anew and the earlier folder is deleted.
    """

    def __init__(self, section: WandBSection) -> None:
        self._section = section
        self._mode = section.mode
        self._run: Any = None
        self._there = 0
        """How many of the rows to come it has already."""

    def begin(self, config: Config, run: RunDir) -> str:
        import wandb

        known = _read(run, "wandb")
        run_id, abandoned = known.get("run_id") or secrets.token_hex(8), known.get("abandoned", 0)
        _keep(run, "wandb", run_id=run_id, abandoned=abandoned)
        for folder in (run.path / "wandb").glob(f"offline-run-*-{run_id}"):
            shutil.rmtree(folder)
        mode, self._mode = self._mode, "offline"  # is what is tried next where this fails
        self._run = wandb.init(
            project=self._section.project,
            id=run_id,
            resume="allow" if mode == "online" else None,
            dir=run.path,
            mode=mode,
            name=run.path.resolve().name,
            settings=wandb.Settings(
                silent=True, console="off", reinit="create_new", init_timeout=20, finish_timeout=60
            ),
        )
        self._mode = mode
        self._run.define_metric("*", step_metric="step")
        self._run.config.update({**config.flat(), **_about(run)}, allow_val_change=True)
        own = sum(row["split"] != "test" for row in run.read_metrics())
        self._there, now_abandoned = already_there(self._run.starting_step, own, abandoned)
        if now_abandoned > abandoned:
            _keep(run, "wandb", run_id=run_id, abandoned=now_abandoned)
            number = now_abandoned - abandoned
            self._run.summary["abandoned"] = f"the {number} rows before row {self._run.starting_step}"
        folder = Path(self._run.dir).parent
        return f"run {run_id}" if mode == "online" else f"run {run_id}, to be uploaded with: wandb sync {folder}"

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            values = {key: value for key, value in _named(row) if value is not None}
            if row["split"] == "test":
                self._run.summary.update(values)
            elif self._there > 0:
                self._there -= 1
            else:
                self._run.log({"step": row["step"], **values})

    def end(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "completed" else 1)


def already_there(logged: int, own: int, abandoned: int) -> tuple[int, int]:
    """How many of a run's rows its tracker has, and how many that are no longer the run's.

    Args:
        logged: rows that it has in all.
        own: rows that the run has now.
        abandoned: rows that were no longer the run's before; they come before or among `logged`.
    """
    there = logged - abandoned
    return min(there, own), abandoned + max(0, there - own)


def _about(run: RunDir) -> dict[str, str]:
    """What a tracker is told beside the config: where the run lies, and what it is trained with."""
    versions = {f"version.{name}": version for name, version in provenance.versions().items()}
    return {"run": str(run.path.resolve()), "git": provenance.git() or "none", **versions}


def _named(row: Row) -> Iterator[tuple[str, Any]]:
    """The row's values by `split/name`, and those of a callback by `callback/NAME/name`."""
    prefix = f"{CALLBACK}/{row['name']}" if row["split"] == CALLBACK else row["split"]
    own = ("step", "split", "name") if row["split"] == CALLBACK else ("step", "split")
    return ((f"{prefix}/{key}", value) for key, value in row.items() if key not in own)


def _points(row: Row) -> Iterator[tuple[str, float]]:
    return ((_mlflow_key(key), float(value)) for key, value in _named(row) if isinstance(value, int | float))


def _mlflow_key(key: str) -> str:
    """With nothing in it that MLflow refuses in names."""
    return posixpath.normpath(re.sub(r"[^\w.\- :/]", "_", key))[:250]


def _which(steps: Sequence[int]) -> str:
    which = f"points of {len(steps)} steps from {steps[0]} to {steps[-1]}"
    return f"{which} no longer count: the run resumed from an earlier checkpoint"


def _read(run: RunDir, name: str) -> dict[str, Any]:
    """What is kept of the run's own run in a tracker; nothing where there is none yet."""
    try:
        return dict(json.loads(run.trackers_file.read_bytes()).get(name, {}))
    except (OSError, ValueError):
        return {}


def _keep(run: RunDir, name: str, **kept: Any) -> None:
    others = {other: found for other in ("mlflow", "wandb") if other != name and (found := _read(run, other))}
    write_atomically(run.trackers_file, json.dumps(others | {name: kept}, indent=2).encode() + b"\n")
