"""A real Slurm of two nodes on this machine, all of it in one folder: its own key, sockets and ports."""

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

from harness.machine.resources import free_ports

NEEDED = ["munged", "sbatch", "scancel", "scontrol", "sinfo", "slurmctld", "slurmd", "squeue", "srun"]

# The nodes are called by addresses of the loopback interface, so that their names resolve without a line in /etc/hosts.
# A requeued job waits as long as credentials last, which is 2 minutes unless told otherwise, and 5 seconds at least.
CONFIG = """\
ClusterName=test
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort={controller}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=5
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
MpiDefault=none
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,batch_sched_delay=0
NodeName=127.0.0.1 NodeHostname=localhost NodeAddr=127.0.0.1 Port={first} CPUs=1
NodeName=127.0.0.2 NodeHostname=localhost NodeAddr=127.0.0.2 Port={second} CPUs=1
PartitionName=all Nodes=ALL Default=YES
"""


@dataclass(frozen=True)
class Slurm:
    """A running cluster, and the environment in which Slurm's commands find it."""

    environment: Mapping[str, str]

    def call(self, *command: object, cwd: Path | None = None, **environment: str) -> str:
        """Standard output of one of Slurm's commands."""
        ended = subprocess.run(
            [str(word) for word in command],
            cwd=cwd,
            env={**self.environment, **environment},
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert ended.returncode == 0, f"{command}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def job(self, number: str) -> dict[str, str]:
        """What Slurm says of a job: JobState, Restarts, ExitCode, …"""
        words = self.call("scontrol", "--oneliner", "show", "job", number).split()
        return dict(word.split("=", 1) for word in words if "=" in word)


def until(condition: Callable[[], object], seconds: float, what: Callable[[], str]) -> None:
    """Wait until `condition` holds; fail with `what` after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, what()
        time.sleep(0.1)


@contextmanager
def slurm_cluster(folder: Path) -> Iterator[Slurm]:
    """Start it, and leave nothing of it running. Skips the test where Slurm is not installed."""
    if any(shutil.which(name) is None for name in NEEDED) or os.geteuid() != 0:
        pytest.skip("needs Slurm, and to be root: apt install slurm-wlm munge")
    controller, first, second = free_ports(3)
    config = folder / "slurm.conf"
    config.write_text(CONFIG.format(folder=folder, controller=controller, first=first, second=second))
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    (folder / "state").mkdir()
    # Nothing of a Slurm job in which the tests themselves may run.
    outside = {name: value for name, value in os.environ.items() if not name.startswith(("SLURM", "SBATCH"))}
    slurm = Slurm({**outside, "SLURM_CONF": str(config)})

    def log() -> str:
        return "\n".join(path.read_text(errors="replace") for path in sorted(folder.glob("*.log")))

    def start(*command: str) -> None:
        with (folder / f"{command[0]}.log").open("a") as output:
            started.append(subprocess.Popen(command, env=slurm.environment, stdout=output, stderr=output))

    started: list[subprocess.Popen[bytes]] = []
    socket = folder / "munge.socket"
    files = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    try:
        # Forced, because it objects to folders that others can't enter, as those for tests are.
        start("munged", "--foreground", "--force", f"--socket={socket}", *files)
        until(socket.exists, 20, log)
        start("slurmctld", "-D")
        for node in ("127.0.0.1", "127.0.0.2"):
            start("slurmd", "-D", "-N", node)
        idle = ["sinfo", "--noheader", "--states=idle", "--format=%D"]
        until(lambda: _output(idle, slurm.environment).strip() == "2", 30, log)
        yield slurm
    finally:
        _stop(config, started)


def _output(command: list[str], environment: Mapping[str, str]) -> str:
    """Of a command that may fail as yet."""
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60).stdout


def _stop(config: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    """End what was started and all that it has started: jobs, which do not end with the daemons, are ours too."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        end = time.monotonic() + 10
        while (left := _processes(config)) and time.monotonic() < end:
            for pid in left:
                with suppress(ProcessLookupError):
                    os.kill(pid, number)
            time.sleep(0.2)
            for process in started:
                process.poll()
    assert not _processes(config)


def _processes(config: Path) -> list[int]:
    """The processes of this machine that run with that configuration of Slurm."""
    found = []
    for path in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):
            if f"SLURM_CONF={config}".encode() in path.read_bytes().split(b"\0"):
                found.append(int(path.parent.name))
    return found
