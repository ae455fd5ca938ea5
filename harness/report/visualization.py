"""From a trained model and its test images to pictures, verdicts and one page."""

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from harness import keras_settings
from harness.config.insight import InsightSection
from harness.config.loss import smoothing_of
from harness.console.progress import Progress
from harness.console.tensorflow_lines import without_tracing_warnings
from harness.console.terminal import Terminal
from harness.data.own_files import readable
from harness.errors import RunError, UserError
from harness.page import Section
from harness.page.picture import Picture
from harness.python_objects import with_data
from harness.report.calibration import Calibration, reliability_picture
from harness.report.class_scores import class_scores, classes_section
from harness.report.confusion_figure import MOST_DRAWN, confusion_matrix, confusion_picture, occurring
from harness.report.evaluated_model import EvaluatedModel, of_files, of_run
from harness.report.explanation import Request
from harness.report.filter_sections import Filters
from harness.report.map_study import Study, study_maps
from harness.report.output import page_html, write_files, write_images
from harness.report.own_pictures import OwnPictureStudy
from harness.report.page.confusion import confusion
from harness.report.page.facts import Head, head_of_model, head_of_run
from harness.report.prediction import print_predictions
from harness.report.times import known_times
from harness.report.training_figures import curves_picture
from harness.runs.paths import check_out
from harness.runs.run_dir import RunDir

_NOTHING_MORE = Request()


@keras_settings.pinned()
@without_tracing_warnings()
def visualize(
    run: RunDir | str | Path,
    terminal: Terminal | None = None,
    insight: InsightSection | None = None,
    request: Request = _NOTHING_MORE,
    *,
    data: Any = None,
) -> Path:
    """Write `report.html`, `insight.json`, `figures/*.png` and the same images for TensorBoard.

        page = harness.visualize("latest")

    With pictures of the user's own, only these (and the rows asked for) are explained, and neither the methods are
    checked again nor the filters analysed: the page repeats what the run's own page says of the methods. It goes into
    the run's `inputs/NAME`, by the first picture's name (`NAME-2` where that is of a picture in another folder), and
    leaves the run's own page and TensorBoard as they are. What the model says of these pictures is printed first.

    Written first with the maps and their checks, then again with the filters, so that there is a page if it is
    stopped in between.

    They depend on the run's directory and on what is asked for alone, and replace what an earlier call has written. How
    long a method takes is measured once for a model and layer, and kept in insight.json.

    Args:
        run: a run that has been trained to its end.
        terminal: where progress is printed; nowhere if None.
        insight: what to show; as the run's config says where it is None.
        request: what to show beside that.
        data: as `train` takes them, in place of the config's, which other processes may not find.

    Returns the page's path.

    Raises:
        RunError: the run has no model, or one that can't be loaded or explained; or its metrics or summary are damaged.
        DataError: the run's data set can't be read, or what is asked for isn't there.
        UserError: the model has no convolutional layer of the name `insight.layer`.
    """
    run = run if isinstance(run, RunDir) else RunDir.open(run)
    config, summary, rows = run.read_config(), run.with_model().read_summary(), run.read_metrics()
    if not isinstance(summary.get("steps"), int):
        raise RunError(f"{run.summary_file} does not say how many steps were trained")
    terminal = terminal or Terminal(quiet=True)
    request = replace(request, resize=config.data.resize, scale=config.data.scale)  # as its training images were made
    with Progress(terminal) as progress:
        with with_data(config, data) as on:
            evaluated, asked = of_run(run, on, request.rows, terminal.warning), insight or config.insight
        print_predictions(evaluated, request, terminal)
        known = known_times(run.insight_file, evaluated)
        test = summary.get("test") or {"accuracy": _accuracy(evaluated)}
        head = head_of_run(evaluated.name, config, summary, evaluated.logits.count_params(), test["accuracy"])
        if request.files and asked.methods:
            of = OwnPictureStudy.of(evaluated, asked, config.seed, request, known, run.insight_file, progress)
            return _write_own(run, of, request.files[0], head, progress)
        study = study_maps(evaluated, asked, config.seed, request, known, progress)
        if request.files:
            return _write_own(run, study, request.files[0], head, progress)
        pictures = [curves_picture(rows, smoothing_of(config.loss), list(config.metrics))]
        curves = Section("Training", ["How loss and accuracy developed."], pictures=pictures)
        classified, config_text = _Classified.of(evaluated), run.config_file.read_text()

        def write(filters: Filters) -> None:
            pictures = [*curves.pictures, *classified.pictures, *study.pictures(filters)]
            html = page_html(study.page(head, [curves, *classified.sections], filters, summary, config_text))
            write_files(run.path, html, study.as_json(filters, classified.as_json), pictures)
            write_images(run.tensorboard_dir, pictures, summary["steps"])

        _write_twice(write, evaluated, asked, config.seed, progress)
    return run.report_file


