"""A method beside the best of its controls, by numbers made up and on a trained model."""

import keras
import numpy as np
import pytest

from harness.insight.saliency import gradient
from harness.insight.trust.beyond import against_controls, control_curves
from harness.insight.trust.controls import brightness
from harness.insight.trust.faithfulness import BASELINES, STEPS, Curves, Faithfulness, faithfulness

N = 12


def curves(areas: np.ndarray) -> Curves:
    return Curves(np.repeat(areas[:, np.newaxis], STEPS + 1, axis=1).astype(np.float32), np.zeros((N, 1, 1), np.uint8))


def made_up(deletion: float, insertion: float, seed: int = 0) -> Faithfulness:
    """All baselines alike; areas that scatter by 0.01 around these."""
    scatter = 0.01 * np.random.default_rng(seed).standard_normal(N)
    return Faithfulness(
        {name: curves(deletion + scatter) for name in BASELINES},
        {name: curves(insertion + scatter) for name in BASELINES},
    )


def test_a_method_that_is_better_everywhere_is_beyond_its_controls() -> None:
    found = against_controls(made_up(0.1, 0.7), {"a": made_up(0.2, 0.5, 1), "b": made_up(0.3, 0.6, 2)})
    assert found.answer == "yes"
    assert found.deletion["black"].best == "a"
    assert found.insertion["black"].best == "b"
    assert found.deletion["mean"].gain.mean == pytest.approx(0.1, abs=0.01)
    assert found.insertion["blur"].gain.mean == pytest.approx(0.1, abs=0.01)


@pytest.mark.parametrize("control", [(0.05, 0.5), (0.2, 0.75)])
def test_one_control_that_does_better_in_anything_means_no(control: tuple[float, float]) -> None:
    assert against_controls(made_up(0.1, 0.7), {"a": made_up(*control, 1), "b": made_up(0.3, 0.4, 2)}).answer == "no"


def test_a_single_baseline_can_say_no() -> None:
    ours = made_up(0.1, 0.7)
    ours = ours._replace(insertion={**ours.insertion, "mean": curves(np.full(N, 0.4))})
    assert against_controls(ours, {"a": made_up(0.2, 0.5, 1)}).answer == "no"


def test_where_the_interval_spans_zero_nobody_can_tell() -> None:
    assert against_controls(made_up(0.1, 0.7), {"a": made_up(0.1, 0.5, 1)}).answer == "can't tell"


def test_a_method_as_good_as_its_control_is_seldom_called_worse_or_better() -> None:
    """All six gains are zero on average, each of data of its own."""
    of = np.random.default_rng(4)

    def drawn() -> Faithfulness:
        areas = iter(of.normal(0.5, 0.1, (6, N)))
        return Faithfulness(*({name: curves(next(areas)) for name in BASELINES} for _ in range(2)))

    answers = [against_controls(drawn(), {"a": drawn()}).answer for _ in range(200)]
    assert answers.count("no") / 200 < 0.05
    assert answers.count("yes") == 0


def test_the_gain_that_decides_is_told_by_the_interval_that_it_decides_by() -> None:
    better = against_controls(made_up(0.1, 0.7), {"a": made_up(0.2, 0.5, 1)})
    assert better.decisive[1] == better.deletion["black"].gain
    worse = against_controls(made_up(0.3, 0.7), {"a": made_up(0.2, 0.5, 1)})
    assert worse.decisive == ("a", worse.deletion["black"].of_all)
    assert worse.deletion["black"].of_all.low < worse.deletion["black"].gain.low
    unclear = against_controls(made_up(0.1, 0.7), {"a": made_up(0.1, 0.5, 1)}).decisive[1]
    assert unclear.low < 0 < unclear.high


def test_fewer_than_five_images_tell_nothing() -> None:
    def first(of: Faithfulness) -> Faithfulness:
        return Faithfulness(*({name: Curves(c.values[:1], c.moved_at[:1]) for name, c in kind.items()} for kind in of))

    assert against_controls(first(made_up(0.1, 0.7)), {"a": first(made_up(0.2, 0.5, 1))}).answer == "can't tell"


def test_the_best_control_is_chosen_for_an_image_by_the_other_images() -> None:
    """Two controls with the same areas on average: each image's own luck must not choose the one it is held against."""
    areas = {"a": np.tile([0.2, 0.4], N // 2), "b": np.tile([0.4, 0.2], N // 2)}
    controls = {name: Faithfulness({"black": curves(of)}, {"black": curves(of)}) for name, of in areas.items()}
    ours = Faithfulness({"black": curves(np.full(N, 0.3))}, {"black": curves(np.full(N, 0.3))})
    found = against_controls(ours, controls)
    # Without image 0 (a: 0.2), "a" has 0.4 · 6 + 0.2 · 5 and "b" 0.4 · 5 + 0.2 · 6: less, so the lower "b" is held.
    assert found.deletion["black"].gain.mean == pytest.approx(0.4 - 0.3)
    assert found.insertion["black"].gain.mean == pytest.approx(0.3 - 0.2)


def test_the_gradient_of_digits_is_not_beyond_its_controls(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    some = digits[:6], predicted[:6]
    maps = gradient(trained, *some)
    before = [weight.copy() for weight in trained.get_weights()]
    controls = control_curves(trained, {"gradient": gradient}, *some, {"gradient": maps})
    for was, now in zip(before, trained.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert set(controls.of("gradient")) == {"brightness", "centre", "edges", "other images", "untrained"}
    ours = faithfulness(trained, maps, *some)
    assert against_controls(ours, controls.of("gradient")).answer != "yes"
    expected = faithfulness(trained, brightness(trained, *some), *some)
    np.testing.assert_allclose(
        controls.shared["brightness"].deletion["black"].values, expected.deletion["black"].values, rtol=1e-5
    )


def test_a_map_that_knows_what_counts_is_beyond_all_controls() -> None:
    """A model that looks at a single pixel, neither bright nor in the middle, and a method that knows which."""
    inputs = keras.Input((28, 28, 1))
    pixel = keras.layers.Flatten()(keras.layers.Cropping2D(((3, 24), (4, 23)))(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(pixel))
    model.set_weights([np.array([[4 / 255, 0]], np.float32), np.zeros(2, np.float32)])
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (8, 28, 28, 1))
    images[:, 3, 4] = rng.integers(150, 200, (8, 1))
    labels = np.zeros(8, np.int64)

    def knows(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> np.ndarray:
        maps = np.random.default_rng(1).random(images.shape[:3], np.float32)
        if logits.get_weights()[0][0, 1] == 0:  # and is lost where the weights are not those
            maps[:, 3, 4] = 2
        return maps

    maps = knows(model, images, labels)
    controls = control_curves(model, {"knows": knows}, images, labels, {"knows": maps})
    ours = faithfulness(model, maps, images, labels)
    without = {name: of for name, of in controls.of("knows").items() if name != "other images"}
    assert against_controls(ours, without).answer == "yes"
    # The pixel is the same in every image, so that the maps of the other images know it too.
    assert against_controls(ours, controls.of("knows")).answer == "can't tell"
