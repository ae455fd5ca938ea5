"""The main job: train → evaluate → export → picture."""

import copy
import json
import os
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from harness.data.sources import DataSet, Split
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
from harness.recording import Recording, summary, writing
from harness.runs.run_dir import RunDir, locate
from harness.stop_signals import Interrupted, StopSignals
from harness.training import failures, loop, metrics, noise_scale
from harness.training.callback import NamedCallback, made
from harness.training.checkpoint import Checkpoint
from harness.training.evaluate import Evaluator
from harness.training.events import Events
from harness.training.session import Session
from harness.training.state import State
from harness.training.tensorboard import summary_text

_MOST_RESTORES = 3


@dataclass(frozen=True)
class _Job:
    """What stays the same over all sittings of a run in this process."""

    run: RunDir | None
    config: Config
    cluster: Cluster
    events: Events
    data: DataSet
    splits: tuple[Split, Split, Split]
    signals: StopSignals
    heartbeat: Heartbeat
    terminal: Terminal
    only_training: bool
    with_report: bool


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
    callbacks: Sequence[Any] = (),
    **changes: Any,
) -> RunDir | None:
    """Train, evaluate, export and picture one model; the main job, and what `harness train` calls.

    Args:
        config: a Config, nested dicts, a YAML file's path or a shipped config's name.
        run_dir: where the run's files go; `runs/<name>-<time>` when None.
        resume: a run to go on with, or "auto" to go on with the one in `run_dir` if there is one.
        quiet: print nothing but warnings.
        only_training: leave out the test, the exported model and the pictures; a resume makes up for them.
        data_changed: let a resumed run go on though its data are not what they were.
        with_report: make the pictures and the report; where False, a resume or `visualize` makes up for them.
        model: a function (image_shape, classes, **arguments) → keras.Model from pixels to logits, or what the config's
            `model` takes. A function of a module can be found again by other processes and other commands; a lambda or
            one of a notebook has to be given again to resume the run.
        data: {"x_train", "y_train", "x_test", "y_test"} or ((x, y), (x, y)), images uint8 (n, height, width[,
            channels]) and labels (n,); a function that returns such; or what `data.source` takes.
        loss: a function (logits, labels) → the loss of each example, (n,), or what the config's `loss` takes.
        metrics: by name, a function (logits, labels) → a number for each example, (n,), whose mean is the metric, or
            what the config's `metrics` takes.
        optimizer: a class of Keras's optimizers or one of its instances, or what the config's `optimizer` takes.
        callbacks: subclasses' instances of harness.Callback, functions (step, state, rows), or entries of the config's
            `callbacks`; in place of the config's.
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
    named = Named(model, data, loss, metrics, optimizer, callbacks)
    with handed(named.objects):
        options = (run_dir, resume, quiet, only_training, data_changed, with_report)
        return _train(as_config(config, named.sections | changes), *options)


def _train(
    config: Config,
    run_dir: str | Path | None,
    resume: str | Path | None,
    quiet: bool,
    only_training: bool,
    data_changed: bool,
    with_report: bool,
) -> RunDir | None:
    terminal = Terminal(quiet)
    run = locate(config.name, run_dir, resume) if is_chief(config.cluster.strategy, os.environ) else None
    if run and run.exists():
        run.check_same(config)
    data, splits, events = read(config)
    if run and run.exists():
        run.check_same(config, len(splits[0]))
        if not data_changed:
            run.check_same_data(data.sha256)
    common = {**config.common(), "content of data.source": data.sha256}
    cluster = connect(config.cluster, common=common, train=config.train, say=terminal.warning)
    with failures.told(BatchPlan.of(config.train, cluster.replicas), cluster):
        complete = run is not None and run.exists() and run.is_complete(config, with_report)
        if from_chief(cluster, np.array([int(complete)])).any():
            terminal.line(f"{run.path if run else 'the run'} is complete: nothing to do")
            return run
        job = _Job(
            run,
            config,
            cluster,
            events,
            data,
            splits,
            StopSignals(),
            Heartbeat(),
            terminal,
            only_training,
            with_report,
        )
        around = None
        while True:
            try:
                _attempt(job, bool(resume or around), around)
                return run
            except NonFiniteLoss as error:
                if config.train.on_nonfinite == "stop" or error.restores == _MOST_RESTORES:
                    raise
                terminal.warning(
                    f"{error}. Going back to the last checkpoint, and on behind these examples "
                    f"({error.restores + 1} of {_MOST_RESTORES} times)"
                )
                traceback.clear_frames(error.__traceback__)  # which hold the model, its data and the optimizer's state
                around = error.with_traceback(None)


@keras_settings.pinned()
def evaluate(run: RunDir, split: str = "test", warn: Callable[[str], None] = warnings.warn) -> dict[str, Any]:
    """Evaluate the exported model of `run` on its "validation" or "test" split: {"loss", "accuracy", "examples"}, and
    the metrics of its config.

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


