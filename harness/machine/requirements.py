"""What harness asks pip for, and the commands that bring it."""

import shlex
import sys
from importlib import metadata

from packaging.requirements import Requirement

DISTRIBUTION = "mirrored-harness"
"""What pip calls this package: it knows another `harness`."""


def requirement(name: str, extra: str = "") -> Requirement:
    """What harness, or one of its extras, asks for of the package `name`."""
    for each in map(Requirement, metadata.requires(DISTRIBUTION) or []):
        wanted = each.marker.evaluate({"extra": extra}) if each.marker else not extra
        if wanted and each.name == name:
            return each
    raise LookupError(f"the metadata of {DISTRIBUTION} don't name {name}")


def pip_install(*arguments: str) -> str:
    """The command for this very environment, which need not be the one that the user's `pip` belongs to."""
    return shlex.join([sys.executable, "-m", "pip", "install", *arguments])


def install_cuda() -> str:
    """The command for the extra `cuda`, by what it asks for: the package itself may be in no registry."""
    wanted = requirement("tensorflow", extra="cuda")
    return pip_install(f"{wanted.name}[{','.join(wanted.extras)}]{wanted.specifier}")


def install_slurm() -> str:
    """The same for the extra `slurm`."""
    return install_extra("slurm")


def install_extra(extra: str) -> str:
    """The same for an extra of packages that are asked for as they are."""
    wanted = [each for each in map(Requirement, metadata.requires(DISTRIBUTION) or []) if _is_of(each, extra)]
    return pip_install(*(f"{each.name}{each.specifier}" for each in wanted))


def _is_of(wanted: Requirement, extra: str) -> bool:
    return wanted.marker is not None and wanted.marker.evaluate({"extra": extra})
