"""What a program calls: train, which does the main job, and evaluate."""

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness import keras_settings
from harness.cluster.batch import BatchPlan
from harness.cluster.collective import from_chief
from harness.cluster.environment import is_chief
from harness.cluster.strategy import connect
from harness.config import Config
from harness.config.cluster import ClusterSection
from harness.console.tensorflow_lines import without_tracing_warnings
from harness.console.terminal import Terminal
from harness.data import sources
from harness.errors import ConfigError, DataError, UserError
from harness.imports import handed
from harness.main_job import MainJob, Until
from harness.models.build import trained
from harness.models.export import logits_of
from harness.models.logits import takes
from harness.preparation import prepare
from harness.python_objects import Named, as_config, with_data
from harness.runs.run_dir import RunDir, find_run
from harness.trackers.mirror import catch_up
from harness.training import machine_failures, metrics
from harness.training.evaluate import Evaluator


@keras_settings.pinned()
@without_tracing_warnings()
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
        data_changed: resume a run though its data are not what they were.
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
            "the second argument is the run's path; give changes as keywords, such as **{'train.length': '1 epoch'}"
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
    setup = prepare(config)
    if run and run.exists():
        run.check_same(config, len(setup.train))
        run.check_same_classes(setup.data.class_names)
        if not data_changed:
            run.check_same_data(setup.data.sha256)
    common = {**config.common(), "content of data.source": setup.data.sha256}
    cluster = connect(config.cluster, common=common, train=config.train, say=terminal.warning)
    with machine_failures.in_one_line(BatchPlan.of(config.train, cluster.replicas), cluster):
        complete = run is not None and run.exists() and run.is_complete(config, until == "pictured")
        if from_chief(cluster, np.array([int(complete)])).any():
            terminal.line(f"{run.path if run else 'the run'} is complete: nothing to do")
            if run and config.trackers:
                catch_up(config, run, terminal)
        else:
            MainJob(setup, cluster, run, terminal, until).run(may_resume=resume is not None)
    return run


@keras_settings.pinned()
@without_tracing_warnings()
def evaluate(
    run: RunDir | str | Path, split: str = "test", warn: Callable[[str], None] = warnings.warn, *, data: Any = None
) -> dict[str, Any]:
    """Evaluate the exported model of `run` on its "validation" or "test" split: {"loss", "accuracy", "examples"}, and
    the metrics of its config.

        harness.evaluate("latest", "validation")["accuracy"]

    On the devices of this machine, whatever the run was trained on; `warn` is called where its data have changed since.
    `data`, as `train` takes them, stand in for those of its config, which other processes may not find.
    Raises UserError where there is no such run or split, the split is empty, or the run's data can't be had.
    """
    if split not in ("validation", "test"):
        raise UserError(f"the split {split!r} is not one of validation, test")
    run = run if isinstance(run, RunDir) else RunDir.open(run)
    config = run.read_config()
    cluster = connect(ClusterSection(), environment={}, train=config.train)
    with cluster.strategy.scope():
        model = logits_of(trained(run))
    with with_data(config, data) as config:
        found = sources.load(config.data).for_outputs(model.output_shape[-1])
    run.check_same_classes(found.class_names, config.data.source)
    sources.check_labels(found.classes - 1, max(model.output_shape[-1], 2))  # one output stands for two classes
    if not takes(model, found.image_shape):
        raise DataError(f"{run.path} takes images of shape {model.input_shape[1:]}, not {found.image_shape}")
    if change := run.change_of_data(found.sha256, config.data.source):
        warn(change)
    _, validation, test = found.split_for(config)
    rows = {"validation": validation, "test": test}[split]
    if not len(rows):
        raise DataError(f"{run.path} has no {split} rows: data.validation is 0")
    return Evaluator(cluster, model, config.evaluate.batch, metrics.in_evaluation(config))(rows)
