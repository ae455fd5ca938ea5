"""What is installed, which devices are seen, what is missing, and the command that fixes it."""

import hashlib
import json
import os
import platform
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from importlib import metadata, resources
from pathlib import Path
from typing import Any

from packaging.specifiers import SpecifierSet
from rich.console import Console
from rich.table import Table

from harness import keras_settings
from harness.errors import UserError
from harness.machine import cuda, gpus
from harness.machine.requirements import DISTRIBUTION, install_cuda, pip_install, requirement

MNIST = Path(str(resources.files("harness.data") / "mnist.npz"))
_MNIST_SHA256 = "06af5dfe73b70e3bc1c36439982b18a8d76803db9b544f6fdf838a37fbb01b64"
_PACKAGES = ("tensorflow", "keras", "tensorboard", "tf-keras-vis")
_ALLOCATORS = ("tcmalloc", "jemalloc", "mimalloc")


@dataclass(frozen=True)
class Finding:
    """One thing looked at: its name, what was found, what is wrong with it if anything is, and what fixes that."""

    name: str
    found: str
    problem: str | None = None
    fix: str | None = None


def examine(mnist: Path = MNIST, libraries: Mapping[str, str] = cuda.LIBRARIES) -> list[Finding]:
    """Look at everything; imports TensorFlow. Having no GPU is no problem.

    Args:
        mnist: the file that should hold MNIST.
        libraries: the shared libraries that TensorFlow needs where there are GPUs, by name.
    """
    on_machine = gpus.known()
    return [
        _python(),
        *map(_package, _PACKAGES),
        _keras_backend(),
        _keras_settings(),
        *_tensorflow_devices(on_machine, libraries),
        _allocator(),
        Finding("processor", f"{len(os.sched_getaffinity(0))} cores, {_memory_gib():.1f} GiB of memory"),
        _mnist(mnist),
        _runs_folder(),
    ]


def as_dict(findings: list[Finding]) -> dict[str, Any]:
    """The findings for JSON: {"ok": bool, "findings": [{"name", "found", "problem", "fix"}, …]}."""
    return {"ok": not any(finding.problem for finding in findings), "findings": [asdict(f) for f in findings]}


