"""Runs that lie elsewhere and are linked to: on another disk, for one."""

from pathlib import Path

from harness.config import Config
from harness.runs import tensorboard_server
from harness.runs.run_dir import RunDir
from harness.runs.run_list import find_runs


def test_a_linked_run_is_listed_held_and_shown(tmp_path: Path) -> None:
    disk, runs = tmp_path / "disk" / "a-run", tmp_path / "runs"
    disk.mkdir(parents=True)
    runs.mkdir()
    (runs / "a").symlink_to(disk)
    run = RunDir(runs / "a")
    run.lock()
    try:
        run.begin(Config())
        run.tensorboard_dir.mkdir()
        (run.tensorboard_dir / "events.out.tfevents.1").touch()
        assert RunDir(disk).is_running()
        (row,) = find_runs(runs)
        assert (row["name"], row["status"]) == ("a", "running")
    finally:
        run.unlock()
    assert (runs / "a").is_symlink()
    logdir, _ = tensorboard_server.find(runs, None)
    assert logdir == runs
