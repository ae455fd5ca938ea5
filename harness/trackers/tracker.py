"""What a mirror writes to, and what it learns of a run."""

import json
from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import Any, Literal

from harness.config import Config
from harness.runs import provenance
from harness.runs.paths import write_atomically
from harness.runs.run_dir import RunDir
from harness.training.callback import Row
from harness.training.rows import CALLBACK

Status = Literal["completed", "stopped", "failed"]


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


def about(run: RunDir) -> dict[str, str]:
    """What a tracker learns beside the config: where the run lies, and what it is trained with."""
    versions = {f"version.{name}": version for name, version in provenance.versions().items()}
    return {"run": str(run.path.resolve()), "git": provenance.git() or "none", **versions}


def named_values(row: Row) -> Iterator[tuple[str, Any]]:
    """The row's values by `split/name`, and those of a callback by `callback/NAME/name`."""
    prefix = f"{CALLBACK}/{row['name']}" if row["split"] == CALLBACK else row["split"]
    own = ("step", "split", "name") if row["split"] == CALLBACK else ("step", "split")
    return ((f"{prefix}/{key}", value) for key, value in row.items() if key not in own)


def read_kept(run: RunDir, name: str) -> dict[str, Any]:
    """What is kept of the run's own run in a tracker; nothing where there is none yet."""
    try:
        return dict(json.loads(run.trackers_file.read_bytes()).get(name, {}))
    except (OSError, ValueError):
        return {}


def keep(run: RunDir, name: str, **kept: Any) -> None:
    """Write down what `read_kept` gives back for this tracker; what other trackers have kept stays."""
    others = {other: found for other in ("mlflow", "wandb") if other != name and (found := read_kept(run, other))}
    write_atomically(run.trackers_file, json.dumps(others | {name: kept}, indent=2).encode() + b"\n")
