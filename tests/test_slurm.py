"""On a real Slurm of two nodes: tasks become workers, and a job that is requeued ends as one that is not."""

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.run_dir import RunDir
from harness.training.checkpoint import steps
from tests.slurm_cluster import Slurm, slurm_cluster, until

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts" / "slurm.sbatch"
SETTINGS = [
    "train.length=300 steps",
    "evaluate.every=150 steps",
    "checkpoint.every=20 steps",
    "schedule={name: constant, warmup: 0 steps}",
]
WHO = "import os; from harness.cluster.environment import detect; m = detect(os.environ); print(m.index, *m.workers)"


@pytest.fixture(scope="session")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    with slurm_cluster(tmp_path_factory.mktemp("slurm")) as running:
        yield running


@dataclass
class Job:
    """A job of the shipped script, submitted in `folder`."""

    slurm: Slurm
    folder: Path
    number: str

    @property
    def run(self) -> RunDir:
        return RunDir(self.folder / "runs" / f"slurm-{self.number}")

    def output(self) -> str:
        return (self.folder / f"slurm-{self.number}.txt").read_text() + str(self.slurm.job(self.number))

    def wait_for_step(self, step: int) -> None:
        """Until a checkpoint of that step or a later one is there."""
        until(lambda: [s for s in steps(self.run.checkpoints_dir) if s >= step], 60, self.output)

    def wait_until_stopped(self, times: int) -> int:
        """Until the run has been stopped so often; gives the step that it was stopped at."""
        stopped = re.compile(r"Stopped: stopped at step (\d+)")
        until(lambda: len(stopped.findall(self.run.log_file.read_text())) == times, 40, self.output)
        return int(stopped.findall(self.run.log_file.read_text())[-1])

    def summary(self) -> dict[str, Any]:
        """Once the job has ended well."""
        state = "JobState"
        until(lambda: self.slurm.job(self.number)[state] in ("COMPLETED", "FAILED", "CANCELLED"), 180, self.output)
        assert self.slurm.job(self.number)[state] == "COMPLETED", self.output()
        return self.run.read_summary()


def submit(slurm: Slurm, config: Path, folder: Path) -> Job:
    settings = [word for value in SETTINGS for word in ("--set", value)]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return Job(
        slurm, folder, slurm.call("sbatch", "--parsable", SCRIPT, config, *settings, cwd=folder, PATH=path).strip()
    )


def test_the_tasks_of_a_step_are_the_workers(slurm: Slurm) -> None:
    lines = slurm.call("srun", "--nodes=2", "--ntasks=2", sys.executable, "-c", WHO).splitlines()
    (zero, first, second), (one, *others) = (line.split() for line in sorted(lines))
    assert (zero, one) == ("0", "1")
    assert others == [first, second]
    assert (first.split(":")[0], second.split(":")[0]) == ("127.0.0.1", "127.0.0.2")
    assert first.split(":")[1] != second.split(":")[1]


def test_a_job_requeued_by_slurm_and_at_its_time_limit_ends_as_one_that_was_not(
    slurm: Slurm, small_config: Path, tmp_path: Path
) -> None:
    uninterrupted = submit(slurm, small_config, tmp_path)
    expected = uninterrupted.summary()
    assert (expected["workers"], expected["steps"]) == (2, 300)

    job = submit(slurm, small_config, tmp_path)
    job.wait_for_step(20)
    slurm.call("scontrol", "requeue", job.number)
    first_stop = job.wait_until_stopped(1)
    job.wait_for_step(first_stop + 20)
    # As it comes before the time limit: to the workers and not to the script, which then asks for the requeue itself.
    slurm.call("scancel", "--signal=TERM", job.number)
    second_stop = job.wait_until_stopped(2)
    assert 20 <= first_stop < second_stop < 300

    assert job.summary()["weights_sha256"] == expected["weights_sha256"]
    assert slurm.job(job.number)["Restarts"] == "2"


def test_a_users_mistake_fails_the_job_with_its_exit_code_and_leaves_it_ended(slurm: Slurm, tmp_path: Path) -> None:
    job = submit(slurm, Path("no-such-config"), tmp_path)
    until(lambda: slurm.job(job.number)["JobState"] == "FAILED", 60, job.output)
    assert slurm.job(job.number)["ExitCode"] == "2:0"
    assert "no-such-config" in job.output()
