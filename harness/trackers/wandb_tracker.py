"""Weights & Biases."""

import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from harness.config import Config
from harness.config.callbacks import WandBSection
from harness.runs.run_dir import RunDir
from harness.trackers.tracker import Status, Tracker, about, keep, named_values, read_kept
from harness.training.callback import Row


class WandB(Tracker):
    """A line of history for each row, with the training's step as `step`; the result of the test is in the summary.

    Offline, W&B can't go on with what it wrote earlier (`wandb sync` replaces one part by the next), so each time it
    begins all rows are written anew and the earlier folder is deleted.
    """

    def __init__(self, section: WandBSection) -> None:
        self._section = section
        self._mode = section.mode
        self._run: Any = None
        self._rows_to_skip = 0
        """How many of the rows to come it has already."""

    def begin(self, config: Config, run: RunDir) -> str:
        import wandb

        known = read_kept(run, "wandb")
        run_id, abandoned = known.get("run_id") or secrets.token_hex(8), known.get("abandoned", 0)
        keep(run, "wandb", run_id=run_id, abandoned=abandoned)
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
        self._run.config.update({**config.flat(), **about(run)}, allow_val_change=True)
        own = sum(row["split"] != "test" for row in run.read_metrics())
        self._rows_to_skip, now_abandoned = rows_logged_before(self._run.starting_step, own, abandoned)
        if now_abandoned > abandoned:
            keep(run, "wandb", run_id=run_id, abandoned=now_abandoned)
            number = now_abandoned - abandoned
            self._run.summary["abandoned"] = f"the {number} rows before row {self._run.starting_step}"
        folder = Path(self._run.dir).parent
        return f"run {run_id}" if mode == "online" else f"run {run_id}, to be uploaded with: wandb sync {folder}"

    def add(self, rows: Sequence[Row]) -> None:
        for row in rows:
            values = {key: value for key, value in named_values(row) if value is not None}
            if row["split"] == "test":
                self._run.summary.update(values)
            elif self._rows_to_skip > 0:
                self._rows_to_skip -= 1
            else:
                self._run.log({"step": row["step"], **values})

    def end(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "completed" else 1)


def rows_logged_before(logged: int, own: int, abandoned: int) -> tuple[int, int]:
    """How many of a run's rows its tracker has, and how many that are no longer the run's.

    Args:
        logged: rows that it has in all.
        own: rows that the run has now.
        abandoned: rows that were no longer the run's before; they come before or among `logged`.
    """
    current = logged - abandoned
    return min(current, own), abandoned + max(0, current - own)
