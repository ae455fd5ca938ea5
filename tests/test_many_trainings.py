"""Many trainings one after the other in one process, as in a notebook that tries values."""

import logging
from pathlib import Path

import pytest

import harness
from harness.config import load


class Heard(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.mark.slow
def test_tensorflow_does_not_complain_that_each_is_traced(small_config: Path, tiny_model: str, tmp_path: Path) -> None:
    config = load(small_config, [tiny_model, "train.length=4 steps", "schedule.warmup=0 steps"])
    logger, heard = logging.getLogger("tensorflow"), Heard()
    logger.addHandler(heard)
    for number in range(7):
        assert harness.train(config, tmp_path / str(number), quiet=True, with_report=False) is not None
    logger.removeHandler(heard)
    assert heard.lines == []
    assert logger.filters == []
