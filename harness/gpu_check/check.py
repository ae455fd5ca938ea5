"""The whole check: one stage after another, printed as it goes, and written after each."""

import shutil
from collections.abc import Callable
from pathlib import Path

from harness.gpu_check import tables
from harness.gpu_check.plan import Plan
from harness.gpu_check.report import Report
from harness.gpu_check.speed import Speed
from harness.gpu_check.trainings import Trainings


def check(plan: Plan, out: Path, say: Callable[[str], None]) -> Report:
    """Look at everything in `plan`; a check that fails, or takes too long, is a finding in the report.

    Args:
        plan: what to look at, and how long it may take.
        out: a folder for `gpu-check.json`, `gpu-check.md`, the `runs` and the `logs` of their processes; it is made,
            and an earlier check in it replaced.
        say: is given lines of text as it goes.

    What was found by then is written down also where this is interrupted. Raises OSError where it can't be.
    """
    for earlier in (out / "runs", out / "logs"):
        shutil.rmtree(earlier, ignore_errors=True)
    out.mkdir(parents=True, exist_ok=True)
    report = Report(plan)
    trainings, speed = Trainings(plan, out, say), Speed(plan, out, say)
    try:
        say(f"trainings, {plan.at_once} at a time (at most {plan.seconds.trainings:g} s)")
        trainings.on_one_device(report.checks)
        report.write(out)
        if plan.replicas:
            say(f"replicas: {', '.join(map(str, plan.replicas))}")
        trainings.on_replicas(report.checks)
        _tell(report, out, say, "checks")

        say(f"speed on one device, {len(plan.speed)} settings (at most {plan.seconds.speed:g} s)")
        speed.on_one_device(report.one)
        _tell(report, out, say, "speed")

        if plan.scaling:
            say(f"speed on {', '.join(map(str, plan.scaling))} devices")
            speed.on_several(report.several)
            _tell(report, out, say, "weak", "strong")

        if plan.peers:
            say("others on the same network")
            speed.of_peers(report.peers)
            _tell(report, out, say, "peers")
        report.finished = True
    finally:
        report.write(out)
    return report


def _tell(report: Report, out: Path, say: Callable[[str], None], *stages: str) -> None:
    report.write(out)
    made = report.tables()
    for stage in stages:
        if stage in made:
            say("\n" + tables.as_text(made[stage]) + "\n")
