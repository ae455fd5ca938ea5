"""From a run's directory to its pictures, their TensorBoard images and its page."""

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from harness.config import Config
from harness.data import sources
from harness.data.sources import DataSet
from harness.insight.filters import activation_maximization, feature_maps, first_kernels
from harness.insight.layers import convolutions
from harness.insight.saliency import METHODS
from harness.models.export import in_float32, load, logits_of
from harness.report import examples
from harness.report.filter_figures import excitation_picture, feature_maps_picture, kernels_picture
from harness.report.page import Section, page
from harness.report.picture import Picture
from harness.report.saliency_figures import saliency_picture
from harness.report.tensorboard import write_images
from harness.report.training_figures import confusion_matrix, confusion_picture, curves_picture
from harness.run_dir import RunDir, write_atomically


def visualize(run: RunDir, progress: Callable[[str], None] = lambda line: None) -> None:
    """Write `figures/*.png`, the same images for TensorBoard (`tensorboard/figures/`) and `report.html`.

    They depend on the run's directory alone, and replace what an earlier call has written.

    Args:
        run: a run that has been trained to its end.
        progress: is given a line of text before each group of pictures.

    Raises:
        RunError: the run has no model, or one that can't be loaded.
        DataError: the run's data set can't be read.
    """
    config, summary = run.read_config(), run.read_summary()
    model = load(run.with_model().model_file)
    data = sources.load(config.data.source)
    probabilities = model.predict(data.x_test, batch_size=config.evaluate.batch, verbose=0)
    logits = in_float32(logits_of(model))

    progress("pictures  training")
    sections = [_training(run.read_metrics(), data, probabilities)]
    progress("pictures  saliency maps")
    sections.append(_saliency(logits, data, probabilities, config))
    progress("pictures  filters")
    sections.append(_filters(logits, config.seed))
    progress("pictures  feature maps")
    sections.append(_features(logits, data, probabilities))

    pictures = [picture for section in sections for picture in section.pictures]
    run.figures_dir.mkdir(exist_ok=True)
    for earlier in run.figures_dir.glob("*.png"):
        earlier.unlink()
    for picture in pictures:
        write_atomically(run.figures_dir / f"{picture.name}.png", picture.png)
    write_images(run.tensorboard_dir / "figures", pictures, summary["steps"])
    html = page(run.path.resolve().name, summary, run.config_file.read_text(), sections)
    write_atomically(run.report_file, html.encode())


def _training(rows: list[dict[str, Any]], data: DataSet, probabilities: NDArray[np.float32]) -> Section:
    predicted, classes = probabilities.argmax(axis=1), probabilities.shape[1]
    counts = confusion_matrix(data.y_test, predicted, classes)
    return Section(
        "Training",
        "How the model came to its result, and which classes it takes for which.",
        [curves_picture(rows), confusion_picture(counts)],
    )


def _saliency(logits: keras.Model, data: DataSet, probabilities: NDArray[np.float32], config: Config) -> Section:
    count, labels, predicted = config.insight.images, data.y_test, probabilities.argmax(axis=1)
    chosen = {
        "correct": examples.correct(labels, predicted, count, config.seed),
        "misclassified": examples.confident_mistakes(labels, probabilities, count),
    }
    pictures: list[Picture] = []
    for kind, rows in chosen.items():
        if len(rows):
            images = data.x_test[rows]
            maps: dict[str, NDArray[np.float32]] = {
                name: METHODS[name].explain(logits, images, predicted[rows]) for name in config.insight.methods
            }
            title = f"Saliency maps of {kind} test images"
            pictures.append(
                saliency_picture(f"saliency-{kind}", title, images, rows, labels[rows], probabilities[rows], maps)
            )
    wrong = int((labels != predicted).sum())
    intro = (
        f"What the model looks at. {len(chosen['correct'])} correctly classified test images, drawn by the "
        "run's seed, evenly over the classes; "
    )
    intro += (
        f"and {len(chosen['misclassified'])} of the {wrong:,} misclassified ones: those it is surest of."
        if wrong
        else "no test image was misclassified."
    )
    return Section("Saliency", intro, pictures)


def _filters(logits: keras.Model, seed: int) -> Section:
    layers = [layer.name for layer in convolutions(logits)]
    pictures = [kernels_picture(layers[0], first_kernels(logits))]
    for layer in layers:
        pictures.append(excitation_picture(layer, activation_maximization(logits, layer, seed=seed)))
    return Section(
        "Filters",
        "What each filter looks for. A filter's number is the number of its row plus that of its column.",
        pictures,
    )


def _features(logits: keras.Model, data: DataSet, probabilities: NDArray[np.float32]) -> Section:
    rows = examples.clearest(data.y_test, probabilities)
    maps = feature_maps(logits, data.x_test[rows])
    pictures = [
        feature_maps_picture(
            int(data.y_test[row]),
            int(row),
            data.x_test[row],
            {layer: values[index] for layer, values in maps.items()},
        )
        for index, row in enumerate(rows)
    ]
    return Section(
        "Feature maps",
        "What the filters make of one image of each class: the one that the model is surest of.",
        pictures,
        folded=True,
    )
