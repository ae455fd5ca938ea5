"""What a resumed run must share with the run it goes on with, and what it may change."""

from collections.abc import Iterator
from typing import Any

import pytest

from harness.config import Config, resolve

DECIDES_THE_WEIGHTS = [
    "seed=1",
    "data.source=other.npz",
    "data.validation=100",
    "data.scale=[0, 1]",
    "data.stratify=true",
    "data.fold=2/5",
    "data.subset=100",
    "data.shift=1",
    "data.augment=[{name: flip}]",
    "data.size=32",
    "data.resize=pad",
    "data.channels=3",
    "data.test=10 %",
    "data.split_seed=1",
    "data.image_feature=image",
    "data.label_feature=label",
    "model.name=cnn_two_pools",
    "model={file: own.keras}",
    "model.freeze=[conv_1]",
    "model.input.color=grey",
    "model.input.size=[32, 32]",
    "model.input.normalize={mean: [0.5]}",
    "train.length=6 epochs",
    "train.global_batch=64",
    "train.clip_norm=1.0",
    "loss.label_smoothing=0.1",
    "loss.class_weights=[1, 2]",
    "loss={name: focal}",
    "train.ema=0.99",
    "train.noise_scale=10 steps",
    "train.precision=bfloat16",
    "optimizer.learning_rate=0.1",
    "optimizer={name: sgd, learning_rate: 0.003}",
    "optimizer={name: adamw, learning_rate: 0.003}",
    "optimizer={name: lion, learning_rate: 0.003}",
    "optimizer={name: my_rules:Mine, learning_rate: 0.003}",
    "schedule.name=cosine",
    "schedule.warmup=2 epochs",
]
OF_FILES = {f"data.{key}" for key in ("size", "channels", "test", "split_seed", "image_feature", "label_feature")}
"""Which are refused with any other source."""
MAY_CHANGE = [
    "name=other",
    "based_on=other",
    "cluster.strategy=single",
    "cluster.gpus=[0]",
    "cluster.logical_cpus=2",
    "cluster.logical_gpus=2",
    "cluster.all_reduce=nccl",
    "cluster.start_timeout=60",
    "train.micro_batch=32",
    "train.target={at_least: 0.99}",
    "train.early_stop={patience: 2}",
    "train.max_seconds=60",
    "train.tf32=true",
    "train.jit=off",
    "train.deterministic=false",
    "data.placement=host",
    "train.on_nonfinite=restore",
    "evaluate.every=10 steps",
    "evaluate.batch=7",
    "checkpoint.every=1 minutes",
    "checkpoint.keep=9",
    "checkpoint.best.metric=validation.loss",
    "checkpoint.best.mode=max",
    "metrics={top_5: {name: top_k}}",
    "callbacks=[{name: 'my_package:Mine'}]",
    "tensorboard.histograms=100 steps",
    "tensorboard.images=0",
    "insight.images=1",
    "insight.methods=[gradient]",
    "insight.layer=conv_1",
    "insight.every=1 epochs",
    "insight.metrics=true",
    "insight.filters=false",
    "insight.budget=10 minutes",
]


def config(*assignments: str) -> Config:
    return resolve({"optimizer": {"name": "adam", "learning_rate": 0.003}}, assignments)


@pytest.mark.parametrize("assignment", DECIDES_THE_WEIGHTS)
def test_changes_with_what_decides_the_weights(assignment: str) -> None:
    key = assignment.partition("=")[0]
    source = ["data.source=tfrecord:x"] if key in OF_FILES else []
    original, changed = config(*source), config(*source, assignment)
    assert changed.identity_hash() != original.identity_hash()
    before, after = original.identity(), changed.identity()
    different = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    assert all(name == key or name.startswith(f"{key}.") for name in different)


@pytest.mark.parametrize("assignment", MAY_CHANGE)
def test_stays_where_devices_logging_checkpoints_or_pictures_change(assignment: str) -> None:
    assert config(assignment).identity_hash() == config().identity_hash()


def test_every_key_of_the_config_is_judged_above() -> None:
    def leaves(tree: dict[str, Any], prefix: str = "") -> Iterator[str]:
        for key, value in tree.items():
            if isinstance(value, dict):
                yield from leaves(value, f"{prefix}{key}.")
            else:
                yield prefix + key

    judged = {assignment.partition("=")[0] for assignment in DECIDES_THE_WEIGHTS + MAY_CHANGE}
    assert set(leaves(config().model_dump(mode="json"))) - judged == {
        "optimizer.name",
        "loss.name",
        "model.file",
    }  # set by whole sections


def test_a_constant_rate_lets_a_run_be_made_longer() -> None:
    constant = ("schedule.name=constant", "schedule.warmup=1 epoch")
    assert config(*constant, "train.length=50 epochs").identity_hash() == config(*constant).identity_hash()


def test_a_warmup_that_is_a_share_of_the_length_changes_with_it() -> None:
    constant = ("schedule.name=constant", "schedule.warmup=20 %")
    assert config(*constant, "train.length=50 epochs").identity_hash() != config(*constant).identity_hash()
    none = ("schedule.name=constant", "schedule.warmup=0 %")
    assert config(*none, "train.length=50 epochs").identity_hash() == config(*none).identity_hash()


def test_is_that_of_version_0_1_0() -> None:
    """Whose checkpoints hold this hash, taken from `1 epochs` as it wrote it."""
    was = "01f0818a4b33e00237db3dc2c30b53efe724368b9285ff1304bfb12e9abc6e86"
    assert config("schedule.warmup=1 epoch").identity_hash() == was


@pytest.mark.parametrize(
    ("rule", "new", "was"),
    [
        ("{name: sgd}", "nesterov=true", "c2dc4b4ee48f5fecc28da98f379c3943e9cc5de4a41de297e62b60074471ff09"),
        ("{name: adamw}", "decay_biases=false", "e88323dffcc34880e762bd9a2ee8d5d644307d18072a3bed2782dc0590161914"),
    ],
)
def test_an_optimizer_before_it_had_a_key_is_the_same(rule: str, new: str, was: str) -> None:
    """Its checkpoints hold this hash."""
    assert config(f"optimizer={rule}", "schedule.warmup=1 epoch").identity_hash() == was
    assert (
        config(f"optimizer={rule}", f"optimizer.{new}").identity_hash() != config(f"optimizer={rule}").identity_hash()
    )


def test_an_argument_of_an_imported_optimizer_counts() -> None:
    rule = "optimizer={name: my_rules:Mine, learning_rate: 0.1, nesterov: false}"
    assert config(rule).identity_hash() != config(rule.replace(", nesterov: false", "")).identity_hash()


def test_the_order_of_the_keys_does_not_matter() -> None:
    one = resolve({"seed": 1, "train": {"ema": 0.5, "clip_norm": 1.0}})
    other = resolve({"train": {"clip_norm": 1, "ema": 0.5}, "seed": 1})
    assert one.identity_hash() == other.identity_hash()


def test_the_same_length_in_other_words_is_the_same() -> None:
    assert config("train.length=5.0 epoch").identity_hash() == config("train.length=5 epochs").identity_hash()
