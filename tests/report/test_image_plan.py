from collections import Counter
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from harness.config.insight import InsightSection
from harness.console.progress import Progress
from harness.console.terminal import Terminal
from harness.data.sources import Split
from harness.insight.cost import BACKWARD, passes, work
from harness.insight.layers import cam_layer
from harness.insight.saliency import METHODS, bound, lrp
from harness.models.cnn import build
from harness.report.evaluated_model import EvaluatedModel, outputs_of
from harness.report.explanation import Request
from harness.report.image_plan import images_a_kind, passes_of_a_study
from harness.report.map_study import CheckedMapStudy

RAN: Counter[str] = Counter()
"""Images that have gone through a `Meter`, by its name, and gradients that have come back, by its name and " back"."""


class Meter(layers.Identity):  # type: ignore[misc]
    """Counts when the graph runs, so that loops count as often as they go round."""

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        def count(what: str, values: tf.Tensor) -> None:
            def add(images: Any) -> None:
                RAN[what] += int(images)

            tf.numpy_function(add, [tf.shape(values)[0]], [])

        @tf.custom_gradient  # type: ignore[untyped-decorator]
        def metered(values: tf.Tensor) -> tuple[tf.Tensor, Any]:
            count(self.name, values)

            def backwards(upstream: tf.Tensor) -> tf.Tensor:
                count(f"{self.name} back", upstream)
                return upstream

            return tf.identity(values), backwards

        return metered(inputs)


def metered_model(side: int = 8) -> keras.Model:
    """Without biases it is as far along the way from black as it is bright: integrated gradients add up at once."""
    keras.utils.set_random_seed(0)
    pixels = keras.Input((side, side, 1))
    maps = layers.Conv2D(6, 3, activation="relu", use_bias=False, name="conv")(Meter(name="front")(pixels))
    hidden = layers.Flatten()(layers.Conv2D(4, 3, activation="relu", use_bias=False, name="maps")(maps))
    return keras.Model(pixels, layers.Dense(3, use_bias=False)(Meter(name="end")(hidden)))


def measured(model: keras.Model) -> float:
    """Work in forward passes of the whole; of the part behind the feature maps, which Ablation-CAM runs alone, the
    share that it has."""
    maps = cam_layer(model).output
    behind = work(keras.Model([model.inputs[0], maps], model.outputs[0])) / work(model)
    return RAN["front"] * (1 - behind) + RAN["end"] * behind + (BACKWARD - 1) * RAN["end back"]


def images_of(side: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 1), np.uint8)


@pytest.mark.parametrize("name", [name for name in METHODS if name != "lrp"])
def test_a_map_takes_as_many_passes_as_are_planned(name: str) -> None:
    model, count = metered_model(), 3
    RAN.clear()
    bound(name)(model, images_of(8, count), np.array([0, 1, 2]))
    ratio = count * passes(model, name) / measured(model)
    exact = name not in ("integrated_gradients", "contrast")
    assert (0.99 if exact else 1) <= ratio <= (1.01 if exact else 2.1)


def test_lrp_takes_as_many_convolutions_as_are_planned(tmp_path: Path) -> None:
    keras.utils.set_random_seed(0)
    maps = pixels = keras.Input((8, 8, 1))
    for _ in range(5):
        maps = layers.Conv2D(4, 3, activation="relu", padding="same")(maps)
    model = keras.Model(pixels, layers.Dense(3)(layers.Flatten()(maps)))

    with tf.summary.create_file_writer(str(tmp_path)).as_default():
        tf.summary.trace_on(graph=True, profiler=False)
        lrp(model, images_of(8, 1), np.array([0]))
        tf.summary.trace_export("lrp", step=0)
    (path,) = tmp_path.iterdir()
    told = [value for event in tf.compat.v1.train.summary_iterator(str(path)) for value in event.summary.value]
    graphs = tf.compat.v1.RunMetadata.FromString(told[0].tensor.string_val[0]).function_graphs
    operations = [node.op for graph in graphs for node in graph.post_optimization_graph.node]
    convolutions = sum("Conv2D" in operation for operation in operations)
    assert convolutions > 5
    assert passes(model, "lrp") == pytest.approx(convolutions / 5, rel=0.1)


@pytest.mark.slow
def test_a_look_takes_as_many_passes_as_are_planned() -> None:
    model, count = metered_model(), 6
    images, labels = images_of(8, 120), np.arange(120, dtype=np.int32) % 3
    train = Split(images_of(8, 700), np.arange(700, dtype=np.int32) % 3)
    evaluated = EvaluatedModel("small", model, images, labels, outputs_of(model, images), train)
    insight = InsightSection(images=count, methods=["gradient_times_input", "smoothgrad", "gradcam"], metrics=True)
    RAN.clear()
    with Progress(Terminal(quiet=True)) as progress:
        CheckedMapStudy.of(evaluated, insight, 0, Request(), {}, progress)
    planned = passes_of_a_study(model, insight.methods, count, insight, training=len(train), fine_tuned=True)
    assert planned == pytest.approx(measured(model), rel=1e-3)


def test_the_default_model_gets_all_images_that_are_asked_for() -> None:
    model = build("cnn", (28, 28, 1), 10, seed=1)
    for metrics in (False, True):
        insight = InsightSection(metrics=metrics)
        assert images_a_kind(model, insight.methods, insight, training=55_000, fine_tuned=True) == 20


def planned_for(model: keras.Model, **settings: Any) -> int:
    insight = InsightSection.model_validate({"budget": "1 minutes", "images": 200} | settings)
    return images_a_kind(model, insight.methods, insight)


def test_fewer_images_where_the_model_or_the_methods_cost_more() -> None:
    def model(side: int) -> keras.Model:
        pixels = keras.Input((side, side, 3))
        maps = layers.Conv2D(64, 3, activation="relu", name="conv")(pixels)
        return keras.Model(pixels, layers.Dense(2)(layers.GlobalAveragePooling2D()(maps)))

    cheap = ["gradient", "gradcam"]
    found = [planned_for(model(side), methods=cheap) for side in (64, 96, 224)]
    assert found == sorted(found, reverse=True)
    assert 2 < found[1] < found[0]
    assert planned_for(model(96), methods=[*cheap, "smoothgrad"]) < found[1]
    calm = [*cheap, "smoothgrad"]
    assert planned_for(model(48), methods=calm, metrics=True) < planned_for(model(48), methods=calm)
    assert planned_for(model(96), methods=list(METHODS)) == 2
    assert planned_for(model(96), methods=list(METHODS), images=1) == 1


def test_the_layer_that_a_cam_looks_at_decides_what_it_costs() -> None:
    model = metered_model()
    assert passes(model, "scorecam", "conv") > passes(model, "scorecam", "maps") == 1 + 4
    assert passes(model, "ablationcam", "conv") > passes(model, "ablationcam", "maps")
