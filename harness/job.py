"""The main job: train → evaluate → export → picture."""

import os
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from harness import provenance, report
from harness.cluster.batch import BatchPlan
from harness.cluster.environment import detect
from harness.cluster.strategy import Cluster, connect, describe_device, peak_memory_bytes
from harness.config import Config, dump, load, resolve
from harness.data import sources
from harness.data.sources import DataSet, Split
from harness.errors import ConfigError, RunError, Stopped
from harness.models.export import export
from harness.models.memory import estimate_bytes
from harness.run_dir import RunDir, check_new, new_path
from harness.terminal import Terminal
from harness.training import loop, tensorboard
from harness.training.checkpoint import Checkpoint, Checkpoints, load_newest
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
    run = _locate(config, run_dir, resume)
    is_chief = _is_chief(config)
    if is_chief and _is_complete(run, config):
        terminal.line(f"{run.path} is complete: nothing to do")
        return run

    cluster, data, splits, events = prepare(config)
    describe(config, cluster, splits, events, terminal)
    with _opened(run, config, terminal) if is_chief else nullcontext() as checkpoint:
        with StopSignals() as signals:
            state = State(config, cluster, events, data.image_shape, data.classes)
            terminal.line(summary_text(state.model))
            session = Session(config, cluster, events, state, splits, checkpoint, signals)
            with _writing(session, run, splits[0], terminal) if is_chief else nullcontext():
                stop_signal = loop.train(session)
                if stop_signal:
                    raise Stopped(f"stopped at step {session.step:,}; go on with: {_resume_command(run)}", stop_signal)
                session.test()
        if is_chief:
            _finish(run, session, terminal)
    return run


def as_config(config: Config | Mapping[str, Any] | str | Path) -> Config:
    """A checked Config from whatever names one."""
    if isinstance(config, Config):
        return config
    return resolve(dict(config)) if isinstance(config, Mapping) else load(config)


def prepare(config: Config) -> tuple[Cluster, DataSet, tuple[Split, Split, Split], Events]:
    """Everything that can still be refused before anything is written: devices, data, and the arithmetic."""
    cluster = connect(config.cluster)
    data = sources.load(config.data.source)
    splits = data.splits(config.data.validation)
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


def _locate(config: Config, run_dir: str | Path | None, resume: str | Path | None) -> RunDir:
    if resume is None:
        return RunDir(Path(run_dir) if run_dir else new_path(config.name))
    if str(resume) == "auto":
        if run_dir is None:
            raise RunError("--resume auto needs --run-dir: the directory to start in or to go on with")
        return RunDir(Path(run_dir))
    if run_dir is not None and Path(run_dir).resolve() != Path(resume).resolve():
        raise RunError(f"--resume {resume} and --run-dir {run_dir} name two directories: give one")
    return RunDir.open(resume)


def _is_chief(config: Config) -> bool:
    membership = detect(os.environ) if config.cluster.strategy in ("auto", "multi_worker") else None
    return membership is None or membership.is_chief


def _is_complete(run: RunDir, config: Config) -> bool:
    """Whether there is nothing left to do; raises where the run can't be begun or gone on with."""
    if not run.exists():
        check_new(run.path)
        return False
    then, now = run.read_config().identity(), config.identity()
    different = [key for key in {**then, **now} if then.get(key) != now.get(key)]
    if different:
        changes = ", ".join(f"{key} ({then.get(key)} → {now.get(key)})" for key in different)
        raise RunError(f"can't resume {run.path} with another config: {changes}; start a new run for that")
    same_length = run.read_config().train.length == config.train.length
    return same_length and run.read_summary().get("status") == "completed"


@contextmanager
def _opened(run: RunDir, config: Config, terminal: Terminal) -> Iterator[Checkpoint | None]:
    """Hold the run's directory, made new or taken up where its newest checkpoint is, and leave its status right."""
    if run.exists():
        run.lock()
        newest = load_newest(run.checkpoints_dir, terminal.warning)
        step = newest.step if newest else 0
        run.write_config(config)
        run.update_summary(status="running")
        run.rewind_metrics(step)
        tensorboard.rewind(run.tensorboard_dir, step)
        terminal.line(f"resume    {run.path} at step {step:,}")
    else:
        run.create(config)
        newest = None
        terminal.line(f"run       {run.path}")
    terminal.log_to(run.log_file)
    try:
        yield newest
    except BaseException as error:
        if run.read_summary()["status"] == "running":
            run.update_summary(status="stopped" if isinstance(error, Stopped) else "failed")
        terminal.log(f"{type(error).__name__}: {error}")
        raise
    finally:
        terminal.close()
        run.unlock()


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


def _resume_command(run: RunDir) -> str:
    return shlex.join(["harness", "train", str(run.config_file), "--resume", str(run.path)])
