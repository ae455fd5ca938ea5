"""What is installed, which devices are seen, what is missing, and the command that mends it."""

import ctypes
import hashlib
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table

MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
_PACKAGES = ("tensorflow", "keras", "tensorboard", "tf-keras-vis")
_CUDA_LIBRARIES = {"CUDA runtime": "libcudart.so", "cuDNN": "libcudnn.so", "NCCL": "libnccl.so"}
_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, what was found, what is wrong with it if anything is, and what mends that."""

    name: str
    found: str
    problem: str | None = None
    fix: str | None = None


def examine() -> list[Finding]:
    """Look at everything; imports TensorFlow. Having no GPU is no problem."""
    gpus = _nvidia_smi()
    return [
        _python(),
        *map(_package, _PACKAGES),
        _keras_backend(),
        *_tensorflow_devices(gpus),
        _allocator(),
        Finding("processor", f"{len(os.sched_getaffinity(0))} cores, {_memory_gib():.1f} GiB of memory"),
        _mnist(),
        _runs_folder(),
    ]


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """The findings for JSON: {"ok": bool, "findings": [{"name", "found", "problem", "fix"}, …]}."""
    return {"ok": not any(finding.problem for finding in findings), "findings": [asdict(f) for f in findings]}


def print_table(findings: list[Finding]) -> None:
    """Print a line per finding, and under each problem what it is and what mends it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row("problem" if finding.problem else "ok", finding.name, finding.found)
        if finding.problem:
            table.add_row("", "", finding.problem)
        if finding.fix:
            table.add_row("", "", f"fix: {finding.fix}")
    # Lines are broken to fit a terminal only, so that elsewhere each finding can be searched for.
    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, width=width).print(table)


def _python() -> Finding:
    version = platform.python_version()
    found = f"{version} on {platform.system()} {platform.machine()}, {sys.executable}"
    wanted = SpecifierSet(metadata.metadata("harness")["Requires-Python"])
    if wanted.contains(version, prereleases=True):
        return Finding("Python", found)
    return Finding("Python", found, f"harness needs Python {wanted}", "PYTHON=/path/to/python3 scripts/harness doctor")


def _package(name: str) -> Finding:
    """The installed version against the one that our own metadata ask for."""
    requirement = _requirement(name)
    fix = _pip_install(f"{name}{requirement.specifier}")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"harness needs {name}{requirement.specifier}", fix)
    if requirement.specifier.contains(version, prereleases=True):
        return Finding(name, version)
    return Finding(name, version, f"harness was tested with {name}{requirement.specifier}", fix)


def _requirement(name: str, extra: str = "") -> Requirement:
    """What harness, or one of its extras, asks for of the package `name`."""
    for requirement in map(Requirement, metadata.requires("harness") or []):
        wanted = requirement.marker.evaluate({"extra": extra}) if requirement.marker else not extra
        if wanted and requirement.name == name:
            return requirement
    raise LookupError(f"the metadata of harness don't name {name}")


