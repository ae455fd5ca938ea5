"""Signs of life through a pipe."""

import os
from pathlib import Path

from harness.cluster.heartbeat import VARIABLE, Heartbeat


def test_after_the_end_nothing_more_comes_and_no_other_file_is_written_to(tmp_path: Path) -> None:
    watch, pipe = os.pipe()
    environment = {VARIABLE: str(pipe)}
    first = Heartbeat(environment)
    first.beat()
    assert os.read(watch, 10) == b"."
    first.end()
    assert os.read(watch, 10) == b"", "its end is known"
    with open(tmp_path / "file", "wb") as file:
        Heartbeat(environment).beat()
        assert file.fileno() != pipe
    assert (tmp_path / "file").read_bytes() == b""
    os.close(watch)
    os.close(pipe)
