"""What stands for the content of data that are too many to be read at each start."""

import hashlib
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.images import Stored, evenly

_WHOLE_BYTES = 64 * 2**20
"""So much is read whole, in about a tenth of a second."""
_SAMPLED_ROWS = 1000
_ROWS_AT_A_TIME = 100


def sampled_sha256(arrays: Mapping[str, NDArray[Any] | Stored]) -> str:
    """SHA-256, in hex, over each array's name, type and shape and the CRC-32 of its content.

    Of an array above 64 MiB the content is that of 1,000 rows, evenly spread from the first to the last: that takes a
    moment however large it is, tells apart data sets, orders of rows and ways to scale, and misses a change of single
    rows between those. Times of files don't count, so that copies on several machines are the same.
    """
    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name} {array.dtype.str} {tuple(array.shape)} {_crc(array):08x}\n".encode())
    return digest.hexdigest()


def _crc(array: NDArray[Any] | Stored) -> int:
    count = len(array)
    rows = evenly(count, _SAMPLED_ROWS) if array.nbytes > _WHOLE_BYTES else np.arange(count)
    crc = 0
    for at in range(0, len(rows), _ROWS_AT_A_TIME):
        crc = zlib.crc32(np.ascontiguousarray(array[rows[at : at + _ROWS_AT_A_TIME]]).tobytes(), crc)
    return crc
