"""Batch-size scaling experiments: how steps, examples and hours to a target change with the global batch."""
