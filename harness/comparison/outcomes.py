"""What each model gets right on the same images, and whether the difference is more than chance."""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom  # type: ignore[import-untyped]

SIGNIFICANT = 0.05
_NORMAL_95 = 1.959964


@dataclass(frozen=True)
class Outcomes:
    """Counts of images by who is right."""

    both: int
    only_a: int
    only_b: int
    neither: int

    @property
    def images(self) -> int:
        return self.both + self.only_a + self.only_b + self.neither

    @property
    def accuracies(self) -> tuple[float, float]:
        return (self.both + self.only_a) / self.images, (self.both + self.only_b) / self.images

    @property
    def difference(self) -> float:
        """The accuracy of A less that of B."""
        return (self.only_a - self.only_b) / self.images

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % interval of `difference` over images like these, the two models being what they are.

            (b - c)/N ± 1.96 · √(b + c + 1 - (b - c)²/N) / N,  N = n + 2

        with b and c the images that only A and only B gets right, of n: Wald's interval after half an image is added
        to each of the four counts. Agresti and Min 2005, "Simple improved confidence intervals for comparing matched
        proportions" (Statistics in Medicine 24, 729), there "Wald+2". Cut off at -1 and 1.
        """
        count, excess = self.images + 2, self.only_a - self.only_b
        half = _NORMAL_95 * sqrt(self.only_a + self.only_b + 1 - excess**2 / count) / count
        return max(-1.0, excess / count - half), min(1.0, excess / count + half)

    @property
    def p(self) -> float:
        """Of the exact McNemar test, two-sided: min(1, 2 · P(X ≤ min(b, c))), X ~ Binomial(b + c, 1/2).

        McNemar 1947, "Note on the sampling error of the difference between correlated proportions or percentages"
        (Psychometrika 12, 153), with the binomial distribution in place of its normal approximation.
        """
        return float(min(1.0, 2 * binom.cdf(min(self.only_a, self.only_b), self.only_a + self.only_b, 0.5)))

    @property
    def verdict(self) -> str:
        """Which is better on images like these: "A", "B", or "no telling"."""
        if self.p >= SIGNIFICANT:
            return "no telling"
        return "A" if self.only_a > self.only_b else "B"

    @property
    def words(self) -> str:
        if not self.only_a + self.only_b:
            return "too close to call: A and B classify the same images correctly"
        verdict = "too close to call" if self.verdict == "no telling" else f"{self.verdict} is better"
        counts = f"only A classifies {self.only_a:,} images correctly, only B {self.only_b:,}"
        return f"{verdict}: {counts} (p {p_in_words(self.p)})"


def outcomes(labels: NDArray[Any], predicted_a: NDArray[Any], predicted_b: NDArray[Any]) -> Outcomes:
    """Count images by who is right, from the labels and what each predicts, all (n,)."""
    a, b = predicted_a == labels, predicted_b == labels
    return Outcomes(*(int(np.sum(which)) for which in (a & b, a & ~b, ~a & b, ~a & ~b)))


def p_in_words(p: float) -> str:
    """A p-value as it stands behind `p`: `< 0.001` or `= 0.042`."""
    return "< 0.001" if p < 0.001 else f"= {p:.2g}"
