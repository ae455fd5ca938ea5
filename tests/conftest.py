"""What several test folders share: a small real data set, real runs of it, and the command line in this process."""

import faulthandler
import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Generator, Iterator
from dataclasses import astuple, dataclass
from importlib import metadata, resources
from pathlib import Path

import numpy as np
import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key
from playwright.sync_api import Browser, sync_playwright

from harness.machine import gpus
from tests.processes import completed, forked

# The tests' own process, and those it starts, use CPUs on every machine: TensorFlow settles its devices once a process.
# Tests marked gpu give the cards to processes of their own. Which cards is kept in a variable of another name, so that
# pytest-xdist's workers, which inherit this environment, know it too.
_CARDS = "HARNESS_TESTS_CUDA_VISIBLE_DEVICES"
if "PYTEST_XDIST_WORKER" not in os.environ:
    os.environ.pop(_CARDS, None)
    if "CUDA_VISIBLE_DEVICES" in os.environ:
        os.environ[_CARDS] = os.environ["CUDA_VISIBLE_DEVICES"]
os.environ["CUDA_VISIBLE_DEVICES"] = ""

# A shell that starts the tests with & has them ignore SIGINT and SIGQUIT, and nohup SIGHUP. The processes that they
# start would inherit that, and those that a test interrupts would never end; a handler, unlike SIG_IGN, is not
# inherited.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGQUIT) is signal.SIG_IGN:
    signal.signal(signal.SIGQUIT, signal.SIG_DFL)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, lambda number, frame: None)

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first, so that in the end no worker waits for another one's minutes."""
    with_slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in with_slow)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """A skipped test is a failed one where it could run: with its cards there, or all installed on purpose (CI)."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail"):
        gpu = item.get_closest_marker("gpu")
        if len(gpus.known()) >= gpu.kwargs.get("cards", 1) if gpu else os.environ.get("CI") == "true":
            report.outcome = "failed"
    return report


@pytest.fixture(scope="session", autouse=True)
def _four_logical_cpus() -> None:
    """Room for real replicas; TensorFlow takes this only before its first operation."""
    import tensorflow as tf  # not in the process of pytest-xdist that only hands out the tests

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 4)
    assert len(tf.config.list_logical_devices("CPU")) == 4  # asking also makes it final


@pytest.fixture(scope="module")  # no longer: as long as it lives, asyncio takes its loop for a running one
def browser() -> Iterator[Browser]:
    """A headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("needs a browser: apt install chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-background-networking"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def with_gpus() -> dict[str, str]:
    """The environment of a process that may use the machine's GPUs."""
    environment = {key: value for key, value in os.environ.items() if key not in ("CUDA_VISIBLE_DEVICES", _CARDS)}
    return {**environment, "CUDA_VISIBLE_DEVICES": os.environ[_CARDS]} if _CARDS in os.environ else environment


@dataclass(frozen=True)
class Result:
    """What a command line ended with."""

    exit_code: int
    stdout: str
    stderr: str


@dataclass(frozen=True)
class KilledRun:
    """A run killed by SIGKILL after several checkpoints, and what `harness runs` called it while it lived."""

    path: Path
    status_while_alive: str
    refusal_while_alive: Result


@pytest.fixture
def call(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, pytestconfig: pytest.Config
) -> Callable[..., Result]:
    """Run `harness` with the given arguments in this process. Anything but an exit is a traceback: our bug."""
    from harness.cli import main

    def run(*arguments: object) -> Result:
        monkeypatch.setattr(sys, "argv", ["harness", *map(str, arguments)])
        capfd.readouterr()
        output, errors, descriptor = sys.stdout, sys.stderr, os.dup(2)
        handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
        try:
            with pytest.raises(SystemExit) as ended:
                main()
        finally:  # what a process of its own would take with it
            for number, handler in handlers.items():
                signal.signal(number, handler)
            os.dup2(descriptor, 2)
            os.close(descriptor)
            sys.stdout.close()
            sys.stderr.close()
            sys.stdout, sys.stderr = output, errors
            faulthandler.enable(file=pytestconfig.stash[fault_handler_stderr_fd_key])
        code = ended.value.code or 0
        assert isinstance(code, int)
        return Result(code, *capfd.readouterr())

    return run


@pytest.fixture
def without_package(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Let a distribution count as one that isn't installed."""
    real = metadata.version

    def leave_out(missing: str) -> None:
        def version(name: str) -> str:
            if name == missing:
                raise metadata.PackageNotFoundError(name)
            return real(name)

        monkeypatch.setattr(metadata, "version", version)

    return leave_out


@pytest.fixture(scope="session")
def script() -> Path:
    """The console script of the environment that runs the tests."""
    return Path(sys.executable).with_name("harness")


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, Callable[[Path], None]], Path]:
    """The folder of that name that `make` has filled, for all of pytest-xdist's workers; tests only read it."""

    def folder(name: str, make: Callable[[Path], None]) -> Path:
        base = tmp_path_factory.getbasetemp()
        path = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
        with path.with_suffix(".lock").open("a+") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.seek(0)
            if not lock.read():
                shutil.rmtree(path, ignore_errors=True)  # what another worker could not make
                path.mkdir()
                make(path)
                lock.write("made")
        return path

    return folder


