"""What a user may call a run: its path, its name, a beginning of the name that no other run has, or `latest`."""

import os
from contextlib import suppress
from pathlib import Path

from harness.errors import RunError

RUNS = Path("runs")
"""Where runs go unless told otherwise, and where a bare name is looked up."""
LATEST = "latest"
EXPORTS = {"savedmodel": "savedmodel", "tflite": "model.tflite", "onnx": "model.onnx"}
"""By format, where `harness export` writes a run's model unless told otherwise."""
SORTED_BY = {
    "age": "age_seconds",
    "name": "name",
    "status": "status",
    "accuracy": "accuracy",
    "config": "config",
    "seed": "seed",
    "data": "data",
    "speed": "images_per_second",
}
"""What `harness runs` can sort by, and the key of a row that holds it."""
_MOST_NAMED = 5


def is_run(path: Path) -> bool:
    """Whether a run lies there: a directory with a config and a summary."""
    return os.path.isfile(path / "config.yaml") and os.path.isfile(path / "summary.json")


def runs_in(folder: Path) -> list[Path]:
    """The runs in `folder`, the one begun or resumed last at the end. Raises OSError where it can't be read."""
    begun = [((path / "config.yaml").stat().st_mtime, path) for path in folder.iterdir() if is_run(path)]
    return [path for _, path in sorted(begun)]


def find(name: str | Path) -> Path:
    """The path of the run called `name`: a path, or in its folder (`runs` where it names none) the run of that name,
    the newest for `latest`, or the only one whose name begins so.

    Raises RunError where there is none, or where several begin so.
    """
    path = Path(name)
    if is_run(path):
        return path
    folder = path.parent if path.parent != Path() else RUNS
    runs: list[Path] = []
    with suppress(OSError):  # then there is none of that name
        runs = runs_in(folder)
    if path.name == LATEST and runs:
        return runs[-1]
    if is_run(folder / path.name):
        return folder / path.name
    found = [run for run in runs if path.name and run.name.startswith(path.name)]
    if len(found) > 1:
        more = ", …" if len(found) > _MOST_NAMED else ""
        names = ", ".join(run.name for run in found[-_MOST_NAMED:])
        raise RunError(
            f"{name} is the beginning of {len(found)} runs in {folder}: {names}{more}; write more of the name"
        )
    if found:
        return found[0]
    if os.path.lexists(path):
        raise RunError(f"{name} is not a run directory: it has no config.yaml and summary.json")
    raise RunError(f"there is no run {name}: `harness runs DIR` lists those in a folder")
