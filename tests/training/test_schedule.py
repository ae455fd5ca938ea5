import math

import keras
import numpy as np
import pytest
import tensorflow as tf

from harness.training.schedule import WarmupThenDecay

PEAK, WARMUP, TOTAL = 0.004, 4, 12


@pytest.mark.parametrize(
    ("name", "after"),
    [
        ("constant", {4: 1, 8: 1, 11: 1, 12: 1}),
        ("linear", {4: 1, 8: 1 / 2, 11: 1 / 8, 12: 0}),
        ("cosine", {4: 1, 8: 1 / 2, 11: (1 + math.cos(7 / 8 * math.pi)) / 2, 12: 0}),
    ],
)
def test_rate_at_each_step(name: str, after: dict[int, float]) -> None:
    schedule = WarmupThenDecay(name, PEAK, WARMUP, TOTAL)
    shares = {0: 1 / 5, 1: 2 / 5, 3: 4 / 5} | after
    for step, share in shares.items():
        np.testing.assert_allclose(schedule(step), PEAK * share, rtol=1e-5, atol=1e-9, err_msg=f"step {step}")


@pytest.mark.parametrize("name", ["constant", "linear", "cosine"])
def test_without_warmup_training_begins_at_the_peak(name: str) -> None:
    schedule = WarmupThenDecay(name, PEAK, 0, 10)
    np.testing.assert_allclose(schedule(0), PEAK, rtol=1e-6)
    assert float(schedule(9)) > 0


@pytest.mark.parametrize("name", ["linear", "cosine"])
def test_the_rate_rises_then_falls_and_is_never_zero(name: str) -> None:
    schedule = WarmupThenDecay(name, 1.0, 30, 200)
    rates = np.array([float(schedule(step)) for step in range(200)])
    assert np.all(np.diff(rates[:31]) > 0)
    assert np.all(np.diff(rates[30:]) < 0)
    assert rates.min() > 0
    assert rates.argmax() == 30
    assert rates.max() == 1


def test_a_warmup_as_long_as_training_only_rises() -> None:
    schedule = WarmupThenDecay("constant", 1.0, 5, 5)
    np.testing.assert_allclose([schedule(step) for step in range(5)], np.arange(1, 6) / 6, rtol=1e-6)


def test_the_rate_past_the_end_stays_where_it_ended() -> None:
    assert float(WarmupThenDecay("linear", 1.0, 2, 10)(1000)) == 0
    np.testing.assert_allclose(WarmupThenDecay("cosine", 1.0, 2, 10)(1000), 0, atol=1e-7)


def test_the_step_may_be_the_optimizers_own_counter() -> None:
    built = keras.optimizers.SGD(WarmupThenDecay("linear", 1.0, 4, 12))
    weight = keras.Variable([0.0])
    built.build([weight])
    moved = []
    for _ in range(12):
        before = float(weight[0])
        built.apply([tf.constant([1.0])], [weight])
        moved.append(before - float(weight[0]))
    expected = [0.2, 0.4, 0.6, 0.8, 1, 7 / 8, 6 / 8, 5 / 8, 4 / 8, 3 / 8, 2 / 8, 1 / 8]
    np.testing.assert_allclose(moved, expected, rtol=1e-5)


def test_it_can_be_made_again_from_its_config() -> None:
    schedule = WarmupThenDecay("cosine", PEAK, WARMUP, TOTAL)
    again = WarmupThenDecay.from_config(schedule.get_config())
    assert [float(again(step)) for step in range(13)] == [float(schedule(step)) for step in range(13)]
