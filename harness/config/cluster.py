"""The `cluster:` section."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from harness.config.section import Section


class ClusterSection(Section):
    """The devices that a run is trained on, and how they exchange gradients."""

    strategy: Literal["auto", "single", "mirrored", "multi_worker"] = "auto"
    """`auto`: multi_worker where the environment names a cluster, else mirrored over several GPUs, else single."""
    gpus: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """The numbers of the GPUs to use; null for all."""
    logical_cpus: int | None = Field(default=None, ge=1, le=64)
    """Split the CPU into this many devices, so that multi-replica code runs without GPUs."""
    logical_gpus: int | None = Field(default=None, ge=1, le=64)
    """Split one GPU, the first or the one in `gpus`, into this many devices: for tests and for learning, not faster."""

    all_reduce: Literal["auto", "nccl", "hierarchical"] = "auto"
    """How GPUs add up their gradients: TensorFlow's choice, NCCL, or copies between the GPUs of one machine."""
    start_timeout: float = Field(default=300.0, gt=0)
    """Seconds that the workers wait for each other at the start."""

    @model_validator(mode="after")
    def _one_kind_of_device(self) -> Self:
        if self.gpus is not None and self.logical_cpus is not None:
            raise ValueError("give gpus or logical_cpus, not both")
        if self.gpus is not None and len(set(self.gpus)) < len(self.gpus):
            raise ValueError(f"a GPU is named twice in gpus: {self.gpus}")
        return self

    @model_validator(mode="after")
    def _one_card_is_split(self) -> Self:
        if self.logical_gpus is None:
            return self
        if self.logical_cpus is not None:
            raise ValueError("give logical_gpus or logical_cpus, not both")
        if self.gpus is not None and len(self.gpus) > 1:
            raise ValueError(f"logical_gpus splits one GPU, and gpus names {len(self.gpus)}: name one")
        if self.strategy == "multi_worker":
            raise ValueError("logical_gpus is for one process: set strategy to auto, or leave logical_gpus out")
        if self.all_reduce == "nccl" and self.logical_gpus > 1:
            raise ValueError(
                f"all_reduce: nccl takes one replica a card, and logical_gpus is {self.logical_gpus}: use auto"
            )
        # TensorFlow 2.21 copies within two halves of the devices, and silently leaves out the last of an odd number.
        if self.all_reduce == "hierarchical" and self.logical_gpus > 1 and self.logical_gpus % 2:
            raise ValueError(
                f"all_reduce: hierarchical needs an even number of devices, not {self.logical_gpus}: use auto"
            )
        return self
