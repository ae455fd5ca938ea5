"""The shared libraries of CUDA that TensorFlow needs: which, where they are, and whether their versions will do."""

import ctypes
from collections.abc import Mapping
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

DRIVER = "libcuda.so.1"
LIBRARIES = {
    "CUDA runtime": "libcudart.so.12",
    "cuBLAS": "libcublas.so.12",
    "cuBLASLt": "libcublasLt.so.12",
    "cuFFT": "libcufft.so.11",
    "cuSOLVER": "libcusolver.so.11",
    "cuSPARSE": "libcusparse.so.12",
    "cuDNN": "libcudnn.so.9",
    "NCCL": "libnccl.so.2",
}
"""What TensorFlow 2.21 opens when it looks for GPUs, and NCCL, which it opens for several of them."""


def path_of(library: str) -> str | None:
    """Where TensorFlow finds a shared library: its path in a pip package, or its name where the system has it."""
    spec = find_spec("tensorflow")  # which imports nothing
    if spec and spec.origin:
        for path in Path(spec.origin).parents[1].glob(f"nvidia/*/lib/{library}"):
            return str(path)
    try:
        ctypes.CDLL(library)
    except OSError:
        return None
    return library


def missing() -> list[str]:
    """The libraries, the driver's among them, that are nowhere; without any one of these TensorFlow uses no GPU."""
    needed = [DRIVER, *(library for name, library in LIBRARIES.items() if name != "NCCL")]
    return [library for library in needed if path_of(library) is None]


def version(name: str, path: str) -> tuple[int, int] | None:
    """Major and minor version that a library, of that name in LIBRARIES, gives itself; None for all but two of them.

    Raises OSError where the file at `path` can't be loaded.
    """
    library = ctypes.CDLL(path)
    if name == "CUDA runtime":
        number = ctypes.c_int()
        library.cudaRuntimeGetVersion(ctypes.byref(number))
        return number.value // 1000, number.value % 1000 // 10
    if name == "cuDNN":
        library.cudnnGetVersion.restype = ctypes.c_size_t
        return cudnn_version(library.cudnnGetVersion())
    return None


def cudnn_version(number: int) -> tuple[int, int]:
    """Major and minor version from what cudnnGetVersion gives: 91900 is 9.19, and before version 9, 8907 was 8.9."""
    return (number // 10000, number // 100 % 100) if number >= 10000 else (number // 1000, number // 100 % 10)


def built_for(build_info: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """The versions that TensorFlow was built for, from tf.sysconfig.get_build_info().

    Of cuDNN that has the major version alone, so the oldest that TensorFlow's own extra `and-cuda` takes counts.
    """
    found = {"CUDA runtime": build_info.get("cuda_version"), "cuDNN": build_info.get("cudnn_version")}
    for requirement in map(Requirement, metadata.requires("tensorflow") or []):
        if requirement.name == "nvidia-cudnn-cu12":
            found["cuDNN"] = next(each.version for each in requirement.specifier if each.operator == ">=")
    return {name: tuple(map(int, text.split(".")))[:2] for name, text in found.items() if text}


def mismatch(installed: tuple[int, int], built: tuple[int, ...]) -> str | None:
    """Why a library of that version doesn't do for a TensorFlow built for another; None where it does.

    CUDA and cuDNN promise that what was built for one version runs with a later one of the same major version.
    """
    wanted, found = (".".join(map(str, each)) for each in (built, installed))
    if installed[0] != built[0]:
        return f"TensorFlow was built for {wanted}, and {found} is of another major version"
    if installed[: len(built)] < built:
        return f"TensorFlow was built for {wanted}, and {found} is too old"
    return None
