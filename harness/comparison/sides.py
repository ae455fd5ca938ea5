"""The two runs or checkpoints to compare, and everything that can be refused before TensorFlow starts."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import Config
from harness.data import sources
from harness.data.images import equal
from harness.data.sources import DataSet
from harness.errors import DataError, RunError
from harness.python_objects import with_data
from harness.runs.run_dir import RunDir

_CHECKPOINT = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Side:
    """A run with its trained model, or one of its checkpoints."""

    name: str
    """The run directory's, followed by the checkpoint's."""
    run: RunDir
    checkpoint: Path | None
    config: Config
    data: DataSet
    rows: list[dict[str, Any]]
    """Of metrics.jsonl, up to the checkpoint's step."""


def open_sides(a: Path, b: Path, data: Any = None) -> tuple[Side, Side]:
    """What the two paths name: run directories, or RUN/checkpoints/step-N.safetensors. `data`, as `harness.train` takes
    them, stand in for those of both configs.

    Raises:
        RunError: one is no run, has no trained model or no such checkpoint; or both are the same.
        DataError: their test images or labels are not the same.
    """
    run_a, checkpoint_a = _located(a)
    run_b, checkpoint_b = _located(b)
    if run_a.path.resolve() == run_b.path.resolve() and checkpoint_a == checkpoint_b:
        raise RunError(f"{a} and {b} are the same: name two runs, or two checkpoints of one")
    first = _side(run_a, checkpoint_a, data)
    second = _side(run_b, checkpoint_b, data, first)
    ours, theirs = first.data, second.data
    if not (np.array_equal(ours.y_test, theirs.y_test) and equal(ours.x_test, theirs.x_test)):
        raise DataError(
            f"{a} and {b} have different test sets: {first.config.data.source} ({len(ours.y_test):,} images) "
            f"and {second.config.data.source} ({len(theirs.y_test):,} images)"
        )
    return first, second


def _located(path: Path) -> tuple[RunDir, Path | None]:
    if not _CHECKPOINT.fullmatch(path.name):
        if os.path.isfile(path):
            raise RunError(f"{path} is neither a run directory nor a checkpoint, RUN/checkpoints/step-N.safetensors")
        return RunDir.open(path).with_model(), None
    run = RunDir.open(path.resolve().parent.parent if path.is_file() else path.parent.parent)
    checkpoint = run.checkpoints_dir.resolve() / path.name
    if not checkpoint.is_file():
        present = sorted(run.checkpoints_dir.glob("step-*.safetensors"), key=lambda file: (len(file.name), file.name))
        present_text = (
            f"the run has {', '.join(file.name for file in present)}" if present else "the run has no checkpoints"
        )
        raise RunError(f"{path} does not exist; {present_text}")
    return run, checkpoint


def _side(run: RunDir, checkpoint: Path | None, own_data: Any, other: Side | None = None) -> Side:
    with with_data(run.read_config(), own_data) as config:
        same_data = other is not None and other.config.data == config.data
        data = other.data if other is not None and same_data else sources.load(config.data)
    run.check_same_classes(data.class_names, config.data.source)
    name, rows = run.path.resolve().name, run.read_metrics()
    if checkpoint is not None:
        name = f"{name}-{checkpoint.stem}"
        step = int(checkpoint.stem.removeprefix("step-"))
        rows = [row for row in rows if row["step"] <= step]
    return Side(name, run, checkpoint, config, data, rows)
