import base64
import io
import json
import re
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorboard.backend.event_processing.event_accumulator import TENSORS, EventAccumulator

from harness.config.insight import InsightSection
from harness.console.terminal import Terminal
from harness.data import sources
from harness.errors import RunError
from harness.insight.trust.metrics import METRICS
from harness.report import Request, visualize
from harness.runs.run_dir import RunDir
from tests.pages import Images

pytestmark = pytest.mark.slow

NAMES = {
    "training-curves",
    "confusion-matrix",
    "reliability",
    "saliency-correct",
    "saliency-mistakes",
    "saliency-unsure",
    "saliency-named",
    "saliency-gradient",
    "saliency-gradient_times_input",
    "overview-classes",
    "overview-confusions",
    "overview-clusters",
    "overview-neighbours",
    "trust-sanity",
    "trust-black",
    "trust-blur",
    "trust-mean",
    "filters-kernels",
    "filters-conv_1",
    "filters-conv_2",
    "filters-conv_1-examples",
    "filters-conv_2-examples",
    "filters-classes",
}


def figures(run: RunDir) -> dict[str, bytes]:
    return {path.stem: path.read_bytes() for path in run.figures_dir.iterdir()}


def tensorboard_images(run: RunDir) -> dict[str, list[Any]]:
    events = EventAccumulator(str(run.tensorboard_dir / "validation"), size_guidance={TENSORS: 0})
    events.Reload()
    return {tag: events.Tensors(tag) for tag in events.PluginTagToContent("images")}


def test_every_figure_is_written(run: RunDir) -> None:
    features = {name for name in figures(run) if name.startswith("features-")}
    assert features
    assert set(figures(run)) == NAMES | features


def test_the_page_holds_every_figure_and_loads_nothing(run: RunDir) -> None:
    page = Images(run.report_file.read_text())
    given = [image for image in page.images if "src" in image]  # the others are filled in by the script
    embedded = {base64.b64decode((image["src"] or "").partition("base64,")[2]) for image in given}
    on_the_page = {name for name, png in figures(run).items() if png in embedded}
    assert set(figures(run)) - on_the_page == {name for name in NAMES if name.startswith(("saliency-", "confusion-"))}
    assert all(image["alt"] for image in given)
    assert all((address or "").startswith(("data:image/png;base64,", "#")) for address in page.addresses)
    assert "url(" not in run.report_file.read_text()


def test_tensorboard_shows_the_same_images_at_the_last_step(run: RunDir) -> None:
    images = tensorboard_images(run)
    assert set(images) == {name.replace("-", "/", 1) for name in figures(run)}
    assert {image.step for shown in images.values() for image in shown} == {8}
    for name, png in figures(run).items():
        width, height, shown = tf.make_ndarray(images[name.replace("-", "/", 1)][0].tensor_proto).tolist()
        assert shown == png
        assert (int(width), int(height)) == Image.open(io.BytesIO(png)).size


class Stopped(Terminal):
    """As a user who stops it when the filters begin."""

    def line(self, text: str) -> None:
        if text == "images that excite the filters":
            raise KeyboardInterrupt
        super().line(text)


def test_a_look_at_another_layer_that_is_stopped_leaves_a_page_of_its_maps_and_the_next_gives_the_same_bytes(
    run: RunDir, asked: Request, tmp_path: Path
) -> None:
    copy = RunDir(tmp_path / run.path.name)
    shutil.copytree(run.path, copy.path)
    other = InsightSection(images=1, methods=["gradcam", "gradient"], layer="conv_1")
    with pytest.raises(KeyboardInterrupt):
        visualize(copy, Stopped(), other)
    page, told = copy.report_file.read_text(), json.loads(copy.insight_file.read_text())
    assert "page is written again with them" in page
    of_run = {"saliency-named", "saliency-gradient_times_input"}
    assert set(figures(copy)) == {
        "saliency-gradcam",
        *(name for name in NAMES - of_run if not name.startswith("filters-")),
    }
    assert told["filters"] == {}
    assert told["filters_shown"] is None
    assert list(told["methods"]) == ["gradcam", "gradient"]
    assert InsightSection.model_validate(told["insight"]) == other
    assert list(told["times"]["milliseconds"]) == ["gradient", "gradient_times_input", "gradcam conv_1"]
    assert re.search("Grad-CAM looks at .* conv_1, 26×26 cells, .*24×24", page)
    assert "Grad-CAM looks at" not in run.report_file.read_text()

    copy.report_file.unlink()
    visualize(copy, request=asked)
    assert copy.report_file.read_bytes() == run.report_file.read_bytes()
    assert figures(copy) == figures(run)
    assert {len(shown) for shown in tensorboard_images(copy).values()} == {1}, "no second set"


@keras.saving.register_keras_serializable("test")
class Counted(keras.layers.Conv2D):  # type: ignore[misc]
    """Knows for how many images Python came by, where a function is compiled and where the model is called as it is."""

    traced: ClassVar[list[int | None]] = []
    eager: ClassVar[list[int]] = []

    def call(self, inputs: tf.Tensor) -> tf.Tensor:
        (self.traced if tf.inside_function() else self.eager).append(inputs.shape[0])
        return super().call(inputs)


