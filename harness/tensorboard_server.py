"""TensorBoard for a run or a folder of runs, on this machine alone."""

import getpass
import os
import socket
import sys
from pathlib import Path

from harness.errors import RunError, UserError
from harness.run_dir import RunDir

_HOST = "127.0.0.1"
_FIRST_PORT = 6006


def serve(folder: Path, port: int | None) -> None:
    """Become TensorBoard's process, showing `folder`; on `port`, or the first free one from 6006 on.

    Raises UserError where there is nothing to show or the port is taken.
    """
    if not folder.is_dir():
        raise RunError(f"{folder} is no folder: name a run, or a folder of runs")
    if not any(folder.rglob("*tfevents*")):
        raise RunError(f"{folder} holds no TensorBoard event files")
    run = RunDir(folder)
    logdir = run.tensorboard_dir if run.exists() else folder
    port = _free_port(port)
    tunnel = f"ssh -N -L {port}:{_HOST}:{port} {getpass.getuser()}@{socket.gethostname()}"
    print(f"TensorBoard of {folder}: http://{_HOST}:{port}/  (Ctrl-C ends it)")
    print(f"from another machine: {tunnel}  then open the same address there", flush=True)
    command = ["-m", "tensorboard.main", "--logdir", str(logdir), "--host", _HOST, "--port", str(port)]
    os.execv(sys.executable, [sys.executable, *command])


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
    raise UserError(f"--port {wanted}: in use; leave it out to take a free one")