@contextmanager
def _begun(job: _Job, may_resume: bool) -> Iterator[tuple[Checkpoint | None, Sequence[NamedCallback]]]:
    """The chief makes its callbacks and opens its run, and all workers learn whether it could."""
    run, cluster = job.run, job.cluster
    with ExitStack() as stack:
        checkpoint, refusal, callbacks = None, None, []
        if run:
            try:
                callbacks = list(map(made, job.config.callbacks))
                recording = Recording(run, job.config, cluster, job.events, job.data, job.terminal)
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
        yield checkpoint, callbacks


def _attempt(job: _Job, may_resume: bool, around: NonFiniteLoss | None) -> None:
    """Build all that is trained, which may be refused, before the run's directory is opened; then train it."""
    config, cluster = job.config, job.cluster
    state = State(config, cluster, job.events, builder(config, job.data.image_shape, job.data.classes))
    if config.insight.layer is not None:
        cam_layer(state.model, config.insight.layer)
    with _begun(job, may_resume) as (checkpoint, callbacks):
        if around is None:
            describe(config, cluster, cluster.replicas, job.data, job.splits, job.events, job.terminal)
        _sit(job, state, callbacks, checkpoint, around)


def _sit(
    job: _Job,
    state: State,
    callbacks: Sequence[NamedCallback],
    checkpoint: Checkpoint | None,
    around: NonFiniteLoss | None,
) -> None:
    """One sitting of the run, from its start or a checkpoint to its end. Raises NonFiniteLoss, Stopped."""
    run, config, cluster, terminal = job.run, job.config, job.cluster, job.terminal
    with failures.told(BatchPlan.of(config.train, cluster.replicas), cluster):
        if run:
            terminal.line(summary_text(state.model))
        with job.signals:
            terminal.line("compiling the training step")
            session = Session(
                config,
                cluster,
                job.events,
                state,
                job.splits,
                checkpoint,
                around,
                job.signals,
                job.heartbeat,
                terminal.warning,
                job.data.sha256,
            )
            with writing(session, run, terminal, callbacks) if run else nullcontext():
                _train_and_test(session, job)
        if job.signals.received and cluster.workers == 1:  # after the last look at them; several agree at the end
            raise Interrupted(job.signals.received)
        weights = session.check_equal_weights()
        if not run:
            terminal.line(f"done at step {session.step:,} with the weights of worker 0, SHA-256 {weights}")
        job.heartbeat.end()
        if run:
            _finish(run, session, job)
        session.agree()  # so that all end well, or none


def _train_and_test(session: Session, job: _Job) -> None:
    """Raises Stopped after a signal."""
    stop_signal = loop.train(session)
    if not stop_signal and not job.only_training:
        session.test()
        stop_signal = session.agree()
    if stop_signal:
        how = f"; go on with: {job.run.resume_command()}" if job.run else ""
        raise Stopped(f"stopped at step {session.step:,}{how}", stop_signal)


def _finish(run: RunDir, session: Session, job: _Job) -> None:
    """Export the model, write the summary, make the pictures."""
    if not job.only_training:
        export(session.state.result, run.model_file, is_binary=job.config.loss.name == "binary")
    noise = noise_scale.report(run.read_metrics())
    run.write_summary(summary(session, "completed", noise))
    if session.events.noise_scale:
        job.terminal.line(f"noise     {noise_scale.describe(noise)}")
    if job.only_training:
        return
    job.terminal.line(f"model     {run.model_file}")
    if not job.with_report:
        return
    from harness import report  # the libraries that draw need not be loaded before the first step

    try:
        report.visualize(run, job.terminal)
    except UserError as error:  # images of two channels, say: what was trained is no less complete
        reason = str(error)
    except (MemoryError, tf.errors.ResourceExhaustedError):
        reason = "out of memory"
    else:
        job.terminal.line(f"report    {run.report_file}")
        return
    job.terminal.warning(f"the pictures and the report are left out: {reason}")