@pytest.fixture(scope="session")
def small_data(made_once: Callable[..., Path]) -> Path:
    """The first 2,000 training and 500 test images of MNIST, as an .npz file."""

    def make(folder: Path) -> None:
        rows = {"x_train": 2000, "y_train": 2000, "x_test": 500, "y_test": 500}
        with resources.files("harness.data").joinpath("mnist.npz").open("rb") as file, np.load(file) as arrays:
            np.savez(folder / "small.npz", **{name: arrays[name][:count] for name, count in rows.items()})

    return made_once("data", make) / "small.npz"


@pytest.fixture(scope="session")
def small_config(small_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config that trains for a moment on `small_data`."""
    path = tmp_path_factory.mktemp("config") / "small.yaml"
    path.write_text(
        f"name: small\n"
        f"data: {{source: {small_data}, validation: 200}}\n"
        "train: {length: 30 steps, global_batch: 32}\n"
        "schedule: {warmup: 3 steps}\n"
        "evaluate: {every: 15 steps}\n"
        "checkpoint: {every: 15 steps}\n"
        "insight: {images: 2, methods: [gradient]}\n"
    )
    return path


TINY = """
import keras

def net(image_shape, classes):
    layers = [keras.Input(image_shape), keras.layers.Rescaling(1 / 255), keras.layers.Flatten()]
    return keras.Sequential([*layers, keras.layers.Dense(classes)])
"""


@pytest.fixture(scope="session")
def tiny_model(made_once: Callable[..., Path]) -> Iterator[str]:
    """The setting of a model of one layer, which is soon compiled: for where the model isn't the point.

    The processes that a test starts find it too.
    """
    folder = str(made_once("tiny", lambda made: made.joinpath("tiny_of_tests.py").write_text(TINY)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "path", [*sys.path, folder])
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        yield "model={name: tiny_of_tests:net}"


@pytest.fixture(scope="session")
def completed_run(
    script: Path, small_config: Path, made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Result]:
    """A run trained to its end by the console script, and what that printed."""

    def make(folder: Path) -> None:
        command: list[str | Path] = [script, "train", small_config, "--run-dir", folder / "runs" / "small"]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        (folder / "printed.json").write_text(json.dumps([ended.returncode, ended.stdout, ended.stderr]))

    made = made_once("completed", make)
    # Each worker has its own: a run is locked by the commands that use it.
    path = shutil.copytree(made / "runs" / "small", tmp_path_factory.mktemp("completed") / "runs" / "small")
    return path, Result(*json.loads((made / "printed.json").read_text()))


@pytest.fixture(scope="session")
def killed_run(
    script: Path, small_config: Path, made_once: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> KilledRun:
    """A run killed in the middle, and what another process was told while it lived."""

    def make(folder: Path) -> None:
        status, refusal = killed(script, small_config, folder / "small")
        (folder / "told.json").write_text(json.dumps([status, *astuple(refusal)]))

    made = made_once("killed", make)
    path = shutil.copytree(made / "small", tmp_path_factory.mktemp("killed") / "runs" / "small")
    status, *refusal = json.loads((made / "told.json").read_text())
    return KilledRun(path, status, Result(*refusal))


def killed(script: Path, config: Path, path: Path) -> tuple[str, Result]:
    """Train in `path`, and kill it in the middle: its status before, and what a resume was told then."""
    settings = [
        "train.length=5000 steps",
        "evaluate.every=5 steps",
        "checkpoint.every=5 steps",
        "schedule.name=constant",
    ]
    sets = [word for setting in settings for word in ("--set", setting)]
    with forked("train", config, "--run-dir", path, *sets) as process:
        validations = 0
        for line in process.stdout:
            validations += "  validation  " in line
            if validations == 4:  # each but the newest has its checkpoint
                break
        listed = subprocess.run([script, "runs", path.parent, "--json"], capture_output=True, text=True, check=True)
        resumed = completed("train", path / "config.yaml", "--resume", path)
    (row,) = json.loads(listed.stdout)
    return row["status"], Result(resumed.returncode, resumed.stdout, resumed.stderr)
