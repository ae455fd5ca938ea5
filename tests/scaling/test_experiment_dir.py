"""What a trial has come to, read from the directories of real runs; and whose directory an experiment's is."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

import harness
from harness.config import load
from harness.config.load import load_as
from harness.config.scale import Experiment
from harness.errors import NonFiniteLoss, RunError
from harness.runs.run_dir import RunDir
from harness.scaling.experiment.experiment_dir import ExperimentDir, coarse, failure_of, stopped_at, trial_of
from harness.scaling.experiment.plan import Setting
from harness.scaling.tables.trials import Trial
from tests.conftest import Result

COMMON = ["schedule={name: constant, warmup: 0 steps}", "evaluate.every=5 steps", "train.length=20 steps"]


def linear(image_shape: tuple[int, int, int], classes: int) -> keras.Model:
    """A model that is quickly traced."""
    pixels = keras.Input(image_shape)
    scaled = keras.layers.Rescaling(1 / 255)(keras.layers.Flatten()(pixels))
    return keras.Model(pixels, keras.layers.Dense(classes)(scaled))


@pytest.fixture(scope="module")
def trial(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., RunDir]:
    """A real run with these settings, its test and pictures left out."""

    def run(*settings: str, model: Any = linear) -> RunDir:
        path = tmp_path_factory.mktemp("trial") / "run"
        config = load(small_config, [*COMMON, *settings])
        harness.train(config, path, model=model, quiet=True, only_training=True)
        return RunDir(path)

    return run


@pytest.mark.slow
def test_a_trial_that_reached_the_target_did_so_between_its_last_miss_and_its_hit(trial: Callable[..., RunDir]) -> None:
    run = trial("train.target={at_least: 0.7}", "train.length=200 steps")
    steps = [row["step"] for row in run.read_metrics() if row["split"] == "validation"]
    result = trial_of(run, classes=10)
    assert result is not None
    assert (result.status, result.steps_low, result.steps_high) == ("reached", steps[-2], steps[-1])
    assert (result.global_batch, result.learning_rate, result.seed) == (32, 0.003, 0)


def test_a_target_reached_at_the_first_evaluation_was_last_missed_at_the_start(trial: Callable[..., RunDir]) -> None:
    result = trial_of(trial("train.target={at_least: 0.01}"), classes=10)
    assert result is not None
    assert (result.steps_low, result.steps_high) == (0, 5)


def test_a_trial_that_ends_below_the_target_is_missed(trial: Callable[..., RunDir]) -> None:
    result = trial_of(trial("train.target={at_least: 0.999}"), classes=10)
    assert result is not None
    assert (result.status, result.steps_low, result.steps_high) == ("missed", 20, None)


@pytest.mark.slow
def test_a_trial_that_ends_no_better_than_guessing_has_diverged_if_it_was_better(trial: Callable[..., RunDir]) -> None:
    def after(rate: str, model: Any) -> tuple[list[float], Trial | None]:
        run = trial("train.target={at_least: 0.999}", f"optimizer={{name: sgd, learning_rate: {rate}}}", model=model)
        return [row["loss"] for row in run.read_metrics() if row["split"] == "validation"], trial_of(run, classes=10)

    losses, lost = after("3.0", None)
    assert losses[-1] > 2.28
    assert losses[-1] > 1.01 * min(losses)
    assert lost is not None
    assert (lost.status, lost.steps_low, lost.steps_high) == ("diverged", 20, None)
    losses, slow = after("1.0e-6", linear)
    assert losses[-1] > 2.28
    assert slow is not None
    assert (slow.status, slow.steps_low, slow.steps_high) == ("missed", 20, None)


def test_a_loss_that_is_not_finite_has_diverged_and_another_failure_is_no_result(
    trial: Callable[..., RunDir], small_config: Path, tmp_path: Path
) -> None:
    config = load(small_config, [*COMMON, "optimizer={name: sgd, learning_rate: 1e20}"])
    with pytest.raises(NonFiniteLoss):
        harness.train(config, tmp_path / "run", quiet=True, only_training=True)
    run = RunDir(tmp_path / "run")
    result = trial_of(run, classes=10)
    assert result is not None
    assert (result.status, result.steps_low, result.steps_high) == ("diverged", 0, None), "it was never evaluated"

    run.update_summary(failure="OutOfMemory: 7 GiB are not enough")
    assert trial_of(run, classes=10) is None
    assert failure_of(run, tmp_path / "output.txt") == "OutOfMemory: 7 GiB are not enough"
    run.update_summary(status="running")
    assert trial_of(run, classes=10) is None


def test_of_a_trial_that_never_began_the_last_line_is_told(tmp_path: Path) -> None:
    output = tmp_path / "output.txt"
    assert failure_of(RunDir(tmp_path / "none"), output) == "it printed nothing"
    output.write_text("devices\nerror: no such GPU\n\n")
    assert failure_of(RunDir(tmp_path / "none"), output) == "error: no such GPU"


def test_a_directory_goes_on_with_more_batches_rates_and_seeds_and_with_nothing_else(tmp_path: Path) -> None:
    def experiment(*settings: Any) -> Experiment:
        return load_as(Experiment, "mnist_scaling_quick", settings)

    folder = ExperimentDir(tmp_path / "experiment")
    folder.check(experiment())
    assert not folder.path.exists()
    other = ExperimentDir(folder.path).held(experiment())
    with folder.held(experiment()), pytest.raises(RunError, match="in use by another"), other:
        pass
    folder.check(experiment("scale.global_batches=[16, 32]", "scale.seeds.report=9", "scale.replicas=[1, 2]"))
    folder.check(experiment("scale.learning_rate.multipliers=[3]", "cluster.logical_cpus=2", "scale.max_extend=5"))
    folder.check(experiment("scale.max_examples=50000", "scale.max_seconds=60"))
    with pytest.raises(RunError, match=r"seed \(0 → 3\)"):
        folder.check(experiment("seed=3"))
    with pytest.raises(RunError, match=r"another config: model.name \(cnn → cnn_two_pools\)"):
        folder.check(experiment("model.name=cnn_two_pools"))
    with pytest.raises(RunError, match=r"train.target.at_least"):
        folder.check(experiment("scale.target.at_least=0.5"))
    with pytest.raises(RunError, match=r"evaluate.every"):
        folder.check(experiment("scale.evaluate_every=999 examples"))


def test_a_directory_of_something_else_is_refused(tmp_path: Path) -> None:
    experiment = load_as(Experiment, "mnist_scaling_quick")
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="is not a directory"):
        ExperimentDir(tmp_path / "file").check(experiment)
    with pytest.raises(RunError, match="is not empty"):
        ExperimentDir(tmp_path).check(experiment)


@pytest.mark.slow
def test_missed_trials_are_unfinished_once_the_budget_is_larger(trial: Callable[..., RunDir], tmp_path: Path) -> None:
    def unfinished(*settings: str) -> list[int]:
        scale = load_as(Experiment, "mnist_scaling_quick", settings).scale
        return sorted(setting.seed for setting in folder.unfinished(folder.trials(classes=10), scale))

    folder = ExperimentDir(tmp_path)
    folder.trials_dir.mkdir()
    for seed, end in enumerate(("train.length=640 examples", "train.max_seconds=1e-6")):
        run = trial("train.target={at_least: 0.999}", f"seed={seed}", end)
        run.path.rename(folder.run_of(Setting(32, 0.003, seed)).path)
    assert unfinished("scale.max_examples=640", "scale.max_seconds=1e-6") == []
    assert unfinished("scale.max_examples=641", "scale.max_seconds=1e-6") == [0]
    assert unfinished("scale.max_examples=640", "scale.max_seconds=1") == [1]
    assert unfinished("scale.max_examples=null", "scale.max_seconds=1") == [0, 1]
    assert unfinished("scale.max_examples=128") == [], "it got further in less time"


def test_a_trial_whose_files_are_damaged_is_not_done(trial: Callable[..., RunDir], tmp_path: Path) -> None:
    folder = ExperimentDir(tmp_path)
    folder.trials_dir.mkdir()
    whole = trial("train.target={at_least: 0.7}", "train.length=200 steps")
    for name, file, text in (
        ("summary", "summary.json", "{"),
        ("metrics", "metrics.jsonl", "nothing\n"),
        ("evaluations", "metrics.jsonl", ""),
        ("config", "config.yaml", "train: 3"),
    ):
        run = RunDir(shutil.copytree(whole.path, folder.trials_dir / name))
        assert len(folder.trials(classes=10)) == 1
        (run.path / file).write_text(text)
        assert folder.trials(classes=10) == []
        assert stopped_at(run) is None
        if name != "evaluations":
            assert failure_of(run, tmp_path / "output.txt").endswith(f"delete {run.path} to run it again")


def test_an_interval_of_more_than_a_step_and_5_percent_is_coarse() -> None:
    fine = [
        Trial(16, 0.1, 0, 95, 100, "reached"),
        Trial(16, 0.1, 1, 3, 4, "reached"),
        Trial(16, 0.1, 2, 5, None, "missed"),
    ]
    wide = Trial(16, 0.1, 3, 93, 100, "reached")
    assert coarse([*fine, wide]) == [wide]


@pytest.mark.slow
def test_an_experiment_on_other_data_is_refused_or_accepted_on_request(
    call: Callable[..., Result], small_data: Path, tmp_path: Path
) -> None:
    data = tmp_path / "data.npz"
    shutil.copy(small_data, data)
    config = tmp_path / "experiment.yaml"
    config.write_text(
        f"name: experiment\ndata: {{source: {data}, validation: 200}}\ntrain: {{ema: 0.9}}\n"
        "schedule: {name: constant, warmup: 0 steps}\nscale:\n  global_batches: [32]\n  max_extend: 0\n"
        "  learning_rate: {base: 0.002, base_batch: 32, multipliers: [1]}\n  target: {at_least: 0.999}\n"
        "  evaluate_every: 32 examples\n  max_examples: 32\n"
    )
    experiment = load_as(Experiment, config)
    folder = ExperimentDir(tmp_path / "experiment")
    settings = [Setting(32, 0.002, seed) for seed in (0, 1)]
    with folder.held(experiment):
        for setting in settings:
            harness.train(experiment.trial(*setting), folder.run_of(setting).path, quiet=True, only_training=True)
    again = ("scale", "run", config, "--dir", folder.path)
    assert "changed" not in call(*again).stderr

    with np.load(data) as file:
        np.savez(data, **{**file, "y_train": 9 - file["y_train"]})
    before = {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")}
    refused = call(*again)
    assert (refused.exit_code, refused.stdout) == (2, "")
    (line,) = refused.stderr.splitlines()
    assert f"the content of {data} has changed" in line
    assert "--data-changed" in line
    assert {path: path.stat().st_mtime_ns for path in folder.path.rglob("*")} == before

    config.write_text(config.read_text().replace("max_examples: 32", "max_examples: 64"))
    accepted = call(*again, "--data-changed")
    assert folder.run_of(settings[0]).read_summary()["steps"] == 2, accepted.stderr
    assert f"trials that ran before {data} changed: 1; " in accepted.stderr
