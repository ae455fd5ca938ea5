"""What the convolutional filters are: kernels, what excites them most, and what they make of an image."""

from harness.insight.filters.kernels import first_kernels
from harness.insight.filters.maps import feature_maps
from harness.insight.filters.maximization import activation_maximization

__all__ = ["activation_maximization", "feature_maps", "first_kernels"]
