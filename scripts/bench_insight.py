#!/usr/bin/env python
"""scripts/bench_insight.py RUN: each of our saliency methods against the same of tf-keras-vis, as its documentation
calls it, on 64 test images of the run, in turn: the median ratio of 7 pairs after one call of each that doesn't count.
"""

import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from tf_keras_vis.gradcam import Gradcam
from tf_keras_vis.gradcam_plus_plus import GradcamPlusPlus
from tf_keras_vis.layercam import Layercam
from tf_keras_vis.saliency import Saliency
from tf_keras_vis.scorecam import Scorecam
from tf_keras_vis.utils.model_modifiers import GuidedBackpropagation
from tf_keras_vis.utils.scores import CategoricalScore

from harness.insight.saliency import METHODS
from harness.report.evaluated_model import of_run
from harness.runs.run_dir import RunDir

_IMAGES, _PAIRS = 64, 7


def main() -> None:
    evaluated = of_run(RunDir.open(Path(sys.argv[1])))
    model = evaluated.logits
    images = evaluated.images[:_IMAGES].astype(np.float32)
    labels = evaluated.predicted[:_IMAGES]
    score = CategoricalScore(labels.tolist())
    theirs: dict[str, Callable[[], object]] = {
        "gradient": lambda: Saliency(model)(score, images),
        "smoothgrad": lambda: Saliency(model)(score, images, smooth_samples=50),
        "guided_backpropagation": lambda: Saliency(model, GuidedBackpropagation())(score, images),
        "gradcam": lambda: Gradcam(model)(score, images),
        "gradcam_plus_plus": lambda: GradcamPlusPlus(model)(score, images),
        "layercam": lambda: Layercam(model)(score, images),
        "scorecam": lambda: Scorecam(model)(score, images),
    }
    for name, their in theirs.items():
        method = METHODS[name]
        pairs = []
        for _ in range(_PAIRS + 1):
            seconds = []
            for call in (lambda method=method: method.explain(model, images, labels), their):
                start = time.perf_counter()
                call()
                seconds.append(time.perf_counter() - start)
            pairs.append(seconds)
        ours_ms, theirs_ms = (1000 * statistics.median(of) / _IMAGES for of in zip(*pairs[1:], strict=True))
        ratio = statistics.median(ours / of_theirs for ours, of_theirs in pairs[1:])
        print(f"{method.title:16} ours {ours_ms:7.2f} ms an image  tf-keras-vis {theirs_ms:7.2f}  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()
