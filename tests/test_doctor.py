"""What `harness doctor` finds on this very machine."""

import json
from collections.abc import Callable
from importlib import metadata
from typing import Any

from harness.doctor import examine


def test_a_sound_machine_has_no_problem_and_its_versions_are_named(call: Callable[..., Any]) -> None:
    result = call("doctor", "--json")
    assert result.exit_code == 0
    answer = json.loads(result.stdout)
    assert answer["ok"] is True
    found = {finding["name"]: finding["found"] for finding in answer["findings"]}
    assert found["tensorflow"] == metadata.version("tensorflow")
    assert found["keras"] == metadata.version("keras")
    assert found["MNIST"].endswith("mnist.npz, intact")


def test_the_table_has_a_line_for_each_finding(call: Callable[..., Any]) -> None:
    lines = call("doctor").stdout.splitlines()
    assert len(lines) == len(examine())
    assert all(line.startswith("ok") for line in lines)


def test_damaged_data_is_a_problem_with_a_fix_and_exit_1(call: Callable[..., Any], monkeypatch: Any) -> None:
    monkeypatch.setattr("harness.doctor.MNIST_SHA256", "of another file")
    result = call("doctor")
    assert result.exit_code == 1
    assert "problem  MNIST" in result.stdout
    assert "fix: pip install" in result.stdout


def test_an_unsupported_version_is_a_problem_with_a_fix(monkeypatch: Any) -> None:
    real = metadata.version
    monkeypatch.setattr(metadata, "version", lambda name: "3.11.0" if name == "keras" else real(name))
    (keras,) = (finding for finding in examine() if finding.name == "keras")
    assert keras.problem is not None
    assert keras.fix is not None
    assert keras.fix.startswith("pip install 'keras")
