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
        # diverge, and a warm-up in steps may be longer than the training with a large batch. The noise scale needs a
        # smaller batch than the first one, of a single example.
        safe = [f"optimizer.name={checked.optimizer.name}", "optimizer.learning_rate=1.0e-9", "schedule.name=constant"]
        safe.append("train.noise_scale=null")
        self._process = process
        self._config = config
        self._assignments = [*assignments, *safe]

    def measure(
        self, global_batch: int, micro_batch: int | None, repeats: int, most_bytes: int | None, goes_on: bool
    ) -> watched.Ended:
        """With that batch and `train.micro_batch`, in `repeats` windows and that much main memory.

        `goes_on`: in the process of the measurement before, if it lives.
        """
        micro = "null" if micro_batch is None else str(micro_batch)
        batch = [f"train.global_batch={global_batch}", f"train.micro_batch={micro}"]
        request = {"config": self._config, "assignments": [*self._assignments, *batch], "repeats": repeats}
        if not goes_on:
            self._process.end()
        return self._process.ask(request, most_bytes, TRY_SECONDS)
