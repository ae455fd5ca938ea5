"""The gradient noise scale along the trials of an experiment, from the norms in their metrics."""

from collections.abc import Sequence

from harness.scaling.experiment.experiment_dir import ExperimentDir
from harness.scaling.experiment.plan import Setting
from harness.scaling.tables.measurements import NoiseWindow, write_noise
from harness.scaling.tables.trials import Trial
from harness.training import noise_scale

_WINDOWS = 8
"""Of each trial at the most."""


def write(folder: ExperimentDir, trials: Sequence[Trial]) -> None:
    """Write noise_scale.csv, unless no trial has measured anything (`train.noise_scale`)."""
    rows = []
    for trial in trials:
        setting = Setting.of(trial)
        for window in noise_scale.known_windows(folder.run_of(setting).read_metrics(), _WINDOWS):
            rows.append(
                NoiseWindow(
                    *setting,
                    window.first_step,
                    window.last_step,
                    window.b_simple,
                    window.low,
                    window.high,
                    window.b_preconditioned,
                    window.preconditioned_low,
                    window.preconditioned_high,
                )
            )
    if rows:
        write_noise(folder.noise_file, rows)
