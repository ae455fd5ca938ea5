"""The largest batch that fits in memory, and the fastest: found by trying, in processes of `bench_requests`.

On GPUs one process makes all tries: it survives running out of their memory, and its start takes longer than a try. On
CPUs each try has a process of its own, which may die of it, and whose peak is that of this try. No TensorFlow here:
while a try measures, this process must take neither processor nor memory.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from harness.cluster.batch import BatchPlan
from harness.config import Config, load
from harness.data import sources
from harness.errors import ConfigError, OutOfMemory
from harness.scaling.find_batch import memory, watched
from harness.scaling.find_batch.bench import TRY_SECONDS, Bench
from harness.scaling.find_batch.memory import Limit
from harness.supervision.launch import PYTHON

_START = 16
"""Examples on a replica in the first try."""
_REPEATS = 3


@dataclass(frozen=True)
class Try:
    """One batch, and what became of it."""

    replica_batch: int
    """Examples at a time on each replica."""
    global_batch: int
    micro_batch: int | None
    """The `train.micro_batch` it ran with: none, but where the config's own global batch is accumulated."""
    fits: bool
    reason: str | None
    """Why it does not fit."""
    peak_memory_bytes: int | None
    """Of the fullest GPU, or of the process; of one that was ended, up to then. None where it is not known."""
    headroom_bytes: int | None
    """What the limit leaves; None where it does not fit, or the limit is not known."""
    images_per_second: dict[str, float] | None
    """{"median", "min", "max"} over a few short chunks; None where it does not fit."""


def find(
    config: str,
    assignments: Sequence[str] = (),
    asked: str | None = None,
    progress: Callable[[str], None] = lambda line: None,
    one_process: bool | None = None,
) -> dict[str, Any]:
    """Try batches of `config` on the devices of this machine; nothing is written.

    Args:
        config: as on the command line; `assignments`: its `--set` values.
        asked: the most memory to take, such as "4GiB"; None for what the GPUs have, or the machine has available.
        progress: is given lines of text as it goes.
        one_process: whether one process makes all tries; None for yes on GPUs alone. On CPUs each peak is then that of
            the largest batch so far.

    Returns:
        {"device", "replicas", "training_rows", "limit": {"size" in bytes or None, "source"},
        "tries": each Try as a dict, in turn, "largest", "ended_by": what larger batches fail for,
        "fastest": the smallest whose range of images/s reaches into that of the highest median,
        "accumulated": the config's own global batch, where it does not fit at once, else None}. The last three that
        are tries have the "settings" to use too.

    Raises UserError where the config is wrong or cannot run here; OutOfMemory where nothing fits; HarnessError where a
    try fails for another reason.
    """
    most = None if asked is None else memory.parse(asked)
    checked = load(config, assignments)
    if checked.cluster.strategy == "multi_worker":
        raise ConfigError(
            "cluster.strategy: multi_worker needs several processes, but each try is one: "
            "add --set cluster.strategy=auto to try on the devices of one"
        )
    rows = len(sources.load(checked.data).split_for(checked)[0])
    with watched.Process([*PYTHON, "-m", "harness.measuring.bench_requests"]) as process:
        bench = Bench(process, config, assignments, checked)
        return _found(_Attempts.on_these_devices(bench, checked, most, progress, one_process), checked, rows)


def _found(attempts: "_Attempts", checked: Config, rows: int) -> dict[str, Any]:
    cap = rows // attempts.replicas
    if not cap:
        raise ConfigError(f"{rows} training rows are too few for {attempts.replicas} replicas: use fewer devices")
    size = largest(lambda size: attempts.at_once(size).fits, _START, cap)
    if not size:
        raise OutOfMemory(
            f"not even 1 example at a time fits on a replica ({attempts.tries[-1].reason}; limit {attempts.limit})"
        )
    fitting = [each for each in attempts.tries if each.fits]
    biggest = max(fitting, key=lambda each: each.replica_batch)
    too_large = [each for each in attempts.tries if not each.fits]
    own, accumulated = checked.train.global_batch, None
    if own > biggest.global_batch:
        accumulated = attempts.accumulated(own, sorted(each.replica_batch for each in fitting))
    return {
        "device": attempts.device,
        "replicas": attempts.replicas,
        "training_rows": rows,
        "limit": asdict(attempts.limit),
        "tries": [asdict(each) for each in attempts.tries],
        "largest": _with_settings(biggest, checked),
        "ended_by": str(min(too_large, key=lambda each: each.replica_batch).reason) if too_large else "training rows",
        "fastest": _with_settings(fastest(fitting), checked),
        "accumulated": accumulated and _with_settings(accumulated, checked),
    }