@pytest.fixture(scope="module")
def counted(make_run: Callable[..., RunDir], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run whose first convolution counts, and whose layers have names of figures; pictured once."""
    run = make_run(tmp_path_factory.mktemp("counted") / "runs", names=("kernels", "classes"), first=Counted)
    Counted.traced.clear()
    Counted.eager.clear()
    visualize(run)
    return run


def test_what_is_computed_again_and_again_is_compiled_once(counted: RunDir) -> None:
    shown = len(json.loads(counted.insight_file.read_text())["images"])
    assert shown < 24
    # The copy predicts all images and fewer; occlusion and the gradient; deletion and insertion; the strongest images;
    # the ascents for the second convolution and for the classes, and their scores.
    parts = -(-shown * 29 // 128)
    assert Counted.traced == [60, 82, shown, -(-shown * 29 // parts), *[None] * 6]
    # The copy and the model that it is held against, and feature maps: each of one shape, whoever asks for it. The last
    # hidden layer of ten mistakes and of the training images. And two of noise, on which the second convolution's
    # window is held against the whole image, one call each.
    assert Counter(Counted.eager).keys() == {2, 4, 9, 10, 50}
    assert Counted.eager.count(2) == 2


def test_no_layer_has_a_name_that_overwrites_a_figure(counted: RunDir) -> None:
    kernels, classes = (f"filters-{name}" for name in ("kernels", "classes"))
    assert {kernels, f"{kernels}-2", classes, f"{classes}-2"} <= set(figures(counted))


def test_colour_images_and_a_model_that_makes_no_mistake(tmp_path: Path, make_run: Callable[..., RunDir]) -> None:
    run = make_run(tmp_path / "runs", channels=3, mistaken=False)
    visualize(run, insight=InsightSection(images=6, methods=["gradient"], filters=False))
    assert "saliency-correct" in figures(run)
    assert "saliency-mistakes" not in figures(run)
    assert "No test image is misclassified" in run.report_file.read_text()


def test_a_picture_of_ones_own_is_predicted_and_leaves_the_runs_page_alone(
    tmp_path: Path, run: RunDir, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = RunDir(Path(shutil.copytree(run.path, tmp_path / "small-run")))
    before = {path: path.read_bytes() for path in copy.path.rglob("*") if path.is_file()}
    own = tmp_path / "my.png"
    digit = sources.load("mnist").x_test[0][..., 0]
    insight = InsightSection(images=1, methods=["gradient"], filters=False)
    Image.fromarray(255 - digit).save(own)
    page = visualize(copy, Terminal(), insight, Request(files=(own,)))
    shown = capsys.readouterr()
    model = keras.saving.load_model(copy.model_file)
    shares = model.predict((255 - digit)[None, ..., None], verbose=0)[0]
    assert f"my.png: class {shares.argmax()} ({shares.max():.3f}), then " in shown.out
    assert "my.png: its mean pixel is 231, " in shown.err
    assert shown.err.endswith("dark and bright look swapped, try --invert\n")
    assert page == copy.path / "inputs" / "my" / "report.html"
    assert {path.name for path in page.parent.iterdir()} == {"report.html", "insight.json", "figures"}
    assert {path.name for path in (page.parent / "figures").iterdir()} == {"saliency-own.png"}
    assert "sanity check" not in shown.out, "the methods have been checked on the run's own page"
    own_json, of_run = (json.loads((of / "insight.json").read_text()) for of in (page.parent, copy.path))
    assert own_json["methods"] == {"gradient": of_run["methods"]["gradient"]}
    assert [image["name"] for image in own_json["images"]] == ["my.png"]
    assert "Can the maps be trusted?" in page.read_text()
    assert {path: path.read_bytes() for path in before} == before


def test_a_run_without_a_model_is_refused_in_one_line(run: RunDir, tmp_path: Path) -> None:
    stopped = RunDir(tmp_path / "stopped")
    stopped.path.mkdir()
    stopped.begin(run.read_config())
    with pytest.raises(RunError, match="no trained model") as error:
        visualize(stopped)
    assert "\n" not in str(error.value)
    assert error.value.exit_code == 2
    assert not stopped.figures_dir.exists()


def test_a_damaged_model_is_refused_in_one_line(run: RunDir, tmp_path: Path) -> None:
    damaged = RunDir(tmp_path / "damaged")
    damaged.path.mkdir()
    damaged.begin(run.read_config())
    damaged.write_summary({"status": "completed", "steps": 8})
    damaged.model_file.write_bytes(run.model_file.read_bytes()[:1000])
    with pytest.raises(RunError, match=r"model\.keras is damaged, or not a \.keras file") as error:
        visualize(damaged)
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def always_wrong(make_run: Callable[..., RunDir], tmp_path_factory: pytest.TempPathFactory) -> RunDir:
    """A run of a model that gets no image right, whose maps alone were looked at, with the published metrics."""
    run = make_run(tmp_path_factory.mktemp("wrong") / "runs", mistaken=True)
    visualize(run, insight=InsightSection(images=2, methods=["gradient"], filters=False, metrics=True))
    return run


def test_a_model_that_is_always_wrong(always_wrong: RunDir) -> None:
    assert "saliency-correct" not in figures(always_wrong)
    assert "saliency-mistakes" in figures(always_wrong)
    assert "60 of the 60 test images are misclassified" in always_wrong.report_file.read_text()


def test_the_published_metrics_are_taken_where_they_are_asked_for(always_wrong: RunDir, run: RunDir) -> None:
    assert json.loads(run.insight_file.read_text())["metrics"] is None
    metrics = json.loads(always_wrong.insight_file.read_text())["metrics"]
    assert set(metrics) == set(METRICS)
    for name, metric in metrics.items():
        assert metric["definition"] == METRICS[name].definition
        assert np.isfinite(metric["methods"]["gradient"]["mean"])


def test_without_filters_only_the_maps_are_looked_at(always_wrong: RunDir) -> None:
    assert not [name for name in figures(always_wrong) if name.startswith(("filters-", "features-"))]
    assert "insight.filters is false" in always_wrong.report_file.read_text()
    told = json.loads(always_wrong.insight_file.read_text())
    assert told["filters"] == {}
    assert told["insight"]["filters"] is False
