"""What the convolutional filters are: kernels, what excites them most, and what they make of an image."""

from harness.insight.filters.duplicates import ALIKE, Duplicates, duplicates
from harness.insight.filters.kernels import first_kernels
from harness.insight.filters.maps import feature_maps
from harness.insight.filters.maximization import (
    OptimalImages,
    OptimalPatches,
    activation_maximization,
    class_optimal_images,
)
from harness.insight.filters.strongest import Strongest, strongest

__all__ = [
    "ALIKE",
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