def print_table(findings: list[Finding]) -> None:
    """Print a line per finding, and under each problem what it is and what fixes it."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for finding in findings:
        table.add_row("problem" if finding.problem else "ok", finding.name, finding.found)
        if finding.problem:
            table.add_row("", "", finding.problem)
        if finding.fix:
            table.add_row("", "", f"fix: {finding.fix}")
    # Lines are broken to fit a terminal only, so that elsewhere each finding can be searched for.
    width = None if sys.stdout.isatty() else 10_000
    Console(highlight=False, markup=False, force_terminal=sys.stdout.isatty(), width=width).print(table)


def _python() -> Finding:
    version = platform.python_version()
    found = f"{version} on {platform.system()} {platform.machine()}, {sys.executable}"
    wanted = SpecifierSet(metadata.metadata(DISTRIBUTION)["Requires-Python"])
    if wanted.contains(version, prereleases=True):
        return Finding("Python", found)
    return Finding("Python", found, f"harness needs Python {wanted}", "PYTHON=/path/to/python3 scripts/harness doctor")


def _package(name: str) -> Finding:
    """The installed version against the one that our own metadata ask for."""
    wanted = requirement(name).specifier
    fix = pip_install(f"{name}{wanted}")
    try:
        version = metadata.version(name)
    except metadata.PackageNotFoundError:
        return Finding(name, "not installed", f"harness needs {name}{wanted}", fix)
    if wanted.contains(version, prereleases=True):
        return Finding(name, version)
    return Finding(name, version, f"harness was tested with {name}{wanted}", fix)


def _keras_backend() -> Finding:
    name, fix = "Keras backend", f"delete {keras_settings.settings_file()}, or fix it"
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        fix = "unset KERAS_BACKEND"
    try:
        keras_settings.import_keras()
    except ImportError as error:
        return Finding(name, "none", f"Keras can't be imported: {error}")
    except UserError as error:
        return Finding(name, "none", str(error), fix)
    return Finding(name, "tensorflow")


def _keras_settings() -> Finding:
    """What the user has set for other projects: no problem, as nothing here follows it."""
    ignored = keras_settings.overridden()
    return Finding("Keras settings", f"not followed here: {', '.join(ignored)}" if ignored else "Keras's defaults")


def _tensorflow_devices(on_machine: list[str], needed: Mapping[str, str]) -> list[Finding]:
    """The devices TensorFlow sees; where the machine has GPUs, also the CUDA libraries it needs for them."""
    try:
        keras_settings.import_keras()
        import tensorflow as tf
    except (ImportError, UserError) as error:
        return [Finding("devices", "none", f"TensorFlow can't be imported: {error}")]

    seen = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", "GPU") for gpu in seen]
    found = ", ".join(["CPU", *names])
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if on_machine and visible is not None:
        found += f" (of {len(on_machine)} GPUs; CUDA_VISIBLE_DEVICES is '{visible}')"
    if not on_machine or gpus.hidden(os.environ):
        return [Finding("devices", found)]

    build = tf.sysconfig.get_build_info()
    built = cuda.built_for(build)
    libraries = [_cuda_library(name, library, built.get(name)) for name, library in needed.items()]
    libraries.append(Finding("TensorFlow's CUDA", f"{build.get('cuda_version')}, cuDNN {build.get('cudnn_version')}"))
    if seen:
        return [Finding("devices", found), *libraries]
    problem = f"nvidia-smi shows {len(on_machine)} GPUs and TensorFlow sees none"
    if any(library.problem for library in libraries):
        fix = install_cuda()
    else:
        # The libraries are there, so it is the driver, and TensorFlow's own start-up messages say what about it.
        fix = "see TF_CPP_MIN_LOG_LEVEL=0 harness doctor"
    return [Finding("devices", found, problem, fix), *libraries]


def _cuda_library(name: str, library: str, built: tuple[int, ...] | None) -> Finding:
    """Whether the library is there, and of a version that does; the one in use, where TensorFlow has loaded one."""
    loaded = [str(path) for path in _mapped_files() if path.name.startswith(library)]
    path = loaded[0] if loaded else cuda.path_of(library)
    if path is None:
        return Finding(name, "not found", f"{library} can't be loaded", install_cuda())
    try:
        version = cuda.version(name, path)
    except OSError as error:
        return Finding(name, path, f"{library} can't be loaded: {error}", install_cuda())
    found = path if version is None else f"{'.'.join(map(str, version))}, {path}"
    problem = cuda.mismatch(version, built) if version and built else None
    return Finding(name, found, problem, install_cuda() if problem else None)


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


def _mnist(data: Path) -> Finding:
    if not data.is_file():
        return Finding("MNIST", "missing", f"{data} should be there", _restore(data))
    if hashlib.sha256(data.read_bytes()).hexdigest() != _MNIST_SHA256:
        return Finding("MNIST", "damaged", f"{data} is not the file that was shipped", _restore(data))
    return Finding("MNIST", f"intact, {data}")


def _restore(data: Path) -> str:
    """The command that brings back a file of this package, from where the package came from."""
    if (Path(__file__).parents[2] / ".git").exists():
        return shlex.join(["git", "-C", str(data.parent), "checkout", "--", data.name])
    distribution = metadata.distribution(DISTRIBUTION)
    origin = json.loads(distribution.read_text("direct_url.json") or "{}")
    source = origin.get("url", f"{DISTRIBUTION}=={distribution.version}")
    return pip_install("--force-reinstall", "--no-deps", source)


def _runs_folder() -> Finding:
    """Where `harness train` writes unless told otherwise."""
    runs = Path.cwd() / "runs"
    existing = runs if runs.exists() else runs.parent
    found = f"{runs}, {shutil.disk_usage(existing).free / 2**30:.0f} GiB free"
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding("runs go to", found)
    problem = f"{existing} is not a folder that can be written to"
    return Finding("runs go to", found, problem, "harness train CONFIG --run-dir DIR")
