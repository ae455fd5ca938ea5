import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def averaged_run(script: Path, small_config: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of another seed than `completed_run`, which keeps a moving average of its weights; tests only read it."""
    path = tmp_path_factory.mktemp("averaged") / "runs" / "averaged"
    settings = [word for text in ("seed=1", "train.ema=0.9") for word in ("--set", text)]
    command: list[str | Path] = [script, "train", small_config, "--no-report", "--run-dir", path, *settings]
    subprocess.run(command, capture_output=True, check=True)
    return path
