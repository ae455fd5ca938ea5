from pathlib import Path

import pytest

from tests.processes import completed


@pytest.fixture(scope="session")
def averaged_run(small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed than `completed_run`, which keeps a moving average of its weights; tests only read it."""
    path = tmp_path_factory.mktemp("averaged") / "runs" / "averaged"
    settings = [word for text in ("seed=1", "train.ema=0.9") for word in ("--set", text)]
    completed("train", small_config, "--no-report", "--run-dir", path, *settings).check_returncode()
    return path
