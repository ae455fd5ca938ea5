"""What only the chief does: hold the run's directory, and write to it."""

import errno
import signal
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from typing import Any

from harness.cluster.strategy import Cluster, describe_device, peak_memory_bytes
from harness.config import Config
from harness.config.duration import SHARE, Duration
from harness.config.loss import smoothing_of
from harness.console.terminal import Terminal
from harness.data.sources import DataSet
from harness.errors import RunError, Stopped, WriteFailed
from harness.models.build import builder
from harness.runs import provenance
from harness.runs.run_dir import RunDir
from harness.trackers.mirror import tracker_mirrors
from harness.training import tensorboard
from harness.training.callback import Callback, closed_at_end
from harness.training.checkpoint import Checkpoint, Checkpoints, assign_result, discard_after, load_newest
from harness.training.events import Events, Every
from harness.training.progress import ProgressLines
from harness.training.rows import MetricsFile, newest
from harness.training.schedule import WarmupThenDecay
from harness.training.setup import Setup
from harness.training.state import weights_sha256
from harness.training.tensorboard import Histograms, TensorBoard
from harness.training.trainer import Trainer

_OF_A_DISK = {
    *(errno.EACCES, errno.EPERM, errno.EROFS),
    *(errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.ENXIO, errno.ENODEV, errno.ESTALE),
    *(errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENAMETOOLONG),
}
"""The errors that mean a file can't be written. Of others, such as no more threads, that advice would mislead."""


Scheduled = list[tuple[Callback, Every | None]]
"""Callbacks with the steps at which they are due; None between all chunks."""


@dataclass(frozen=True)
class Recording:
    """A run's directory in the chief's hands, and what is to be trained in it."""

    run: RunDir
    setup: Setup
    cluster: Cluster
    terminal: Terminal

    @contextmanager
    def opened(self, may_resume: bool) -> Iterator[Checkpoint | None]:
        """Hold the directory, made new or taken up where its newest checkpoint is, and leave the right status.

        Gives that checkpoint; None for a run that is new or died before it had one. Raises RunError.
        """
        run, terminal = self.run, self.terminal
        run.lock()
        try:
            newest = self._rewound(may_resume) if run.exists() else None
            run.begin(self.setup.config, self.setup.data.sha256)
            if newest is None:
                terminal.line(f"run       {run.path}")
            terminal.log_to(run.log_file)
            with _failures_recorded(run, terminal):
                run.write_class_names(self.setup.data.class_names)
                yield newest
        finally:
            with suppress(OSError):
                terminal.close()
            run.unlock()

    def _rewound(self, may_resume: bool) -> Checkpoint | None:
        """Rewind the run's records to its newest checkpoint. What can be refused is, before anything is written."""
        run, config, events, data = self.run, self.setup.config, self.setup.events, self.setup.data
        if not may_resume:
            raise RunError(f"{run.path} was just taken by another process")
        run.check_same(config)
        newest = load_newest(run.checkpoints_dir, self.terminal.warning)
        if newest and data.was_from_1 and not run.read_class_names():  # which a run since 0.1.0 keeps
            raise RunError(
                f"{run.path} was begun by version 0.1.0, which kept labels from 1 and gave its model an output for "
                "class 0; labels are from 0 now: train again, in another directory, or resume with that version"
            )
        step = newest.step if newest else 0
        if step > events.total_steps:
            raise RunError(f"{run.path} is already at step {step:,}, past the end of {config.train.length}")
        planned = _planned_length(newest, run) if newest else config.train.length
        if newest and newest.header["identity"] != config.with_length(planned).identity_hash():
            raise RunError(f"{run.path}: the checkpoint of step {step:,} was written under another config")
        if newest and _is_on_other_data(newest, data):
            model = builder(config, data.image_shape, data.classes)()
            assign_result(newest, model)  # refuses images of another shape, and another number of classes
        discard_after(run.checkpoints_dir, step)
        run.rewind_metrics(step)
        tensorboard.rewind(run.tensorboard_dir, step)
        is_longer = planned != config.train.length
        is_replanned = is_longer and (config.schedule.name != "constant" or config.schedule.warmup.unit == SHARE)
        promise = "" if is_replanned or newest is None else _promise(newest, config, self.cluster, data)
        self.terminal.line(f"resume    {run.path} at step {step:,}{promise}")
        if is_longer:
            self.terminal.line(f"length    {planned} → {config.train.length}: {_new_plan(config, events, step)}")
        return newest


