"""The main job: train → evaluate → export → picture."""

import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Literal

import numpy as np
import tensorflow as tf

from harness.cluster.batch import BatchPlan
from harness.cluster.collective import from_chief
from harness.cluster.heartbeat import Heartbeat
from harness.cluster.strategy import Cluster
from harness.console.terminal import Terminal
from harness.data import augment
from harness.errors import (
    HarnessError,
    NonFiniteLoss,
    Stopped,
    UserError,
    WorkerLost,
    WriteFailed,
)
from harness.models.build import builder
from harness.models.export import export
from harness.page.wording import counted
from harness.preparation import check_model, describe
from harness.recording import Recording, Scheduled, chief_callbacks, summary
from harness.runs.run_dir import RunDir
from harness.runs.run_names import EXPORTS
from harness.stop_signals import Interrupted, StopSignals
from harness.trackers.mirror import check as check_trackers
from harness.training import machine_failures, noise_scale
from harness.training.callback import Beat, Callbacks, closed_at_end
from harness.training.checkpoint import Checkpoint
from harness.training.own_callback import OwnCallback, own_callbacks
from harness.training.setup import Setup
from harness.training.state import State
from harness.training.tensorboard import summary_text
from harness.training.trainer import Evaluation, Trainer

_MOST_RESTORES = 3

Until = Literal["trained", "exported", "pictured"]
"""How far the main job goes."""


