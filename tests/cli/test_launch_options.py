"""What `launch` hands on to its workers."""

import pytest

from harness.cli.launch import _as_setting


@pytest.mark.parametrize("given", [["--run-name", "mine"], ["--run-name=mine"]])
def test_launched_workers_get_the_name_as_a_setting(given):
    told = _as_setting(["mnist", *given, "--quiet"], "mine")
    assert told == ["mnist", "--set", 'name="mine"', "--quiet"]
