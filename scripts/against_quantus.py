"""Our metrics of maps beside those of Quantus 0.6, on a small model with the same weights in Keras and in NumPy.

Quantus gets an environment of its own, which needs neither TensorFlow nor PyTorch:

    python -m venv /tmp/quantus && /tmp/quantus/bin/pip install quantus==0.6.0
    python scripts/against_quantus.py /tmp/quantus/bin/python

The images, weights and maps go to it as a file, and its values come back as another. What both compute is compared:

    deletion        PixelFlipping, black, 28 pixels a step: the curves, which have no chance in them
    imputation      noisy linear imputation without its noise, a third of the pixels missing
    ROAD            the accuracy as 10 to 90 % of the pixels are removed; each draws its own noise
    max-sensitivity of the same noisy copies

Infidelity is not among them: Quantus 0.6 takes no squares by chance but blackens the blocks of a grid one after the
other, each on top of those before, and scales no map. Nor is sMPRT: it shuffles weights, where we draw new ones.
"""

import subprocess
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np

SIDE, IMAGES, CLASSES, HIDDEN, COPIES, RADIUS = 28, 40, 5, 16, 20, 0.02


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python scripts/against_quantus.py PYTHON_WITH_QUANTUS")
    case = _case()
    with tempfile.TemporaryDirectory() as folder:
        given, found = Path(folder, "case.npz"), Path(folder, "quantus.npz")
        np.savez(given, **case)
        subprocess.run([sys.argv[1], __file__, "--as-quantus", given, found], check=True)
        theirs = dict(np.load(found))
    ours = _ours(case)
    print(f"{'':24}{'ours':>10}{'Quantus':>10}   largest difference")
    for name, value in ours.items():
        print(f"{name:24}{value.mean():10.4f}{theirs[name].mean():10.4f}   {np.abs(value - theirs[name]).max():.2g}")


def _case() -> dict[str, np.ndarray]:
    """Noise that no copy takes beyond the pixel range, random weights, what the model says, gradient × input as its
    maps, and an order of the pixels by chance, in which the prediction does not fall at once."""
    random = np.random.default_rng(0)
    images = random.integers(10, 246, (IMAGES, SIDE, SIDE, 1)).astype(np.float32)
    images[:, 0, 0] = 0  # Quantus's black is the least value of the batch
    case = {
        "images": images,
        "first": random.normal(0, 0.1, (SIDE * SIDE, HIDDEN)).astype(np.float32) / 255,
        "second": random.normal(0, 1, (HIDDEN, CLASSES)).astype(np.float32),
        "missing": random.random((SIDE, SIDE)) < 1 / 3,
    }
    case["labels"] = _Model(case).logits(images).argmax(axis=1)
    case["maps"] = _gradient_times_input(case, images, case["labels"])
    case["order"] = random.random(case["maps"].shape, np.float32)
    return case


class _Model:
    """Two dense layers with a tanh between, in NumPy, as Quantus's metrics call a model."""

    def __init__(self, case: dict[str, np.ndarray]) -> None:
        self._first, self._second = case["first"], case["second"]

    def logits(self, images: np.ndarray) -> np.ndarray:
        return np.asarray(np.tanh(images.reshape(len(images), -1) @ self._first) @ self._second)

    def predict(self, images: np.ndarray, **_: Any) -> np.ndarray:
        powers = np.exp(self.logits(images))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))

    def shape_input(self, x: np.ndarray, *_: Any, **__: Any) -> np.ndarray:
        return x


def _gradient_times_input(case: dict[str, np.ndarray], images: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """(n, height, width)"""
    flat = images.reshape(len(images), -1)
    slope = 1 - np.tanh(flat @ case["first"]) ** 2
    gradient = (slope * case["second"].T[labels]) @ case["first"].T
    return np.asarray((gradient * flat).reshape(len(images), SIDE, SIDE), np.float32)


def _ours(case: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    import keras

    from harness.insight.trust.faithfulness import STEPS, faithfulness
    from harness.insight.trust.max_sensitivity import max_sensitivity
    from harness.insight.trust.road import imputed, road

    inputs = keras.Input((SIDE, SIDE, 1))
    hidden = keras.layers.Dense(HIDDEN, "tanh", use_bias=False)(keras.layers.Flatten()(inputs))
    model = keras.Model(inputs, keras.layers.Dense(CLASSES, use_bias=False)(hidden))
    model.set_weights([case["first"], case["second"]])
    images, labels, maps = case["images"], case["labels"], case["maps"]
    assert STEPS == SIDE
    return {
        "deletion": faithfulness(model, case["order"], images, labels).deletion["black"].values[:, 1:],
        "imputation": imputed(images[0], case["missing"])[..., 0],
        "ROAD": road(model, case["order"], images, labels).most_first.kept.mean(axis=0),
        "max-sensitivity": max_sensitivity(
            model,
            lambda logits, images, labels: _gradient_times_input(case, images, labels),
            maps,
            images,
            labels,
            radius=RADIUS,
            copies=COPIES,
        ),
    }


def _as_quantus(given: str, found: str) -> None:
    """Run by the other interpreter."""
    import quantus
    from quantus.functions.perturb_func import noisy_linear_imputation

    warnings.filterwarnings("ignore")
    # Quantus draws from the global generator.
    np.random.seed(0)  # noqa: NPY002
    case = dict(np.load(given))
    model = _Model(case)
    images = np.moveaxis(case["images"], -1, 1)
    labels, maps, order = case["labels"], case["maps"][:, np.newaxis], case["order"][:, np.newaxis]
    quiet = {"disable_warnings": True, "normalise": False, "abs": False}

    deletion = quantus.PixelFlipping(features_in_step=SIDE, perturb_baseline="black", **quiet)
    curves = deletion.evaluate_batch(model, images, labels, order)

    road = quantus.ROAD(percentages=list(range(10, 100, 10)), noise=0.01 * 255, **quiet)
    road.a_size = SIDE * SIDE
    accuracies = np.mean(road.evaluate_batch(model, images, labels, order)[0], axis=0)

    generator = np.random.default_rng(0)

    def as_ours(arr: np.ndarray, **_: Any) -> np.ndarray:
        noise = generator.uniform(-RADIUS * 255, RADIUS * 255, arr.shape)
        return np.clip(arr + noise, 0, 255).astype(np.float32)

    sensitivity = quantus.MaxSensitivity(nr_samples=COPIES, perturb_func=as_ours, **quiet)
    sensitivity.explain_batch = lambda model, x, y: _gradient_times_input(case, np.moveaxis(x, 1, -1), y)

    filled = noisy_linear_imputation(images[0], np.flatnonzero(case["missing"]), noise=0.0)
    np.savez(
        found,
        **{
            "deletion": np.array(curves),
            "imputation": filled[0],
            "ROAD": accuracies,
            "max-sensitivity": np.array(sensitivity.evaluate_batch(model, images, labels, maps)),
        },
    )


if __name__ == "__main__":
    if sys.argv[1:2] == ["--as-quantus"]:
        _as_quantus(sys.argv[2], sys.argv[3])
    else:
        main()
