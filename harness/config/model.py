"""The `model:` section."""

from typing import Literal

from harness.config.section import Section


class ModelSection(Section):
    name: Literal["cnn", "cnn_two_pools"] = "cnn"
    """`cnn` has 60,554 parameters on MNIST; `cnn_two_pools`, without the last pooling, 93,322."""
