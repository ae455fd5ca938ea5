"""Whether what was found is right: pure."""

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.gpu_check.plan import TF32
from harness.gpu_check.processes import Ended

REPLICAS_TOLERANCE = 1e-3
"""Relative difference of each weight array after 50 SGD steps in float32. Only the order of a sum differs, but where it
turns a ReLU at zero on or off, the difference is a jump: 2e-4 was seen between logical CPUs."""
_GUESS = math.log(10)
"""The loss of ten classes that are held equally likely."""
_TF32_TOLERANCE = 0.01
_PRECISION_TOLERANCE = 0.1
"""Relative difference of the mean loss of ten steps to that of float32, which falls from 2.3 to 2.1 meanwhile: on a
processor bfloat16 is 0.01 % off."""


@dataclass(frozen=True)
class Check:
    """One thing that has to hold."""

    name: str
    passed: bool | None
    """None where nothing is known: it was left out, or the user stopped everything."""
    found: str
    how: str
    """How it was found."""


def unfinished(name: str, how: str, ends: Sequence[Ended]) -> Check | None:
    """The check, where one of the processes that it needs has not ended well; else None."""
    for ended in ends:
        if ended.problem is not None:
            return Check(name, None if ended.stopped else False, ended.problem, how)
    return None


def equal_weights(name: str, how: str, hashes: Sequence[str]) -> Check:
    """Whether runs ended with the same `weights_sha256`."""
    if len(set(hashes)) == 1:
        return Check(name, True, f"weights_sha256 {hashes[0][:12]}… {len(hashes)} times", how)
    return Check(name, False, "weights_sha256 " + ", ".join(f"{each[:12]}…" for each in hashes), how)


def killed(name: str, how: str, ended: Ended) -> Check | None:
    """The check, where the run that was to be killed was not; else None."""
    return None if ended.killed else Check(name, False, "the run ended before it could be killed", how)


def precision(name: str, how: str, label: str, loss: float, reference: float) -> Check:
    """Whether a precision's mean loss over ten steps is close to that of float32, and float32's less than a guess's."""
    if label == "float32":
        return Check(name, loss < _GUESS, f"loss {loss:.4f} (below {_GUESS:.4f}, a guess's)", how)
    tolerance = _TF32_TOLERANCE if label == TF32 else _PRECISION_TOLERANCE
    difference = abs(loss - reference) / abs(reference)
    found = f"loss {loss:.4f}, {difference:.2%} from float32's {reference:.4f} (at most {tolerance:.0%})"
    return Check(name, math.isfinite(loss) and difference <= tolerance, found, how)


def replicas(name: str, how: str, differences: Mapping[str, float]) -> Check:
    """Whether the weights of several replicas are those of one, from the relative difference of each array."""
    worst = max(differences, key=lambda path: differences[path] if math.isfinite(differences[path]) else math.inf)
    largest = differences[worst]
    found = f"{largest:.1e} relative in {worst} (at most {REPLICAS_TOLERANCE:.0e})"
    return Check(name, largest <= REPLICAS_TOLERANCE, found, how)


def nccl(name: str, how: str, output: str) -> Check:
    """Whether NCCL said that it was at work, and through what it went."""
    lines = [line for line in output.splitlines() if "NCCL INFO" in line]
    if not lines:
        return Check(name, False, "no line of NCCL's in the output", how)
    ways = sorted(set(re.findall(r" via (\S+)", "\n".join(lines))))
    return Check(name, True, f"{len(lines)} lines of NCCL's" + (f", via {', '.join(ways)}" if ways else ""), how)
