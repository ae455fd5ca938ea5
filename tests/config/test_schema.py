"""The JSON schema that editors use: the same keys, limits and words as the config itself."""

import re

import pytest

from harness.config import Config, resolve
from harness.errors import ConfigError

SCHEMA = Config.model_json_schema()
OPEN = ("ModelSection", "CallbackSection", "ImportedOptimizer", "OwnAugmentation", "OwnLoss", "OwnMetric")
"""Whose class or function judges their further keys."""
SECTIONS = {"Config": SCHEMA} | SCHEMA["$defs"]


def keys() -> list[tuple[str, str]]:
    return [(name, key) for name, section in SECTIONS.items() for key in section["properties"]]


def test_has_every_key_of_the_config() -> None:
    assert list(SCHEMA["properties"]) == list(Config.model_fields)
    assert {"Adam", "AdamW", "SGD", "TrainSection", "DataSection"} <= SCHEMA["$defs"].keys()


@pytest.mark.parametrize("name", SECTIONS)
def test_only_what_may_be_the_users_own_takes_keys_that_are_not_ours(name: str) -> None:
    assert SECTIONS[name]["additionalProperties"] is (name in OPEN)


@pytest.mark.parametrize(("section", "key"), keys())
def test_every_key_is_described(section: str, key: str) -> None:
    entry = SECTIONS[section]["properties"][key]
    sections = [one["$ref"].rpartition("/")[2] for one in entry.get("oneOf", [entry]) if "$ref" in one]
    if sections:  # described by its keys, each of which is looked at here
        assert all(SECTIONS[name]["properties"] for name in sections)
    else:
        assert len(entry.get("description", "")) > 5


def choices(name: str) -> list[str]:
    """The sections of optimizers that a name fits."""
    sections = [entry["$ref"].rpartition("/")[2] for entry in SCHEMA["properties"]["optimizer"]["oneOf"]]
    allowed = {section: SECTIONS[section]["properties"]["name"] for section in sections}
    return [s for s, key in allowed.items() if name == key.get("const") or re.search(key.get("pattern", "$^"), name)]


def test_says_limits_choices_and_defaults() -> None:
    train = SCHEMA["$defs"]["TrainSection"]["properties"]
    assert train["global_batch"]["minimum"] == 1
    assert SCHEMA["$defs"]["CrossEntropy"]["properties"]["label_smoothing"]["exclusiveMaximum"] == 1
    assert train["length"]["default"] == "5 epochs"
    assert SCHEMA["$defs"]["DataSection"]["properties"]["placement"]["enum"] == ["auto", "device", "host"]
    assert choices(name="sgd") == ["SGD"]
    assert choices(name="my_rules:Mine") == ["ImportedOptimizer"]


@pytest.mark.parametrize(
    "text",
    [
        "5 epochs",
        "1 epoch",
        "0.5 steps",
        "300steps",
        "7 examples",
        "10 minutes",
        "20 %",
        "5",
        "5 parsecs",
        "-1 steps",
    ],
)
@pytest.mark.parametrize(
    ("section", "place", "key"),
    [
        ("TrainSection", "train", "length"),
        ("ScheduleSection", "schedule", "warmup"),
        ("CheckpointSection", "checkpoint", "every"),
    ],
)
def test_takes_and_refuses_the_durations_that_the_config_does(text: str, section: str, place: str, key: str) -> None:
    pattern = SCHEMA["$defs"][section]["properties"][key]["pattern"]
    try:
        resolve({}, [f"{place}.{key}={text}"])
        good = True
    except ConfigError:
        good = False
    assert bool(re.search(pattern, text)) == good
