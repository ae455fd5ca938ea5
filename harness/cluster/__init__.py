"""Devices, workers, and how a batch is shared among them."""
