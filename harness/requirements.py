"""What harness asks pip for, and the commands that bring it."""

import shlex
import sys
from importlib import metadata

from packaging.requirements import Requirement


def requirement(name: str, extra: str = "") -> Requirement:
    """What harness, or one of its extras, asks for of the package `name`."""
    for each in map(Requirement, metadata.requires("harness") or []):
        wanted = each.marker.evaluate({"extra": extra}) if each.marker else not extra
        if wanted and each.name == name:
            return each
    raise LookupError(f"the metadata of harness don't name {name}")


def pip_install(*arguments: str) -> str:
    """The command for this very environment, which need not be the one that the user's `pip` belongs to."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def install_cuda() -> str:
    """The command for the extra `cuda`. It doesn't name harness[cuda], because pip may know another harness."""
    wanted = requirement("tensorflow", extra="cuda")
    return pip_install(f"{wanted.name}[{','.join(wanted.extras)}]{wanted.specifier}")
