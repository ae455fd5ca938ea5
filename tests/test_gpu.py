"""What only GPUs can show. These tests have never been run on hardware: where one fails at first, suspect it too.

Everything runs in processes of its own, as TensorFlow takes hold of the cards of a process once and for all.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

from harness.gpu_check.judging import REPLICAS_TOLERANCE
from harness.runs.run_dir import RunDir

pytestmark = pytest.mark.gpu

COUNT = "import tensorflow as tf; print(len(tf.config.list_physical_devices('GPU')))"
USED = ["nvidia-smi", "--query-gpu=memory.used,memory.total", "--format=csv,noheader,nounits"]
WHERE_THE_DATA_LIE = """
import sys
from harness.cluster.strategy import connect
from harness.config import load
from harness.data import sources
from harness.training.source import Source
config = load(sys.argv[1])
train, _, _ = sources.load(config.data.source).splits(config.data.validation)
source = Source(config, connect(config.cluster), train, 0, on_device=True, block=4)
print(*(tensor.device for tensor in (*source.data, *next(source.batches())[:3])))
"""
A_MOMENT_OF_TRAINING = """
import subprocess, sys
from harness.measuring import bench
from harness.config import load
bench.measure(load(sys.argv[1]), repeats=1, chunk_seconds=0.2)
print(subprocess.check_output(sys.argv[2:], text=True))
"""


@pytest.fixture(scope="module")
def gpus(with_gpus: dict[str, str]) -> int:
    """How many GPUs TensorFlow finds."""
    found = subprocess.run([sys.executable, "-c", COUNT], env=with_gpus, capture_output=True, text=True, check=True)
    return int(found.stdout)


@pytest.fixture(autouse=True)
def _enough_gpus(gpus: int, request: pytest.FixtureRequest) -> None:
    needed = request.node.get_closest_marker("gpu").kwargs.get("cards", 1)
    if gpus < needed:
        pytest.skip(f"needs {needed}, and TensorFlow finds {gpus}")


def trained(
    script: Path, config: Path, run_dir: Path, environment: dict[str, str], *settings: str
) -> tuple[RunDir, str]:
    """A run in a new process, and everything that the process printed."""
    sets = [word for setting in settings for word in ("--set", setting)]
    ended = subprocess.run(
        [script, "train", config, "--run-dir", run_dir, *sets],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert ended.returncode == 0, ended.stdout
    run = RunDir.open(run_dir)
    assert " cores)" not in run.read_summary()["device"]  # that would be a processor
    return run, ended.stdout


def memory(table: str) -> Any:
    """Used and total MiB of each card, (cards, 2), from what nvidia-smi prints."""
    return np.array([[int(number) for number in line.split(",")] for line in table.strip().splitlines()])


def weights(run: RunDir, step: int) -> dict[str, Any]:
    arrays = safetensors.numpy.load_file(run.checkpoints_dir / f"step-{step}.safetensors")
    return {path: array for path, array in arrays.items() if path.startswith("model/")}


def test_a_process_does_not_take_the_whole_card(small_config: Path, with_gpus: dict[str, str]) -> None:
    before = memory(subprocess.check_output(USED, env=with_gpus, text=True))
    command: list[str | Path] = [sys.executable, "-c", A_MOMENT_OF_TRAINING, small_config, *USED]
    ended = subprocess.run(command, env=with_gpus, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    after = memory(ended.stdout)
    taken = after[:, 0] - before[:, 0]
    assert taken.max() > 0
    assert (taken < 0.5 * after[:, 1]).all()


@pytest.mark.parametrize("jit", ["on", "off"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16", "float16"])
def test_two_runs_on_a_gpu_give_equal_weights(
    script: Path, small_config: Path, tmp_path: Path, with_gpus: dict[str, str], precision: str, jit: str
) -> None:
    settings = ["cluster.gpus=[0]", "data.shift=2", f"train.precision={precision}", f"train.jit={jit}"]
    first, _ = trained(script, small_config, tmp_path / "first", with_gpus, *settings)
    second, _ = trained(script, small_config, tmp_path / "second", with_gpus, *settings)
    assert first.read_summary()["weights_sha256"] == second.read_summary()["weights_sha256"]
    assert first.read_summary()["test"] == second.read_summary()["test"]


def test_images_and_rows_lie_on_the_card(small_config: Path, with_gpus: dict[str, str]) -> None:
    command: list[str | Path] = [sys.executable, "-c", WHERE_THE_DATA_LIE, small_config]
    ended = subprocess.run(command, env=with_gpus, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    places = ended.stdout.split()
    assert len(places) == 2 + 3
    assert all("GPU:0" in place for place in places)


def test_bfloat16_trains(script: Path, small_config: Path, tmp_path: Path, with_gpus: dict[str, str]) -> None:
    settings = ["cluster.gpus=[0]", "train.length=200 steps", "train.precision=bfloat16"]
    run, _ = trained(script, small_config, tmp_path / "run", with_gpus, *settings)
    assert run.read_summary()["test"]["accuracy"] > 0.8
    assert run.report_file.is_file()


FIFTY_SGD_STEPS = [
    "data.shift=1",
    "train={length: 50 steps, global_batch: 25}",  # 13 rows for one of two GPUs, 12 and a padding row for the other
    "optimizer={name: sgd, learning_rate: 0.01, momentum: 0.0}",
    "schedule={name: constant, warmup: 0 steps}",
    "checkpoint.every=50 steps",
]


def assert_same_weights(one: RunDir, several: RunDir, replicas: int) -> None:
    """Both trained for FIFTY_SGD_STEPS, on one replica and on so many."""
    assert (one.read_summary()["replicas"], several.read_summary()["replicas"]) == (1, replicas)
    expected, actual = weights(one, 50), weights(several, 50)
    assert len(expected) == 10
    for path, array in expected.items():
        assert np.linalg.norm(actual[path] - array) < REPLICAS_TOLERANCE * np.linalg.norm(array), path


@pytest.mark.gpu(cards=2)
@pytest.mark.parametrize("all_reduce", ["auto", "nccl", "hierarchical"])
def test_two_gpus_train_what_one_trains(
    script: Path, small_config: Path, tmp_path: Path, with_gpus: dict[str, str], all_reduce: str
) -> None:
    one, _ = trained(script, small_config, tmp_path / "one", with_gpus, *FIFTY_SGD_STEPS, "cluster.gpus=[0]")
    pair = ["cluster.gpus=[0, 1]", f"cluster.all_reduce={all_reduce}"]
    two, _ = trained(script, small_config, tmp_path / "two", with_gpus, *FIFTY_SGD_STEPS, *pair)
    assert_same_weights(one, two, 2)


@pytest.mark.parametrize(("count", "all_reduce"), [(2, "auto"), (2, "hierarchical"), (3, "auto")])
def test_logical_gpus_of_one_card_train_what_the_card_trains(
    script: Path, small_config: Path, tmp_path: Path, with_gpus: dict[str, str], count: int, all_reduce: str
) -> None:
    one, _ = trained(script, small_config, tmp_path / "one", with_gpus, *FIFTY_SGD_STEPS, "cluster.gpus=[0]")
    split = [f"cluster.logical_gpus={count}", f"cluster.all_reduce={all_reduce}"]
    several, _ = trained(script, small_config, tmp_path / "several", with_gpus, *FIFTY_SGD_STEPS, *split)
    assert_same_weights(one, several, count)


@pytest.mark.gpu(cards=2)
def test_gradients_are_added_up_by_nccl(
    script: Path, small_config: Path, tmp_path: Path, with_gpus: dict[str, str]
) -> None:
    loud = {**with_gpus, "NCCL_DEBUG": "INFO"}
    settings = ["cluster.gpus=[0, 1]", "cluster.all_reduce=nccl"]
    _, printed = trained(script, small_config, tmp_path / "run", loud, *settings)
    assert "NCCL INFO" in printed


def test_gpu_check_finds_nothing_wrong(script: Path, tmp_path: Path, with_gpus: dict[str, str]) -> None:
    command: list[str | Path] = [script, "gpu-check", "--quick", "--out", tmp_path / "check"]
    ended = subprocess.run(command, env=with_gpus, capture_output=True, text=True)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    found = json.loads((tmp_path / "check" / "gpu-check.json").read_text())
    assert found["finished"]
    assert all(row["images_per_second"] for row in found["speed"] if not row["left_out"])
