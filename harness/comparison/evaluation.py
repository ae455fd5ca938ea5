"""A side with its model, evaluated on all test images."""

from dataclasses import dataclass
from typing import Any

from harness.comparison.sides import Side
from harness.models.build import builder, trained
from harness.report.evaluated_model import EvaluatedModel, of_model
from harness.training import checkpoint as checkpoints
from harness.training.checkpoint import Checkpoint


@dataclass(frozen=True)
class EvaluatedSide:
    """A side and its model's answers to all test images."""

    side: Side
    model: EvaluatedModel
    summary: dict[str, Any]
    """As in summary.json; of a checkpoint, as much of it as its header tells."""


def evaluate(side: Side) -> EvaluatedSide:
    """Load the side's model, and evaluate it on all test images.

    Raises:
        RunError: the model or the checkpoint is damaged, or does not fit the run's config and data.
        DataError: a label is not one of the model's classes.
    """
    if side.checkpoint is None:
        model, summary = trained(side.run), side.run.read_summary()
    else:
        checkpoint = checkpoints.load(side.checkpoint)
        config = side.config
        is_older = side.data.was_from_1 and not side.run.read_class_names()  # which a run since 0.1.0 keeps
        classes = side.data.classes + is_older
        model = builder(config, side.data.image_shape, classes, "float32")()
        checkpoints.assign_result(checkpoint, model)
        summary = _summary(checkpoint, config.train.global_batch)
    return EvaluatedSide(side, of_model(side.name, model, side.data), summary)


def _summary(checkpoint: Checkpoint, global_batch: int) -> dict[str, Any]:
    header = checkpoint.header
    seconds = header.get("train_seconds")
    return {
        **{key: header.get(key) for key in ("train_seconds", "compile_seconds", "versions", "data_sha256")},
        **{key: header.get("devices", {}).get(key) for key in ("device", "replicas", "workers")},
        "steps": checkpoint.step,
        "images_per_second": checkpoint.step * global_batch / seconds if seconds else None,
    }
