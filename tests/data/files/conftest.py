"""Image files of known content, and a cache of each test's own."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from harness.config.data import DataSection
from harness.data.files.load import ImageFiles, load
from harness.errors import DataError

Load = Callable[..., ImageFiles]
Refusal = Callable[..., str]


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HARNESS_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def picture(seed: int, height: int = 8, width: int = 8, channels: int = 3) -> NDArray[np.uint8]:
    """Smooth, so that JPEG keeps it, and another one for each seed."""
    random = np.random.default_rng(seed)
    corners = random.integers(0, 256, (2, 2, channels), dtype=np.uint8)
    image = Image.fromarray(corners if channels == 3 else corners[..., 0])
    return np.asarray(image.resize((width, height), Image.Resampling.BILINEAR)).reshape(height, width, channels)


def save(path: Path, pixels: NDArray[Any], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(path, **options)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve PNG files of 8×8 pixels, six a class, in class folders."""
    for number in range(12):
        save(tmp_path / "images" / ("cat", "dog")[number % 2] / f"{number:02}.png", picture(number))
    return tmp_path / "images"


@pytest.fixture
def load_files() -> Load:
    def loaded(source: str, say: Callable[[str], None] = lambda line: None, **keys: Any) -> ImageFiles:
        return load(DataSection(source=source, **keys), say)

    return loaded


@pytest.fixture
def refusal(load_files: Load) -> Refusal:
    """The line with which a source is refused, and below it the images that can't be read, where they are several."""

    def told(source: str, **keys: Any) -> str:
        with pytest.raises(DataError) as refused:
            load_files(source, **keys)
        message = str(refused.value)
        _, *below = message.splitlines()
        assert not below or ("images can't be read" in message and all(line.startswith("  ") for line in below))
        assert message.startswith("data.")
        return message

    return told
