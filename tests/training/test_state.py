import hashlib
from collections.abc import Callable

import keras
import numpy as np
import pytest

from harness.config import Config
from harness.errors import ConfigError
from harness.training.chunk import Chunk
from harness.training.state import State, weights_sha256

Begin = Callable[..., tuple[State, Chunk]]
NewState = Callable[..., State]
SmallTraining = Callable[..., Config]
RULES = [
    {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9},
    {"name": "adam", "learning_rate": 0.1},
    {"name": "adamw", "learning_rate": 0.1, "weight_decay": 0.1},
]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: str(rule["name"]))
def test_a_variables_path_does_not_depend_on_what_was_built_before(
    new_state: NewState, small_training: SmallTraining, rule: dict[str, object]
) -> None:
    config = small_training(optimizer=rule, train={"ema": 0.9})
    first, second, replicated = new_state(config), new_state(config), new_state(config, 2)
    assert list(second.variables()) == list(first.variables()) == list(replicated.variables())


def test_everything_a_step_changes_is_among_the_variables(begin: Begin, small_training: SmallTraining) -> None:
    state, chunk = begin(small_training(optimizer=RULES[1], train={"ema": 0.9}))
    before = {path: variable.numpy() for path, variable in state.variables().items()}
    chunk(2)
    after = {path: variable.numpy() for path, variable in state.variables().items()}
    changed = [path for path, value in after.items() if not np.array_equal(value, before[path])]
    weights = len(state.model.trainable_variables)
    assert weights == 10
    assert len([path for path in changed if path.startswith("model/")]) == weights
    assert len([path for path in changed if path.startswith("average/")]) == weights
    assert len([path for path in changed if path.startswith("optimizer/")]) == 2 + 1  # moments and iteration


def test_the_result_is_the_average_where_there_is_one(new_state: NewState, small_training: SmallTraining) -> None:
    plain = new_state(small_training())
    assert plain.result is plain.model
    assert plain.average is None
    averaged = new_state(small_training(train={"ema": 0.9}))
    assert averaged.result is averaged.average
    assert averaged.average is not averaged.model


def test_the_average_begins_at_the_initial_weights(new_state: NewState, small_training: SmallTraining) -> None:
    state = new_state(small_training(train={"ema": 0.9}))
    assert state.average is not None
    for average, weight in zip(state.average.weights, state.model.weights, strict=True):
        np.testing.assert_array_equal(average.numpy(), weight.numpy())


def test_a_model_whose_replicas_would_differ_is_refused(begin: Begin, small_training: SmallTraining) -> None:
    def flipping() -> keras.Model:
        pixels = keras.Input((28, 28, 1))
        flat = keras.layers.Flatten()(keras.layers.RandomFlip(name="half")(pixels))
        return keras.Model(pixels, keras.layers.Dense(10)(flat))

    begin(small_training(), 1, flipping)
    with pytest.raises(ConfigError, match="layer half"):
        begin(small_training(), 2, flipping)


def test_the_digest_is_that_of_the_weights_in_order(new_state: NewState, small_training: SmallTraining) -> None:
    state = new_state(small_training())
    data = b"".join(weight.numpy().tobytes() for weight in state.model.trainable_variables)
    assert len(data) == 4 * 60_554
    assert weights_sha256(state.model) == hashlib.sha256(data).hexdigest()
    kernel = state.model.trainable_variables[0]
    changed = kernel.numpy()
    changed[0, 0, 0, 0] = np.nextafter(changed[0, 0, 0, 0], 1)
    kernel.assign(changed)
    assert weights_sha256(state.model) != hashlib.sha256(data).hexdigest()
