"""The main job: train → evaluate → export → picture."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import tensorflow as tf

from harness import config as configs
from harness import provenance
from harness.cluster.batch import BatchPlan
from harness.cluster.environment import is_chief
from harness.cluster.strategy import Cluster, connect, describe_device, peak_memory_bytes
from harness.config import Config, dump, resolve
from harness.data import sources
from harness.data.sources import DataSet, Split
from harness.errors import ConfigError, DataError, OutOfMemory, Stopped, WriteFailed
from harness.models.build import check_image_shape
from harness.models.export import export, load, logits_of
from harness.models.memory import estimate_bytes
from harness.run_dir import RunDir, locate
from harness.terminal import Terminal
from harness.training import loop, tensorboard
from harness.training.checkpoint import Checkpoint, Checkpoints, load_newest
from harness.training.evaluate import Evaluator
from harness.training.events import Events
from harness.training.progress import ProgressLines
from harness.training.session import Session
from harness.training.state import State, weights_sha256
from harness.training.stop import StopSignals
from harness.training.tensorboard import TensorBoard, summary_text
from harness.training.writers import MetricsFile


def train(
    config: Config | Mapping[str, Any] | str | Path,
    run_dir: str | Path | None = None,
    resume: str | Path | None = None,
    quiet: bool = False,
) -> RunDir:
    """Train, evaluate, export and picture one model; the main job, and what `harness train` calls.

    Args:
        config: a Config, nested dicts, a YAML file's path or a shipped config's name.
        run_dir: where the run's files go; `runs/<name>-<time>` when None.
        resume: a run to go on with, or "auto" to go on with the one in `run_dir` if there is one.
        quiet: print nothing but warnings.

    Returns:
        The run's directory. (On a worker that is not the chief nothing is there.)

    Raises:
        UserError: for anything wrong with the config, the devices, the data or the run directory, before any file
            is made.
        NonFiniteLoss: when training diverges.
        Stopped: after SIGINT or SIGTERM, once the state is saved.
    """
    config = as_config(config)
    terminal = Terminal(quiet)
    chief = is_chief(config.cluster.strategy, os.environ)
    run = locate(config.name, run_dir, resume) if chief else RunDir(Path("nowhere"))
    if run.exists():
        run.check_same(config)
        if run.is_complete(config):
            terminal.line(f"{run.path} is complete: nothing to do")
            return run

    cluster, data, splits, events = prepare(config)
    describe(config, cluster, splits, events, terminal)
    terminal.line(f"run       {run.path}")
    with _opened(run, config, terminal) if chief else nullcontext() as checkpoint:
        with StopSignals() as signals:
            state = State(config, cluster, events, data.image_shape, data.classes)
            terminal.line(summary_text(state.model))
            session = Session(config, cluster, events, state, splits, checkpoint, signals)
            with _writing(session, run, splits[0], terminal) if chief else nullcontext():
                stop_signal = loop.train(session)
                if stop_signal:
                    raise Stopped(f"stopped at step {session.step:,}; go on with: {run.resume_command()}", stop_signal)
                session.test()
        if chief:
            _finish(run, session, terminal)
    return run


def evaluate(run: RunDir, split: str) -> dict[str, float | int]:
    """Evaluate the exported model of `run` on its "validation" or "test" split: {"loss", "accuracy", "examples"}.

    Raises UserError where the split is empty, or the run's devices or data can't be had.
    """
    config = run.read_config()
    cluster, _, (_, validation, test), _ = prepare(config)
    rows = {"validation": validation, "test": test}[split]
    if not len(rows):
        raise DataError(f"{run.path} has no {split} rows: data.validation is 0")
    with cluster.strategy.scope():
        model = logits_of(load(run.model_file))
    return Evaluator(cluster, model, config.evaluate.batch)(rows)


def as_config(config: Config | Mapping[str, Any] | str | Path) -> Config:
    """A checked Config from whatever names one."""
    if isinstance(config, Config):
        return config
    return resolve(dict(config)) if isinstance(config, Mapping) else configs.load(config)


def prepare(config: Config) -> tuple[Cluster, DataSet, tuple[Split, Split, Split], Events]:
    """Everything that can still be refused before anything is written: devices, data, and the arithmetic."""
    cluster = connect(config.cluster)
    data = sources.load(config.data.source)
    splits = data.splits(config.data.validation)
    check_image_shape(config.model.name, data.image_shape)
    side = min(data.image_shape[:2])
    if config.data.shift >= side:
        raise ConfigError(
            f"data.shift: {config.data.shift} moves images of {side} pixels out of sight: at most {side - 1}"
        )
    events = Events.of(config, len(splits[0]))
    if events.warmup_steps >= events.total_steps and config.schedule.name != "constant":
        raise ConfigError(
            f"schedule.warmup: {config.schedule.warmup} is as long as train.length, {config.train.length}: "
            "make it shorter"
        )
    return cluster, data, splits, events


def describe(
    config: Config, cluster: Cluster, splits: tuple[Split, Split, Split], events: Events, terminal: Terminal
) -> None:
    """Print devices, data, batch arithmetic and steps."""
    train, validation, test = splits
    plan = BatchPlan(config.train.global_batch, cluster.replicas, config.train.micro_batch)
    terminal.line(f"devices   {cluster.description}; {describe_device()}")
    terminal.line(
        f"data      {config.data.source}: {len(train):,} train, {len(validation):,} validation, {len(test):,} test"
    )
    terminal.line(f"batch     {plan.describe()}")
    terminal.line(
        f"steps     {events.total_steps:,} = {config.train.length} of {len(train) / plan.global_batch:,.1f} steps; "
        f"warm-up {events.warmup_steps:,}, then {config.schedule.name}"
    )


def dry_run(config: Config, terminal: Terminal) -> None:
    """Resolve and check everything, print it with a memory estimate, and train nothing."""
    cluster, data, splits, events = prepare(config)
    describe(config, cluster, splits, events, terminal)
    state = State(config, cluster, events, data.image_shape, data.classes)
    plan = BatchPlan(config.train.global_batch, cluster.replicas, config.train.micro_batch)
    slots = {"adam": 2, "adamw": 2, "sgd": 1}[config.optimizer.name] + bool(config.train.ema)
    needed = estimate_bytes(state.model, slots, plan.micro_rows)
    terminal.line(summary_text(state.model))
    terminal.line(f"memory    about {needed / 2**20:,.0f} MiB a replica, beside TensorFlow itself (estimate)")
    terminal.line("dry run: nothing trained, nothing written")


@contextmanager
def _opened(run: RunDir, config: Config, terminal: Terminal) -> Iterator[Checkpoint | None]:
    """Hold the run's directory, made new or taken up where its newest checkpoint is, and leave its status right."""
    run.lock()
    try:
        newest = _take_up(run, terminal) if run.exists() else None
        run.begin(config)
        terminal.log_to(run.log_file)
        with _failures_recorded(run, terminal):
            yield newest
    finally:
        terminal.close()
        run.unlock()


