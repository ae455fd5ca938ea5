"""What harness asks pip for, and the commands that bring it."""

import shlex
import sys
from importlib import metadata

from packaging.requirements import Requirement

from harness.errors import UserError

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


def install_extra(extra: str) -> str:
    """The command for an extra, by what it asks for: the package itself may be in no registry."""
    return pip_install(*map(_as_asked, _of_extra(extra)))


def install_cuda() -> str:
    """The command for TensorFlow with what it needs on NVIDIA GPUs."""
    return install_extra("cuda")


def install_slurm() -> str:
    """The command for what `--executor slurm` needs."""
    return install_extra("slurm")


def check_extra(extra: str, what: str) -> None:
    """Raise UserError, which says that `what` needs it, where a package of that extra is missing or too old."""
    lacking = [_as_asked(each) for each in _of_extra(extra) if not _is_installed(each)]
    if lacking:
        raise UserError(f"{what} needs {' and '.join(lacking)}: {install_extra(extra)}")


def _of_extra(extra: str) -> list[Requirement]:
    every = map(Requirement, metadata.requires(DISTRIBUTION) or [])
    found = [each for each in every if each.marker and each.marker.evaluate({"extra": extra})]
    if not found:
        raise LookupError(f"the metadata of {DISTRIBUTION} don't name the extra {extra}")
    return found


def _as_asked(wanted: Requirement) -> str:
    extras = f"[{','.join(sorted(wanted.extras))}]" if wanted.extras else ""
    return f"{wanted.name}{extras}{wanted.specifier}"


def _is_installed(wanted: Requirement) -> bool:
    try:
        return wanted.specifier.contains(metadata.version(wanted.name), prereleases=True)
    except metadata.PackageNotFoundError:
        return False
