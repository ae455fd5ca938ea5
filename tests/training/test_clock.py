import time

import pytest

from harness.training.clock import Clock


class Hands:
    """A time that passes when a test says so."""

    def __init__(self) -> None:
        self.seconds = 1000.0

    def __call__(self) -> float:
        return self.seconds

    def go_on(self, seconds: float) -> None:
        self.seconds += seconds


def test_time_is_kept_apart_by_what_it_went_into() -> None:
    hands = Hands()
    clock = Clock(hands)
    with clock.compiling():
        hands.go_on(5)
    hands.go_on(70)  # an evaluation, say
    for seconds in (1, 2):
        with clock.training(5):
            hands.go_on(seconds)
    assert (clock.compile_seconds, clock.train_seconds) == (5, 3)


def test_the_pace_is_that_of_the_newest_chunk() -> None:
    hands = Hands()
    clock = Clock(hands)
    assert clock.step_seconds == 0
    clock.train_seconds = 1000.0  # of an earlier sitting
    for steps, seconds in ((1, 3), (100, 10)):
        with clock.training(steps):
            hands.go_on(seconds)
        assert clock.step_seconds == seconds / steps


def test_a_chunk_is_as_many_steps_as_take_the_time() -> None:
    clock = Clock()
    assert 1 <= clock.steps_in(2.0) <= 20  # the pace is not known yet
    clock.step_seconds = 0.03
    assert clock.steps_in(2.0) == 67
    clock.step_seconds = 60.0
    assert clock.steps_in(2.0) == 1


def test_seconds_of_earlier_sittings_are_added_to() -> None:
    hands = Hands()
    clock = Clock(hands)
    clock.train_seconds, clock.compile_seconds = 100.0, 10.0
    with clock.training(1):
        hands.go_on(0.5)
    assert (clock.train_seconds, clock.compile_seconds) == (100.5, 10)


def test_it_goes_by_seconds() -> None:
    clock = Clock()
    with clock.training(1):
        time.sleep(0.02)
    assert clock.train_seconds >= 0.02
    assert clock.train_seconds == pytest.approx(clock.step_seconds)