@contextmanager
def _failures_recorded(run: RunDir, terminal: Terminal) -> Iterator[None]:
    try:
        yield
    except BaseException as error:
        with suppress(OSError):  # a full disk must not hide what went wrong first
            terminal.log(f"{type(error).__name__}: {error}")
            if run.read_summary()["status"] == "running":
                run.update_summary(status="stopped" if isinstance(error, Stopped) else "failed")
        if isinstance(error, OSError):
            raise WriteFailed(
                f"can't write {error.filename or run.path}: {error.strerror}; once that is mended, go on with: "
                f"{run.resume_command()}"
            ) from None
        if isinstance(error, tf.errors.ResourceExhaustedError):
            raise OutOfMemory("out of memory: lower train.micro_batch, train.global_batch or evaluate.batch") from None
        raise


def _take_up(run: RunDir, terminal: Terminal) -> Checkpoint | None:
    """Rewind the run's records to its newest checkpoint; None where it died before it had one."""
    newest = load_newest(run.checkpoints_dir, terminal.warning)
    step = newest.step if newest else 0
    run.rewind_metrics(step)
    tensorboard.rewind(run.tensorboard_dir, step)
    terminal.line(f"resume    {run.path} at step {step:,}")
    return newest


@contextmanager
def _writing(session: Session, run: RunDir, train: Split, terminal: Terminal) -> Iterator[None]:
    """Let the session write to the run's directory and the terminal."""
    config, step = session.config, session.step
    board = TensorBoard(run.tensorboard_dir, step)
    if step == 0:
        board.describe(session.state.model, dump(config), train, config.tensorboard.images)
    steps_per_epoch = len(train) / config.train.global_batch
    session.writers = [
        MetricsFile(run.metrics_file),
        Checkpoints(run.checkpoints_dir, config.checkpoint.keep),
        board,
        ProgressLines(terminal, step, session.events.total_steps, steps_per_epoch),
    ]
    try:
        yield
    finally:
        for writer in session.writers:
            writer.close()


def _finish(run: RunDir, session: Session, terminal: Terminal) -> None:
    """Export the model, write the summary, make the pictures."""
    export(session.state.result, run.model_file)
    run.write_summary(_summary(session))
    terminal.line(f"model     {run.model_file}")
    from harness import report  # the libraries that draw need not be loaded before the first step

    report.visualize(run, terminal.line)
    terminal.line(f"report    {run.report_file}")


def _summary(session: Session) -> dict[str, Any]:
    clock, cluster = session.clock, session.cluster
    examples = session.step * session.config.train.global_batch
    validation, test = session.rows.get("validation"), session.rows["test"]
    measured = ("loss", "accuracy", "examples")
    return {
        "status": "completed",
        "steps": session.step,
        "epochs": examples / session.epoch_examples,
        "examples": examples,
        "replicas": cluster.replicas,
        "workers": cluster.workers,
        "global_batch": session.config.train.global_batch,
        "train_seconds": clock.train_seconds,
        "compile_seconds": clock.compile_seconds,
        "images_per_second": examples / clock.train_seconds,
        "validation": {key: validation[key] for key in measured} if validation else None,
        "test": {key: test[key] for key in measured},
        "weights_sha256": weights_sha256(session.state.result),
        "peak_memory_bytes": peak_memory_bytes(),
        "versions": provenance.versions(),
        "git": provenance.git(),
        "device": describe_device(),
    }
