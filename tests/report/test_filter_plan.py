import keras
import numpy as np

from harness.insight.filters import CLASS_STARTS
from harness.report.evaluated_model import EvaluatedModel
from harness.report.filter_plan import FilterPlan, plan


def subject_of(layers: int, filters: int = 64, side: int = 8, classes: int = 10, images: int = 1000) -> EvaluatedModel:
    hidden = pixels = keras.Input((side, side, 1))
    for number in range(layers):
        hidden = keras.layers.Conv2D(filters, 3, padding="same", name=f"conv_{number}")(hidden)
    model = keras.Model(pixels, keras.layers.Dense(classes)(keras.layers.GlobalAveragePooling2D()(hidden)))
    outputs = np.zeros((images, classes), np.float32)
    return EvaluatedModel(
        "deep", model, np.zeros((images, side, side, 1), np.uint8), np.zeros(images, np.int32), outputs
    )


def counts(planned: FilterPlan) -> dict[str, int]:
    return {name: len(shown) for name, shown in planned.layers.items()}


def test_of_a_small_model_all_is_looked_at() -> None:
    planned = plan(subject_of(3, filters=8), 120)
    assert counts(planned) == {"conv_0": 8, "conv_1": 8, "conv_2": 8}
    assert planned.images.tolist() == list(range(1000))
    assert (planned.classes, planned.class_starts) == (10, CLASS_STARTS)
    assert planned.notices() == []


def test_of_40_layers_some_are_looked_at_the_first_and_the_last_among_them() -> None:
    planned = plan(subject_of(40, filters=16), 5)
    assert 1 < len(planned.layers) <= 12
    assert {"conv_0", "conv_39"} < set(planned.layers)
    gaps = np.diff([int(name.removeprefix("conv_")) for name in planned.layers])
    assert gaps.max() - gaps.min() <= 1
    assert all(count >= 4 for count in counts(planned).values())
    assert counts(planned)["conv_39"] < 16
    assert planned.layers["conv_39"].step > 1


def test_more_time_shows_more_and_the_same_time_the_same() -> None:
    evaluated = subject_of(20, filters=16)
    some, same, more = (plan(evaluated, seconds) for seconds in (3, 3, 30))
    assert some.as_json() == same.as_json()
    assert sum(counts(some).values()) < sum(counts(more).values())
    assert len(some.images) <= len(more.images)
    assert some.class_starts < more.class_starts


def test_something_is_looked_at_however_short_the_time() -> None:
    planned = plan(subject_of(5), 1e-6)
    assert counts(planned) == {"conv_0": 1}
    assert len(planned.images) == 100
    assert planned.class_starts == 1
    told = " ".join(planned.notices())
    for words in ("1 of 5 convolutional layers", "1 of 64 in conv_0", "100 of the 1,000 test images", "from 1 start "):
        assert words in told


def test_a_page_has_twelve_layers_at_most_and_does_not_blame_the_budget() -> None:
    planned = plan(subject_of(30, filters=1), 1e6)
    assert len(planned.layers) == 12
    (notice,) = planned.notices()
    assert "12 of 30 convolutional layers" in notice
    assert "insight.budget" not in notice
