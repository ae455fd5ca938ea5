import math
from collections.abc import Callable, Iterable
from fractions import Fraction

import pytest

from harness.config import Config
from harness.training.events import Events, Every


@pytest.mark.parametrize("interval", ["1", "7", "32", "33", "100", "1/3", "55/2", "0.7"])
@pytest.mark.parametrize("global_batch", [1, 8, 32, 256])
def test_every_is_the_first_step_at_or_past_each_multiple(interval: str, global_batch: int) -> None:
    examples, last = Fraction(interval), 60
    multiples = range(1, math.floor(last * global_batch / examples) + 1)
    expected = {math.ceil(k * examples / global_batch) for k in multiples}
    every = Every(examples, global_batch)
    assert {step for step in range(1, last) if every.includes(step)} == expected - {last}
    for step in range(max(expected, default=0)):
        assert every.next_after(step) == min(other for other in expected if other > step)


def test_a_tenth_of_an_epoch_ten_times_is_the_epoch(small_training: Callable[..., Config]) -> None:
    config = small_training(train={"length": "1 epochs", "global_batch": 10}, evaluate={"every": "0.1 epochs"})
    events = Events.of(config, 1000)
    assert [step for step in range(1, 101) if events.evaluate.includes(step)] == list(range(10, 101, 10))


@pytest.mark.parametrize(
    ("length", "steps"),
    [
        ("5 epochs", 34),  # 500 examples are 33⅓ steps of 15
        ("1 epochs", 7),
        ("0.5 epochs", 4),
        ("12 steps", 12),
        ("2.5 steps", 3),
        ("1 examples", 1),
        ("15 examples", 1),
        ("16 examples", 2),
    ],
)
def test_training_ends_at_the_first_step_at_or_past_its_length(
    small_training: Callable[..., Config], length: str, steps: int
) -> None:
    config = small_training(
        train={"length": length, "global_batch": 15}, schedule={"warmup": length, "name": "constant"}
    )
    events = Events.of(config, 100)
    assert events.total_steps == steps
    assert events.warmup_steps == steps


@pytest.mark.parametrize(
    ("share", "length", "warmup"),
    [
        ("20 %", "5 epochs", 1719),  # as many as 1 epoch, 1718.75 steps
        ("20 %", "1 epoch", 344),
        ("20 %", "10 steps", 2),
        ("20 %", "2 steps", 1),
        ("20 %", "1 step", 0),
        ("99.9 %", "3 steps", 2),
        ("0 %", "5 epochs", 0),
    ],
)
def test_a_warmup_that_is_a_share_leaves_something_of_any_length(
    small_training: Callable[..., Config], share: str, length: str, warmup: int
) -> None:
    config = small_training(train={"length": length, "global_batch": 32}, schedule={"warmup": share, "name": "linear"})
    assert Events.of(config, 55_000).warmup_steps == warmup


def included(every: Every | None, steps: Iterable[int]) -> list[int]:
    assert every is not None
    return [step for step in steps if every.includes(step)]


def test_what_happens_when(small_training: Callable[..., Config]) -> None:
    config = small_training(
        train={"length": "20 steps", "global_batch": 8},
        evaluate={"every": "0.5 epochs"},
        checkpoint={"every": "56 examples"},
        tensorboard={"histograms": "6 steps"},
        insight={"every": "8 steps"},
    )
    events = Events.of(config, 80)  # 10 steps an epoch
    steps = range(1, 21)
    assert [step for step in steps if events.evaluate.includes(step)] == [5, 10, 15, 20]
    assert included(events.checkpoint, steps) == [7, 14, 20]
    assert included(events.histograms, steps) == [6, 12, 18]
    assert included(events.maps, steps) == [8, 16]
    stops = [0]
    while stops[-1] < events.total_steps:
        stops.append(events.next_after(stops[-1]))
    assert stops == [0, 5, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20]


def test_the_end_evaluates_and_saves_even_off_the_beat(small_training: Callable[..., Config]) -> None:
    config = small_training(
        train={"length": "11 steps"}, evaluate={"every": "1000 steps"}, checkpoint={"every": "1000 steps"}
    )
    events = Events.of(config, 80)
    assert events.next_after(0) == 11
    assert events.evaluate.includes(11)
    assert included(events.checkpoint, range(1, 12)) == [11]
    assert (events.histograms, events.maps) == (None, None)


def test_checkpoints_by_time_have_no_steps(small_training: Callable[..., Config]) -> None:
    config = small_training(checkpoint={"every": "1.5 minutes"}, evaluate={"every": "1000 steps"})
    events = Events.of(config, 80)
    assert events.checkpoint is None
    assert events.next_after(0) == 12


def test_intervals_shorter_than_a_step_happen_at_every_step(small_training: Callable[..., Config]) -> None:
    events = Events.of(small_training(evaluate={"every": "1 examples"}), 80)
    assert all(events.evaluate.includes(step) for step in range(1, 13))
    assert [events.next_after(step) for step in range(12)] == list(range(1, 13))


@pytest.mark.parametrize(
    ("noise_scale", "measured"),
    [
        ("1 steps", list(range(2, 13))),
        ("5 steps", [6, 11]),
        ("12 steps", []),
        ("0.5 epochs", [6, 11]),
        ("33 examples", [6, 11]),  # 4⅛ steps: every fifth
        (None, []),
    ],
)
def test_the_noise_scale_is_measured_after_so_many_updates_and_cuts_no_chunk(
    small_training: Callable[..., Config], noise_scale: str | None, measured: list[int]
) -> None:
    rare = {"every": "1000 steps"}
    config = small_training(train={"noise_scale": noise_scale}, evaluate=rare, checkpoint=rare)
    events = Events.of(config, 80)
    assert [step for step in range(1, 13) if events.measures_noise(step)] == measured
    assert events.next_after(0) == 12
