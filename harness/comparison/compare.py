"""Two sides → compare.html, compare.json, and a few lines for the terminal."""

import json
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from harness import keras_settings
from harness.comparison.cards import ExplainedImages, images_json, images_section
from harness.comparison.curves import CurveComparison, compare_curves
from harness.comparison.differences import config_differences, environment_differences, in_words
from harness.comparison.evaluation import EvaluatedSide, evaluate
from harness.comparison.image_groups import all_rows, choose
from harness.comparison.maps import pairs
from harness.comparison.outcomes import Outcomes, outcomes, p_in_words
from harness.comparison.sections import curves_section, differences_section, outcomes_section, speed_section
from harness.comparison.sides import Side, open_sides
from harness.comparison.speed import Quantity, speeds
from harness.config.differences import Difference
from harness.config.insight import InsightSection
from harness.console.progress import Progress
from harness.console.tensorflow_lines import without_tracing_warnings
from harness.console.terminal import Terminal
from harness.data.sources import check_rows
from harness.errors import UserError
from harness.insight.saliency import METHODS
from harness.page import Headline, Page, render
from harness.page.wording import capitalized
from harness.runs.paths import check_out, write_atomically
from harness.runs.run_dir import RunDir

_COLUMNS, _INDENT = 100, 11
"""Of the terminal's lines, and where their text begins."""


@dataclass(frozen=True)
class Comparison:
    """What is found of two sides; as a string, the lines that the terminal gets."""

    a: EvaluatedSide
    b: EvaluatedSide
    outcomes: Outcomes
    curves: dict[str, CurveComparison]
    """By split."""
    config: list[Difference]
    environment: list[Difference]
    """Of versions, devices, data and the like, by the keys of summary.json."""
    speed: dict[str, Quantity]
    """By the key of summary.json."""
    explained: ExplainedImages
    doubt: str | None
    """What else than the recipe may make the two differ, in a sentence."""

    def __str__(self) -> str:
        return as_text(self)


@keras_settings.pinned()
@without_tracing_warnings()
def compare(
    run_a: RunDir | str | Path,
    run_b: RunDir | str | Path,
    out: str | Path | None = None,
    *,
    insight: InsightSection | None = None,
    rows: Sequence[int] = (),
    terminal: Terminal | None = None,
    data: Any = None,
) -> Comparison:
    """Set two runs side by side, or two checkpoints; what `harness compare` calls.

        found = harness.compare("runs/mine", "latest", "mine-and-latest")  # also writes the page into that folder
        print(found)  # the few lines that one wants first
        found.outcomes.p, found.outcomes.difference

    The runs are only read.

    Args:
        run_a, run_b: runs, their paths or names, or paths RUN/checkpoints/step-N.safetensors.
        out: the folder for compare.html and compare.json; nothing is written where it is None.
        insight: how many images of each kind are shown, and by which methods; as the config of `run_a` says where it is
            None.
        rows: test images to show in any case.
        terminal: shows what is being done; None for nowhere.
        data: as `train` takes them, in place of those of both configs, which other processes may not find.

    Raises:
        RunError: one is no run, has no trained model or no such checkpoint, or both are the same.
        DataError: their test images or labels are not the same, or one of `rows` isn't there.
        UserError: no method of `insight` can explain both models, or `out` holds other files.
    """
    path_a, path_b = (each.path if isinstance(each, RunDir) else Path(each) for each in (run_a, run_b))
    a, b = open_sides(path_a, path_b, data)
    check_rows(rows, len(a.data.y_test))
    if out is not None:
        check_out(Path(out), "compare.json")
    found = compare_sides(a, b, insight or a.config.insight, rows, terminal or Terminal(quiet=True))
    if out is not None:
        write(found, Path(out))
    return found


def compare_sides(a: Side, b: Side, insight: InsightSection, rows: Sequence[int], terminal: Terminal) -> Comparison:
    """Evaluate both on all test images, and explain some of them.

    Args:
        a, b: with the same test set.
        insight: how many images of each kind are shown, and by which methods.
        rows: test images to show in any case.
        terminal: where progress is printed.

    Raises:
        RunError, DataError: a model or checkpoint is damaged, or does not fit the data.
        UserError: `insight` names no method that can explain both models.
    """
    if not insight.methods:
        raise UserError("insight.methods is empty: name one, such as --set 'insight.methods=[gradient]'")
    with Progress(terminal) as progress:
        progress.expect(2 + len(insight.methods))
        progress.step("all test images by A")
        of_a = evaluate(a)
        progress.step("all test images by B")
        of_b = evaluate(b)
        labels, images = of_a.model.labels, of_a.model.images
        probabilities = of_a.model.probabilities, of_b.model.probabilities
        groups = choose(labels, *probabilities, insight.images, a.config.seed, rows)
        chosen = all_rows(groups)
        maps = pairs(
            of_a.model,
            of_b.model,
            insight,
            images[chosen],
            labels[chosen],
            lambda name: progress.step(f"maps by {METHODS[name].title}"),
        )
    environment = environment_differences(of_a.summary, of_b.summary)
    if doubt := _doubt(a, b, environment):
        terminal.warning(doubt)
    return Comparison(
        of_a,
        of_b,
        outcomes(labels, of_a.model.predicted, of_b.model.predicted),
        compare_curves(a.rows, b.rows),
        config_differences(a.config, b.config),
        environment,
        speeds(of_a.summary, of_b.summary),
        ExplainedImages(of_a, of_b, groups, maps),
        doubt,
    )


