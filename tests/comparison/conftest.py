import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.processes import completed


@pytest.fixture(scope="session")
def averaged_run(small_config: Path, made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed than `completed_run`, which keeps a moving average of its weights; tests only read it."""

    def make(folder: Path) -> None:
        settings = [word for text in ("seed=1", "train.ema=0.9") for word in ("--set", text)]
        completed("train", small_config, "--no-report", "--run-dir", folder / "averaged", *settings).check_returncode()

    made = made_once("averaged", make) / "averaged"
    return Path(shutil.copytree(made, tmp_path_factory.mktemp("averaged") / "runs" / "averaged"))
