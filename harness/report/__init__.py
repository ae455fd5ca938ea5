"""A run's directory → its pictures and its page."""

from harness.report.visualization import visualize

__all__ = ["visualize"]
