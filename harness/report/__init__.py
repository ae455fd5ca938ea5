"""A trained model → its pictures and its page."""

from harness.report.explanation import Request
from harness.report.visualization import visualize, visualize_model

__all__ = ["Request", "visualize", "visualize_model"]
