"""The main job: train → evaluate → export → picture."""

import copy
import json
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any, Literal

import numpy as np
import tensorflow as tf

from harness import config as configs
from harness import keras_settings
from harness.cluster.batch import BatchPlan
from harness.cluster.collective import from_chief
from harness.cluster.environment import is_chief
from harness.cluster.heartbeat import Heartbeat
from harness.cluster.strategy import Cluster, connect
from harness.config import Config, resolve
from harness.config.cluster import ClusterSection
from harness.console.terminal import Terminal
from harness.data import sources
from harness.errors import (
    ConfigError,
    DataError,
    HarnessError,
    NonFiniteLoss,
    Stopped,
    UserError,
    WorkerLost,
    WriteFailed,
)
from harness.imports import handed
from harness.insight.layers import cam_layer
from harness.models.build import builder, trained
from harness.models.export import export, logits_of
from harness.preparation import describe, read
from harness.python_objects import Named
from harness.recording import Recording, Scheduled, chief_callbacks, summary
from harness.runs.run_dir import RunDir, find_run
from harness.stop_signals import Interrupted, StopSignals
from harness.training import machine_failures, metrics, noise_scale, trackers
from harness.training.callback import Beat, Callbacks, closed_at_end
from harness.training.checkpoint import Checkpoint
from harness.training.evaluate import Evaluator
from harness.training.own_callback import OwnCallback, own_callbacks
from harness.training.setup import Setup
from harness.training.state import State
from harness.training.tensorboard import summary_text
from harness.training.trainer import Evaluation, Trainer

_MOST_RESTORES = 3

Until = Literal["trained", "exported", "pictured"]
"""How far the main job goes."""


@keras_settings.pinned()
def train(
    config: Config | Mapping[str, Any] | str | Path,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
    only_training: bool = False,
    data_changed: bool = False,
    with_report: bool = True,
    *,
    model: Any = None,
    data: Any = None,
    loss: Any = None,
    metrics: Mapping[str, Any] | None = None,
    optimizer: Any = None,
    callbacks: Sequence[Any] | None = None,
    augment: Sequence[Any] | None = None,
    **changes: Any,
) -> RunDir | None:
    """Train, evaluate, export and picture one model; the main job, and what `harness train` calls.

        run = harness.train("mnist", "runs/mine", model=my_model, **{"train.length": "2 epochs", "seed": 1})
        run = harness.train("mnist", resume="runs/mine", model=my_model, **{"train.length": "4 epochs", "seed": 1})

    Args:
        config: a Config, nested dicts, a YAML file's path or a shipped config's name.
        run_dir: where the run's files go; `runs/<name>-<time>` when None.
        resume: a run to resume, or "auto" for the one in `run_dir` if there is one.
        quiet: print nothing but warnings.
        only_training: leave out the test, the exported model and the pictures; a resume makes up for them.
        data_changed: let a resumed run go on though its data are not what they were.
        with_report: make the pictures and the report; where False, a resume or `visualize` makes up for them.
        model: a function (image_shape, classes, **arguments) → keras.Model from pixels to logits, or what the config's
            `model` takes. A function of a module can be found again by other processes and other commands; a lambda or
            one of a notebook has to be given again to resume the run.
        data: {"x_train", "y_train", "x_test", "y_test"} or ((x, y), (x, y)), images uint8 (n, height, width[,
            channels]) and labels (n,), or in place of a pair an object with `__len__`, `labels` and `read(rows)`; a
            function that returns such; or what `data.source` takes.
        loss: a function (logits, labels) → the loss of each example, (n,), or what the config's `loss` takes.
        metrics: by name, a function (logits, labels) → a number for each example, (n,), whose mean is the metric, or
            what the config's `metrics` takes.
        optimizer: a class of Keras's optimizers or one of its instances, or what the config's `optimizer` takes.
        callbacks: subclasses' instances of harness.Callback, functions (step, state, rows), or entries of the config's
            `callbacks`; in place of the config's.
        augment: functions (images, random) → images, or entries of the config's `data.augment`; in place of those.
        changes: what `--set` takes: **{"train.length": "1 epoch"}.

    Where the model can be trained and not pictured, a warning says why, and there is no report.

    Returns:
        The run's directory; None on a worker that is not the chief, which has none.

    Raises:
        UserError: for anything wrong with the config, the devices, the data or the run directory, before any file
            is made.
        NonFiniteLoss: when training diverges.
        OutOfMemory, WriteFailed: when the machine gives out; the checkpoints so far are safe.
        WorkerMissing, WorkerLost: when another worker never shows up, or dies.
        Stopped: after SIGINT, SIGTERM or SIGHUP, once the state is saved; in a thread signals are left alone.
    """
    if not isinstance(run_dir, str | os.PathLike | None):
        raise ConfigError(
            "changes are keywords, such as **{'train.length': '1 epoch'}, and the second is the run's path"
        )
    named = Named(model, data, loss, metrics, optimizer, callbacks, augment)
    until: Until = "trained" if only_training else "pictured" if with_report else "exported"
    with handed(named.objects):
        return _train(
            as_config(config, named.sections | changes), run_dir, resume, Terminal(quiet), data_changed, until
        )


