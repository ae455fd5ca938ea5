"""What the model says of pictures of the user's own, printed before anything is explained."""

import numpy as np

from harness.console.terminal import Terminal
from harness.data import own_images
from harness.models.logits import probabilities
from harness.report.evaluated_model import EvaluatedModel, outputs_of, readable
from harness.report.explanation import Request
from harness.report.unlike import unlike

_CLASSES = 3


def print_predictions(evaluated: EvaluatedModel, request: Request, terminal: Terminal) -> None:
    """Print the likeliest classes of each of `request.files`, and warn of one that looks like no image of the data.

    Raises DataError where a file is no picture.
    """
    if not request.files:
        return
    shape = evaluated.images.shape[1:]
    pictures = own_images.read(request.files, shape, request.invert)
    images = evaluated.train.images if evaluated.train else evaluated.images
    says = probabilities(evaluated.logits, outputs_of(evaluated.logits, pictures))
    for path, picture, shares in zip(request.files, pictures, says, strict=True):
        best, *others = np.argsort(-shares, kind="stable")[:_CLASSES]
        then = ", ".join(f"{label} ({shares[label]:.3f})" for label in others)
        changes = ", ".join(own_images.changes(path, shape))
        name = f"{readable(path.name)} ({changes})" if changes else readable(path.name)
        terminal.line(f"{name}: class {best} ({shares[best]:.3f}), then {then}")
        if odd := unlike(picture, images):
            terminal.warning(f"{readable(path.name)}: {odd}")
