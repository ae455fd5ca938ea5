"""One config trains one set of weights, whichever process does it."""

from pathlib import Path
from typing import Any

import pytest

import harness
from harness.runs.run_dir import RunDir
from tests.processes import completed

pytestmark = pytest.mark.slow


def trained(config: Path, run_dir: Path, **settings: object) -> dict[str, Any]:
    """The summary of a run in a new process, with `settings` changed (`section__key=value`)."""
    sets = [word for key, value in settings.items() for word in ("--set", f"{key.replace('__', '.')}={value}")]
    ended = completed("train", config, "--no-report", "--run-dir", run_dir, *sets)
    assert ended.returncode == 0, ended.stderr
    return RunDir.open(run_dir).read_summary()


def trained_here(config: Path, run_dir: Path, **settings: object) -> dict[str, Any]:
    """The same in this process, which has trained other runs before."""
    changes: dict[str, Any] = {key.replace("__", "."): value for key, value in settings.items()}
    run = harness.train(config, run_dir, quiet=True, with_report=False, **changes)
    assert run is not None
    return run.read_summary()


def test_the_same_config_gives_the_same_weights_and_results(
    small_config: Path, completed_run: tuple[Path, Any], tmp_path: Path
) -> None:
    first = RunDir.open(completed_run[0])
    # What does not decide the weights may differ; here it also cuts the chunks of steps elsewhere.
    second = trained(small_config, tmp_path / "run", evaluate__every="7 steps", checkpoint__every="4 steps")
    for key in ("weights_sha256", "validation", "test", "steps", "examples"):
        assert second[key] == first.read_summary()[key], key
    third = trained_here(small_config, tmp_path / "other-seed", seed=1)
    assert third["weights_sha256"] != second["weights_sha256"]


def test_replicas_are_reproducible_too(small_config: Path, tmp_path: Path) -> None:
    four = {"cluster__logical_cpus": 4, "train__global_batch": 30, "data__shift": 2}
    first = trained(small_config, tmp_path / "first", **four)
    second = trained_here(small_config, tmp_path / "second", **four)
    assert first["replicas"] == 4
    assert first["weights_sha256"] == second["weights_sha256"]
    assert first["test"] == second["test"]
