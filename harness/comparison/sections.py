"""The page's sections, from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.comparison.curves import SPLITS, CurveComparison
from harness.comparison.curves_figure import curves_picture
from harness.comparison.differences import Difference, in_words
from harness.comparison.outcomes import SIGNIFICANT, Outcomes, p_in_words
from harness.comparison.page import Section
from harness.comparison.speed import Quantity, caution
from harness.report.table import Row, Table

_CHANCE = (
    "Two seeds of one recipe differ by chance, too. One pair of runs says which of these two models is better on "
    "images like these, and nothing about their recipes: for that, train several seeds of each."
)
_INTERVAL = (
    "The interval is that of the paired difference, by Agresti and Min (2005): Wald's, with half an image added to "
    "each of the four counts. The verdict follows the exact test: an interval is an approximation, and may leave out 0 "
    "where there is no telling, or hold it where there is."
)


def outcomes_section(found: Outcomes) -> Section:
    low, high = found.interval
    counts = Table(
        "Who is right",
        ["test images", "B right", "B wrong"],
        [
            Row(["A right", f"{found.both:,}", f"{found.only_a:,}"]),
            Row(["A wrong", f"{found.only_b:,}", f"{found.neither:,}"]),
        ],
    )
    a, b = found.accuracies
    accuracy = Table(
        "Accuracy",
        ["accuracy", ""],
        [
            Row(["A", f"{a:.4f}"]),
            Row(["B", f"{b:.4f}"]),
            Row(["A less B", f"{found.difference:+.4f}"]),
            Row(["95 % interval", f"{low:+.4f} to {high:+.4f}"]),
        ],
    )
    test = (
        f"{found.words[0].upper()}{found.words[1:]}, on {found.images:,} test images. The exact McNemar test looks "
        "only at the images about which one is right and the other wrong: if both were equally good, each of these "
        "would fall to either side like a fair coin, and a split as uneven as this one, or more, would have "
        f"probability p {p_in_words(found.p)}. Below {SIGNIFICANT} it is called a difference here; else there is no "
        "telling."
    )
    return Section("Who is right", [test, _INTERVAL, _CHANCE], [counts, accuracy])


def curves_section(
    compared: Mapping[str, CurveComparison], rows: dict[str, Sequence[dict[str, Any]]], one_run: bool
) -> Section:
    told = [f"{split.capitalize()}: {compared[split].words}." for split in SPLITS]
    return Section(
        "Curves",
        [
            " ".join(told),
            "Values are compared to the last bit. A row of training is a mean over the steps since the row before, "
            "about two seconds of them, so there only rows that cover the same steps are compared."
            + (" Both are of one run, whose curve is one." if one_run else ""),
        ],
        picture=curves_picture(rows),
    )


def differences_section(
    steps: tuple[int, int], config: Sequence[Difference], environment: Sequence[Difference]
) -> Section:
    rows = [] if steps[0] == steps[1] else [Row(["steps trained", *(f"{count:,}" for count in steps)])]
    rows += [Row([each.key, in_words(each.a), in_words(each.b)]) for each in (*config, *environment)]
    keys = {0: "The configs are equal.", 1: "One key of the config differs."}
    told = keys.get(len(config), f"{len(config)} keys of the config differ.")
    apart = ", ".join(each.key for each in environment)
    return Section(
        "What differs",
        [f"{told} What differs of versions, device, replicas, workers and commit: {apart or 'nothing'}."],
        [Table("What differs", ["", "A", "B"], rows)] if rows else [],
    )


def speed_section(found: Mapping[str, Quantity], a: Mapping[str, Any], b: Mapping[str, Any]) -> Section:
    rows = [Row([quantity.title, *quantity.words]) for quantity in found.values()]
    return Section("Speed", [caution(a, b)], [Table("Speed", ["", "A", "B", "B / A"], rows)])
