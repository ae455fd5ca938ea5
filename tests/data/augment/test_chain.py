"""The list as training applies it: in order, by position alone, the same for any batch, and what is refused."""

from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from harness.config.data import DataSection
from harness.data.augment import Augmentation, augmented, check, check_pixels
from harness.data.pipeline import Batch
from harness.data.sources import Split
from harness.errors import ConfigError
from harness.imports import handed

EACH: dict[str, dict[str, Any]] = {
    "shift": {"pixels": 2},
    "flip": {},
    "crop": {"fill": "reflect"},
    "random_resized_crop": {},
    "rotation": {"degrees": 20},
    "scale": {},
    "shear": {"degrees": 20},
    "brightness": {"strength": 0.5},
    "contrast": {"strength": 0.5},
    "saturation": {"strength": 0.5},
    "cutout": {"size": 10},
    "random_erasing": {},
    "mixup": {"alpha": 1.0},
    "cutmix": {},
    "rand_augment": {"operations": 1},
    "trivial_augment": {},
}
GOLDEN = {
    "shift": [253, 0, 0, 253, 78, 0, 253, 193, 143, 143, 254, 78],
    "flip": [81, 0, 241, 240, 253, 253, 252, 253, 254, 122, 254, 78],
    "crop": [0, 0, 0, 205, 9, 247, 252, 0, 38, 252, 254, 129],
    "random_resized_crop": [0, 0, 0, 172, 214, 186, 2, 253, 0, 0, 20, 0],
    "rotation": [239, 0, 213, 245, 252, 252, 252, 253, 250, 8, 234, 1],
    "scale": [228, 0, 209, 246, 251, 251, 252, 253, 252, 26, 254, 4],
    "shear": [223, 0, 241, 250, 253, 253, 252, 253, 249, 22, 254, 8],
    "brightness": [168, 0, 255, 158, 255, 255, 255, 255, 255, 4, 255, 0],
    "contrast": [175, 10, 255, 163, 255, 255, 255, 255, 255, 11, 255, 3],
    "saturation": [213, 0, 255, 216, 255, 255, 255, 254, 255, 6, 255, 0],
    "cutout": [240, 0, 241, 251, 253, 0, 252, 253, 254, 7, 254, 0],
    "random_erasing": [240, 0, 241, 251, 253, 253, 252, 114, 254, 7, 254, 0],
    "mixup": [250, 13, 240, 253, 253, 240, 252, 129, 163, 220, 247, 198],
    "cutmix": [240, 14, 241, 253, 253, 253, 252, 0, 0, 254, 254, 0],
    "rand_augment": [15, 7, 14, 251, 0, 253, 252, 228, 188, 7, 254, 0],
    "trivial_augment": [15, 25, 14, 251, 0, 253, 252, 228, 149, 7, 254, 0],
}
"""The red of pixel (14, 14) of twelve digits at positions 100 to 111, with seed 5."""
IN_FLOATS = set(EACH) - {"shift", "flip", "crop", "cutout", "random_erasing", "cutmix"}


def section(*names: str) -> DataSection:
    return DataSection.model_validate({"augment": [{"name": name, **EACH[name]} for name in names]})


@pytest.fixture(scope="module")
def batch(numbered: Split) -> Batch:
    """Real digits in three shades, each with another as its partner."""
    images = tf.constant(numbered.images[:24]) // tf.constant([1, 2, 3], tf.uint8)
    labels, positions = tf.range(24, dtype=tf.int64), tf.range(100, 124, dtype=tf.int64)
    return Batch(images, labels, tf.ones([24]), positions, images[::-1], labels[::-1])


def part(batch: Batch, rows: slice) -> Batch:
    return Batch(*(given[rows] for given in batch))


