"""Everything that was found, and its two files, which are whole whenever the check ends."""

import json
import time
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from harness.gpu_check import tables
from harness.gpu_check.judging import Check
from harness.gpu_check.plan import Plan
from harness.gpu_check.tables import Table
from harness.runs import provenance
from harness.runs.paths import write_atomically

JSON_FILE, MARKDOWN_FILE = "gpu-check.json", "gpu-check.md"


@dataclass
class Report:
    """What is known so far."""

    plan: Plan
    checks: list[Check] = field(default_factory=list)
    one: list[dict[str, Any]] = field(default_factory=list)
    """Speeds on one device, and below on several and of peers: rows as harness.gpu_check.speed has them."""
    several: list[dict[str, Any]] = field(default_factory=list)
    peers: list[dict[str, Any]] = field(default_factory=list)
    finished: bool = False
    """Whether every stage came to its end: not where the user stopped it."""
    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    _clock: float = field(default_factory=time.monotonic)

    def failed(self) -> list[str]:
        """What failed, in one line each; a peer never does."""
        checks = [f"{check.name}: {check.found}" for check in self.checks if check.passed is False]
        rows = [row for row in (*self.one, *self.several) if row["problem"] is not None and not row["left_out"]]
        return checks + [
            f"speed on {row['replicas']}, {row['precision']}, batch {row['global_batch']:,}, XLA {row['jit']}: "
            + row["problem"]
            for row in rows
        ]

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "finished": self.finished,
            "failed": self.failed(),
            "quick": self.plan.quick,
            "began": self.began.isoformat(timespec="seconds"),
            "seconds": round(time.monotonic() - self._clock, 1),
            "machine": asdict(self.plan.machine),
            "versions": provenance.versions(),
            "git": provenance.git(),
            "checks": [asdict(check) for check in self.checks],
            "speed": self.one,
            "weak_scaling": self._scaling({n: self.plan.weak_batch * n for n in (1, *self.plan.scaling)}),
            "strong_scaling": self._scaling(dict.fromkeys((1, *self.plan.scaling), self.plan.strong_batch)),
            "peers": self.peers,
        }

    def tables(self) -> dict[str, Table]:
        """By stage, those that have something in them."""
        found, plan = self.as_dict(), self.plan
        measured = (
            f"median of {plan.repeats} windows of {plan.chunk_seconds:g} s after a warm-up, in the compiled loop of "
            "`harness bench`"
        )
        made = {"checks": tables.of_checks(found["checks"])}
        made["speed"] = tables.of_speed(self.one, f"{measured}; one process, one setting after another")
        several = (
            f"{measured}; a process for each number of devices; efficiency is images/s on n / (n × images/s on one)"
        )
        weak = f"{plan.weak_batch:,} examples on each device; {several}"
        made["weak"] = tables.of_scaling("Weak scaling", weak, found["weak_scaling"] if self.several else [])
        strong = f"global batch {plan.strong_batch:,} on any number; {several}"
        made["strong"] = tables.of_scaling("Strong scaling", strong, found["strong_scaling"] if self.several else [])
        if self.peers:
            made["peers"] = tables.of_peers(self.peers, self.one, plan.jit)
        return {stage: table for stage, table in made.items() if table.rows or stage == "peers"}

    def write(self, out: Path) -> None:
        """Replace both files in `out`."""
        write_atomically(out / JSON_FILE, json.dumps(self.as_dict(), indent=2).encode() + b"\n")
        write_atomically(out / MARKDOWN_FILE, self._markdown().encode())

    def _scaling(self, batches: dict[int, int]) -> list[dict[str, Any]]:
        precision, jit = self.plan.precisions[0].name, self.plan.jit
        rows = [row for row in (*self.one, *self.several) if (row["precision"], row["jit"]) == (precision, jit)]
        return tables.efficiencies(rows, batches)

    def _markdown(self) -> str:
        found = self.as_dict()
        devices = "; ".join(self.plan.machine.names) or f"{self.plan.machine.count} × {self.plan.machine.kind}"
        versions = ", ".join(f"{name} {version}" for name, version in found["versions"].items())
        state = "finished" if self.finished else "NOT FINISHED"
        failed = [f"- {line}" for line in found["failed"]] or ["nothing"]
        head = [
            "# gpu-check" + (" --quick" if self.plan.quick else ""),
            f"{devices}. {versions}. Began {found['began']}, {state} after {found['seconds']:g} s.",
            "Failed:\n" + "\n".join(failed) if found["failed"] else "Failed: nothing.",
        ]
        return "\n\n".join([*head, *map(tables.as_markdown, self.tables().values())]) + "\n"
