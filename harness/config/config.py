"""The whole config: one section per stage."""

import hashlib
import json
import re
from collections.abc import Iterator
from typing import Annotated, Any, Self

from pydantic import AfterValidator, Field, model_validator

from harness.config.callbacks import (
    AnyCallbackSection,
    CallbackSection,
    CheckpointSection,
    EvaluateSection,
    TensorBoardSection,
    TrackerSection,
)
from harness.config.cluster import ClusterSection
from harness.config.data import OF_FILES, DataSection, split_source
from harness.config.duration import SHARE, Duration
from harness.config.insight import InsightSection
from harness.config.loss import CrossEntropy, LossSection
from harness.config.metrics import MetricsSection
from harness.config.model import InputSection, ModelSection
from harness.config.optimizer import Adam, OptimizerSection, ScheduleSection
from harness.config.section import Section, did_you_mean
from harness.config.target import ACCURACY, LOSS, Ranked, Watched
from harness.config.train import TrainSection

_OPTIMIZER_BEFORE_0_2 = {"sgd": {"nesterov": False}, "adamw": {"decay_biases": True}}
"""What an optimizer did before there was a key for it."""


def _file_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}", name):
        raise ValueError("use up to 100 letters, digits, '.', '_' and '-', beginning with a letter or digit")
    return name


