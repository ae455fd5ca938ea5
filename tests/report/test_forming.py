"""Maps in TensorBoard while a real run trains."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from tests.conftest import Result


@pytest.mark.slow
def test_the_maps_of_the_same_images_are_written_as_they_form(
    call: Callable[..., Result], completed_run: tuple[Path, Result], small_config: Path, tmp_path: Path
) -> None:
    run = tmp_path / "watched"
    settings = ["insight.every=10 steps", "insight.methods=[gradient, gradcam]"]
    arguments = [word for setting in settings for word in ("--set", setting)]
    result = call("train", small_config, "--no-report", "--run-dir", run, *arguments)
    assert result.exit_code == 0, result.stderr
    events = EventAccumulator(str(run / "tensorboard" / "train"), size_guidance={TENSORS: 0})
    events.Reload()
    tags = [tag for tag in events.Tags()["tensors"] if tag.startswith("saliency/")]
    assert tags == ["saliency/gradient", "saliency/gradcam"]
    for tag in tags:
        assert events.SummaryMetadata(tag).summary_description.count("validation image ") == 8
        shown = events.Tensors(tag)
        assert [image.step for image in shown] == [10, 20, 30]
        pictures = [tf.io.decode_png(tf.make_ndarray(image.tensor_proto)[2]).numpy() for image in shown]
        # In pixels of the picture: the first image, and its map to the right of it.
        image, its_map = np.s_[50:128, 110:188], np.s_[50:128, 197:275]
        first, *later = pictures
        assert all(np.array_equal(picture[image], first[image]) for picture in later)
        assert not any(np.array_equal(picture[its_map], first[its_map]) for picture in later)
    hashes = {json.loads((path / "summary.json").read_text())["weights_sha256"] for path in (run, completed_run[0])}
    assert len(hashes) == 1, "looking changes nothing"


@pytest.mark.slow
def test_training_images_are_watched_where_none_are_held_out_by_the_methods_that_the_model_allows(
    call: Callable[..., Result], small_config: Path, tiny_model: str, tmp_path: Path
) -> None:
    methods = "insight.methods=[gradcam, gradient]"  # the first needs feature maps
    settings = [tiny_model, "insight.every=6 steps", "train.length=6 steps", "data.validation=0", methods]
    arguments = [word for setting in settings for word in ("--set", setting)]
    result = call("train", small_config, "--no-report", "--run-dir", tmp_path / "watched", *arguments)
    assert result.exit_code == 0, result.stderr
    events = EventAccumulator(str(tmp_path / "watched" / "tensorboard" / "train"), size_guidance={TENSORS: 0})
    events.Reload()
    assert events.SummaryMetadata("saliency/gradient").summary_description.count("training image ") == 8
    assert "saliency/gradcam" not in events.Tags()["tensors"]
