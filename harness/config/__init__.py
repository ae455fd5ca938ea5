"""The typed, strict configuration of a run."""

from harness.config.config import Config
from harness.config.load import dump, load, read, resolve

__all__ = ["Config", "dump", "load", "read", "resolve"]
