"""Keys that say what to make of image files are refused where there are none."""

from pathlib import Path

import pytest

from harness.config import resolve
from harness.errors import ConfigError


@pytest.mark.parametrize(
    ("assignments", "told"),
    [
        (
            ["data.size=64"],
            r"data\.size: is for image files \(folder, .*data.source is mnist: .*model\.input\.size, got 64",
        ),
        (["data.channels=3"], r"data\.channels: .*model\.input\.color, got 3"),
        (["data.test=10 %"], r"data\.test: .*leave it out, got '10 %'"),
        (["data.split_seed=1"], r"data\.split_seed: "),
        (["data.source=npy:x", "data.size=[64, 32]"], r"data\.size: .*data.source is npy:/"),
        (["data.source=folder:x", "data.label_feature=y"], r"data\.label_feature: is for TFRecord files .*, got 'y'"),
    ],
)
def test_are_refused_with_other_sources(assignments: list[str], told: str) -> None:
    with pytest.raises(ConfigError, match=told) as refused:
        resolve({}, assignments)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(("name", "meant"), [("photos", "folder:"), ("photos.csv", "csv:")])
def test_a_path_that_lacks_its_kind_is_told_which(tmp_path: Path, name: str, meant: str) -> None:
    path = tmp_path / name
    path.touch() if path.suffix else path.mkdir()
    with pytest.raises(ConfigError, match=rf"data\.size: .*write {meant}{path}, got 64"):
        resolve({}, [f"data.source={path}", "data.size=64"])


@pytest.mark.parametrize(
    "assignments",
    [
        ["data.resize=pad"],
        ["data.size=null", "data.test=20 %", "data.split_seed=0"],
        ["data.size=64", "data.channels=1", "data.test=3", "data.split_seed=1", "data.source=tfds:x"],
        ["data.image_feature=x", "data.source=tfrecord:x"],
    ],
)
def test_are_taken_with_files_and_at_their_defaults(assignments: list[str]) -> None:
    resolve({}, assignments)
