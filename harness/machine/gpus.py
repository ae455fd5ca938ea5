"""The GPUs that the driver knows, and whether TensorFlow finds what it needs to use them. No TensorFlow here."""

import subprocess
from collections.abc import Mapping
from contextlib import suppress
from typing import Literal

from harness.machine import cuda
from harness.machine.requirements import install_cuda

TOLD = "HARNESS_GPUS_TOLD"
"""Set for processes that are not to warn of unusable GPUs, since another one has, or will."""


def known() -> list[str]:
    """The GPUs that the driver knows, a line each. Asking nvidia-smi can take seconds where there are any."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):  # not there, or without a driver or GPU it can talk to
        return []
    return [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]


def memory_bytes(kind: Literal["total", "free"], name: str) -> int | None:
    """The memory of that GPU; None where nvidia-smi doesn't tell it, as for a part of a card."""
    query = ["nvidia-smi", f"--query-gpu=memory.{kind}", "--format=csv,noheader,nounits", "-i", name]
    with suppress(OSError, ValueError):
        answer = subprocess.run(query, capture_output=True, text=True)
        return int(answer.stdout) * 2**20 if answer.returncode == 0 else None
    return None


def hidden(environment: Mapping[str, str]) -> bool:
    """Whether the user has hidden all GPUs; CUDA doesn't read on behind a -1."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    return visible is not None and visible.split(",")[0].strip() in ("", "-1")


def warning(environment: Mapping[str, str]) -> str | None:
    """Where TensorFlow sees no GPU: why it can't use those that the driver knows; None where there are none to use."""
    if hidden(environment) or not (count := len(known())):
        return None
    problem = f"nvidia-smi lists {count} GPU{'s' if count > 1 else ''} and TensorFlow can't use any"
    absent = cuda.missing()
    if not absent:
        return f"{problem}, though its libraries are there; what it says: TF_CPP_MIN_LOG_LEVEL=0 harness doctor"
    fixes = []
    if cuda.DRIVER in absent:
        fixes.append(f"{cuda.DRIVER} belongs to NVIDIA's driver; `docker run --gpus all` brings it into a container")
    if absent != [cuda.DRIVER]:
        fixes.append(f"to install the CUDA libraries: {install_cuda()}")
    return f"{problem}, because {', '.join(absent)} can't be loaded; {'; '.join(fixes)}"
