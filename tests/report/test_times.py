import json
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from harness.report.evaluated_model import EvaluatedModel, of_run
from harness.report.times import known_times, time_key, times_json
from harness.runs.run_dir import RunDir


@pytest.fixture(scope="module")
def evaluated(unseen_run: RunDir) -> EvaluatedModel:
    return of_run(unseen_run, unseen_run.read_config())


def test_times_are_known_of_the_same_weights_only(evaluated: EvaluatedModel, tmp_path: Path) -> None:
    kept = tmp_path / "insight.json"
    assert known_times(kept, evaluated) == {}
    kept.write_text(json.dumps({"times": times_json(evaluated, {"gradient": 1.5, "gradcam conv_2": 2.5})}))
    assert known_times(kept, evaluated) == {"gradient": 1.5, "gradcam conv_2": 2.5}
    other = keras.models.clone_model(evaluated.logits)
    assert known_times(kept, replace(evaluated, logits=other)) == {}
    other.set_weights(evaluated.logits.get_weights())
    assert known_times(kept, replace(evaluated, logits=other)) == {"gradient": 1.5, "gradcam conv_2": 2.5}


@pytest.mark.parametrize("content", ["", "[]", '{"times": 3}', '{"times": {"milliseconds": {"gradient": "fast"}}}'])
def test_a_file_without_times_tells_none(evaluated: EvaluatedModel, tmp_path: Path, content: str) -> None:
    (tmp_path / "insight.json").write_text(content)
    assert known_times(tmp_path / "insight.json", evaluated) == {}


def test_a_method_that_looks_at_a_layer_has_a_time_for_each(evaluated: EvaluatedModel) -> None:
    assert time_key(evaluated, "gradient", "conv_1") == "gradient"
    assert time_key(evaluated, "gradcam", "conv_1") == "gradcam conv_1"
    assert time_key(evaluated, "gradcam", None) == time_key(evaluated, "gradcam", "conv_2") == "gradcam conv_2"