def largest(fits: Callable[[int], bool], start: int, cap: int) -> int:
    """The largest size that was tried and fitted, by doubling and bisection; 0 where not even 1 fits.

    From `start` on the size is doubled until one does not fit or `cap` does; then the gap is halved, in multiples of 8,
    until it is at most 8 or a sixteenth of the size; below 16, in steps of 1. No size is tried twice.
    """
    good, bad = 0, cap + 1
    size = min(start, cap)
    while good < size < bad:
        if fits(size):
            good, size = size, min(2 * size, cap)
        else:
            bad = size
    while bad <= cap and (size := _between(good, bad)):
        if fits(size):
            good = size
        else:
            bad = size
    return good


def _between(good: int, bad: int) -> int:
    """The next size to try; 0 where the two are close enough."""
    grain = 8 if good >= 16 else 1
    if bad - good <= max(grain, good // 16):
        return 0
    return max((good + bad) // 2 // grain * grain, good + grain)


def fastest(fitting: Sequence[Try]) -> Try:
    """The smallest batch whose range of images/s reaches into that of the one with the highest median."""
    measured = [(each, each.images_per_second) for each in fitting if each.images_per_second]
    _, best = max(measured, key=lambda pair: pair[1]["median"])
    ties = [each for each, speed in measured if speed["max"] >= best["min"]]
    return min(ties, key=lambda each: each.replica_batch)


@dataclass
class _Attempts:
    """Tries batches on devices that are known already."""

    bench: Bench
    device: str
    replicas: int
    on_gpus: bool
    one_process: bool
    limit: Limit
    progress: Callable[[str], None]
    tries: list[Try] = field(default_factory=list)

    @classmethod
    def on_these_devices(
        cls,
        bench: Bench,
        checked: Config,
        asked: int | None,
        progress: Callable[[str], None],
        one_process: bool | None,
    ) -> "_Attempts":
        """Learn the devices, which only TensorFlow knows, from a batch of one example."""
        probe = bench.measure(1, None, repeats=1, most_bytes=memory.host_limit(None).size, goes_on=False)
        reason, found = probe.why_out_of_memory(), probe.result
        if found is None:
            raise OutOfMemory(f"not even a batch of 1 example fits ({reason})")
        on_gpus = found["gpus"] > 0
        limit = memory.gpu_limit(checked.cluster, asked) if on_gpus else memory.host_limit(asked)
        if limit.size is not None and (taken := int(found["peak_memory_bytes"])) > limit.size:
            raise OutOfMemory(f"a batch of 1 example takes {memory.mebibytes(taken)}, and the limit is {limit}")
        replicas = f"{found['replicas']} replica{'s' if found['replicas'] > 1 else ''}"
        progress(f"devices   {found['device']}, {replicas}; limit {limit}")
        goes_on = on_gpus if one_process is None else one_process
        return cls(bench, found["device"], found["replicas"], on_gpus, goes_on, limit, progress)

    def at_once(self, replica_batch: int) -> Try:
        """Try so many examples on each of the replicas."""
        return self._try(replica_batch * self.replicas, None)

    def accumulated(self, global_batch: int, sizes: Sequence[int]) -> Try | None:
        """The global batch in the largest of these micro-batches that fits: accumulated gradients take memory too."""
        for size in reversed(sizes):
            tried = self._try(global_batch, size)
            if tried.fits:
                return tried
            if tried.reason == watched.not_done(TRY_SECONDS):  # nor would it be in more and smaller ones
                break
        return None

    def _try(self, global_batch: int, micro_batch: int | None) -> Try:
        rows = BatchPlan(global_batch, self.replicas, micro_batch).micro_rows
        limit = self.limit.size
        most_bytes = None if self.on_gpus else limit
        ended = self.bench.measure(global_batch, micro_batch, _REPEATS, most_bytes, self.one_process)
        reason, peak, speed = ended.why_out_of_memory(), None if self.on_gpus else ended.peak_memory_bytes, None
        if ended.result is not None:
            peak, speed = int(ended.result["peak_memory_bytes"]), ended.result["images_per_second"]
            if limit is not None and peak > limit:
                reason, speed = memory.above(limit), None
        headroom = None if reason or peak is None or limit is None else limit - peak
        tried = Try(rows, global_batch, micro_batch, reason is None, reason, peak, headroom, speed)
        self.tries.append(tried)
        self.progress(f"try {len(self.tries):<6}{_in_one_line(tried)}")
        return tried


def _as_options(assignments: Sequence[str]) -> list[str]:
    return [word for assignment in assignments for word in ("--set", assignment)]


def _with_settings(tried: Try, checked: Config) -> dict[str, Any]:
    """The try, with the assignments that make it of the config."""
    settings = [f"train.global_batch={tried.global_batch}"]
    if tried.micro_batch != checked.train.micro_batch:
        settings.append(f"train.micro_batch={'null' if tried.micro_batch is None else tried.micro_batch}")
    return {**asdict(tried), "settings": settings}


def as_text(result: dict[str, Any]) -> str:
    """The table of what `find` gave, and what to use, for a person."""
    rows = [("a replica", "global batch", "fits", "peak memory", "headroom", "images/s (low to high)")]
    for tried in sorted(result["tries"], key=lambda each: (each["micro_batch"] is not None, each["replica_batch"])):
        rows.append(
            (
                f"{tried['replica_batch']:,}",
                f"{tried['global_batch']:,}",
                "yes" if tried["fits"] else "no",
                _size(tried["peak_memory_bytes"]),
                _size(tried["headroom_bytes"]),
                _speed(tried["images_per_second"]) if tried["fits"] else tried["reason"],
            )
        )
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=False)), row[5]]) for row in rows
    ]
    return "\n".join([*lines, "", *_advice(result)])


