"""The shipped config for a folder of images, from files to a trained model."""

import os
import shutil
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
    """200 images in class folders: of CIFAR-10 where $HARNESS_CIFAR10_IMAGES is a folder with them, else generated
    JPEG files of mixed sizes."""
    folder = tmp_path / "images"
    if real := os.environ.get("HARNESS_CIFAR10_IMAGES"):
        for kind in sorted((Path(real) / "train").iterdir()):
            (folder / kind.name).mkdir(parents=True)
            for file in sorted(kind.iterdir())[:20]:
                shutil.copy(file, folder / kind.name)
        return folder
    random = np.random.default_rng(0)
    for number in range(200):
        height, width = random.integers(24, 60, 2).tolist()
        save(folder / f"class {number % 4}" / f"{number}.jpg", picture(number, height, width) // 2 + number % 4 * 40)
    return folder


def test_a_folder_of_images_trains_and_is_evaluated(images: Path, tmp_path: Path) -> None:
    changes: dict[str, Any] = {"data.source": f"folder:{images}", "data.size": 32, "train.length": "2 steps"}
    run = harness.train(CONFIG, tmp_path / "run", quiet=True, with_report=False, **changes)
    assert run is not None
    data = sources.load(run.read_config().data)
    assert (len(data.y_train), len(data.y_test)) == (160, 40)
    assert data.image_shape == (32, 32, 3)
    assert data.class_names == tuple(sorted(path.name for path in images.iterdir()))
    assert np.ptp(np.bincount(data.y_test)) == 0  # of each class as many
    assert run.read_summary()["data_sha256"] == data.sha256
    assert harness.evaluate(run)["examples"] == 40