def chief_callbacks(
    trainer: Trainer, run: RunDir, own: Sequence[Callback], terminal: Terminal, closing: ExitStack
) -> Scheduled:
    """What the chief calls between two chunks, in this order: whatever gives rows, what takes them, and then, as a
    resume begins with what is written by then, what saves.

    All but `own` is closed with `closing`.
    """
    setup, step, rows = trainer.setup, trainer.step, trainer.rows
    config, events = setup.config, setup.events
    steps_per_epoch = len(setup.train) / config.train.global_batch
    board = closing.enter_context(
        closed_at_end(TensorBoard(run.tensorboard_dir, step, rows, config.train.target, smoothing_of(config.loss)))
    )
    if step == 0:
        board.describe(trainer.state.model, config, setup.train)
    scheduled: list[tuple[Callback, Every | None]] = list(zip(own, events.callbacks, strict=True))
    if events.histograms:
        scheduled.append((Histograms(board), events.histograms))
    if events.maps:
        from harness.report.forming import FormingMaps  # the libraries that draw take long to load

        shown = ("validation", setup.validation) if len(setup.validation) else ("training", setup.train)
        scheduled.append((FormingMaps(board, config, *shown), events.maps))
    trackers = [closing.enter_context(mirror) for mirror in tracker_mirrors(config, run, rows, step, terminal)]
    metrics_file = closing.enter_context(closed_at_end(MetricsFile(run.metrics_file, trainer.recorded)))
    progress = ProgressLines(terminal, step, events.total_steps, steps_per_epoch, len(rows))
    mirrors: list[Callback] = [closing.enter_context(closed_at_end(progress)), metrics_file, board, *trackers]

    def saved(step: int) -> None:
        board.begin_files(step)
        for mirror in trackers:
            mirror.saved(step)

    checkpoints = Checkpoints(run.checkpoints_dir, config.checkpoint, step, partial(checkpoint_header, trainer), saved)
    return [*scheduled, *((mirror, None) for mirror in mirrors), (checkpoints, events.checkpoint)]


def checkpoint_header(trainer: Trainer) -> dict[str, Any]:
    """What a resume and the choice of the best checkpoint need to know beside the state."""
    config, validation = trainer.setup.config, newest(trainer.rows, "validation")
    return {
        "identity": config.identity_hash(),
        "length": str(config.train.length),
        "data_sha256": trainer.setup.data.sha256,
        "versions": provenance.versions(),
        "compile_seconds": trainer.clock.compile_seconds,
        "train_seconds": trainer.clock.train_seconds,
        "validation": validation if validation and validation["step"] == trainer.step else None,
        "early_stop": trainer.patience.as_json(),
        "devices": _devices(config, trainer.cluster),
        **trainer.skipped._asdict(),
    }