def _advice(result: dict[str, Any]) -> list[str]:
    biggest, quickest, own = result["largest"], result["fastest"], result["accumulated"]
    speed = f"{_speed(quickest['images_per_second'])} images/s"
    end = f"that is as far as {result['training_rows']:,} training rows go"
    if result["ended_by"] != "training rows":
        end = f"the next larger one tried: {result['ended_by']}"
    lines = [
        f"limit     {Limit(**result['limit'])}",
        f"largest   {_options(biggest)}: headroom {_size(biggest['headroom_bytes'])}; {end}",
        f"fastest   {_options(quickest)}: {speed}, the smallest batch in the range of the best",
    ]
    if own:
        lines.append(f"own       {_options(own)}: the config's own global batch, accumulated")
    return lines


def _options(tried: dict[str, Any]) -> str:
    return " ".join(_as_options(tried["settings"]))


def _in_one_line(tried: Try) -> str:
    what = f"global batch {tried.global_batch:,}, {tried.replica_batch:,} at a time on a replica"
    if not tried.fits or tried.images_per_second is None:
        return f"{what}: does not fit ({tried.reason})"
    return f"{what}: fits, {_size(tried.peak_memory_bytes)}, {tried.images_per_second['median']:,.0f} images/s"


def _speed(speed: dict[str, float]) -> str:
    return f"{speed['median']:,.0f} ({speed['min']:,.0f} to {speed['max']:,.0f})"


def _size(size: int | None) -> str:
    return "-" if size is None else memory.mebibytes(size)