def _pip_install(*arguments: str) -> str:
    """The command for this very environment, which need not be the one that the user's `pip` belongs to."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def _keras_backend() -> Finding:
    name, fix = "Keras backend", None
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        fix = "unset KERAS_BACKEND"
    try:
        import keras
    except ImportError as error:  # also where the backend asked for is not installed
        return Finding(name, "none", f"Keras can't be imported: {error}", fix)
    backend = str(keras.config.backend())
    if backend == "tensorflow":
        return Finding(name, backend)
    in_file = f'set "backend": "tensorflow" in {Path.home() / ".keras" / "keras.json"}'
    return Finding(name, backend, "harness needs the backend tensorflow", fix or in_file)


def _nvidia_smi() -> list[str]:
    """The GPUs that the driver knows, a line each."""
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=60, check=True)
    except (OSError, subprocess.SubprocessError):  # not there, or without a driver or GPU it can talk to
        return []
    return [line for line in listing.stdout.splitlines() if line.startswith("GPU ")]


def _tensorflow_devices(on_machine: list[str]) -> list[Finding]:
    """The devices TensorFlow sees; where the machine has GPUs, also the CUDA libraries it needs for them."""
    try:
        import tensorflow as tf
    except ImportError as error:
        return [Finding("devices", "none", f"TensorFlow can't be imported: {error}")]

    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in gpus]
    found = ", ".join(["CPU", *names])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if on_machine and visible is not None:
        found += f" (of {len(on_machine)} GPUs; CUDA_VISIBLE_DEVICES is '{visible}')"
    if not on_machine or visible in ("", "-1"):
        return [Finding("devices", found)]

    build = tf.sysconfig.get_build_info()
    libraries = [_cuda_library(*library) for library in _CUDA_LIBRARIES.items()]
    libraries.append(Finding("TensorFlow's CUDA", f"{build.get('cuda_version')}, cuDNN {build.get('cudnn_version')}"))
    if gpus:
        return [Finding("devices", found), *libraries]
    problem = f"nvidia-smi shows {len(on_machine)} GPUs and TensorFlow sees none"
    if any(library.problem for library in libraries):
        fix = _pip_install(_with_cuda())
    else:
        # The libraries are there, so it is the driver, and TensorFlow's own start-up messages say what about it.
        program = "import tensorflow as tf; tf.config.list_physical_devices()"
        fix = "see " + shlex.join(["env", "TF_CPP_MIN_LOG_LEVEL=0", sys.executable, "-c", program])
    return [Finding("devices", found, problem, fix), *libraries]


def _with_cuda() -> str:
    """What the extra `cuda` installs. Named so, and not harness[cuda], because pip may know another harness."""
    requirement = _requirement("tensorflow", extra="cuda")
    return f"{requirement.name}[{','.join(requirement.extras)}]{requirement.specifier}"


def _cuda_library(name: str, library: str) -> Finding:
    found = _loadable(library)
    if found:
        return Finding(name, found)
    return Finding(name, "not found", f"{library} can't be loaded", _pip_install(_with_cuda()))


def _loadable(library: str) -> str | None:
    """The path of `library`, loaded already, from a pip package or from the system; None where there is none."""
    loaded = [path for path in _mapped_files() if path.name.startswith(library)]
    from_pip = Path(str(resources.files("tensorflow"))).parent.glob(f"nvidia/*/lib/{library}*")
    for candidate in (*loaded, *sorted(from_pip), library):
        try:
            ctypes.CDLL(str(candidate))
        except OSError:
            continue
        return str(candidate)
    return None


def _mapped_files() -> list[Path]:
    """The files in this process's memory, shared libraries among them."""
    fields = [line.split(maxsplit=5) for line in Path("/proc/self/maps").read_text().splitlines()]
    return [Path(path) for path in sorted({field[5] for field in fields if len(field) == 6}) if path.startswith("/")]


def _allocator() -> Finding:
    libraries = [path for path in _mapped_files() if any(name in path.name for name in _ALLOCATORS)]
    found = ", ".join(map(str, libraries)) or "glibc malloc"
    preload = os.environ.get("LD_PRELOAD")
    return Finding("allocator", found + (f" (LD_PRELOAD is '{preload}')" if preload else ""))


def _memory_gib() -> float:
    """The machine's memory, or what a container's limit leaves of it."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        memory = min(memory, int(text))
    return memory / 2**30


def _mnist() -> Finding:
    data = Path(str(resources.files("harness.data") / "mnist.npz"))
    if not data.is_file():
        return Finding("MNIST", "missing", f"{data} should be there", _restore(data))
    if hashlib.sha256(data.read_bytes()).hexdigest() != MNIST_SHA256:
        return Finding("MNIST", "damaged", f"{data} is not the file that was shipped", _restore(data))
    return Finding("MNIST", f"intact, {data}")


def _restore(data: Path) -> str:
    """The command that brings back a file of this package, from where the package came from."""
    if (Path(__file__).parents[1] / ".git").exists():
        return shlex.join(["git", "-C", str(data.parent), "checkout", "--", data.name])
    distribution = metadata.distribution("harness")
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    source = origin.get("url", f"harness=={distribution.version}")
    return _pip_install("--force-reinstall", "--no-deps", source)


def _runs_folder() -> Finding:
    """Where `harness train` writes unless told otherwise."""
    runs = Path.cwd() / "runs"
    existing = runs if runs.exists() else runs.parent
    found = f"{runs}, {shutil.disk_usage(existing).free / 2**30:.0f} GiB free"
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding("runs go to", found)
    problem = f"{existing} is not a folder that can be written to"
    return Finding("runs go to", found, problem, "harness train CONFIG --run-dir DIR")
