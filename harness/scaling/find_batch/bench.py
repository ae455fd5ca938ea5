"""A config with other batches, measured one after another in one process or in one each."""

from collections.abc import Sequence

from harness.config import Config
from harness.scaling.find_batch import watched

TRY_SECONDS = 900.0
"""The longest that a measurement may take."""


class Bench:
    """Measures a config on the devices of this machine."""

    def __init__(self, process: watched.Process, config: str, assignments: Sequence[str], checked: Config) -> None:
        """Args:
        process: of `harness.measuring.bench_requests`.
        config: as on the command line; `assignments`: its `--set` values; `checked`: what these give.
        """
        # Neither memory nor speed depends on the learning rate; but one meant for a large batch may make a small one
        # diverge, and a warm-up in steps may be longer than the training with a large batch.
        safe = [f"optimizer.name={checked.optimizer.name}", "optimizer.learning_rate=1.0e-9", "schedule.name=constant"]
        self._process = process
        self._config = config
        self._assignments = [*assignments, *safe]
        self.one_process = False
        """Whether a measurement is made in the process of the one before."""

    def measure(
        self, global_batch: int, micro_batch: int | None, repeats: int, most_bytes: int | None
    ) -> watched.Ended:
        """With that batch and `train.micro_batch`, in `repeats` chunks and that much main memory."""
        micro = "null" if micro_batch is None else str(micro_batch)
        batch = [f"train.global_batch={global_batch}", f"train.micro_batch={micro}"]
        request = {"config": self._config, "assignments": [*self._assignments, *batch], "repeats": repeats}
        if not self.one_process:
            self._process.end()
        return self._process.ask(request, most_bytes, TRY_SECONDS)
