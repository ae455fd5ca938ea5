"""Global batch → rows per replica and micro-batches: pure arithmetic.

With B examples a step on R replicas, replica r takes the rows r·⌈B/R⌉ to (r+1)·⌈B/R⌉ of the batch; the rows at or past
B are padding and carry weight zero. A replica cuts its rows into M = ⌈⌈B/R⌉/micro_batch⌉ micro-batches of equal size,
padded likewise. The loss is the weighted *sum* over examples divided by B, so R and M change the order of a
summation and nothing else; but BatchNormalization takes its statistics over a micro-batch of all replicas, so they
change with M.
"""

from dataclasses import dataclass
from typing import Self

from harness.config.train import TrainSection


@dataclass(frozen=True)
class BatchPlan:
    """How a global batch is shared among replicas, and a replica's share among micro-batches of equal size."""

    global_batch: int
    replicas: int
    micro_batch: int | None = None

    @classmethod
    def of(cls, section: TrainSection, replicas: int) -> Self:
        return cls(section.global_batch, replicas, section.micro_batch)

    @property
    def replica_rows(self) -> int:
        """Rows of the global batch per replica, padding of the last replicas included."""
        return -(-self.global_batch // self.replicas)

    @property
    def micro_batches(self) -> int:
        """Micro-batches per replica and step."""
        return -(-self.replica_rows // (self.micro_batch or self.replica_rows))

    @property
    def micro_rows(self) -> int:
        """Rows in each micro-batch."""
        return -(-self.replica_rows // self.micro_batches)

    @property
    def padded_rows(self) -> int:
        """Rows a replica computes in a step."""
        return self.micro_rows * self.micro_batches

    @property
    def pieces(self) -> int:
        """Micro-batches of all replicas that hold at least one row which is no padding."""
        full, rest = divmod(self.global_batch, self.replica_rows)
        return full * -(-self.replica_rows // self.micro_rows) + -(-rest // self.micro_rows)

    def describe(self) -> str:
        text = f"global batch {self.global_batch:,}"
        if self.replicas > 1:
            text += f" = {self.replicas} replicas × {self.replica_rows:,}"
        if self.micro_batches > 1:
            text += f", each in {self.micro_batches} micro-batches of {self.micro_rows:,}"
        padding = self.padded_rows * self.replicas - self.global_batch
        rows = "row" if padding == 1 else "rows"
        return text + (f" ({padding} padding {rows} with weight zero)" if padding else "")
