"""What the gallery's introduction says of the images and of the layer that CAMs look at."""

from collections.abc import Callable, Mapping

from harness.config.insight import InsightSection
from harness.insight.saliency import METHODS, cam_grid
from harness.page.wording import counted, listed
from harness.report.evaluated_model import EvaluatedModel
from harness.report.explanation import Explained


def intro(evaluated: EvaluatedModel, insight: InsightSection, explained: Explained, a_kind: int) -> str:
    """What the gallery shows, and of how many images; `a_kind` of each kind, which a short budget may have made few."""
    wrong, total = int((evaluated.labels != evaluated.predicted).sum()), len(evaluated.labels)
    intro = (
        f"{words_on_images(explained)}. Each map explains the model's score (logit) for the class "
        "named below it: the predicted class and, for a mistake, the true class too. "
    )
    mistakes = (
        f"{wrong:,} of the {total:,} test images are misclassified." if wrong else "No test image is misclassified."
    )
    fewer = ""
    if a_kind < insight.images:
        fewer = (
            f" Showing more than {a_kind} of each kind (insight.images asks for {insight.images}) would take "
            "longer than insight.budget allows."
        )
    return f"{intro}{words_on_layer(evaluated, insight, explained)}{mistakes}{fewer}"


def words_on_images(explained: Explained) -> str:
    """How many of which kind are shown."""
    kinds = [example.kind for example in explained.examples]
    parts = [words(kinds.count(kind)) for kind, words in _COUNTED.items() if kind in kinds]
    return f"{counted(len(kinds), 'image')}: {listed(parts)}"


def words_on_layer(evaluated: EvaluatedModel, insight: InsightSection, explained: Explained) -> str:
    """What of the images is seen, which layer the CAM methods look at, and how much its cells can tell."""
    return f"{_bands(evaluated)}{_layer(evaluated, insight, explained)}"


_COUNTED: Mapping[str, Callable[[int], str]] = {
    "own": lambda count: f"{count} of your own",
    "named": lambda count: f"{count} you asked for",
    "correct": lambda count: f"{count} classified correctly",
    "mistakes": lambda count: "the most confident mistake" if count == 1 else f"the {count} most confident mistakes",
    "unsure": lambda count: f"the {'one' if count == 1 else count} of the others it was least certain of",
}


def _bands(evaluated: EvaluatedModel) -> str:
    """What of the images is seen, where they have more channels than a picture."""
    channels = evaluated.images.shape[-1]
    if channels <= 3:
        return ""
    return f"The first three of {channels} channels are shown as red, green and blue; the maps cover all of them. "


def _layer(evaluated: EvaluatedModel, insight: InsightSection, explained: Explained) -> str:
    titles = [METHODS[name].title for name in explained.maps if METHODS[name].of_a_layer]
    if not titles:
        return ""
    grid = cam_grid(evaluated.logits, insight.layer)
    rows, columns = grid.shape
    used = f"{grid.rows.reaching.sum()}×{grid.columns.reaching.sum()}"
    looking = f"{listed(titles)} look{'s' if len(titles) == 1 else ''} at"
    text = f"{looking} the layer {grid.layer}, {rows}×{columns} cells"
    if not grid.reaching.all():
        text += f", of which the output depends on {used}"
    if not grid.by_fields:
        text += ", stretched evenly over the image because the receptive fields aren't known"
    return text + ("; a map of fewer than 7×7 cells shows little. " if grid.is_coarse else ". ")
