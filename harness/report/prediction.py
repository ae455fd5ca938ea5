"""What the model says of pictures of the user's own, told before anything is explained."""

import numpy as np

from harness.console.terminal import Terminal
from harness.data import own_images
from harness.models.logits import probabilities
from harness.report.explanation import Request
from harness.report.subject import Subject, outputs_of, readable
from harness.report.unlike import unlike

_CLASSES = 3


def tell_predictions(subject: Subject, request: Request, terminal: Terminal) -> None:
    """Print the likeliest classes of each of `request.files`, and warn of one that looks like no image of the data.

    Raises DataError where a file is no picture.
    """
    if not request.files:
        return
    shape = subject.images.shape[1:]
    pictures = own_images.read(request.files, shape, request.invert)
    images = subject.train.images if subject.train else subject.images
    says = probabilities(subject.logits, outputs_of(subject.logits, pictures))
    for path, picture, shares in zip(request.files, pictures, says, strict=True):
        best, *others = np.argsort(-shares, kind="stable")[:_CLASSES]
        then = ", ".join(f"{label} ({shares[label]:.3f})" for label in others)
        changes = ", ".join(own_images.changes(path, shape))
        name = f"{readable(path.name)} ({changes})" if changes else readable(path.name)
        terminal.line(f"{name}: class {best} ({shares[best]:.3f}), then {then}")
        if odd := unlike(picture, images):
            terminal.warning(f"{readable(path.name)}: {odd}")