@pytest.mark.parametrize("names", [*([name] for name in EACH), ["flip", "mixup", "crop", "cutmix", "shear"]], ids=str)
def test_an_example_is_augmented_alike_in_any_batch(batch: Batch, names: list[str]) -> None:
    """To the bit, though code for many numbers at once and for single ones may differ in the last."""
    augmentation = Augmentation(section(*names), 5)
    whole = augmentation(batch)
    assert whole.images.dtype == tf.uint8
    assert not np.array_equal(whole.images, batch.images)
    parts = [augmentation(part(batch, rows)) for rows in (slice(0, 1), slice(1, 4), slice(4, 23), slice(23, 24))]
    np.testing.assert_array_equal(tf.concat([each.images for each in parts], 0), whole.images)
    if names[-1] in ("mixup", "cutmix"):
        np.testing.assert_array_equal(tf.concat([each.shares for each in parts], 0), whole.shares)
    other = Augmentation(section(*names), 6)(batch)
    assert not np.array_equal(other.images, whole.images)


@pytest.mark.parametrize("name", [name for name in EACH if name != "trivial_augment"])  # made of rand_augment's parts
def test_xla_compiles_it(batch: Batch, name: str) -> None:
    augmentation = Augmentation(section(name), 5)
    compiled = tf.function(lambda batch: augmentation(batch).images, jit_compile=True, autograph=False)
    given, expected = compiled(batch).numpy().astype(int), augmentation(batch).images.numpy().astype(int)
    if name in IN_FLOATS:  # XLA may fuse a multiplication with an addition, and then halves are rounded another way
        assert np.abs(given - expected).max() <= 1
        assert (given != expected).mean() < 5e-3
    else:
        np.testing.assert_array_equal(given, expected)


@pytest.mark.parametrize("name", EACH)
def test_golden_values(batch: Batch, name: str) -> None:
    seen = Augmentation(section(name), 5)(batch).images[:12, 14, 14, 0].numpy().astype(int)
    tolerance = 1 if name in IN_FLOATS else 0
    np.testing.assert_allclose(seen, GOLDEN[name], rtol=0, atol=tolerance)


def test_entries_are_applied_in_order_each_with_draws_of_its_own(batch: Batch) -> None:
    image = np.zeros((24, 9, 9, 1), np.uint8)
    image[:, 4, 4] = 255

    def places(*entries: dict[str, Any], shift: int = 0) -> Any:
        data = DataSection.model_validate({"shift": shift, "augment": list(entries)})
        seen = augmented(tf.constant(image), batch.positions, 0, data).numpy().reshape(24, -1)
        return np.stack(np.unravel_index(seen.argmax(axis=1), (9, 9)), axis=1) - 4

    one = {"name": "shift", "pixels": 1}
    first, both, second = places(one), places(one, one), places(one, one) - places(one)
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(places(one, shift=1), both)
    always = {"name": "flip", "probability": 1.0}
    np.testing.assert_array_equal(places(one, always), first * [1, -1])


def test_rounds_once_in_the_end(batch: Batch) -> None:
    """Twice 0.3 is most of a level; rounded after each, or cut off, it would be none."""
    data = DataSection.model_validate({"augment": [{"name": "own:more"}, {"name": "own:more"}]})
    with handed({"own:more": lambda images, random: images + 0.3}):
        seen = Augmentation(data, 0)(batch).images
    np.testing.assert_array_equal(seen, np.minimum(np.asarray(batch.images, int) + 1, 255))


def test_a_partner_is_augmented_with_draws_of_its_own_and_mixed_by_one_share(batch: Batch) -> None:
    mixed = Augmentation(section("flip", "mixup", "cutmix"), 5)(batch)
    shares = mixed.shares.numpy()
    np.testing.assert_array_equal(mixed.partner_labels, batch.partner_labels)
    by_mixup = Augmentation(section("flip", "mixup"), 5)(batch).shares.numpy()
    assert (shares <= by_mixup + 1e-6).all()  # what cutmix pastes is taken from what mixup left
    assert (shares < by_mixup - 1e-6).any()
    both = batch._replace(partner_images=batch.images)
    unlike = Augmentation(section("flip", "mixup"), 5)(both).images
    flipped = Augmentation(section("flip"), 5)(both).images
    assert 0.2 < (unlike.numpy() != flipped.numpy()).any(axis=(1, 2, 3)).mean() < 0.8  # one of two was flipped


