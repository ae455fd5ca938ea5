import time

import pytest

from harness.training.clock import Clock


def test_time_is_kept_apart_by_what_it_went_into() -> None:
    clock = Clock()
    with clock.compiling():
        time.sleep(0.05)
    time.sleep(0.2)  # an evaluation, say
    for _ in range(2):
        with clock.training(5):
            time.sleep(0.1)
    assert 0.05 <= clock.compile_seconds < 0.2
    assert 0.2 <= clock.train_seconds < 0.35


def test_the_pace_is_that_of_the_newest_chunk() -> None:
    clock = Clock()
    assert clock.step_seconds == 0
    clock.train_seconds = 1000.0  # of an earlier sitting
    with clock.training(1):
        time.sleep(0.05)
    assert clock.step_seconds >= 0.05
    with clock.training(100):
        time.sleep(0.1)
    assert 0.001 <= clock.step_seconds < 0.01


def test_a_chunk_is_as_many_steps_as_take_the_time() -> None:
    clock = Clock()
    assert 1 <= clock.steps_in(2.0) <= 20  # the pace is not known yet
    clock.step_seconds = 0.03
    assert clock.steps_in(2.0) == 67
    clock.step_seconds = 60.0
    assert clock.steps_in(2.0) == 1


def test_seconds_of_earlier_sittings_are_added_to() -> None:
    clock = Clock()
    clock.train_seconds, clock.compile_seconds = 100.0, 10.0
    with clock.training(1):
        pass
    assert clock.train_seconds == pytest.approx(100, abs=0.1)
    assert clock.train_seconds > 100
    assert clock.compile_seconds == 10
