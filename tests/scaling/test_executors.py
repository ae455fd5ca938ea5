"""Real processes of this machine: how many run at a time, what becomes of their output, and of them."""

import os
import sys
import time
from pathlib import Path

import pytest

from harness.scaling.experiment.executors import Executor, Local, Task


def task(folder: Path, name: str, code: str, apart: bool = False) -> Task:
    errors = folder / f"{name}.err" if apart else None
    return Task(name, [sys.executable, "-c", code], folder / f"{name}.out", errors)


def until_ended(executor: Executor, count: int) -> list[str]:
    ended: list[str] = []
    while len(ended) < count:
        ended += [task.name for task in executor.ended()]
        time.sleep(0.01)
    return ended


def test_what_a_process_prints_is_in_one_file_or_in_two(tmp_path: Path) -> None:
    code = "import sys; print('out', flush=True); print('err', file=sys.stderr)"
    with Local(2) as local:
        local.start([task(tmp_path, "one", code), task(tmp_path, "two", code, apart=True)])
        assert sorted(until_ended(local, 2)) == ["one", "two"]
        assert local.ended() == []
    assert (tmp_path / "one.out").read_text() == "out\nerr\n"
    assert (tmp_path / "two.out").read_text() == "out\n"
    assert (tmp_path / "two.err").read_text() == "err\n"


def test_what_runs_is_asked_to_end_whatever_ends_the_experiment(tmp_path: Path) -> None:
    code = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, lambda *_: sys.exit(print('saved')));"
        "print(os.getpid(), flush=True); time.sleep(60)"
    )
    local = Local(2)

    def experiment() -> None:
        with local:
            local.start([task(tmp_path, name, code) for name in ("one", "two")])
            while not all((tmp_path / f"{name}.out").read_text() for name in ("one", "two")):
                time.sleep(0.01)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        experiment()
    for name in ("one", "two"):
        number, said = (tmp_path / f"{name}.out").read_text().split()
        assert said == "saved"
        with pytest.raises(ProcessLookupError):
            os.kill(int(number), 0)
    assert local.ended() == []


def test_timing_is_one_process_at_a_time_with_the_devices_of_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    with Local(2) as local, local.for_timing() as timing:
        local.start([task(tmp_path, "one", code), task(tmp_path, "two", code)])
        until_ended(local, 2)
        assert timing.capacity == 1
        timing.start([task(tmp_path, "timed", code)])
        until_ended(timing, 1)
    seen = [(tmp_path / f"{name}.out").read_text().strip() for name in ("one", "two", "timed")]
    assert seen == ["4,5", "6,7", "4,5,6,7"]


def test_processes_that_outnumber_the_gpus_share_them_but_for_timing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    code = "import os; print(os.environ['CUDA_VISIBLE_DEVICES'])"
    names = ["one", "two", "three"]
    with Local(3) as local:
        local.start([task(tmp_path, name, code) for name in names])
        until_ended(local, 3)
        with local.for_timing() as timing:
            timing.start([task(tmp_path, "timed", code)])
            until_ended(timing, 1)
    seen = [(tmp_path / f"{name}.out").read_text().strip() for name in [*names, "timed"]]
    assert seen == ["4", "7", "4", "4,7"]
