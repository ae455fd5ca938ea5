"""What a source gives, before it is checked."""

from collections.abc import Sequence
from typing import Any, NamedTuple, TypeAlias

from numpy.typing import NDArray

from harness.data.images import Stored

Found: TypeAlias = NDArray[Any] | Stored

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
"""What the four arrays of a data set are called, as Keras does."""


class Given(NamedTuple):
    """Images (n, height, width[, channels]) and their labels, of whatever kinds the source has."""

    x_train: Found
    """An array in memory, a memory-mapped one, or images that are read by row number."""
    y_train: NDArray[Any]
    x_test: Found
    y_test: NDArray[Any]
    sha256: str
    """Stands for the content."""
    class_names: tuple[str, ...] = ()
    """By label, where the source names its classes."""
    own_validation: int | None = None
    """The last so many training rows are a validation split of the source's own."""
    names: tuple[Sequence[str], Sequence[str]] | None = None
    """What the training and the test images are called, where they are files."""
    left_out: str = ""
    """What of the source may have been meant to be read and isn't, in a sentence."""
