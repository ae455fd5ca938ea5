import pytest
import yaml

from harness.comparison.differences import config_differences, environment_differences, in_words
from harness.config import load, resolve
from harness.config.differences import Difference, as_changes, differences, in_yaml


def test_keys_that_differ_in_the_config() -> None:
    a = resolve({"train": {"global_batch": 32, "length": "5 epochs"}})
    b = resolve({"train": {"global_batch": 64, "length": "300 steps"}, "insight": {"methods": ["gradient"]}})
    assert config_differences(a, b) == [
        Difference("train.length", "5 epochs", "300 steps"),
        Difference("train.global_batch", 32, 64),
        Difference("insight.methods", ["lrp", "occlusion", "gradient"], ["gradient"]),
    ]
    assert config_differences(a, a) == []


def test_changes_name_the_key_and_both_values() -> None:
    found = differences({"seed": 0, "optimizer.beta_1": 0.9}, {"seed": 1, "optimizer.momentum": 0.5})
    assert as_changes(found) == "seed (0 → 1), optimizer.beta_1 (0.9 → null), optimizer.momentum (null → 0.5)"


def test_how_a_run_is_called_is_no_difference() -> None:
    a, b, c = load("mnist"), load("mnist", ["name=first"]), load("mnist", ["name=second"])
    assert config_differences(a, b) == config_differences(b, c) == []


def test_a_key_that_only_one_optimizer_has() -> None:
    a = resolve({"optimizer": {"name": "adam"}})
    b = resolve({"optimizer": {"name": "sgd", "momentum": 0.9, "learning_rate": 0.003}})
    found = {each.key: (each.a, each.b) for each in config_differences(a, b)}
    assert found["optimizer.name"] == ("adam", "sgd")
    assert found["optimizer.momentum"] == (None, 0.9)


def test_what_they_ran_with_where_both_tell() -> None:
    a = {"versions": {"keras": "3.15.1", "numpy": "2.4.6"}, "device": "A", "git": "abc", "replicas": 1, "loss": 1}
    b = {"versions": {"keras": "3.16.0", "numpy": "2.4.6"}, "device": "B", "git": None, "replicas": 1, "loss": 2}
    assert environment_differences(a, b) == [
        Difference("device", "A", "B"),
        Difference("versions.keras", "3.15.1", "3.16.0"),
    ]


@pytest.mark.parametrize(
    ("value", "words"), [(None, "–"), (True, "true"), (0.003, "0.003"), (["gradient", None], "[gradient, null]")]
)
def test_values_in_words(value: object, words: str) -> None:
    assert in_words(value) == words


@pytest.mark.parametrize(
    "value", ["null", "5 epochs", "a: b", "own:net", 1e-05, True, None, [{"name": "crop", "padding": 4}]]
)
def test_what_is_written_of_a_value_is_read_as_that_value(value: object) -> None:
    written = in_yaml(value)
    assert "\n" not in written
    assert yaml.safe_load(written) == value
