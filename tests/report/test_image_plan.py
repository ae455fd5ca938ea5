import keras

from harness.insight.saliency import METHODS
from harness.models.cnn import build
from harness.report.image_plan import images_a_kind


def test_the_default_model_gets_all_images_that_are_asked_for() -> None:
    model = build("cnn", (28, 28, 1), 10, seed=1)
    assert images_a_kind(model, ["gradient", "smoothgrad", "gradcam"], 20, 120) == 20


def test_fewer_images_where_the_model_or_the_methods_cost_more() -> None:
    def model(side: int) -> keras.Model:
        pixels = keras.Input((side, side, 3))
        maps = keras.layers.Conv2D(64, 3, name="conv")(pixels)
        return keras.Model(pixels, keras.layers.Dense(2)(keras.layers.GlobalAveragePooling2D()(maps)))

    cheap = ["gradient", "gradcam"]
    found = [images_a_kind(model(side), cheap, 200, 20) for side in (32, 96, 224)]
    assert found == sorted(found, reverse=True)
    assert 2 < found[1] < found[0]
    assert images_a_kind(model(96), [*cheap, "smoothgrad"], 200, 20) < found[1]
    assert images_a_kind(model(96), list(METHODS), 200, 20) == 2
    assert images_a_kind(model(96), list(METHODS), 1, 20) == 1
