"""TensorBoard for a run or a folder of runs, on this machine alone."""

import os
import socket
from pathlib import Path

from harness.errors import RunError, UserError
from harness.runs.run_dir import RunDir
from harness.runs.run_names import RUNS

_HOST = "127.0.0.1"
_FIRST_PORT = 6006


def find(folder: Path, port: int | None) -> tuple[Path, int]:
    """The event files' folder for a run, by its path or name, or for a folder of runs; and `port`, or the first free
    one from 6006 on.

    Raises UserError where there is nothing to show or the port is taken.
    """
    if folder == RUNS and not folder.exists():
        raise RunError(f"there is no ./{RUNS}, where runs are written by default: name a RUN, or a folder of runs")
    if not os.path.isdir(folder):
        folder = RunDir.open(folder).path
    # TensorBoard follows links too, to runs on another disk for one.
    if not any("tfevents" in name for *_, names in os.walk(folder, followlinks=True) for name in names):
        raise RunError(f"{folder} holds no TensorBoard event files")
    run = RunDir(folder)
    return (run.tensorboard_dir if run.exists() else folder), _free_port(port)


def serve(logdir: Path, port: int) -> None:
    """Show `logdir` until interrupted."""
    from tensorboard.program import TensorBoard

    tunnel = f"ssh -N -L {port}:{_HOST}:{port} {os.environ.get('USER', 'you')}@{socket.gethostname()}"
    print(f"TensorBoard of {logdir}: http://{_HOST}:{port}/  (Ctrl-C ends it)")
    print(f"from another machine: {tunnel}  and open the same address there", flush=True)
    server = TensorBoard()
    server.configure(["tensorboard", "--logdir", str(logdir), "--host", _HOST, "--port", str(port)])
    server.main()


def _free_port(wanted: int | None) -> int:
    candidates = range(_FIRST_PORT, _FIRST_PORT + 100) if wanted is None else [wanted]
    for port in candidates:
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((_HOST, port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    raise UserError(f"--port {wanted}: in use; leave it out to take a free one" if wanted else "no free port found")
