import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from harness.comparison.evaluation import evaluate
from harness.comparison.sides import open_sides
from harness.errors import RunError
from tests.conftest import Result

pytestmark = pytest.mark.slow


def test_the_last_checkpoint_is_the_exported_model_averaged_or_not(
    completed_run: tuple[Path, Result], averaged_run: Path
) -> None:
    for run in (completed_run[0], averaged_run):
        exported, saved = (evaluate(side) for side in open_sides(run, run / "checkpoints" / "step-30.safetensors"))
        assert np.array_equal(exported.model.probabilities, saved.model.probabilities)
        accuracy = (exported.model.predicted == exported.model.labels).mean()
        assert accuracy == exported.summary["test"]["accuracy"]


def test_a_checkpoint_tells_of_the_training_up_to_it(completed_run: tuple[Path, Result]) -> None:
    run = completed_run[0]
    early, late = (
        evaluate(side) for side in open_sides(*(run / "checkpoints" / f"step-{n}.safetensors" for n in (15, 30)))
    )
    summary = json.loads((run / "summary.json").read_text())
    assert early.summary["steps"] == 15
    assert not np.array_equal(early.model.probabilities, late.model.probabilities)
    for key in ("steps", "train_seconds", "compile_seconds", "versions", "device", "replicas", "workers"):
        assert late.summary[key] == summary[key]
    assert late.summary["images_per_second"] == pytest.approx(summary["images_per_second"])


def test_a_checkpoint_that_does_not_fit_the_config(completed_run: tuple[Path, Result], tmp_path: Path) -> None:
    run = Path(shutil.copytree(completed_run[0], tmp_path / "run"))
    text = (run / "config.yaml").read_text()
    (run / "config.yaml").write_text(text.replace("name: cnn", "name: cnn_two_pools"))
    side, _ = open_sides(run / "checkpoints" / "step-15.safetensors", run)
    with pytest.raises(RunError, match=r"step 15 has no model/dense/kernel that fits"):
        evaluate(side)
