"""`tfds:NAME`: a folder with the files that tensorflow-datasets 4.9.10 leaves."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.data.files.conftest import Load, Refusal, picture
from tests.data.files.test_tfrecords import write

LABEL = {"classLabel": {"numClasses": "2"}}
IMAGE = {"image": {"dtype": "uint8", "shape": {"dimensions": ["8", "8", "3"]}}}


def prepare(folder: Path, features: dict[str, Any] | None = None, **info: Any) -> None:
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text(json.dumps({"name": "tiny", "fileFormat": "tfrecord"} | info))
    described = {"featuresDict": {"features": features or {"photo": IMAGE, "kind": LABEL}}}
    (folder / "features.json").write_text(json.dumps(described))
    (folder / "kind.labels.txt").write_text("dog\ncat\n")
    for split, numbers in (("train", range(9)), ("test", range(9, 13)), ("unsupervised", range(13, 15))):
        path = folder / f"tiny-{split}.tfrecord-00000-of-00001"
        write(path, numbers, image="photo", label="kind")


@pytest.fixture
def prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "tfds"))
    prepare(tmp_path / "tfds" / "tiny" / "1.0.0")
    return tmp_path / "tfds" / "tiny"


def test_images_labels_and_splits_are_the_data_sets_own(prepared: Path, load_files: Load) -> None:
    found = load_files("tfds:tiny")
    assert found.class_names == ("dog", "cat")
    assert [sorted(rows.tolist()) for rows in found.rows] == [[*range(9)], [], [9, 10, 11, 12]]
    assert found.labels.tolist() == [number % 2 for number in range(13)]
    assert all((found.images[number] == picture(number)).all() for number in range(13))


def test_the_newest_version_and_the_config_asked_for(prepared: Path, load_files: Load, refusal: Refusal) -> None:
    for version in ("9.0.0", "10.0.0"):
        prepare(prepared / version)
    (prepared / "10.0.0" / "kind.labels.txt").write_text("newest\nx")
    assert load_files("tfds:tiny").class_names[0] == "newest"
    assert load_files("tfds:tiny:9.0.0").class_names[0] == "dog"
    assert load_files(f"tfds:{prepared / '9.0.0'}").class_names[0] == "dog"
    for config in ("large", "small"):
        prepare(prepared.with_name("other") / config / "1.0.0")
    assert "large; small" in refusal("tfds:other")
    assert len(load_files("tfds:other/small").images) == 13


def test_what_will_not_do_is_refused(prepared: Path, refusal: Refusal) -> None:
    message = refusal("tfds:unknown")
    for told in (str(prepared.parent), "tfds build unknown", "tensorflow-datasets"):
        assert told in message
    prepare(prepared / "2.0.0", {"left": IMAGE, "right": IMAGE, "kind": LABEL})
    assert "image, and has 2" in refusal("tfds:tiny")
    prepare(prepared / "3.0.0", fileFormat="array_record")
    assert "array_record" in refusal("tfds:tiny")