def summary(trainer: Trainer, status: str, noise_scale: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What a run has come to so far; `test` and `noise_scale` are null until they are known."""
    config, clock, cluster = trainer.setup.config, trainer.clock, trainer.cluster
    examples = trainer.step * config.train.global_batch

    def result(split: str) -> dict[str, Any] | None:
        row = newest(trainer.rows, split)
        return {key: row[key] for key in ("loss", "accuracy", *config.metrics, "examples")} if row else None

    return {
        "status": status,
        "ended_by": trainer.ended_by() if status == "completed" else None,
        "finished": datetime.now(UTC).isoformat(timespec="seconds") if status == "completed" else None,
        "steps": trainer.step,
        "epochs": examples / len(trainer.setup.train),
        "examples": examples,
        "replicas": cluster.replicas,
        "workers": cluster.workers,
        "global_batch": config.train.global_batch,
        **trainer.skipped._asdict(),
        "train_seconds": clock.train_seconds,
        "compile_seconds": clock.compile_seconds,
        "images_per_second": examples / clock.train_seconds if clock.train_seconds else None,
        "validation": result("validation"),
        "test": result("test"),
        "noise_scale": noise_scale,
        "weights_sha256": weights_sha256(trainer.state.result),
        "data_sha256": trainer.setup.data.sha256,
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": provenance.versions(),
        "git": provenance.git(),
        "device": describe_device(),
    }


def _devices(config: Config, cluster: Cluster) -> dict[str, Any]:
    """What decides in which order a sum is added: a run resumed under the same is exact to the bit."""
    return {
        "workers": cluster.workers,
        "replicas": cluster.replicas,
        "device": describe_device(),
        "micro_batch": config.train.micro_batch,
        "jit": config.train.jit,
        "deterministic": config.train.deterministic,
        "tf32": config.train.tf32,
        "all_reduce": config.cluster.all_reduce,
        "tensorflow": provenance.versions()["tensorflow"],
    }


def _planned_length(checkpoint: Checkpoint, run: RunDir) -> Duration:
    """The `train.length` for which the steps up to the checkpoint were trained; in the run's config before 0.2.0."""
    length = checkpoint.header.get("length")
    return Duration.parse(length) if length else run.read_config().train.length


def _new_plan(config: Config, events: Events, step: int) -> str:
    name, peak = config.schedule.name, config.optimizer.learning_rate
    rate = float(WarmupThenDecay(name, peak, events.warmup_steps, events.total_steps)(step))
    rises = f", rising to {peak:.3g} at step {events.warmup_steps:,}" if step < events.warmup_steps else ""
    if name == "constant" and not rises:
        return f"the learning rate stays {rate:.3g}"
    falls = "" if name == "constant" else f", {name} to zero at step {events.total_steps:,}"
    return f"the learning rate is rescheduled: {rate:.3g} from step {step:,} on{rises}{falls}"


def _is_on_other_data(checkpoint: Checkpoint, data: DataSet) -> bool:
    return checkpoint.header.get("data_sha256") not in (None, data.sha256)


def _promise(checkpoint: Checkpoint, config: Config, cluster: Cluster, data: DataSet) -> str:
    """How close to an uninterrupted run one that resumes from the checkpoint will end."""
    if _is_on_other_data(checkpoint, data):
        return ", on changed data: the result will match a run on neither data set"
    then, now = checkpoint.header.get("devices", {}), _devices(config, cluster)
    changes = [f"{key} {then.get(key)}, now {now[key]}" for key in now if then.get(key) != now[key]]
    if not changes:
        return ", on the same devices: exact to the bit"
    is_accumulated = then.get("micro_batch") is not None or now["micro_batch"] is not None
    but = "; the statistics of BatchNormalization are those of other micro-batches" if is_accumulated else ""
    return (
        f", with other devices ({'; '.join(changes)}): the same examples in the same order, added up in another order "
        f"(about 1e-4 relative after 100 steps of SGD){but}"
    )


@contextmanager
def _failures_recorded(run: RunDir, terminal: Terminal) -> Iterator[None]:
    """Leave the right status, and turn what the machine does to us into one line."""
    try:
        yield
    except BaseException as error:
        stopped = isinstance(error, Stopped | KeyboardInterrupt)
        # What went wrong first is what the user has to know, not that a full disk doesn't take this either.
        with suppress(OSError):
            terminal.log(_line(error))
        with suppress(OSError, RunError):
            if run.read_summary()["status"] == "running":
                outcome = {"status": "stopped"} if stopped else {"status": "failed", "failure": _line(error)}
                run.update_summary(**outcome)
        if isinstance(error, KeyboardInterrupt):
            number = getattr(error, "signal_number", signal.SIGINT)
            raise Stopped(f"stopped; resume with: {run.resume_command()}", number) from None
        if isinstance(error, OSError) and error.errno in _OF_A_DISK:
            raise WriteFailed(
                f"can't write {error.filename or run.path}: {error.strerror or error}; once that is fixed, resume "
                f"with: {run.resume_command()}"
            ) from None
        raise


def _line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"