def visualize_model(
    model_file: Path,
    data_file: Path,
    out: Path,
    terminal: Terminal | None = None,
    insight: InsightSection | None = None,
    request: Request = _NOTHING_MORE,
) -> Path:
    """Do the same for any Keras model and any images, without TensorBoard, in the folder `out`.

    Returns the page's path. Raises RunError and DataError as `evaluated_model.of_files` does, and UserError as
    `visualize`.
    """
    check_out(out, "insight.json")
    _check_same_model(out / "insight.json", model_file)
    terminal = terminal or Terminal(quiet=True)
    with Progress(terminal) as progress:
        evaluated, asked = of_files(model_file, data_file, request.rows), insight or InsightSection()
        print_predictions(evaluated, request, terminal)
        known = known_times(out / "insight.json", evaluated)
        study = study_maps(evaluated, asked, 0, request, known, progress)
        classified = _Classified.of(evaluated)
        head = head_of_model(
            evaluated.name, readable(data_file.name), evaluated.logits.count_params(), _accuracy(evaluated)
        )
        out.mkdir(parents=True, exist_ok=True)

        def write(filters: Filters) -> None:
            html = page_html(study.page(head, classified.sections, filters, {}, ""))
            insight_json = study.as_json(filters, {**classified.as_json, "model_file": str(model_file.resolve())})
            write_files(out, html, insight_json, [*classified.pictures, *study.pictures(filters)])

        _write_twice(write, evaluated, asked, 0, progress)
    return out / "report.html"


def _check_same_model(insight_file: Path, model_file: Path) -> None:
    """Raise UserError where the folder belongs to another model, which may have the same name up to its ending."""
    other = _source(insight_file, "model_file")
    if other not in (None, str(model_file.resolve())):
        raise UserError(f"{insight_file.parent} belongs to another model, {other}: give another folder with --out")


def _write_own(run: RunDir, study: Study, picture: Path, head: Head, progress: Progress) -> Path:
    """Write the page of the user's own pictures, of which the first is `picture`; returns its path."""
    progress.finish()
    folder, nothing = _folder_of(picture, run.path / "inputs"), Filters([])
    html = page_html(study.page(head, [], nothing, {}, ""))
    write_files(folder, html, study.as_json(nothing, {"input_file": str(picture.resolve())}), study.pictures(nothing))
    return folder / "report.html"


def _folder_of(picture: Path, inputs: Path) -> Path:
    """Where the page of a picture goes: by its name, with a number where another picture of that name has a page."""
    first = inputs / picture.stem
    folder, number = first, 2
    while _source(folder / "insight.json", "input_file") not in (None, str(picture.resolve())):
        folder, number = Path(f"{first}-{number}"), number + 1
    return folder


def _source(insight_file: Path, key: str) -> str | None:
    """The value of a key of insight.json; None if the file or the key is missing."""
    try:
        found = json.loads(insight_file.read_bytes()).get(key)
    except (OSError, ValueError, AttributeError):
        return None
    return found if isinstance(found, str) else None


def _write_twice(
    write: Callable[[Filters], None], evaluated: EvaluatedModel, insight: InsightSection, seed: int, progress: Progress
) -> None:
    """First without the filters, then again once they have been analysed."""
    progress.finish()
    write(Filters.before(evaluated, insight))
    filters = Filters.of(evaluated, insight, seed, progress)
    if filters:
        progress.finish()
        write(filters)


@dataclass(frozen=True)
class _Classified:
    """Which test images are classified correctly, and how sure the model is: what the page, the figures and
    insight.json hold of it."""

    pictures: list[Picture]
    sections: list[Section]
    as_json: dict[str, Any]

    @classmethod
    def of(cls, evaluated: EvaluatedModel) -> "_Classified":
        scores = class_scores(evaluated.labels, evaluated.predicted)
        calibration = Calibration.of(evaluated.probabilities, evaluated.labels)
        reliability = reliability_picture(calibration)
        sections = [
            _mistakes(evaluated),
            classes_section(scores, evaluated.class_names),
            Section("Calibration", ["Whether the model is right as often as it says."], pictures=[reliability]),
        ]
        as_json = {"classes": [score.as_json() for score in scores], "calibration": calibration.as_json()}
        return cls([*_matrix(evaluated), reliability], sections, as_json)


def _accuracy(evaluated: EvaluatedModel) -> float:
    return float((evaluated.predicted == evaluated.labels).mean())


def _mistakes(evaluated: EvaluatedModel) -> Section:
    right, total = int((evaluated.predicted == evaluated.labels).sum()), len(evaluated.labels)
    return Section(
        "Mistakes",
        [f"{right:,} of {total:,} test images are classified correctly ({right / total:.2%})."],
        parts=[
            confusion(evaluated.labels, evaluated.predicted, evaluated.probabilities.shape[1], evaluated.class_names)
        ],
    )


def _matrix(evaluated: EvaluatedModel) -> list[Picture]:
    drawn = occurring(evaluated.labels, evaluated.predicted, evaluated.probabilities.shape[1])
    if len(drawn) > MOST_DRAWN:
        return []
    labels, predicted = (np.searchsorted(drawn, of) for of in (evaluated.labels, evaluated.predicted))
    return [confusion_picture(confusion_matrix(labels, predicted, len(drawn)), drawn, evaluated.class_names)]
