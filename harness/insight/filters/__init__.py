"""What the convolutional filters are: kernels, what excites them most, and what they make of an image."""

from harness.insight.filters.duplicates import ALIKE, Duplicates, duplicates
from harness.insight.filters.kernels_and_maps import feature_maps, first_kernels
from harness.insight.filters.maximization import (
    CLASS_STARTS,
    STARTS,
    STEPS,
    OptimalImages,
    OptimalPatches,
    activation_maximization,
    class_optimal_images,
)
from harness.insight.filters.strongest import RARE, Strongest, strongest

__all__ = [
    "ALIKE",
    "CLASS_STARTS",
    "RARE",
    "STARTS",
    "STEPS",
    "Duplicates",
    "OptimalImages",
    "OptimalPatches",
    "Strongest",
    "activation_maximization",
    "class_optimal_images",
    "duplicates",
    "feature_maps",
    "first_kernels",
    "strongest",
]
