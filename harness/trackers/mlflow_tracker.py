"""MLflow."""

import logging
import os
import posixpath
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

from harness.config import Config
from harness.config.callbacks import MLflowSection
from harness.runs.run_dir import RunDir
from harness.trackers.tracker import Status, Tracker, about, keep, named_values, read_kept
from harness.training.callback import Row


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
        self._logged_before: set[tuple[str, int, float]] = set()

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
        known = read_kept(run, "mlflow").get("run_id")
        try:
            found = self._client.get_run(known) if known else None
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            found = None  # the config names another server now
        if found is None:
            found = self._client.create_run(self._experiment(), run_name=run.path.resolve().name)
            keep(run, "mlflow", run_id=found.info.run_id)
        self._run_id = found.info.run_id
        self._logged_before = {
            (key, metric.step, metric.value)
            for key in found.data.metrics
            for metric in self._client.get_metric_history(self._run_id, key)
        }
        self._mark_abandoned(run)
        self._client.update_run(self._run_id, status="RUNNING")
        params = {_mlflow_key(key): str(value) for key, value in config.flat().items()}
        changed = {f"now.{key}": value for key, value in params.items() if found.data.params.get(key, value) != value}
        tags = [RunTag(key, str(value)) for key, value in {**about(run), **changed}.items()]
        self._client.log_batch(self._run_id, tags=tags)
        new = [Param(key, value) for key, value in params.items() if key not in found.data.params]
        for first in range(0, len(new), self._MOST_PARAMS):
            self._client.log_batch(self._run_id, params=new[first : first + self._MOST_PARAMS])
        return f"run {self._run_id} at {self._client.tracking_uri}"

    def add(self, rows: Sequence[Row]) -> None:
        from mlflow.entities import Metric, RunTag

        now = int(1000 * time.time())
        points = [
            Metric(key, value, now, row["step"])
            for row in rows
            for key, value in points_of(row)
            if (key, row["step"], value) not in self._logged_before
        ]
        for first in range(0, len(points), self._MOST_METRICS):
            self._client.log_batch(self._run_id, metrics=points[first : first + self._MOST_METRICS])
        texts = {_mlflow_key(key): value for row in rows for key, value in named_values(row) if isinstance(value, str)}
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
        own = {(key, row["step"], value) for row in run.read_metrics() for key, value in points_of(row)}
        steps = sorted({step for key, step, value in self._logged_before - own if not key.startswith("test/")})
        if steps:
            self._client.set_tag(self._run_id, "abandoned", _which(steps))


def points_of(row: Row) -> Iterator[tuple[str, float]]:
    """The row's numbers by the keys that they have in MLflow."""
    return ((_mlflow_key(key), float(value)) for key, value in named_values(row) if isinstance(value, int | float))


def _mlflow_key(key: str) -> str:
    """With nothing in it that MLflow refuses in names."""
    return posixpath.normpath(re.sub(r"[^\w.\- :/]", "_", key))[:250]


def _which(steps: Sequence[int]) -> str:
    which = f"points of {len(steps)} steps from {steps[0]} to {steps[-1]}"
    return f"{which} no longer count: the run resumed from an earlier checkpoint"
