"""Checkpoints: one file each, `step-N.safetensors`, with its SHA-256 beside it.

The header holds the step, the config's identity hash, versions, what the clock said, and the validation result at that
step if there is one. The digest is written first, so a checkpoint that is there has its digest.
"""

import hashlib
import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from harness.config.callbacks import CheckpointSection
from harness.config.target import Ranked
from harness.errors import RunError
from harness.runs.paths import write_atomically
from harness.training.callback import Callback, Row
from harness.training.state import State

_BY_ACCURACY = Ranked()
_NAME = re.compile(r"step-(\d+)\.safetensors")


@dataclass(frozen=True)
class Checkpoint:
    """A loaded checkpoint: arrays by variable path, and the header."""

    step: int
    arrays: dict[str, NDArray[Any]]
    header: dict[str, Any]


class Checkpoints(Callback):
    """Saves the state when it is due and at the end, and keeps the newest checkpoints and the best."""

    def __init__(
        self,
        folder: Path,
        section: CheckpointSection,
        saved: int,
        header: Callable[[], dict[str, Any]],
        on_saved: Callable[[int], None],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            section: where `every` is in minutes, it is called between all chunks.
            saved: the step up to which all is safe already.
            header: what a checkpoint is to say beside the state.
            on_saved: is called with the step when its checkpoint is safe.
            now: the time in seconds.
        """
        self._folder = folder
        self._section = section
        self._saved = saved
        self._header = header
        self._on_saved = on_saved
        self._now = now
        self._seconds = section.every.seconds if section.every.unit == "minutes" else 0.0
        self._saved_at = now()

    def __call__(self, step: int, state: State, rows: Sequence[Row]) -> None:
        if self._now() - self._saved_at >= self._seconds:
            self.end(step, state, rows)

    def end(self, step: int, state: State, rows: Sequence[Row]) -> None:
        if step == self._saved:
            return
        arrays = {path: np.asarray(variable.numpy()) for path, variable in state.variables().items()}
        save(self._folder, step, arrays, self._header(), self._section.keep, self._section.best)
        self._saved, self._saved_at = step, self._now()
        self._on_saved(step)


def save(
    folder: Path,
    step: int,
    arrays: dict[str, NDArray[Any]],
    header: dict[str, Any],
    keep: int,
    best: Ranked = _BY_ACCURACY,
) -> None:
    """Write the checkpoint of `step` durably, then drop all but the newest `keep` and the best one.

    The best is that by header["validation"], the newest of those that are equal.
    """
    folder.mkdir(exist_ok=True)
    data = safetensors.numpy.save(arrays, metadata={"harness": json.dumps({"step": step, **header})})
    path = _path(folder, step)
    write_atomically(path.with_suffix(".sha256"), f"{hashlib.sha256(data).hexdigest()}  {path.name}\n".encode())
    write_atomically(path, data)
    _prune(folder, keep, best)


def steps(folder: Path) -> list[int]:
    """The steps of the checkpoints in `folder`, ascending."""
    matches = (_NAME.fullmatch(path.name) for path in folder.glob("step-*"))
    return sorted(int(match[1]) for match in matches if match)


def load_newest(folder: Path, warn: Callable[[str], None]) -> Checkpoint | None:
    """The newest checkpoint that is whole; None where none was ever written.

    A damaged one is reported to `warn` and passed over. Raises RunError, with what was tried, if all are damaged.
    """
    tried = []
    for step in reversed(steps(folder)):
        try:
            loaded = _load(_path(folder, step))
        except ValueError as error:
            tried.append(f"{_path(folder, step).name} ({error})")
            continue
        if tried:
            warn(f"checkpoint {', '.join(tried)}: resuming from {_path(folder, step).name}")
        return loaded
    if tried:
        raise RunError(f"{folder}: no usable checkpoint; tried {', '.join(tried)}")
    return None


def load(path: Path) -> Checkpoint:
    """The checkpoint in that file. Raises RunError where it is damaged."""
    try:
        return _load(path)
    except ValueError as error:
        raise RunError(f"the checkpoint {path} is {error}") from None


def with_packed_moments(arrays: dict[str, NDArray[Any]], weights: list[keras.Variable]) -> dict[str, NDArray[Any]]:
    """A checkpoint's arrays with each kind of moment as one vector: version 0.1.0 wrote an array for each weight."""
    names = [weight.path.replace("/", "_") for weight in weights]
    packed = {}
    for path in arrays:
        rule, found, kind = path.partition(f"/{names[0]}_")
        parts = [f"{rule}/{name}_{kind}" for name in names]
        if found and all(part in arrays for part in parts):
            packed[f"{rule}/weights_{kind}"] = np.concatenate([arrays[part].ravel() for part in parts])
    return arrays | packed


def assign_result(checkpoint: Checkpoint, model: keras.Model) -> None:
    """Give a model built from the checkpoint's config the weights that would be evaluated and exported: their average
    where there is one. Raises RunError where they do not fit."""
    averaged = any(path.startswith("average/") for path in checkpoint.arrays)
    for variable in model.variables:
        path = f"{'average' if averaged else 'model'}/{variable.path}"
        array = checkpoint.arrays.get(path)
        if array is None or array.shape != tuple(variable.shape):
            raise RunError(f"the checkpoint of step {checkpoint.step:,} has no {path} that fits this model and data")
        variable.assign(array)


def discard_after(folder: Path, step: int) -> None:
    """Drop the checkpoints after `step`: damaged ones, which would count as the newest."""
    for later in steps(folder):
        if later > step:
            _discard(folder, later)


def _path(folder: Path, step: int) -> Path:
    return folder / f"step-{step}.safetensors"


def _load(path: Path) -> Checkpoint:
    """Raises ValueError, saying why, where the file is damaged."""
    digest_file = path.with_suffix(".sha256")
    try:
        data, digest = path.read_bytes(), digest_file.read_text().split()[0]
    except (OSError, IndexError, UnicodeDecodeError):
        raise ValueError(f"unreadable, or its {digest_file.name} is") from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise ValueError(f"damaged: its SHA-256 is not that in {digest_file.name}")
    header = _header(path)
    return Checkpoint(header["step"], safetensors.numpy.load(data), header)


def _header(path: Path) -> dict[str, Any]:
    with safetensors.safe_open(path, "numpy") as file:
        header: dict[str, Any] = json.loads(file.metadata()["harness"])
    return header


def _score(path: Path, best: Ranked) -> float:
    """How good the validation result in a checkpoint's header is; below all others where there is none or it is
    damaged."""
    try:
        return best.score(_header(path).get("validation"))
    except (safetensors.SafetensorError, OSError, ValueError, KeyError, TypeError):
        return -np.inf


def _prune(folder: Path, keep: int, best: Ranked) -> None:
    present = steps(folder)
    kept = max(present, key=lambda step: (_score(_path(folder, step), best), step))
    for step in present[:-keep]:
        if step != kept:
            _discard(folder, step)


def _discard(folder: Path, step: int) -> None:
    _path(folder, step).unlink(missing_ok=True)
    _path(folder, step).with_suffix(".sha256").unlink(missing_ok=True)
