"""On a real Slurm of two nodes: tasks become workers, and a job that is requeued ends as one that is not."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.runs.run_dir import RunDir
from harness.training.checkpoint import steps
from tests.processes import workers
from tests.slurm_cluster import Slurm, slurm_cluster, until

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[1] / "scripts" / "slurm.sbatch"
SETTINGS = [
    "train.length=300 steps",
    "evaluate.every=150 steps",
    "checkpoint.every=20 steps",
    "schedule={name: constant, warmup: 0 steps}",
    "insight={methods: [], filters: false}",
]
WHO = "import os; from harness.cluster.environment import detect; m = detect(os.environ); print(m.index, *m.workers)"


@pytest.fixture(scope="session")
def slurm(tiny_model: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slurm]:
    """Jobs find the tiny model: they have the environment of the tests."""
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


def arguments(config: Path) -> list[str | Path]:
    return [config, *(word for value in SETTINGS for word in ("--set", value)), "--no-report"]


def submit(slurm: Slurm, config: Path, folder: Path) -> Job:
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    sbatch = ["sbatch", "--parsable", SCRIPT, *arguments(config)]
    return Job(slurm, folder, slurm.call(*sbatch, cwd=folder, PATH=path).strip())


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
    uninterrupted = ["train", *arguments(small_config), "--run-dir", tmp_path / "uninterrupted"]
    with workers([uninterrupted] * 2, [tmp_path] * 2) as processes:
        for process in processes:
            _, errors = process.communicate(timeout=300)
            assert process.returncode == 0, errors
    expected = RunDir.open(tmp_path / "uninterrupted").read_summary()

    job = submit(slurm, small_config, tmp_path)
    job.wait_for_step(20)
    slurm.call("scontrol", "requeue", job.number)
    first_stop = job.wait_until_stopped(1)
    job.wait_for_step(first_stop + 20)
    # As it comes before the time limit: to the workers and not to the script, which then asks for the requeue itself.
    slurm.call("scancel", "--signal=TERM", job.number)
    second_stop = job.wait_until_stopped(2)
    assert 20 <= first_stop < second_stop < 300

    summary = job.summary()
    assert (summary["workers"], summary["steps"]) == (expected["workers"], expected["steps"]) == (2, 300)
    assert summary["weights_sha256"] == expected["weights_sha256"]
    assert slurm.job(job.number)["Restarts"] == "2"


def test_a_users_mistake_fails_the_job_with_its_exit_code_and_leaves_it_ended(slurm: Slurm, tmp_path: Path) -> None:
    job = submit(slurm, Path("no-such-config"), tmp_path)
    until(lambda: slurm.job(job.number)["JobState"] == "FAILED", 60, job.output)
    assert slurm.job(job.number)["ExitCode"] == "2:0"
    assert "no-such-config" in job.output()


EXPERIMENT = """
name: small
data: {{source: {data}, validation: 200}}
train: {{ema: 0.9}}
schedule: {{name: constant, warmup: 0 steps}}
scale:
  global_batches: [16, 64]
  learning_rate: {{base: 0.003, base_batch: 64, multipliers: [1]}}
  seeds: {{select: 1, report: 1}}
  target: {{at_least: 0.6}}
  evaluate_every: 64 examples
  max_examples: 8000
"""


def experiment(slurm: Slurm, folder: Path, *options: str) -> "subprocess.Popen[str]":
    script = Path(sys.executable).with_name("harness")
    command: list[str | Path] = [script, "scale", "run", folder / "small.yaml", "--dir", folder / "x"]
    return subprocess.Popen(
        [*command, "--executor", "slurm", *options],
        # Two nodes, one machine; and its speed is measured for seconds, on any number of processors.
        env={**slurm.environment, "TF_NUM_INTRAOP_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_an_experiment_is_array_jobs_that_are_cancelled_with_it_and_go_on_with_it(
    slurm: Slurm, small_data: Path, tiny_model: str, tmp_path: Path
) -> None:
    (tmp_path / "small.yaml").write_text(EXPERIMENT.format(data=small_data))
    process = experiment(slurm, tmp_path, "--set", tiny_model)
    until(lambda: list(tmp_path.glob("x/trials/*/metrics.jsonl")), 120, lambda: str(process.poll()))
    queued = slurm.call("squeue", "--noheader", "--array", "--format=%i").split()
    assert len({number.partition("_")[0] for number in queued}) == 1, "one array"
    assert all("_" in number for number in queued)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=180)
    assert (process.returncode, said) == (128 + signal.SIGINT, "stopped; run the same command again to resume\n")
    assert slurm.call("squeue", "--noheader") == ""

    process = experiment(slurm, tmp_path, "--set", tiny_model)
    output, said = process.communicate(timeout=400)
    assert process.returncode == 0, output + said
    result = json.loads((tmp_path / "x" / "scaling.json").read_text())
    assert [batch["counts"]["reached"] for batch in result["batches"]] == [2, 2]
    assert len((tmp_path / "x" / "throughput.csv").read_text().splitlines()) == 1 + 2
    assert slurm.call("squeue", "--noheader") == ""


def test_what_sbatch_refuses_is_told_in_a_line(slurm: Slurm, small_data: Path, tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(EXPERIMENT.format(data=small_data))
    process = experiment(slurm, tmp_path, "--set", "scale.slurm={partition: nowhere}")
    _, said = process.communicate(timeout=120)
    assert process.returncode == 2
    assert re.fullmatch(r"error: scale.slurm: sbatch refuses: .*invalid partition.*\n", said), said
