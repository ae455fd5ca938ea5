"""constraints.txt pins what a machine with a card gets, too."""

from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pairs = [line.split("==") for line in lines if not line.startswith("#")]
    return {canonicalize_name(name): version for name, version in pairs}


def test_every_package_that_cuda_needs_is_pinned_to_a_version_that_tensorflow_takes() -> None:
    asked = [
        requirement
        for requirement in map(Requirement, metadata.requires("tensorflow") or [])
        if requirement.marker and 'extra == "and-cuda"' in str(requirement.marker)
    ]
    assert len(asked) > 10
    pinned = pins()
    assert [str(each) for each in asked if not each.specifier.contains(pinned.get(each.name, "0"))] == []
