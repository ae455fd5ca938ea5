"""What made a run: versions, and the state of the source."""

import platform
import subprocess
from importlib import metadata
from pathlib import Path

from harness.machine.requirements import DISTRIBUTION


def versions() -> dict[str, str]:
    """Versions of Python and of what decides the numbers."""
    packages = {name: metadata.version(name) for name in ("tensorflow", "keras", "tf-keras-vis", "numpy")}
    return {"python": platform.python_version(), "harness": metadata.version(DISTRIBUTION), **packages}


def git() -> str | None:
    """The commit of the package's own checkout, with "-dirty" where files differ; None outside a checkout."""
    folder = Path(__file__).resolve().parent
    command = ["git", "-C", str(folder), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    try:
        if subprocess.run(
            ["git", "-C", str(folder), "ls-files", "--error-unmatch", __file__], capture_output=True
        ).returncode:
            return None
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
