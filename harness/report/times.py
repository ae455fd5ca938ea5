"""How long the methods take: measured once for a model, and kept in insight.json so that its page stays the same."""

import hashlib
import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from harness.insight.layers import cam_layer
from harness.insight.saliency import METHODS, Explain
from harness.insight.trust import MOST_EXPLAINED_AGAIN
from harness.report.evaluated_model import EvaluatedModel
from harness.report.explanation import Explained


def known_times(insight_file: Path, evaluated: EvaluatedModel) -> dict[str, float]:
    """What earlier reports measured for this very model: milliseconds by `time_key`."""
    try:
        times = json.loads(insight_file.read_bytes())["times"]
        known = times["milliseconds"] if times["model"] == _digest(evaluated) else {}
        return {key: float(value) for key, value in known.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return {}


def time_key(evaluated: EvaluatedModel, name: str, layer: str | None) -> str:
    """A method's name, followed by the layer that it explains."""
    return f"{name} {cam_layer(evaluated.logits, layer).name}" if METHODS[name].of_a_layer else name


def times_json(evaluated: EvaluatedModel, times: Mapping[str, float]) -> dict[str, Any]:
    """What `known_times` reads back: the milliseconds, and which model they are of."""
    return {"model": _digest(evaluated), "milliseconds": dict(times)}


def milliseconds(evaluated: EvaluatedModel, method: Explain, explained: Explained) -> float:
    """What one image takes, compiled, in a chunk of up to 16; two calls, of which the second counts."""
    images, labels = (of[:MOST_EXPLAINED_AGAIN] for of in (explained.images(), explained.predicted()))
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        method(evaluated.logits, images, labels)
        seconds.append(time.perf_counter() - start)
    return 1000 * seconds[-1] / len(images)


def _digest(evaluated: EvaluatedModel) -> str:
    """SHA-256 over the shape of the images and the model's weights."""
    digest = hashlib.sha256(repr(evaluated.logits.input_shape).encode())
    for weight in evaluated.logits.get_weights():
        digest.update(repr(weight.shape).encode() + weight.tobytes())
    return digest.hexdigest()