def _doubt(a: Side, b: Side, environment: Sequence[Difference]) -> str | None:
    if any(each.key == "data_sha256" for each in environment):
        return "A and B were trained on different data, which may be why they differ"
    changes = (side.run.change_of_data(side.data.sha256, side.config.data.source) for side in (a, b))
    return next(filter(None, changes), None)


def write(found: Comparison, out: Path) -> Path:
    """Write compare.json and compare.html into a folder, made if needed; returns the page's path.

    They depend on the comparison alone.
    """
    html = render(_page(found), "harness.comparison", "comparison.html.jinja")
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "compare.json", json.dumps(as_json(found), indent=1).encode() + b"\n")
    write_atomically(out / "compare.html", html.encode())
    return out / "compare.html"


def as_json(found: Comparison) -> dict[str, Any]:
    """All numbers, as JSON values."""
    right = found.outcomes
    low, high = right.interval
    accuracies = dict(zip("ab", right.accuracies, strict=True))
    return {
        **{
            key: {"name": of.side.name, "steps": of.summary.get("steps"), "accuracy": accuracies[key]}
            for key, of in (("a", found.a), ("b", found.b))
        },
        "outcomes": {
            **asdict(right),
            "images": right.images,
            "difference": right.difference,
            "low": low,
            "high": high,
            "p": right.p,
            "verdict": right.verdict,
        },
        "curves": {split: asdict(compared) for split, compared in found.curves.items()},
        "config": [asdict(each) for each in found.config],
        "environment": [asdict(each) for each in found.environment],
        "speed": {key: {"a": each.a, "b": each.b, "b/a": each.ratio} for key, each in found.speed.items()},
        "images": images_json(found.explained),
        "class_names": list(found.a.model.class_names),
    }


def as_text(found: Comparison) -> str:
    """The few lines one wants first."""
    a, b = found.outcomes.accuracies
    keys = [f"{each.key}: {in_words(each.a)} in A, {in_words(each.b)} in B" for each in found.config]
    better = found.outcomes.words
    lines = {
        "A": found.a.side.name,
        "B": found.b.side.name,
        "accuracy": f"A has {a:.4f} and B {b:.4f}, on {found.outcomes.images:,} test images.",
        "better": f"{capitalized(better)}.",
        **{split: f"{compared.words}." for split, compared in found.curves.items()},
        "speed": _speed(found),
        "config": f"{'; '.join(keys)}." if keys else "A and B have the same config.",
    }
    return "\n".join(
        textwrap.fill(
            text,
            _COLUMNS,
            initial_indent=f"{name:{_INDENT}}",
            subsequent_indent=" " * _INDENT,
            break_long_words=False,
            break_on_hyphens=False,
        )
        for name, text in lines.items()
    )


def _speed(found: Comparison) -> str:
    speed = found.speed["images_per_second"]
    a, b, ratio = speed.words
    return f"A trained at {a} images/s and B at {b} (B / A: {ratio}). Compare speeds on the same machine only."


def _page(found: Comparison) -> Page:
    a, b = found.a, found.b
    accuracies = [f"{value:.2%}" for value in found.outcomes.accuracies]
    one_run = a.side.run.path.resolve() == b.side.run.path.resolve()
    steps = tuple(int(of.summary.get("steps") or 0) for of in (a, b))
    *_, ratio = found.speed["images_per_second"].words
    words = found.outcomes.words
    return Page(
        title=f"{a.side.name} compared with {b.side.name}",
        subtitle=f"A, {a.side.name}: {_what(a)}; B, {b.side.name}: {_what(b)}",
        sentence=f"{capitalized(words)}.",
        headlines=[
            Headline("accuracy of A", accuracies[0]),
            Headline("accuracy of B", accuracies[1]),
            Headline("p, exact McNemar test", p_in_words(found.outcomes.p).removeprefix("= ")),
            Headline("training speed, B / A", ratio),
        ],
        warnings=[f"{found.doubt}."] if found.doubt else [],
        sections=[
            outcomes_section(found.outcomes),
            images_section(found.explained),
            curves_section(found.curves, {"A": a.side.rows, "B": b.side.rows}, one_run),
            differences_section((steps[0], steps[1]), found.config, found.environment),
            speed_section(found.speed, a.summary, b.summary),
        ],
    )


def _what(of: EvaluatedSide) -> str:
    config = of.side.config
    return f"{config.model} on {config.data.source}, seed {config.seed}, {of.summary.get('steps') or 0:,} steps"
