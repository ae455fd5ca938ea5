"""Callbacks of one's own: one that writes numbers, one that writes a picture.

    harness train mnist --set 'callbacks=[{name: "callback:Norms", every: 500 steps}, {name: "callback:first_kernels"}]'

In Python: `harness.train("mnist", callbacks=[Norms(), first_kernels])`.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

import harness


class Norms(harness.Callback):
    """The norm of each layer's weights, and how much it has grown since the last time."""

    every = "1 epoch"

    def __init__(self) -> None:
        self._last: dict[str, float] = {}

    def __call__(self, step: int, state: Any, rows: Sequence[dict[str, Any]]) -> dict[str, float]:
        norms = {weight.path: float(np.linalg.norm(weight.numpy())) for weight in state.model.trainable_variables}
        grown = {f"{path}/growth": norm / self._last[path] for path, norm in norms.items() if path in self._last}
        self._last = norms
        return norms | grown


def first_kernels(step: int, state: Any, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The kernels of the first convolution side by side, as one picture."""
    kernels = state.model.get_layer("conv_1").kernel.numpy()[:, :, 0, :]
    scaled = np.uint8(255 * (kernels - kernels.min()) / np.ptp(kernels))
    return {"kernels": np.concatenate(list(np.moveaxis(scaled, -1, 0)), axis=1)}