def _train(
    config: Config,
    run_dir: str | Path | None,
    resume: str | Path | None,
    terminal: Terminal,
    data_changed: bool,
    until: Until,
) -> RunDir | None:
    run = find_run(config, run_dir, resume) if is_chief(config.cluster.strategy, os.environ) else None
    setup = read(config)
    if run and run.exists():
        run.check_same(config, len(setup.train))
        if not data_changed:
            run.check_same_data(setup.data.sha256)
    common = {**config.common(), "content of data.source": setup.data.sha256}
    cluster = connect(config.cluster, common=common, train=config.train, say=terminal.warning)
    with machine_failures.in_one_line(BatchPlan.of(config.train, cluster.replicas), cluster):
        complete = run is not None and run.exists() and run.is_complete(config, until == "pictured")
        if from_chief(cluster, np.array([int(complete)])).any():
            terminal.line(f"{run.path if run else 'the run'} is complete: nothing to do")
            if run and config.trackers:
                trackers.catch_up(config, run, terminal)
        else:
            Job(setup, cluster, run, terminal, until).run(may_resume=resume is not None)
    return run


@keras_settings.pinned()
def evaluate(run: RunDir, split: str = "test", warn: Callable[[str], None] = warnings.warn) -> dict[str, Any]:
    """Evaluate the exported model of `run` on its "validation" or "test" split: {"loss", "accuracy", "examples"}, and
    the metrics of its config.

        harness.evaluate(harness.RunDir.open("latest"), "validation")["accuracy"]

    On the devices of this machine, whatever the run was trained on; `warn` is told where its data have changed since.
    Raises UserError where the split is empty, or the run's data can't be had.
    """
    config = run.read_config()
    data = sources.load(config.data)
    if change := run.change_of_data(data.sha256):
        warn(change)
    _, validation, test = data.split_for(config)
    rows = {"validation": validation, "test": test}[split]
    if not len(rows):
        raise DataError(f"{run.path} has no {split} rows: data.validation is 0")
    cluster = connect(ClusterSection(), environment={}, train=config.train)
    with cluster.strategy.scope():
        model = logits_of(trained(run))
    return Evaluator(cluster, model, config.evaluate.batch, metrics.in_evaluation(config))(rows)


def as_config(config: Config | Mapping[str, Any] | str | Path, changes: Mapping[str, Any]) -> Config:
    """A checked Config from whatever names one, with `section.key` → value in place of its own."""
    assignments = [f"{key}={json.dumps(value, default=_plain)}" for key, value in changes.items()]
    if isinstance(config, Config):
        return resolve(config.model_dump(mode="json"), assignments) if changes else config
    return (
        resolve(copy.deepcopy(dict(config)), assignments)
        if isinstance(config, Mapping)
        else configs.load(config, assignments)
    )


def _plain(value: Any) -> Any:
    """A number of NumPy's, or a path, as JSON has it. Raises ConfigError for anything else."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    raise ConfigError(f"a change must be a number, text, true, false, null, list or dict, not {type(value).__name__}")


class Job:
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
        if config.insight.layer is not None:
            cam_layer(state.model, config.insight.layer)
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
                        trackers.check(self._setup.config)
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
                raise kind("the first worker could not begin: see its output")
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
        noise = noise_scale.report(run.read_metrics())
        run.write_summary(summary(trainer, "completed", noise))
        if trainer.setup.events.noise_scale:
            terminal.line(f"noise     {noise_scale.describe(noise)}")
        if self._until != "trained":
            terminal.line(f"model     {run.model_file}")
        if self._until == "pictured":
            _picture(run, terminal)


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
