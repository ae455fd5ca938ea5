"""What is installed, which devices are seen, what is missing and how to get it."""

import ctypes
import hashlib
import os
import platform
import re
import shutil
import subprocess
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from rich.console import Console
from rich.table import Table

MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
_CUDA_LIBRARIES = {"CUDA runtime": "libcudart.so", "cuDNN": "libcudnn.so", "NCCL": "libnccl.so"}
_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, what was found, and what to do where that is a problem."""

    name: str
    found: str
    problem: str | None = None
    fix: str | None = None


def examine() -> list[Finding]:
    """Look at everything; imports TensorFlow."""
    return [
        _python(),
        *(_package(name) for name in ("tensorflow", "keras", "tensorboard", "tf-keras-vis")),
        *_devices(),
        *_cuda_libraries(),
        _allocator(),
        Finding("processor", f"{len(os.sched_getaffinity(0))} cores, {_memory_gib():.0f} GiB of memory"),
        _mnist(),
        _working_folder(),
    ]


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """The findings for JSON: {"ok": bool, "findings": [{"name", "found", "problem", "fix"}, …]}."""
    return {"ok": not any(finding.problem for finding in findings), "findings": [asdict(f) for f in findings]}


def print_table(findings: list[Finding]) -> None:
    """Print a line per finding, and under each problem what mends it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row("problem" if finding.problem else "ok", finding.name, finding.found)
        if finding.problem:
            table.add_row("", "", finding.problem)
        if finding.fix:
            table.add_row("", "", f"fix: {finding.fix}")
    Console(highlight=False, markup=False).print(table)


def _python() -> Finding:
    return Finding("Python", f"{platform.python_version()} on {platform.system()} {platform.machine()}")


def _package(name: str) -> Finding:
    """The installed version against what our own metadata ask for."""
    requirements = map(Requirement, metadata.requires("harness") or [])
    wanted = next(r.specifier for r in requirements if r.name == name and r.marker is None)
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"harness needs {name}{wanted}", f"pip install '{name}{wanted}'")
    if version in wanted:
        return Finding(name, version)
    return Finding(name, version, f"harness was tested with {name}{wanted}", f"pip install '{name}{wanted}'")


def _devices() -> list[Finding]:
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "unnamed") for gpu in gpus]
    on_machine = _nvidia_smi()
    if len(on_machine) > len(gpus):
        problem = f"the driver shows {len(on_machine)} GPUs, TensorFlow sees {len(gpus)}"
        hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
        if hidden is not None:
            return [
                Finding("GPUs", ", ".join(names) or "none", problem, f"unset CUDA_VISIBLE_DEVICES (it is '{hidden}')")
            ]
        return [Finding("GPUs", ", ".join(names) or "none", problem, "pip install 'harness[cuda]'")]
    return [Finding("GPUs", ", ".join(names) or "none: training runs on the CPU")]


def _nvidia_smi() -> list[str]:
    if shutil.which("nvidia-smi") is None:
        return []
    listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]


def _cuda_libraries() -> list[Finding]:
    """Which CUDA libraries can be loaded; looked for only where there is a GPU to use them."""
    import tensorflow as tf

    build = tf.sysconfig.get_build_info()
    if not build.get("is_cuda_build") or not _nvidia_smi():
        return []
    findings = []
    for name, library in _CUDA_LIBRARIES.items():
        found = _loadable(library)
        problem = None if found else f"{library} can't be loaded"
        findings.append(Finding(name, found or "not found", problem, None if found else "pip install 'harness[cuda]'"))
    return findings


def _loadable(library: str) -> str | None:
    """The path of `library`, loaded already, from a pip package or from the system; None where there is none."""
    loaded = re.search(rf"\S*{re.escape(library)}\S*", Path("/proc/self/maps").read_text())
    if loaded:
        return loaded[0]
    nvidia = Path(str(resources.files("tensorflow"))).parent / "nvidia"
    candidates = [*map(str, nvidia.glob(f"*/lib/{library}*")), library]
    for candidate in candidates:
        try:
            ctypes.CDLL(candidate)
        except OSError:
            continue
        return candidate
    return None


def _allocator() -> Finding:
    maps = Path("/proc/self/maps").read_text()
    found = next((name for name in _ALLOCATORS if name in maps), "glibc malloc")
    return Finding("allocator", found)


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30


def _mnist() -> Finding:
    data = Path(str(resources.files("harness.data") / "mnist.npz"))
    if data.is_file() and hashlib.sha256(data.read_bytes()).hexdigest() == MNIST_SHA256:
        return Finding("MNIST", f"{data}, intact")
    return Finding("MNIST", str(data), "missing or damaged", "pip install --force-reinstall --no-deps harness")


def _working_folder() -> Finding:
    here = Path.cwd()
    free = f"{shutil.disk_usage(here).free / 2**30:.0f} GiB free"
    if os.access(here, os.W_OK):
        return Finding("runs go to", f"{here / 'runs'}, {free}")
    return Finding("runs go to", f"{here / 'runs'}", f"{here} is not writable", "harness train CONFIG --run-dir DIR")