class MainJob:
    """What a worker does of the main job, once its data are read and its devices connected."""

    def __init__(self, setup: Setup, cluster: Cluster, run: RunDir | None, terminal: Terminal, until: Until) -> None:
        """`run`: None on a worker that is not the chief."""
        self._setup = setup
        self._cluster = cluster
        self._run = run
        self._terminal = terminal
        self._until = until
        self._signals = StopSignals()
        self._heartbeat = Heartbeat()
        self._own_callbacks: Sequence[OwnCallback] | None = None
        """The user's own, made by the chief when it first opens the run, and kept over all attempts."""

    def run(self, may_resume: bool) -> None:
        """Attempt after attempt, until one is through. Raises NonFiniteLoss, Stopped and what else ends a training."""
        augment.check_pixels(self._setup.config.data, self._setup.config.seed, self._setup.train.images)
        with ExitStack() as closing:
            self._attempts(may_resume, closing)

    def _attempts(self, may_resume: bool, closing: ExitStack) -> None:
        skipping = None
        while True:
            try:
                self._attempt(may_resume, skipping, closing)
                return
            except NonFiniteLoss as error:
                if self._setup.config.train.on_nonfinite == "stop" or error.restores == _MOST_RESTORES:
                    raise
                may_resume, skipping = True, (error.data_step + 1, error.restores + 1)
                self._terminal.warning(
                    f"{error}. Going back to the last checkpoint, and skipping these examples "
                    f"({error.restores + 1} of {_MOST_RESTORES} times)"
                )
                traceback.clear_frames(error.__traceback__)  # which hold the model, its data and the optimizer's state

    def _attempt(self, may_resume: bool, skipping: tuple[int, int] | None, closing: ExitStack) -> None:
        """Train from the start or a checkpoint to the end. All that may be refused is built before the run's directory
        is opened.

        Args:
            skipping: after losses that were not finite, the step of the data to resume at, and how many they were.
            closing: closes what lasts longer than an attempt.
        """
        setup, cluster, config = self._setup, self._cluster, self._setup.config
        state = State(config, cluster, setup.events, builder(config, setup.data.image_shape, setup.data.classes))
        check_model(config, state.model)
        trainer = Trainer(setup, cluster, state)
        with self._opened(may_resume, closing) as checkpoint:
            if skipping is None:
                describe(setup, cluster, cluster.replicas, self._terminal)
            with machine_failures.in_one_line(BatchPlan.of(config.train, cluster.replicas), cluster):
                trainer.restore(checkpoint, self._run.read_metrics() if self._run else [])
                if skipping is not None:
                    trainer.skip_to(*skipping)
                self._train(trainer)
                self._finish(trainer)

    @contextmanager
    def _opened(self, may_resume: bool, closing: ExitStack) -> Iterator[Checkpoint | None]:
        """The chief makes the user's callbacks and opens its run, and all workers learn whether it could."""
        run, cluster = self._run, self._cluster
        with ExitStack() as stack:
            checkpoint, refusal = None, None
            if run:
                try:
                    if self._own_callbacks is None:
                        check_trackers(self._setup.config)
                        made = own_callbacks(self._setup.config.own_callbacks)
                        self._own_callbacks = [closing.enter_context(closed_at_end(each)) for each in made]
                    recording = Recording(run, self._setup, cluster, self._terminal)
                    checkpoint = stack.enter_context(recording.opened(may_resume))
                except HarnessError as error:
                    refusal = error
                except OSError as error:
                    refusal = WriteFailed(f"can't write {error.filename or run.path}: {error.strerror or error}")
            exit_code = int(from_chief(cluster, np.array(refusal.exit_code if refusal else 0)))
            if refusal:
                raise refusal
            if exit_code:
                kind = UserError if exit_code == UserError.exit_code else WorkerLost
                raise kind("the first worker could not start: see its output")
            yield checkpoint

    def _train(self, trainer: Trainer) -> None:
        """Compile, train and test. Raises NonFiniteLoss and, after a signal, Stopped."""
        run, terminal = self._run, self._terminal
        if run:
            terminal.line(summary_text(trainer.state.model))
        with self._signals:
            terminal.line("compiling the training step")
            trainer.compile(terminal.warning)
            with self._callbacks(trainer) as callbacks:
                signal = trainer.run(callbacks, self._signals)
                if not signal and self._until != "trained":
                    signal = trainer.test(callbacks, self._signals)
                if signal:
                    how = f"; resume with: {run.resume_command()}" if run else ""
                    raise Stopped(f"stopped at step {trainer.step:,}{how}", signal)
        if self._signals.received and self._cluster.workers == 1:  # since the last look; several agree at the end
            raise Interrupted(self._signals.received)

    @contextmanager
    def _callbacks(self, trainer: Trainer) -> Iterator[Callbacks]:
        """All of this worker's. At the end, however it comes, the chief writes the run's summary."""
        beat, run = (Beat(self._heartbeat), None), self._run
        evaluation = (Evaluation(trainer), trainer.setup.events.evaluate)
        try:
            with ExitStack() as closing:
                chiefs: Scheduled = []
                if run:
                    chiefs = chief_callbacks(trainer, run, self._own_callbacks or [], self._terminal, closing)
                yield Callbacks([evaluation, beat, *chiefs, beat])
        finally:
            if run:
                with suppress(OSError):
                    run.write_summary(summary(trainer, "running"))

    def _finish(self, trainer: Trainer) -> None:
        """Export the model, write the summary, make the pictures; then all end well, or none."""
        weights = trainer.check_equal_weights()
        self._heartbeat.end()
        if self._run:
            self._complete(trainer, self._run)
        else:
            self._terminal.line(f"done at step {trainer.step:,} with the weights of worker 0, SHA-256 {weights}")
        trainer.end_together(self._signals)

    def _complete(self, trainer: Trainer, run: RunDir) -> None:
        terminal = self._terminal
        if self._until != "trained":
            export(trainer.state.result, run.model_file, is_binary=trainer.setup.config.loss.name == "binary")
            for name in EXPORTS.values():
                if (run.path / name).exists():
                    terminal.warning(f"{run.path / name} is of the previous model: remove it, and export again")
        if why := _why_early(trainer):
            terminal.line(f"ended     at step {trainer.step:,} of {trainer.setup.events.total_steps:,}: {why}")
        noise = noise_scale.report(run.read_metrics())
        run.write_summary(summary(trainer, "completed", noise))
        if trainer.setup.events.noise_scale:
            terminal.line(f"noise     {noise_scale.describe(noise)}")
        if self._until != "trained":
            terminal.line(f"model     {run.model_file}")
        if self._until == "pictured":
            _picture(run, terminal)


def _why_early(trainer: Trainer) -> str | None:
    """What ended training before its length, if something did."""
    train = trainer.setup.config.train
    match trainer.ended_by():
        case "target":
            return f"{train.target} is reached"
        case "early_stop" if train.early_stop:
            evaluations = counted(train.early_stop.patience, "evaluation")
            return f"{train.early_stop.metric} has not improved in {evaluations}"
        case "max_seconds":
            return f"train.max_seconds, {train.max_seconds:g}, are over"
    return None


def _picture(run: RunDir, terminal: Terminal) -> None:
    from harness import report  # the libraries that draw need not be loaded before the first step

    try:
        report.visualize(run, terminal)
    except UserError as error:  # images of two channels, say: what was trained is no less complete
        reason = str(error)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        reason = "out of memory"
    else:
        terminal.line(f"report    {run.report_file}")
        return
    terminal.warning(f"the pictures and the report are left out: {reason}")
