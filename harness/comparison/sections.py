"""The page's sections, from the numbers."""

from collections.abc import Mapping, Sequence
from typing import Any

from harness.comparison.curves import SPLITS, CurveComparison, curves_picture
from harness.comparison.differences import in_words
from harness.comparison.outcomes import SIGNIFICANT, Outcomes, p_in_words
from harness.comparison.speed import Quantity, caution
from harness.config.differences import Difference
from harness.page import Row, Section, Table
from harness.page.wording import capitalized

_CHANCE = (
    "Two seeds of the same recipe differ by chance, too. One pair of runs shows which of these two models is better on "
    "images like these; it shows nothing about their recipes. To compare those, train several seeds of each."
)
_INTERVAL = (
    "The interval is for the paired difference, after Agresti and Min (2005): Wald's interval with half an image added "
    "to each of the four counts. The verdict follows the exact test. The interval is an approximation, so it may "
    "exclude 0 although the verdict is “too close to call”, or include 0 although one model is better."
)


def outcomes_section(found: Outcomes) -> Section:
    """Who is right how often, and whether the difference in accuracy is more than chance."""
    low, high = found.interval
    counts = Table(
        "Correct and wrong predictions",
        ["test images", "B correct", "B wrong"],
        [
            Row(["A correct", f"{found.both:,}", f"{found.only_a:,}"]),
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
            Row(["A minus B", f"{found.difference:+.4f}"]),
            Row(["95% interval", f"{low:+.4f} to {high:+.4f}"]),
        ],
    )
    test = (
        f"{capitalized(found.words)}, out of {found.images:,} test images. The exact McNemar test looks "
        "only at the images that one model classifies correctly and the other doesn't. If both were equally good, each "
        "of these would be a fair coin toss, and a split at least this uneven would have probability "
        f"p {p_in_words(found.p)}. Below {SIGNIFICANT} one model is called better; otherwise it is too close to call."
    )
    return Section("Accuracy", [test, _INTERVAL, _CHANCE], [counts, accuracy])


def curves_section(
    compared: Mapping[str, CurveComparison], rows: dict[str, Sequence[dict[str, Any]]], one_run: bool
) -> Section:
    """From which step on the curves differ, and a picture of them.

    Args:
        compared: by split.
        rows: of metrics.jsonl, by "A" and "B".
        one_run: whether both sides are of the same run.
    """
    firsts = [f"{split.capitalize()}: {compared[split].words}." for split in SPLITS]
    return Section(
        "Curves",
        [
            " ".join(firsts),
            "Values are compared to the last bit. A training row is the mean over the steps since the previous row, "
            "about two seconds of training, so only rows that cover the same steps are compared."
            + (" Both sides are the same run, so the curves are the same." if one_run else ""),
        ],
        pictures=[curves_picture(rows)],
    )


def differences_section(
    steps: tuple[int, int], config: Sequence[Difference], environment: Sequence[Difference]
) -> Section:
    """The keys in which the configs and environments differ; `steps` are those A and B were trained for."""
    rows = [] if steps[0] == steps[1] else [Row(["steps trained", *(f"{count:,}" for count in steps)])]
    rows += [Row([each.key, in_words(each.a), in_words(each.b)]) for each in (*config, *environment)]
    keys = {0: "The configs are identical.", 1: "One config key differs."}
    count = keys.get(len(config), f"{len(config)} config keys differ.")
    environment_keys = ", ".join(each.key for each in environment)
    return Section(
        "What differs",
        [f"{count} Differences in versions, device, replicas, workers, commit and data: {environment_keys or 'none'}."],
        [Table("What differs", ["", "A", "B"], rows)] if rows else [],
    )


def speed_section(found: Mapping[str, Quantity], a: Mapping[str, Any], b: Mapping[str, Any]) -> Section:
    """Throughput, times and memory of both; `a` and `b` are the summaries, as in summary.json."""
    rows = [Row([quantity.title, *quantity.words]) for quantity in found.values()]
    return Section("Speed", [caution(a, b)], [Table("Speed", ["", "A", "B", "B / A"], rows)])
