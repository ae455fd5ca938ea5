"""Whether a model is as often right as it is confident, on the test images."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

from harness.page.picture import INK, MUTED, Picture, png
from harness.page.table import Row, Table

BINS = 15


@dataclass(frozen=True)
class Calibration:
    """Test images by the probability of the predicted class, in bins of equal width, each open below."""

    counts: NDArray[np.int64]
    """(bins,)"""
    confidence: NDArray[np.float64]
    """(bins,) the mean probability of the predicted class; NaN where there are no images."""
    accuracy: NDArray[np.float64]
    """(bins,) the share that is right; NaN where there are no images."""

    @classmethod
    def of(cls, probabilities: NDArray[np.float32], labels: NDArray[np.int32], bins: int = BINS) -> "Calibration":
        """Of probabilities (n, classes) and labels (n,)."""
        confidence = probabilities.max(axis=1).astype(np.float64)
        right = probabilities.argmax(axis=1) == labels
        bin_of = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
        counts = np.bincount(bin_of, minlength=bins)
        with np.errstate(invalid="ignore"):
            means = (np.bincount(bin_of, weights=of, minlength=bins) / counts for of in (confidence, right))
            return cls(counts, *means)

    @property
    def error(self) -> float:
        """The expected calibration error, Σ nₘ/n·|accuracyₘ - confidenceₘ| (Guo et al. 2017, arXiv 1706.04599, eq.
        3)."""
        gaps = np.nan_to_num(np.abs(self.accuracy - self.confidence))
        return float((self.counts * gaps).sum() / self.counts.sum())

    def as_json(self) -> dict[str, Any]:
        """The error, and what each bin holds; null where that is nothing."""

        def listed(values: NDArray[np.float64]) -> list[float | None]:
            return [None if np.isnan(value) else float(value) for value in values]

        return {
            "expected_calibration_error": self.error,
            "bins": {
                "images": self.counts.tolist(),
                "confidence": listed(self.confidence),
                "accuracy": listed(self.accuracy),
            },
        }


def reliability_picture(calibration: Calibration) -> Picture:
    """The reliability diagram: accuracy against confidence, over a histogram of the confidences."""
    bins, total = len(calibration.counts), int(calibration.counts.sum())
    edges, width = np.arange(bins) / bins, 1 / bins
    figure = Figure(figsize=(5.6, 6.0), dpi=96, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    upper.plot([0, 1], [0, 1], color=MUTED, linewidth=1, linestyle="--", label="perfectly calibrated")
    upper.bar(edges, np.nan_to_num(calibration.accuracy), width, align="edge", color="#8fafd3", edgecolor="white")
    held = calibration.counts > 0
    upper.plot(
        calibration.confidence[held],
        calibration.accuracy[held],
        color="#0072B2",
        marker="o",
        markersize=4.5,
        linestyle="none",
        clip_on=False,
        label="mean of the images of a bin",
    )
    upper.set(xlim=(0, 1), ylim=(0, 1))
    upper.set_ylabel("accuracy", fontsize=10)
    upper.set_title(f"Expected calibration error {calibration.error:.4f}", fontsize=10.5, color=INK, loc="left")
    upper.legend(frameon=False, fontsize=8.5, loc="lower right", bbox_to_anchor=(1, 0.99), borderpad=0)
    lower.bar(edges, calibration.counts / total, width, align="edge", color="#8fafd3", edgecolor="white")
    lower.set_ylabel("share of images", fontsize=10)
    lower.set_xlabel("probability of the predicted class", fontsize=10)
    for axes in (upper, lower):
        axes.tick_params(labelsize=8.5)
        axes.grid(alpha=0.25, linewidth=0.6)
        axes.set_axisbelow(True)
        axes.spines[["top", "right"]].set_visible(False)
    rows = [
        Row([f"{low:.3f} to {low + width:.3f}", f"{count:,}", f"{said:.4f}", f"{right:.4f}", f"{right - said:+.4f}"])
        for low, count, said, right in zip(
            edges, calibration.counts, calibration.confidence, calibration.accuracy, strict=True
        )
        if count
    ]
    return Picture(
        name="reliability",
        title="Reliability diagram",
        caption=f"The {total:,} test images by the probability that the model gives the class it chose, in {bins} bins "
        "of equal width. Where a bar or its point lies below the dashed line, the model is more confident than it is "
        "accurate. A bin of few images says little: the lower bars show how many it holds. The expected calibration "
        "error is the distance from the line, averaged over the images (Guo et al. 2017). Label smoothing in the "
        "training loss makes a model less confident than it is accurate.",
        alt=f"Accuracy against confidence in {bins} bins; expected calibration error {calibration.error:.4f}.",
        png=png(figure),
        table=Table(
            "Calibration as numbers", ["probability", "images", "mean probability", "accuracy", "difference"], rows
        ),
        chart=True,
    )
