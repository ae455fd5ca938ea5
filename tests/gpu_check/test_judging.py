"""What passes and what doesn't."""

import math

import pytest

from harness.gpu_check import judging
from harness.gpu_check.plan import TF32
from harness.gpu_check.processes import Ended

WELL = Ended(None, killed=False, stopped=False, seconds=1.0)
KILLED = Ended(None, killed=True, stopped=False, seconds=1.0)


def test_equal_weights() -> None:
    assert judging.equal_weights("equal", "how", ["a" * 64, "a" * 64]).passed is True
    differ = judging.equal_weights("equal", "how", ["a" * 64, "b" * 64])
    assert differ.passed is False
    assert "aaaa" in differ.found
    assert "bbbb" in differ.found
    assert (differ.name, differ.how) == ("equal", "how")


@pytest.mark.parametrize(
    ("label", "loss", "passed"),
    [
        ("float32", 2.2, True),
        ("float32", 2.31, False),  # a guess is better
        ("float32", math.nan, False),
        (TF32, 2.21, True),
        (TF32, 2.25, False),
        ("bfloat16", 2.25, True),
        ("bfloat16", 2.6, False),
        ("bfloat16", 1.9, False),
        ("bfloat16", math.nan, False),
        ("bfloat16", math.inf, False),
    ],
)
def test_a_precision_must_be_close_to_float32(label: str, loss: float, passed: bool) -> None:
    assert judging.precision("ten steps", "how", label, loss, reference=2.2).passed is passed


def test_replicas_must_agree_in_every_array() -> None:
    assert judging.replicas("2", "how", {"a": 1e-7, "b": 9e-6}).passed is True
    for wrong in (1.1e-3, math.nan, math.inf):
        check = judging.replicas("2", "how", {"a": 1e-7, "b": wrong, "c": 1e-6})
        assert check.passed is False
        assert " b " in check.found


def test_nccl_must_have_said_something_and_how_it_goes_is_told() -> None:
    assert judging.nccl("NCCL", "how", "epoch 1\nstep 50\n").passed is False
    said = (
        "x NCCL INFO Channel 00/0 : 0[0] -> 1[1] via P2P/CUMEM\nx NCCL INFO Channel 01 : 1[1] -> 0[0] via SHM/direct\n"
    )
    check = judging.nccl("NCCL", "how", said)
    assert check.passed is True
    assert "P2P/CUMEM, SHM/direct" in check.found


def test_a_run_that_was_to_be_killed_and_was_not_fails() -> None:
    assert judging.killed("killed", "how", KILLED) is None
    check = judging.killed("killed", "how", WELL)
    assert check is not None
    assert check.passed is False


def test_what_a_check_needs_and_has_not_ended_well_is_its_finding() -> None:
    assert judging.unfinished("check", "how", [WELL, KILLED]) is None
    failed = judging.unfinished("check", "how", [WELL, Ended("no such GPU", killed=False, stopped=False, seconds=1.0)])
    assert failed is not None
    assert (failed.passed, failed.found) == (False, "no such GPU")
    stopped = judging.unfinished("check", "how", [Ended("stopped", killed=False, stopped=True, seconds=1.0), WELL])
    assert stopped is not None
    assert stopped.passed is None, "nobody knows"
