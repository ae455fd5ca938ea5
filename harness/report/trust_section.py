"""How far each method can be trusted: the table on top of the page, and the section behind it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.insight.saliency import METHODS
from harness.insight.trust import Answer, Faithfulness, Interval, MethodTrust, Sanity, Trust, area
from harness.report.page import Section, TrustTable
from harness.report.table import Row, Table, Verdict
from harness.report.trust_figures import cascade_picture, curves_pictures

_CONTROLS = {
    "random": "pixels in random order",
    "edges": "an edge detector",
    "brightness": "the brightest pixels first",
    "centre": "the middle first",
}
_GOOD: Mapping[Answer, bool | None] = {"yes": True, "no": False, "can't tell": None}


@dataclass(frozen=True)
class Finding:
    """An answer, and the interval that it follows from."""

    answer: Answer
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        return Verdict(f"{self.answer}: {told(self.interval)}", _GOOD[self.answer])


@dataclass(frozen=True)
class Question:
    """A column of the table."""

    heading: str
    note: str
    find: Callable[[MethodTrust], Finding]


def _depends(method: MethodTrust) -> Finding:
    return Finding(method.sanity.depends, method.sanity.shared)


def _faithful(method: MethodTrust) -> Finding:
    return Finding(method.beyond.answer, method.beyond.least.gain)


def _class_specific(method: MethodTrust) -> Finding:
    return Finding(method.class_sensitivity.class_specific, method.class_sensitivity.beyond_halfway)


def _stable(method: MethodTrust) -> Finding:
    return Finding(method.stability.stable, method.stability.own)


QUESTIONS: Mapping[str, Question] = {
    "depends_on_weights": Question(
        "depends on the weights? (likeness once they are random)",
        "Depends on the weights? Each map is compared with the one that the same image gets once the model's weights "
        "are random. What all images' maps have in common is taken out first, since any network may share it. The "
        "number is how much of the rest is still there: 1 all of it, 0 none. “Yes” needs less than half.",
        _depends,
    ),
    "faithful": Question(
        "faithful beyond the best control? (least gain)",
        "Faithful? Deletion and insertion are the mean probability of the predicted class while the map's most "
        "important pixels are taken away, or brought in. The controls know nothing of the model: the brightest pixels, "
        "the middle, edges, the mean map of the other images, and the same method on untrained weights. “Yes” needs "
        "better areas than the best of them, for deletion and insertion, with black, the mean colour and a blurred "
        "image in the missing pixels' place. The number is the least of these six gains.",
        _faithful,
    ),
    "stable": Question(
        "stable? (likeness under slight noise)",
        "Stable? The image gets noise of 2 % of the pixel range that leaves the prediction alone, and the map is made "
        "again. The number is how much of what is the image's own is still there. “Yes” needs more than half. Coarse "
        "maps are stable by nature.",
        _stable,
    ),
    "class_specific": Question(
        "class-specific? (change with the class, less half of that with the image)",
        "Class-specific? The map of the predicted class is compared with that of the runner-up. “Yes” needs it to "
        "change more than half as much as it does from one image to another.",
        _class_specific,
    ),
}
"""By their keys in insight.json."""


def findings(trust: Trust, name: str) -> dict[str, Finding]:
    """The answers about a method, by question."""
    return {key: question.find(trust.methods[name]) for key, question in QUESTIONS.items()}


def verdict(sanity: Sanity) -> Verdict:
    """Of the sanity check alone, as a sentence without its subject."""
    words: Mapping[Answer, str] = {
        "yes": "depends on the model",
        "no": "does not depend on the model",
        "can't tell": "can't tell whether it depends on the model",
    }
    return Verdict(words[sanity.depends], _GOOD[sanity.depends])


def trust_table(trust: Trust, milliseconds: Mapping[str, float], left_out: Mapping[str, str]) -> TrustTable:
    """A row a method with an answer to each question, and one for each control; `left_out` is why a method has none."""
    rows = [
        Row(
            [
                METHODS[name].title,
                *(finding.verdict for finding in findings(trust, name).values()),
                *_areas(method.faithfulness),
                f"{milliseconds[name]:.2g}",
            ]
        )
        for name, method in trust.methods.items()
    ]
    blank = [""] * len(QUESTIONS)
    rows += [Row([_CONTROLS[name], *blank, *_areas(of), ""], control=True) for name, of in trust.controls.items()]
    headings = [
        "method",
        *(question.heading for question in QUESTIONS.values()),
        "deletion ↓ lower is better",
        "insertion ↑ higher is better",
        "ms an image",
    ]
    return TrustTable(_intro(trust), Table("Trust in each method", headings, rows), _notes(trust, left_out))


def trust_section(trust: Trust) -> Section:
    """The cascade and the curves, with their numbers."""
    return Section(
        "The checks",
        "The numbers behind the table on top: what becomes of the maps as the model is made random, and of the "
        "prediction as pixels are taken away.",
        [cascade_picture(trust), *curves_pictures(trust)],
    )


def told(value: Interval) -> str:
    if not np.isfinite(value.mean):
        return "not known"
    return f"{value.mean:z.2f}" + (f" ({value.low:z.2f} to {value.high:z.2f})" if np.isfinite(value.low) else "")


def _areas(of: Faithfulness) -> list[str]:
    return [told(area(of.deletion["black"])), told(area(of.insertion["black"]))]


def _intro(trust: Trust) -> str:
    intro = (
        "A map is a picture of the model only if it changes with the model, and points at pixels that matter to it. "
    )
    yes, no, untold = (
        [METHODS[name].title for name, method in trust.methods.items() if method.sanity.depends == answer]
        for answer in ("yes", "no", "can't tell")
    )
    if no:
        intro += (
            f"{_listed(no)} hardly {'changes' if len(no) == 1 else 'change'} when the model's weights are random: "
            f"don't read the model from {'it' if len(no) == 1 else 'them'}. "
        )
    if yes:
        intro += f"{_listed(yes)} {'does' if len(yes) == 1 else 'do'} change with the model. "
    if untold:
        intro += f"Whether {_listed(untold)} {'does' if len(untold) == 1 else 'do'}, these images can't tell. "
    return intro.strip()


def _listed(titles: Sequence[str]) -> str:
    *most, last = titles
    return f"{', '.join(most)} and {last}" if most else last


def _notes(trust: Trust, left_out: Mapping[str, str]) -> list[str]:
    first, count = next(iter(trust.methods.values())), len(trust.methods)
    notes = [question.note for question in QUESTIONS.values()]
    together = f" and hold for all {count} methods of such a column together (Bonferroni)" if count > 1 else ""
    notes.append(
        f"Behind each answer is its 95 % interval. Those of the answers are Student's t{together}; “can't tell” means "
        "that the interval lies on both sides of the mark, or that there are fewer than five images to take one of."
    )
    alike = ", ".join(
        f"{METHODS[name].title} {of.sanity.between_images.mean:.2f}"
        for name, of in trust.methods.items()
        if np.isfinite(of.sanity.between_images.mean)
    )
    if alike:
        notes.append(
            f"Maps of different images are alike anyway, here by a rank correlation of: {alike}. A likeness between "
            "the maps of two models says nothing until it is held against that."
        )
    drawn = ", ".join(
        f"{METHODS[name].title} {of.stability.redrawn.mean:.3f}"
        for name, of in trust.methods.items()
        if of.stability.redrawn
    )
    if drawn:
        notes.append(f"Methods that draw at random, rank correlation of two maps of one image by two seeds: {drawn}.")
    shown = len(trust.controls["edges"].deletion["black"].values)
    notes.append(
        f"Areas and gains are of {shown:,} of the images below, chosen ones: they speak of such images, and not of "
        "the whole test set."
    )
    if len(first.sanity.layers) < first.sanity.of_layers:
        notes.append(
            f"The {first.sanity.of_layers} layers with weights were made random in {len(first.sanity.layers)} steps."
        )
    for reason in dict.fromkeys(left_out.values()):
        titles = ", ".join(METHODS[name].title for name, of in left_out.items() if of == reason)
        notes.append(f"Left out: {titles}, since {reason}.")
    return notes
