"""The `data:` section."""

from pydantic import Field

from harness.config.section import Section


class DataSection(Section):
    source: str = "mnist"
    """A data set's name (`mnist`), or the path of an .npz file with x_train, y_train, x_test and y_test."""
    validation: int = Field(default=5000, ge=0)
    """How many of the last training rows are held out for validation; 0 for none."""
    shift: int = Field(default=0, ge=0)
    """Each training image is moved by up to this many pixels, at random, in both directions."""
