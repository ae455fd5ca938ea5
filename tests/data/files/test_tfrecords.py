"""`tfrecord:GLOB`: files that TensorFlow has written."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import tensorflow as tf

from tests.data.files.conftest import Load, Refusal, picture, save


def write(path: Path, numbers: Sequence[int], value_of: Any = lambda number: number % 2, **names: str) -> None:
    image, target = names.get("image", "image/encoded"), names.get("label", "image/class/label")
    with tf.io.TFRecordWriter(str(path)) as file:
        for number in numbers:
            encoded = save(path.with_suffix(".png"), picture(number)).read_bytes()
            value = value_of(number)
            of_label = (
                tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
                if isinstance(value, bytes)
                else tf.train.Feature(int64_list=tf.train.Int64List(value=[value]))
            )
            features = {
                "image/format": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"png"])),
                "box": tf.train.Feature(float_list=tf.train.FloatList(value=[0.5, 1.5])),
                image: tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded])),
                target: of_label,
            }
            file.write(tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString())


def test_images_and_labels_of_several_files(tmp_path: Path, load_files: Load) -> None:
    for shard in range(3):
        write(tmp_path / f"part-{shard}.tfrecord", range(4 * shard, 4 * shard + 4), lambda number: number % 3 + 1)
    found = load_files(f"tfrecord:{tmp_path}/part-*.tfrecord")
    assert found.class_names == ("1", "2", "3")
    assert found.labels.tolist() == [number % 3 for number in range(12)]
    assert all((found.images[number] == picture(number)).all() for number in range(12))
    assert [len(rows) for rows in found.rows] == [10, 0, 2]


def test_names_of_files_say_what_they_are_for_and_keys_what_they_hold(tmp_path: Path, load_files: Load) -> None:
    names = {"image": "jpeg", "label": "class"}
    for name, numbers in (("train-0", range(6)), ("val-0", range(6, 8)), ("test-0", range(8, 12))):
        write(tmp_path / f"{name}.tfrecord", numbers, lambda number: [b"dog", b"cat"][number % 2], **names)
    found = load_files(f"tfrecord:{tmp_path}/*.tfrecord", image_feature="jpeg", label_feature="class")
    assert found.class_names == ("cat", "dog")
    splits = [{int(row) for row in rows} for rows in found.rows]
    assert [len(rows) for rows in splits] == [6, 2, 4]
    assert all((found.images[row] == picture(8 + at)).all() for at, row in enumerate(sorted(splits[2])))
    assert found.labels[sorted(splits[2])].tolist() == [1, 0, 1, 0]


def test_files_that_will_not_do_are_refused(tmp_path: Path, refusal: Refusal) -> None:
    source = f"tfrecord:{tmp_path}/*.tfrecord"
    assert "no file matches" in refusal(source)
    file = tmp_path / "part.tfrecord"
    write(file, range(6))
    message = refusal(source, label_feature="label")
    for told in (
        str(file),
        "record 0",
        "has no value for the feature label",
        "image/class/label",
        "data.label_feature",
    ):
        assert told in message
    message = refusal(source, image_feature="image/format")
    assert f"{file}, record 0" in message
    write(tmp_path / "train.tfrecord", range(6))
    assert f"others don't: {file}" in refusal(source)
    (tmp_path / "train.tfrecord").unlink()
    file.write_bytes(file.read_bytes()[:-5])
    assert "is cut off" in refusal(source)
    file.write_text("words, and no records at all")
    assert "not a TFRecord file" in refusal(source)


def test_a_damaged_record_is_found_by_its_checksum_where_all_can_still_be_decoded(
    tmp_path: Path, refusal: Refusal
) -> None:
    file = tmp_path / "part.tfrecord"
    write(file, range(6))
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"image/format", b"image/farmot", 1))
    message = refusal(f"tfrecord:{file}")
    assert f"{file}, record 0" in message
    assert "is damaged" in message
    length = int.from_bytes(whole[:8], "little")
    file.write_bytes((length - 1).to_bytes(8, "little") + whole[8:])
    assert "the record at byte 0 is damaged" in refusal(f"tfrecord:{file}")


@pytest.mark.parametrize(("mended", "kept"), [(True, 9), (False, 8)])
def test_what_was_decoded_in_other_files_than_that_of_an_unreadable_record_is_kept(
    tmp_path: Path, load_files: Load, refusal: Refusal, monkeypatch: pytest.MonkeyPatch, mended: bool, kept: int
) -> None:
    """Blocks are of three images, as the files are. Without the record the later ones move up into other blocks."""
    source, bad = f"tfrecord:{tmp_path}/**/**/*.tfrecord", tmp_path / "1.tfrecord"  # which finds each file twice
    for shard in range(4):
        write(tmp_path / f"{shard}.tfrecord", range(3 * shard, 3 * shard + 3))
    (tmp_path / "0-empty.tfrecord").touch()
    whole = bad.read_bytes()
    bad.write_bytes(whole.replace(b"\x89PNG", b"\x00PNG", 1))
    assert f"{bad}, record 0" in refusal(source, size=600)
    if mended:
        bad.write_bytes(whole)
    else:
        write(bad, (4, 5))
    told: list[str] = []
    found = load_files(source, told.append, size=600)
    (line,) = told
    assert f"decoded before: {kept} of {len(found.images)}" in line
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "another"))
    assert found.sha256 == load_files(source, size=600).sha256


@pytest.mark.parametrize("value", [-3, 2**40])
def test_any_number_is_read_as_it_was_written(tmp_path: Path, load_files: Load, value: int) -> None:
    write(tmp_path / "part.tfrecord", range(6), lambda number: value if number % 2 else 7)
    names = load_files(f"tfrecord:{tmp_path}/part.tfrecord").class_names
    assert set(names) == {"7", str(value)}
