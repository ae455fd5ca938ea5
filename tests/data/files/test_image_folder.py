"""The shipped config for a folder of images, from files to a trained model."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import harness
from harness.data import sources
from tests.data.files.conftest import picture, save

CONFIG = Path(__file__).parents[3] / "configs" / "imagefolder.yaml"


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """200 JPEG files of mixed sizes in class folders, brighter from class to class."""
    folder = tmp_path / "images"
    random = np.random.default_rng(0)
    for number in range(200):
        height, width = random.integers(24, 60, 2).tolist()
        save(folder / f"class {number % 4}" / f"{number}.jpg", picture(number, height, width) // 4 + number % 4 * 64)
    return folder


@pytest.mark.slow
def test_a_folder_of_images_is_learnt(images: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"data.source": f"folder:{images}", "data.size": 32, "train.length": "60 steps"}
    changes |= dict.fromkeys(("evaluate.every", "checkpoint.every"), "30 steps")
    run = harness.train(CONFIG, tmp_path / "run", quiet=True, with_report=False, **changes)
    assert run is not None
    data = sources.load(run.read_config().data)
    assert (len(data.y_train), len(data.y_test)) == (160, 40)
    assert data.image_shape == (32, 32, 3)
    assert data.class_names == tuple(sorted(path.name for path in images.iterdir()))
    assert np.ptp(np.bincount(data.y_test)) == 0  # of each class as many
    assert run.read_summary()["data_sha256"] == data.sha256
    measured = harness.evaluate(run)
    assert measured["examples"] == 40
    assert measured["accuracy"] > 0.9
