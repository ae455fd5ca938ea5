import json
from dataclasses import replace
from pathlib import Path

import keras
import pytest

from harness.report.subject import Subject, of_run
from harness.report.times import known_times, time_key, times_json
from harness.runs.run_dir import RunDir


@pytest.fixture(scope="module")
def subject(unseen_run: RunDir) -> Subject:
    return of_run(unseen_run)


def test_times_are_known_of_the_same_weights_only(subject: Subject, tmp_path: Path) -> None:
    kept = tmp_path / "insight.json"
    assert known_times(kept, subject) == {}
    kept.write_text(json.dumps({"times": times_json(subject, {"gradient": 1.5, "gradcam conv_2": 2.5})}))
    assert known_times(kept, subject) == {"gradient": 1.5, "gradcam conv_2": 2.5}
    other = keras.models.clone_model(subject.logits)
    assert known_times(kept, replace(subject, logits=other)) == {}
    other.set_weights(subject.logits.get_weights())
    assert known_times(kept, replace(subject, logits=other)) == {"gradient": 1.5, "gradcam conv_2": 2.5}


@pytest.mark.parametrize("content", ["", "[]", '{"times": 3}', '{"times": {"milliseconds": {"gradient": "fast"}}}'])
def test_a_file_without_times_tells_none(subject: Subject, tmp_path: Path, content: str) -> None:
    (tmp_path / "insight.json").write_text(content)
    assert known_times(tmp_path / "insight.json", subject) == {}


def test_a_method_that_looks_at_a_layer_has_a_time_for_each(subject: Subject) -> None:
    assert time_key(subject, "gradient", "conv_1") == "gradient"
    assert time_key(subject, "gradcam", "conv_1") == "gradcam conv_1"
    assert time_key(subject, "gradcam", None) == time_key(subject, "gradcam", "conv_2") == "gradcam conv_2"
