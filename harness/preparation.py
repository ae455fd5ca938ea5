"""What a run is going to be: its data, splits and steps, refused where they don't go together, and printed."""

import math
import os

import keras
import numpy as np

from harness.cluster.batch import BatchPlan
from harness.cluster.environment import membership
from harness.cluster.strategy import Cluster, connect, describe_device, is_on_gpus
from harness.config import Config
from harness.console.terminal import Terminal
from harness.data import augment, sources
from harness.data.classes import called
from harness.data.problems import places
from harness.data.quality import doubts
from harness.data.scan import MOST_AT_A_START, scans
from harness.data.sources import DataSet, Split
from harness.errors import ConfigError, DataError, UserError
from harness.insight.layers import cam_layer
from harness.machine.resources import available_memory
from harness.models.build import builder
from harness.models.memory import estimate_bytes
from harness.page.wording import number
from harness.trackers.mirror import check as check_trackers
from harness.training import metrics, optimizer
from harness.training.events import Events
from harness.training.own_callback import check as check_callback
from harness.training.own_callback import interval
from harness.training.setup import Setup
from harness.training.state import State
from harness.training.tensorboard import summary_text

_MOST_NAMES = 10


def prepare(config: Config) -> Setup:
    """The config with its data. Raises UserError for everything that can be refused before a device is touched or a
    file is made."""
    return check(config, sources.load(config.data))


def check(config: Config, data: DataSet) -> Setup:
    """The config with that data. Raises UserError where they don't go together."""
    train, validation, test = data.split_for(config)
    occurring = {*np.unique(data.y_train).tolist(), *np.unique(data.y_test).tolist()}
    if len(occurring) == 1:
        only = called(occurring.pop(), data.class_names)
        raise DataError(
            f"data.source: {config.data.source}: all rows are of one class, {only}: there is nothing for a model to "
            "tell apart"
        )
    optimizer.check(config.optimizer)
    augment.check(config.data, data.image_shape)
    metrics.check(config, data.classes)
    if (config.train.target or config.train.early_stop or config.train.max_seconds) and not len(validation):
        raise ConfigError(
            "train.target, train.early_stop and train.max_seconds look at evaluations: data.validation must be above 0"
        )
    for section in config.own_callbacks:
        check_callback(section)
    events = Events.of(config, len(train), list(map(interval, config.own_callbacks)))
    if events.warmup_steps >= events.total_steps and config.schedule.name != "constant":
        raise ConfigError(
            f"schedule.warmup: {config.schedule.warmup} leaves nothing of train.length, {config.train.length}: "
            "make it shorter"
        )
    return Setup(config, data, train, validation, test, events)


def check_model(config: Config, model: keras.Model) -> None:
    """Raise UserError where the model lacks what the config names in it."""
    if config.insight.layer is not None:
        try:
            cam_layer(model, config.insight.layer)
        except UserError as error:
            raise ConfigError(f"insight.layer: {error}") from None


def describe(setup: Setup, cluster: Cluster, replicas: int, terminal: Terminal) -> None:
    """Print devices, data, batch arithmetic and steps, and warn of what is likely to be a mistake."""
    config, data, events = setup.config, setup.data, setup.events
    splits, rows = (setup.train, setup.validation, setup.test), len(setup.train)
    plan = BatchPlan.of(config.train, replicas)
    terminal.line(f"devices   {cluster.description}; {describe_device()}")
    for line in describe_data(config, data, splits):
        terminal.line(line)
    terminal.line(f"batch     {plan.describe()}")
    terminal.line(
        f"steps     {events.total_steps:,} = {_epochs(events, plan, rows)} of "
        f"{rows / plan.global_batch:,.1f} steps; warm-up {events.warmup_steps:,}, then {config.schedule.name}"
    )
    if cluster.is_chief:
        looked_through = scans(data, terminal.line, MOST_AT_A_START)
        if looked_through is None:
            terminal.line("images    too many to check at each start: harness data CONFIG checks them once")
        for doubt in doubts(data, splits, looked_through):
            terminal.warning(f"{config.data.source}: {doubt}")
        for section, every in zip(config.own_callbacks, events.callbacks, strict=True):
            if every and every.next_after(0) > events.total_steps:
                terminal.warning(
                    f"callback {section.name} is first due at step {every.next_after(0):,}, and so is never called: "
                    "give it a shorter every"
                )
        if events.noise_scale is not None and events.noise_scale >= events.total_steps:
            terminal.warning(
                f"train.noise_scale: {config.train.noise_scale} is no less than the whole training, so nothing is "
                "measured: make it shorter"
            )
        if (bound := config.train.micro_batch or 0) > plan.global_batch:
            terminal.warning(
                f"train.micro_batch: {bound:,} is more than the {plan.global_batch:,} examples of a global batch, and "
                "changes nothing"
            )


def describe_data(config: Config, data: DataSet, splits: tuple[Split, Split, Split]) -> list[str]:
    """How many rows there are of what, in lines."""
    train, validation, test = map(len, splits)
    lines = [f"data      {config.data.source}: {train:,} train, {validation:,} validation, {test:,} test"]
    if data.labels_were:
        lines.append(f"labels    given as {data.labels_were}")
    if data.class_names:
        lines.append(f"classes   {len(data.class_names):,}: {places(data.class_names, _MOST_NAMES)}")
    return lines


def _epochs(events: Events, plan: BatchPlan, rows: int) -> str:
    epochs = number(events.total_steps * plan.global_batch / rows)
    return f"{epochs} epoch{'' if epochs == '1' else 's'}"


def dry_run(config: Config, terminal: Terminal) -> None:
    """Resolve and check everything, print it with a memory estimate, and train nothing."""
    setup = prepare(config)
    members = membership(config.cluster.strategy, os.environ)
    section = config.cluster.model_copy(update={"strategy": "auto"}) if members else config.cluster
    cluster = connect(section, environment={}, train=config.train)
    workers = len(members.workers) if members else 1
    if members:
        terminal.line(
            f"workers   {workers} ({members.source}), assumed to be like this one: a dry run connects to none"
        )
    describe(setup, cluster, cluster.replicas * workers, terminal)
    check_trackers(config)
    augment.check_pixels(config.data, config.seed, setup.train.images)
    state = State(config, cluster, setup.events, builder(config, setup.data.image_shape, setup.data.classes))
    check_model(config, state.model)
    plan = BatchPlan.of(config.train, cluster.replicas * workers)
    slots = state.update_rule.slots + bool(config.train.ema)
    needed = estimate_bytes(state.model, slots, plan.micro_rows)
    terminal.line(summary_text(state.model))
    terminal.line(f"memory    about {needed / 2**20:,.0f} MiB a replica, beside TensorFlow itself (estimate)")
    there = available_memory() // cluster.replicas
    if not is_on_gpus() and needed > there:
        fits = 2 ** int(math.log2(max(1, plan.micro_rows * there // needed)))
        terminal.warning(
            f"a replica has {there / 2**20:,.0f} MiB of this machine's memory, which is less: take the global batch in "
            f"parts, as with --set train.micro_batch={fits}"
        )
    terminal.line("dry run: nothing trained, nothing written")
