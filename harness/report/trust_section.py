"""How far each method can be trusted: the table at the top of the page, and its section."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from harness.insight.saliency import METHODS
from harness.insight.trust import Answer, Faithfulness, Interval, MethodTrust, NotAsked, Sanity, Trust, area
from harness.page import Row, Section, Table, Verdict
from harness.page.wording import listed
from harness.report.trust_figures import cascade_picture, curves_pictures

_CONTROLS = {
    "random": "random order",
    "edges": "edge detector",
    "brightness": "brightest pixels first",
    "centre": "centre first",
}
_UNKNOWN = Interval(np.nan, np.nan, np.nan)
_GOOD: Mapping[Answer, bool | None] = {"yes": True, "no": False, "can't tell": None}


@dataclass(frozen=True)
class Finding:
    """An answer and the interval that it follows from, or why there is no answer."""

    answer: Answer | NotAsked
    interval: Interval

    @property
    def verdict(self) -> Verdict:
        if isinstance(self.answer, NotAsked):
            return Verdict(self.words, None)
        return Verdict(f"{self.words}: {with_interval(self.interval)}", _GOOD[self.answer])

    @property
    def short(self) -> Verdict:
        """Without its interval and reason."""
        return Verdict("not asked" if isinstance(self.answer, NotAsked) else self.answer, self.verdict.good)

    @property
    def words(self) -> str:
        return f"not asked: {self.answer.reason}" if isinstance(self.answer, NotAsked) else self.answer


@dataclass(frozen=True)
class Question:
    """A column of the table."""

    heading: str
    note: str
    find: Callable[[MethodTrust], Finding]


def _depends(method: MethodTrust) -> Finding:
    return Finding(method.sanity.depends, method.sanity.decisive)


def _faithful(method: MethodTrust) -> Finding:
    return Finding(method.beyond.answer, method.beyond.decisive[1])


def _class_specific(method: MethodTrust) -> Finding:
    found = method.class_sensitivity
    return (
        Finding(found, _UNKNOWN) if isinstance(found, NotAsked) else Finding(found.class_specific, found.beyond_halfway)
    )


def _stable(method: MethodTrust) -> Finding:
    return Finding(method.stability.stable, method.stability.own)


QUESTIONS: Mapping[str, Question] = {
    "depends_on_weights": Question(
        "Depends on the weights? (similarity after randomizing them)",
        "Depends on the weights? Each map is compared with the map of the same image after the model's weights have "
        "been randomized. The part that the maps of all images share is removed first, since any network may produce "
        "it. The number is how much of the rest remains, from 1 (all) to 0 (none). “Yes” means less than half. A map "
        "with signs is compared both with its signs and without, and must pass both times: one that only changes sign "
        "still marks the same pixels. The number is then the one that decides.",
        _depends,
    ),
    "faithful": Question(
        "Faithful beyond the best control? (decisive gain)",
        "Faithful? Deletion and insertion measure the mean probability of the predicted class as the map's most "
        "important pixels are removed or added. The controls know nothing about the model: brightest pixels first, "
        "centre first, edges, the mean map of the other images, and the same method on untrained weights. “Yes” means "
        "that the method beats the best of them in both, whether missing pixels become black, the mean colour or a "
        "blurred image. The number is the one of these six gains that decides, the one that reaches lowest.",
        _faithful,
    ),
    "stable": Question(
        "Stable? (similarity under slight noise)",
        "Stable? Noise of 2% of the pixel range, too little to change the prediction, is added to the image, and the "
        "map is computed again. The number is how much of the image's own part of the map remains. “Yes” means more "
        "than half. Coarse maps are stable by nature.",
        _stable,
    ),
    "class_specific": Question(
        "Class-specific? (change with the class, minus half the change with the image)",
        "Class-specific? The map for the predicted class is compared with the map for the runner-up. “Yes” means that "
        "it changes more than half as much as it does from one image to another. It is not asked where the answer "
        "would be certain beforehand: of two classes, what speaks for one speaks against the other.",
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
        "no": "only its signs depend on the model" if sanity.only_signs else "does not depend on the model",
        "can't tell": "unclear whether it depends on the model",
    }
    return Verdict(words[sanity.depends], _GOOD[sanity.depends])


def trust_table(trust: Trust, milliseconds: Mapping[str, float], left_out: Mapping[str, str]) -> Table:
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
        "Method",
        *(question.heading for question in QUESTIONS.values()),
        "Deletion (lower is better)",
        "Insertion (higher is better)",
        "ms per image",
    ]
    return Table("Trust in each method", headings, rows, _notes(trust, left_out))


def trust_section(trust: Trust, milliseconds: Mapping[str, float], left_out: Mapping[str, str]) -> Section:
    """The table, then the cascade and the curves with their numbers."""
    return Section(
        "Can the maps be trusted?",
        [_intro(trust)],
        [trust_table(trust, milliseconds, left_out)],
        [cascade_picture(trust), *curves_pictures(trust)],
    )


def with_interval(value: Interval) -> str:
    """`0.31 (0.25 to 0.37)`, without an interval where none is known."""
    if not np.isfinite(value.mean):
        return "not known"
    return f"{value.mean:z.2f}" + (f" ({value.low:z.2f} to {value.high:z.2f})" if np.isfinite(value.low) else "")


def _areas(of: Faithfulness) -> list[str]:
    return [with_interval(area(of.deletion["black"])), with_interval(area(of.insertion["black"]))]


def _intro(trust: Trust) -> str:
    intro = "A map tells you about the model only if it changes with the model and marks pixels that matter to it. "
    titles: dict[str, list[str]] = {}
    for name, method in trust.methods.items():
        kind = "only signs" if method.sanity.only_signs else method.sanity.depends
        titles.setdefault(kind, []).append(METHODS[name].title)
    if no := titles.get("no"):
        intro += (
            f"{listed(no)} hardly {_verb(no, 'change')} when the model's weights are randomized: draw no conclusions "
            f"about the model from {_them(no)}. "
        )
    if signs := titles.get("only signs"):
        intro += (
            f"{listed(signs)} {_verb(signs, 'mark')} much the same pixels when the model's weights are randomized, and "
            f"only the signs change: which pixels stand out in {_them(signs)} says little about the model. "
        )
    if yes := titles.get("yes"):
        intro += f"{listed(yes)} {_verb(yes, 'change')} with the model. "
    if unclear := titles.get("can't tell"):
        intro += (
            f"These images are not enough to tell whether {listed(unclear)} {'does' if len(unclear) == 1 else 'do'}. "
        )
    return intro.strip()


def _verb(subjects: Sequence[str], plural: str) -> str:
    return f"{plural}s" if len(subjects) == 1 else plural


def _them(subjects: Sequence[str]) -> str:
    return "it" if len(subjects) == 1 else "them"


def _notes(trust: Trust, left_out: Mapping[str, str]) -> list[str]:
    first, count = next(iter(trust.methods.values())), len(trust.methods)
    notes = [question.note for question in QUESTIONS.values()]
    together = f" that hold for all {count} methods of a column together (Bonferroni)" if count > 1 else ""
    notes.append(
        f"The ranges in brackets are 95% intervals. Answers are based on Student's t intervals{together}. "
        "“Can't tell” means that the interval includes the threshold, or that there are fewer than five images."
    )
    alike = ", ".join(
        f"{METHODS[name].title} {of.sanity.between_images.mean:.2f}"
        for name, of in trust.methods.items()
        if np.isfinite(of.sanity.between_images.mean)
    )
    if alike:
        notes.append(
            f"Even maps of different images resemble each other; their mean rank correlation is: {alike}. A "
            "correlation between the maps of two models means nothing unless it is higher than that."
        )
    drawn = ", ".join(
        f"{METHODS[name].title} {of.stability.redrawn.mean:.3f}"
        for name, of in trust.methods.items()
        if of.stability.redrawn
    )
    if drawn:
        notes.append(
            "Some methods use random numbers. Rank correlation between two maps of one image with different seeds: "
            f"{drawn}."
        )
    shown = len(trust.controls["edges"].deletion["black"].values)
    notes.append(
        f"Areas and gains come from {shown:,} of the images above. These were selected, and many are hard: the results "
        "hold for such images, not for the whole test set."
    )
    if len(first.sanity.layers) < first.sanity.of_layers:
        notes.append(
            f"The {first.sanity.of_layers} layers with weights were randomized in {len(first.sanity.layers)} steps."
        )
    for reason in dict.fromkeys(left_out.values()):
        titles = [METHODS[name].title for name, of in left_out.items() if of == reason]
        notes.append(f"Left out: {listed(titles)}, because {reason}.")
    return notes
