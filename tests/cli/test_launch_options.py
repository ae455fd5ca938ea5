"""What `launch` hands on to its workers."""

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.runs.run_dir import RunDir
from tests.conftest import Result


@pytest.mark.slow
def test_launched_workers_train_in_the_directory_of_that_name_and_leave_out_what_was_asked(
    call: Callable[..., Result], small_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    train = ["train", small_config, "--run-name", "mine", "--only-training", "--set", "train.length=5 steps"]
    ended = call("launch", "--workers", "1", "--", *train)
    assert (ended.exit_code, ended.stderr) == (0, "")
    (path,) = Path("runs").iterdir()
    assert path.name.startswith("mine-")
    run = RunDir.open(path)
    assert run.read_config().name == "mine"
    assert run.read_summary()["steps"] == 5
    assert not run.model_file.exists()


def test_a_name_that_is_no_name_leaves_nothing_behind(
    call: Callable[..., Result], small_config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ended = call("launch", "--workers", "1", "--", "train", small_config, "--run-name", "a/b")
    assert ended.exit_code == 2
    assert "--run-name: name:" in ended.stderr
    assert not list(tmp_path.iterdir())