class Config(Section):
    """What a run is: one section for each stage of it.

        config = harness.RunDir.open("latest").read_config()
        config.train.global_batch, config.flat()["optimizer.learning_rate"]
        harness.train(config, seed=1)  # the same with another seed

    Each key has its meaning under it; `harness config mnist` prints a config with all of them.
    """

    name: Annotated[str, AfterValidator(_file_name)] = "run"
    """Begins the run directory's name."""
    based_on: str | None = None
    """The name that --set or --run-name has replaced: by it the run's table and page call the config."""
    seed: int = Field(default=0, ge=0, lt=2**31)
    """Sets the initial weights, the order of the data and the augmentation."""
    data: DataSection = DataSection()
    model: ModelSection = ModelSection()
    loss: LossSection = CrossEntropy()
    metrics: MetricsSection = Field(default={})
    """What is measured beside loss and accuracy: {top_5: {name: top_k, k: 5}}."""
    cluster: ClusterSection = ClusterSection()
    train: TrainSection = TrainSection()
    optimizer: OptimizerSection = Adam()
    schedule: ScheduleSection = ScheduleSection()
    evaluate: EvaluateSection = EvaluateSection()
    checkpoint: CheckpointSection = CheckpointSection()
    tensorboard: TensorBoardSection = TensorBoardSection()
    insight: InsightSection = InsightSection()
    callbacks: list[AnyCallbackSection] = Field(default=[])
    """What is called between steps: callbacks of your own, and mirrors in MLflow and Weights & Biases."""

    @model_validator(mode="before")
    @classmethod
    def _takes_label_smoothing_from_where_it_was(cls, tree: Any) -> Any:
        """Version 0.1.0 had it under `train`, and the configs of its runs do."""
        train, loss = (tree.get(name, {}) for name in ("train", "loss")) if isinstance(tree, dict) else ({}, {})
        if not (isinstance(train, dict) and "label_smoothing" in train and isinstance(loss, dict)):
            return tree
        old = train["label_smoothing"]
        if "label_smoothing" in loss:
            raise ValueError(
                f"train.label_smoothing, now {old}, is the old name of loss.label_smoothing, now "
                f"{loss['label_smoothing']}: give that alone"
            )
        train = {key: value for key, value in train.items() if key != "label_smoothing"}
        is_left_out = not old and loss.get("name", "cross_entropy") != "cross_entropy"
        return tree | {"train": train} | ({} if is_left_out else {"loss": loss | {"label_smoothing": old}})

    def watched(self) -> dict[str, Watched | None]:
        """By key, what looks at a metric."""
        return {
            "train.target": self.train.target,
            "train.early_stop": self.train.early_stop,
            "checkpoint.best": self.checkpoint.best,
        }

    @model_validator(mode="after")
    def _mirrors_once(self) -> Self:
        names = [section.name for section in self.trackers]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ValueError(f"callbacks: {twice[0]} is listed twice, and a run is mirrored there once: leave one out")
        return self

    @model_validator(mode="after")
    def _measures_what_is_watched(self) -> Self:
        known = [ACCURACY, LOSS, *(f"validation.{name}" for name in self.metrics)]
        for key, watched in self.watched().items():
            if watched and watched.metric not in known:
                hint = did_you_mean(watched.metric, known)
                raise ValueError(f"{key}.metric: {watched.metric!r} is not one of {', '.join(known)}{hint}")
            if isinstance(watched, Ranked) and watched.lacks_mode:
                raise ValueError(
                    f"{key}: {watched.metric} needs mode: max where the highest value is the best, min where the lowest"
                )
        return self

    @property
    def own_callbacks(self) -> list[CallbackSection]:
        """Those of the callbacks that are the user's own."""
        return [section for section in self.callbacks if isinstance(section, CallbackSection)]

    @property
    def trackers(self) -> list[TrackerSection]:
        """Those of the callbacks that mirror the run in a tracker."""
        return [section for section in self.callbacks if not isinstance(section, CallbackSection)]

    @property
    def origin(self) -> str:
        """The name of the config that this one was made from by replacing values, or its own."""
        return self.based_on or self.name

    def identity(self) -> dict[str, Any]:
        """What decides the trained weights, as flat `section.key` → value: a resumed run must not change it.

        The length counts where the learning rate falls towards it, or rises over a share of it; else, under a constant
        rate, a run may be made longer.
        """
        whole = self.model_dump(mode="json")
        kept: dict[str, Any] = {
            section: whole[section] for section in ("seed", "data", "model", "loss", "optimizer", "schedule")
        }
        del kept["data"]["placement"]
        for key in ("file", "freeze"):  # as above runs from before there was such a key can be resumed
            if not kept["model"][key]:
                del kept["model"][key]
        if self.model.input == InputSection():
            del kept["model"]["input"]
        for key in ("scale", "stratify", "fold", "subset", "augment", *OF_FILES):  # and from before there was a choice
            if getattr(self.data, key) == DataSection.model_fields[key].default:
                del kept["data"][key]
        for key, value in _OPTIMIZER_BEFORE_0_2.get(self.optimizer.name, {}).items():
            if kept["optimizer"][key] == value:
                del kept["optimizer"][key]
        free = {"micro_batch", "jit", "deterministic", "tf32", "on_nonfinite", "target", "early_stop", "max_seconds"}
        if self.schedule.name == "constant" and not (
            self.schedule.warmup.unit == SHARE and self.schedule.warmup.amount
        ):
            free.add("length")
        kept["train"] = {key: value for key, value in whole["train"].items() if key not in free}
        return _flatten(kept)

    def with_length(self, length: Duration) -> Self:
        """The same config with another `train.length`."""
        return self.model_copy(update={"train": self.train.model_copy(update={"length": length})})

    def flat(self) -> dict[str, Any]:
        """All of it as flat `section.key` → JSON value."""
        return _flatten(self.model_dump(mode="json"))

    def import_paths(self) -> dict[str, str]:
        """By key, the import paths that it names."""
        tree = self.model_dump(mode="json", exclude={"name"})
        paths = dict(_import_paths(tree, ""))
        kind, source = split_source(self.data.source)
        return paths if kind or ":" not in source or "/" in source else {"data.source": source, **paths}

    def common(self) -> dict[str, Any]:
        """What all workers of a run must have alike, flat; which of its GPUs each uses is its own business."""
        return _flatten(
            self.model_dump(mode="json", exclude={"name": True, "based_on": True, "cluster": {"gpus", "start_timeout"}})
        )

    def identity_hash(self) -> str:
        """SHA-256 of `identity()`, in hex; of its keys as version 0.1.0 had them where it had them."""
        identity = self.identity()
        if isinstance(self.loss, CrossEntropy) and self.loss.class_weights is None:
            del identity["loss.name"], identity["loss.class_weights"]
            identity["train.label_smoothing"] = identity.pop("loss.label_smoothing")
        identity = {key: _as_of_old(value) for key, value in identity.items()}
        return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def _as_of_old(value: Any) -> Any:
    """Version 0.1.0 wrote `1 epochs`, and its checkpoints hold the hash of that."""
    return re.sub(r"^1 (epoch|step|example)$", r"1 \1s", value) if isinstance(value, str) else value


def _import_paths(tree: Any, key: str) -> Iterator[tuple[str, str]]:
    if isinstance(tree, list):
        for number, inner in enumerate(tree):
            yield from _import_paths(inner, f"{key}[{number}]")
    elif isinstance(tree, dict):
        if isinstance(name := tree.get("name"), str) and ":" in name:  # its arguments are nothing of ours
            yield f"{key}.name", name
            return
        for inner in tree:
            yield from _import_paths(tree[inner], f"{key}.{inner}" if key else inner)


def _flatten(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, dict):
            flat |= _flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat
