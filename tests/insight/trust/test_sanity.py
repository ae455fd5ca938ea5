"""The check is checked: on a model that has been trained, what must fail fails, and what must pass passes."""

import zlib
from dataclasses import replace
from functools import partial

import keras
import numpy as np
import pytest
from numpy.typing import NDArray

from harness.insight.saliency import METHODS, Explain, Maps, bound, cam_cells, cam_grid
from harness.insight.trust.controls import edges
from harness.insight.trust.sanity import Sanity, cascade, cascade_steps
from harness.insight.trust.similarity import spearman_across, spearman_to_mean
from harness.models.cnn import build


def constant(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
    return np.ones(images.shape[:3], np.float32)


def edges_of_some_sign(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
    """Each image's edges, turned over or not by what the weights are."""
    digits = "".join(str(weight.numpy().sum()) for weight in logits.weights)
    signs = np.random.default_rng(zlib.crc32(digits.encode())).choice([-1, 1], (len(images), 1, 1))
    return np.asarray(signs * edges(logits, images, labels), np.float32)


@pytest.fixture(scope="module")
def cascades(trained: keras.Model, digits: np.ndarray, predicted: np.ndarray) -> dict[str, Sanity]:
    names = ("gradient", "gradient_times_input", "gradcam", "layercam", "guided_backpropagation")
    methods = {name: bound(name) for name in names} | {
        "edges": edges,
        "constant": constant,
        "of some sign": edges_of_some_sign,
    }
    return cascade(trained, methods, digits[:16], predicted[:16])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gradient", "gradcam"])
def test_what_explains_the_model_depends_on_it(cascades: dict[str, Sanity], name: str) -> None:
    assert cascades[name].depends == "yes"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["guided_backpropagation", "edges", "constant"])
def test_what_redraws_the_image_does_not(cascades: dict[str, Sanity], name: str) -> None:
    assert cascades[name].depends == "no"


@pytest.mark.slow
def test_a_map_whose_other_cells_are_dead_in_every_network_depends_on_the_model(
    cascades: dict[str, Sanity], trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    """LayerCAM at 3 × 3 cells, of which pooling drops five: on pixels its maps are alike by rank, anyhow."""
    found = cascades["layercam"]
    cells = cam_cells("layercam", trained, digits[:16], predicted[:16])
    whole, reached = cam_grid(trained).on_pixels(cells), cells[:, :2, :2]
    assert spearman_across(whole, whole).mean() > 0.6
    assert found.between_images.mean == pytest.approx(spearman_across(reached, reached).mean())
    assert found.to_mean.mean == pytest.approx(spearman_to_mean(reached).mean())
    assert found.between_images.mean < 0.45
    assert np.mean([step.mean for step in found.absolute]) < 0.45
    assert found.kept.similarity.mean < 0.4
    assert found.depends != "no"


@pytest.mark.slow
def test_a_map_that_ignores_the_model_does_not_change_at_all(cascades: dict[str, Sanity]) -> None:
    for name in ("edges", "constant"):
        for kind in ("signed", "absolute", "foreground", "ssim", "own"):
            assert [step.mean for step in getattr(cascades[name], kind)] == pytest.approx([1] * 5)
        assert cascades[name].kept.similarity == pytest.approx((1, 1, 1))


@pytest.mark.slow
def test_what_is_shared_stands_beside_the_nulls_of_the_data(cascades: dict[str, Sanity]) -> None:
    found = cascades["gradient"]
    assert found.kept.null == pytest.approx(0, abs=0.06)
    assert found.kept.bound == pytest.approx(0.5, abs=0.03)
    assert found.kept.similarity.low < found.kept.similarity.mean < found.kept.similarity.high
    assert found.kept.similarity.mean == pytest.approx(np.mean([step.mean for step in found.own]))
    assert 0.5 < found.between_images.mean < found.to_mean.mean < 1


@pytest.mark.slow
def test_an_answer_follows_the_interval_and_the_bound(cascades: dict[str, Sanity]) -> None:
    found = cascades["gradient"]
    middle = found.kept.similarity.mean
    by_bound = {
        bound: replace(found, kept=found.kept._replace(null=2 * bound - 1)).depends
        for bound in (middle, found.kept.similarity.low - 0.01, found.kept.similarity.high + 0.01)
    }
    assert list(by_bound.values()) == ["can't tell", "no", "yes"]


@pytest.mark.slow
def test_a_map_of_the_image_whose_sign_alone_is_drawn_does_not_depend_on_the_model(cascades: dict[str, Sanity]) -> None:
    found = cascades["of some sign"]
    assert found.kept.depends == "yes"  # once, this was the answer
    assert found.depends == "no"
    assert found.only_signs
    assert found.decisive == pytest.approx((1, 1, 1))
    assert not cascades["edges"].only_signs


@pytest.mark.slow
def test_a_map_with_signs_must_pass_with_and_without_them(cascades: dict[str, Sanity]) -> None:
    found = cascades["gradient_times_input"]
    assert found.kept_absolute is not None
    assert found.kept.depends == "yes"
    where = found.kept_absolute
    assert where.of_both.low < where.similarity.low < where.similarity.high < where.of_both.high
    by_bound = {
        bound: replace(found, kept_absolute=where._replace(null=2 * bound - 1))
        for bound in (where.similarity.high + 0.01, where.similarity.low - 0.001, where.of_both.low - 0.001)
    }
    assert [of.depends for of in by_bound.values()] == ["yes", "can't tell", "no"]
    assert [of.decisive for of in by_bound.values()] == [where.similarity, where.of_both, where.of_both]


@pytest.mark.slow
def test_maps_without_signs_are_asked_once(cascades: dict[str, Sanity]) -> None:
    found = cascades["gradient"]
    assert found.kept_absolute is None
    assert found.kept.of_both == found.kept.similarity
    assert found.own_absolute == found.own


@pytest.mark.slow
def test_the_black_background_gives_products_their_absolute_correlation(
    cascades: dict[str, Sanity],
) -> None:
    found = cascades["gradient_times_input"]
    assert min(step.mean for step in found.absolute) > 0.95
    assert max(step.mean for step in found.foreground) < 0.9
    assert max(abs(step.mean) for step in found.signed) < 0.5


def coloured_discs(count: int, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """A red, green or blue disc, by class, about the middle of a grey image, all under noise."""
    draw = np.random.default_rng(seed)
    labels = draw.integers(0, 3, count)
    places = np.mgrid[:28, :28] - draw.normal(14, 1, (count, 2, 1, 1))
    colours = np.full((count, 3), 60)
    colours[np.arange(count), labels] = draw.integers(150, 220, count)
    disc = np.hypot(places[:, 0], places[:, 1]) < draw.uniform(4, 6, count)[:, np.newaxis, np.newaxis]
    images = np.where(disc[..., np.newaxis], colours[:, np.newaxis, np.newaxis], 60)
    return np.clip(images + draw.normal(0, 15, images.shape), 0, 255).astype(np.uint8), labels


@pytest.mark.slow
def test_maps_that_share_their_place_are_not_told_apart_from_the_model() -> None:
    """Coloured discs, all right: absolute gradients of any two images are alike, since all lie in the middle."""
    model = build("cnn", (28, 28, 3), 3, seed=0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(0.003), loss, jit_compile=False)
    model.fit(*coloured_discs(1200, 1), batch_size=32, epochs=2, shuffle=False, verbose=0)
    logits = keras.Model(model.inputs[0], model.outputs[0])
    images, labels = coloured_discs(16, 2)
    assert (logits.predict_on_batch(images.astype(np.float32)).argmax(axis=1) == labels).all()
    methods: dict[str, Explain] = {
        "gradient": bound("gradient"),
        "smoothgrad": partial(METHODS["smoothgrad"].explain, samples=4),
        "edges": edges,
    }
    found = cascade(logits, methods, images, labels)
    for name in ("gradient", "smoothgrad"):
        assert found[name].between_images.mean > 0.7
        assert np.mean([step.mean for step in found[name].signed]) > 0.62  # once, this was "does not depend"
        assert found[name].depends == "yes"
    assert found["edges"].depends == "no"


def test_the_cascade_goes_down_from_the_logits_and_keeps_what_was_drawn(trained: keras.Model) -> None:
    """Seen by a map that is the weights themselves: how many layers differ from the trained ones after each step."""
    before = {layer.name: layer.get_weights() for layer in trained.layers if layer.weights}
    changed: list[list[str]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        now = {layer.name: layer.get_weights() for layer in logits.layers if layer.weights}
        changed.append([name for name in before if not np.array_equal(now[name][0], before[name][0])])
        return np.zeros(images.shape[:3], np.float32)

    found = cascade(trained, {"spy": spy}, np.zeros((1, 28, 28, 1)), np.array([0]), seeds=2)["spy"]
    order = ["logits", "dense", "conv_3", "conv_2", "conv_1"]
    assert found.layers == tuple(order)
    expected = [sorted(order[: count + 1]) for count in range(5)]
    assert [sorted(names) for names in changed] == [[], *expected, *expected]


def test_a_deep_model_is_made_random_in_eight_steps() -> None:
    """By a map that says which layers differ: all below each cut, spread evenly, the logits alone first."""
    pixels = keras.Input((2, 2, 1))
    x = keras.layers.Flatten()(pixels)
    for number in range(19):
        x = keras.layers.Dense(2, bias_initializer="ones", name=f"dense_{number}")(x)
    model = keras.Model(pixels, keras.layers.Dense(2, name="logits")(x))
    before = {layer.name: layer.get_weights()[0] for layer in model.layers if layer.weights}
    changed: list[list[str]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        changed.append(
            [name for name in before if not np.array_equal(logits.get_layer(name).get_weights()[0], before[name])]
        )
        return np.zeros(images.shape[:3], np.float32)

    found = cascade(model, {"spy": spy}, np.zeros((2, 2, 2, 1)), np.array([0, 1]), seeds=1)["spy"]
    down = ["logits", *(f"dense_{number}" for number in range(18, -1, -1))]
    assert [len(names) for names in changed] == [0, 1, 4, 6, 9, 12, 15, 17, 20]
    assert [set(names) for names in changed] == [set(down[: len(names)]) for names in changed]
    assert found.layers == tuple(down[len(names) - 1] for names in changed[1:])
    assert found.of_layers == 20


def test_the_weights_are_drawn_by_the_layers_own_initialisers(trained: keras.Model) -> None:
    drawn: list[np.ndarray] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        kernel, bias = logits.get_layer("conv_2").get_weights()
        drawn.append(kernel)
        assert len(drawn) < 5 or not bias.any()  # zeros, as its initialiser says
        return np.zeros(images.shape[:3], np.float32)

    cascade(trained, {"spy": spy}, np.zeros((1, 28, 28, 1)), np.array([0]), seeds=1)
    initializer = trained.get_layer("conv_2").kernel_initializer
    fresh = np.asarray(initializer(drawn[-1].shape))
    assert not np.array_equal(drawn[-1], drawn[0])
    assert drawn[-1].std() == pytest.approx(fresh.std(), rel=0.05)
    assert np.abs(drawn[-1]).max() <= np.abs(fresh).max() * 1.01


def test_the_weights_are_put_back_even_after_an_error(trained: keras.Model, digits: np.ndarray) -> None:
    before = [weight.numpy() for weight in trained.weights]
    calls = []

    def failing(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        calls.append(1)
        if len(calls) == 3:
            raise ValueError("in the middle")
        return np.zeros(images.shape[:3], np.float32)

    with pytest.raises(ValueError, match="in the middle"):
        cascade(trained, {"failing": failing}, digits[:1], np.array([0]))
    for weight, value in zip(trained.weights, before, strict=True):
        np.testing.assert_array_equal(weight.numpy(), value)


def test_a_seed_gives_the_same_cascade_and_another_one_another(
    trained: keras.Model, digits: np.ndarray, predicted: np.ndarray
) -> None:
    methods = {"gradient": METHODS["gradient"].explain}
    first, again, other = (
        cascade(trained, methods, digits[:3], predicted[:3], seeds=1, seed=seed)["gradient"] for seed in (0, 0, 1)
    )
    assert first == again
    assert first.absolute != other.absolute


def weights_at_the_end(layer: keras.layers.Layer, trained: list[np.ndarray]) -> list[np.ndarray]:
    """Of a layer with the weights `trained`, once the cascade has gone through it."""
    pixels = keras.Input((4, 4, 6))
    model = keras.Model(pixels, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(layer(pixels))))
    layer.set_weights(trained)
    seen: list[list[np.ndarray]] = []

    def spy(logits: keras.Model, images: np.ndarray, labels: np.ndarray) -> Maps:
        seen.append(layer.get_weights())
        return np.zeros(images.shape[:3], np.float32)

    found = cascade(model, {"spy": spy}, np.zeros((1, 4, 4, 6)), np.array([0]), seeds=1)["spy"]
    assert found.layers == ("logits", layer.name)
    for weight, value in zip(seen[1], trained, strict=True):
        np.testing.assert_array_equal(weight, value)  # the logits alone are drawn by then
    return seen[-1]


def test_depthwise_kernels_are_drawn_by_the_initialiser_of_another_name() -> None:
    layer = keras.layers.DepthwiseConv2D(3, depthwise_initializer=keras.initializers.Constant(7.0))
    kernel, bias = weights_at_the_end(layer, [np.arange(54.0).reshape(3, 3, 6, 1), np.ones(6)])
    assert (kernel == 7).all()
    assert not bias.any()


def test_both_kernels_of_a_separable_convolution_are_drawn_by_their_initialisers() -> None:
    layer = keras.layers.SeparableConv2D(
        2,
        3,
        depthwise_initializer=keras.initializers.Constant(7.0),
        pointwise_initializer=keras.initializers.Constant(8.0),
    )
    trained = [np.arange(54.0).reshape(3, 3, 6, 1), np.arange(12.0).reshape(1, 1, 6, 2), np.ones(2)]
    depthwise, pointwise, bias = weights_at_the_end(layer, trained)
    assert (depthwise == 7).all()
    assert (pointwise == 8).all()
    assert not bias.any()


def test_a_weight_without_an_initialiser_is_shuffled() -> None:
    (scale,) = weights_at_the_end(keras.layers.RMSNormalization(), [np.arange(6.0)])
    assert sorted(scale.tolist()) == [0, 1, 2, 3, 4, 5]
    assert scale.tolist() != sorted(scale.tolist())


def test_the_statistics_of_the_data_stay() -> None:
    normal = keras.layers.Normalization(name="normal")
    normal.adapt(np.random.default_rng(0).normal(3, 2, (8, 4, 4, 1)))
    assert normal.weights
    inputs = keras.Input((4, 4, 1))
    x = keras.layers.BatchNormalization(name="batch")(normal(inputs))
    model = keras.Model(inputs, keras.layers.Dense(2, name="logits")(keras.layers.Flatten()(x)))
    assert [layer.name for step in cascade_steps(model) for _, layer in step] == ["logits", "batch"]


def test_images_without_a_foreground_have_no_correlation_there(trained: keras.Model) -> None:
    grey = np.full((2, 28, 28, 1), 100, np.uint8)
    found = cascade(trained, {"gradient": bound("gradient")}, grey, np.array([1, 2]), seeds=1)["gradient"]
    assert np.isnan([step.mean for step in found.foreground]).all()


def test_few_images_give_no_answer(trained: keras.Model, digits: np.ndarray, predicted: np.ndarray) -> None:
    for count in (1, 4):
        methods = {"gradient": bound("gradient"), "edges": edges}
        found = cascade(trained, methods, digits[:count], predicted[:count], seeds=2)
        assert [of.depends for of in found.values()] == ["can't tell"] * 2
