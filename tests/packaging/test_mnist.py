"""The shipped MNIST is the real one."""

import hashlib
import re
import struct
from importlib import resources

import numpy as np
import pytest

FILES = {
    "train-images-idx3-ubyte": "x_train",
    "train-labels-idx1-ubyte": "y_train",
    "t10k-images-idx3-ubyte": "x_test",
    "t10k-labels-idx1-ubyte": "y_test",
}
README = resources.files("harness.data").joinpath("README.md").read_text()


@pytest.mark.parametrize(("idx_file", "array"), FILES.items())
def test_the_idx_file_rebuilt_from_the_arrays_has_the_published_md5(idx_file: str, array: str) -> None:
    with resources.files("harness.data").joinpath("mnist.npz").open("rb") as file, np.load(file) as arrays:
        values = arrays[array]
    published = re.search(rf"{idx_file} \| ([0-9a-f]{{32}})", README)
    assert published
    magic = 0x00000800 + values.ndim  # IDX: 0x08 for unsigned bytes, then the number of dimensions
    header = struct.pack(f">{1 + values.ndim}I", magic, *values.shape)
    assert hashlib.md5(header + values.tobytes()).hexdigest() == published[1]