def test_an_own_function_has_keywords_and_draws_by_position(batch: Batch) -> None:
    seen: list[Any] = []

    def noise(images: tf.Tensor, random: Any, strength: float = 1.0) -> tf.Tensor:
        seen.extend([images.dtype, random(2), random(2)])
        return images + strength * random(1)[:, :, None, None]

    data = DataSection.model_validate({"augment": [{"name": "own:noise", "strength": 40}]})
    with handed({"own:noise": noise}):
        check(data, (28, 28, 3))
        seen.clear()
        whole = Augmentation(data, 0)(batch).images
    kind, first, second = seen[:3]
    assert kind == tf.float32
    assert first.shape == (24, 2)
    assert first.dtype == tf.float32
    assert abs(np.corrcoef(np.ravel(first), np.ravel(second))[0, 1]) < 0.6
    added = np.asarray(whole, int) - np.asarray(batch.images, int)
    assert 0 < added[:, 0, 0].max() <= 40


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda images, random: images[:, 1:], "shape"),
        (lambda images, random: tf.cast(images, tf.uint8), "uint8"),
        (lambda images, random: 3, "int"),
        (lambda images, random: 1 // 0, "ZeroDivisionError"),
        (lambda images: images, "TypeError"),
        (3, "can't be called"),
    ],
)
def test_an_own_function_that_gives_no_images_is_refused(function: Any, told: str) -> None:
    data = DataSection.model_validate({"augment": [{"name": "flip"}, {"name": "own:function"}]})
    with handed({"own:function": function}), pytest.raises(ConfigError, match=rf"data\.augment\[1\].*{told}"):
        check(data, (28, 28, 1))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (lambda images, random: images / 0, "not finite"),
        (lambda images, random: tf.where(random(1)[:, None, None] < 0.1, images * float("nan"), images), "not finite"),
        (lambda images, random: images / 255, "from 0 to 1 for images of up to 255"),
    ],
)
def test_an_own_function_that_gives_no_pixels_is_refused(function: Any, told: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (64, 28, 28, 1), dtype=np.uint8)
    data = DataSection.model_validate({"augment": [{"name": "own:fine"}, {"name": "own:function"}]})
    with handed({"own:fine": lambda images, random: 255 - images, "own:function": function}):
        check(data, (28, 28, 1))
        with pytest.raises(ConfigError, match=rf"^data\.augment\[1\]: own:function .*{told}"):
            check_pixels(data, 0, images)
        check_pixels(DataSection.model_validate({"augment": [{"name": "own:fine"}]}), 0, images)


@pytest.mark.parametrize(
    ("keywords", "told"),
    [
        ({"strenght": 2}, r"strenght: own:noise has no such argument; did you mean 'strength'\?"),
        ({"colour": 2}, r"colour: own:noise has no such argument; known: strength"),
        ({"random": 2}, r"random: own:noise has no such argument; known: strength"),
    ],
)
def test_a_key_that_an_own_function_has_no_argument_for_is_refused(keywords: dict[str, Any], told: str) -> None:
    def noise(images: tf.Tensor, random: Any, strength: float = 1.0) -> tf.Tensor:
        return images + strength

    def anything(images: tf.Tensor, random: Any, **keywords: Any) -> tf.Tensor:
        return images

    data = DataSection.model_validate({"augment": [{"name": "own:noise", **keywords}]})
    with handed({"own:noise": noise}), pytest.raises(ConfigError, match=rf"^data\.augment\[0\]\.{told}"):
        check(data, (28, 28, 1))
    if "random" not in keywords:
        with handed({"own:noise": anything}):
            check(data, (28, 28, 1))


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ({"name": "shift", "pixels": 28}, r"\[0\]\.pixels: 28 .* 27"),
        ({"name": "crop", "padding": 28}, r"\[0\]\.padding: 28 .* 27"),
        ({"name": "cutout", "size": 59}, r"\[0\]\.size: .*59 pixels covers all .*28×30: at most 58"),
        ({"name": "saturation", "strength": 0.1}, r"\[0\]: .*three channels.* 1"),
        ({"name": "nowhere.at_all:fn"}, r"\[0\]\.name: there is no module nowhere"),
    ],
)
def test_what_does_not_fit_the_images_is_refused(entry: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.augment" + told):
        check(DataSection.model_validate({"augment": [entry]}), (28, 30, 1))
