"""Arrays from an .npz file, what stands for their content, and the reason where they can't be read."""

import hashlib
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness.data.problems import places
from harness.errors import DataError


def read_arrays(path: Path, names: Sequence[str], what: str) -> tuple[list[NDArray[Any]], str]:
    """The arrays of those names, and `content_sha256` of them.

    Raises DataError, which begins with `what`, where one is missing or the file can't be read.
    """
    with opened(path, what) as file:
        if not set(names) <= set(file):
            raise DataError(f"{what} must hold the arrays {', '.join(names)}, and holds {places(list(file)) or 'none'}")
        arrays = [file[name] for name in names]
        if not all(isinstance(array, np.ndarray) for array in arrays) or file.zip is None:  # of texts
            raise DataError(f"{what} can't be read as an .npz file of arrays")
        return arrays, content_sha256(file.zip, names)


@contextmanager
def opened(path: Path, what: str) -> Iterator[np.lib.npyio.NpzFile]:
    """The .npz file at `path`, to be read inside. Raises DataError, which begins with `what` and says the reason."""
    try:
        with path.open("rb") as raw:
            file = np.load(raw, allow_pickle=False)
            if not isinstance(file, np.lib.npyio.NpzFile):  # an .npy file
                raise DataError(f"{what} can't be read as an .npz file of arrays")
            with file:
                yield file
    except DataError:
        raise
    except MemoryError as error:
        raise DataError(f"{what} doesn't fit in the memory of this machine: {error or 'none is left'}") from None
    except Exception as error:  # noqa: BLE001  NumPy and zipfile stumble over a damaged file in a dozen ways
        if isinstance(error, OSError) and error.strerror:
            raise DataError(f"{what} can't be read: {error.strerror}") from None
        raise DataError(f"{what} can't be read as an .npz file of arrays") from None


def content_sha256(file: zipfile.ZipFile, names: Iterable[str]) -> str:
    """SHA-256, in hex, over the name, length and CRC-32 of each array.

    The CRC-32 is what the zip file holds and what reading it has checked, so that this takes no time, however large the
    arrays are. It is the same whether they are compressed or not, and tells apart what differs by accident; it is no
    proof against forgery.
    """
    infos = {name: file.getinfo(f"{name}.npy") for name in names}
    return _sha256({name: (info.file_size, info.CRC) for name, info in infos.items()})


def arrays_sha256(arrays: Mapping[str, NDArray[Any]]) -> str:
    """What stands for the content of arrays of numbers that are in no file; in one, `content_sha256` has another."""
    contents = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    return _sha256(
        {
            f"{name} {array.dtype} {array.shape}": (array.nbytes, zlib.crc32(array.reshape(-1).view(np.uint8).data))
            for name, array in contents.items()
        }
    )


def _sha256(contents: Mapping[str, tuple[int, int]]) -> str:
    """Over the length and CRC-32 by name."""
    digest = hashlib.sha256()
    for name in sorted(contents):
        length, crc = contents[name]
        digest.update(f"{name} {length} {crc:08x}\n".encode())
    return digest.hexdigest()
