"""The exceptions a user meets, and the exit code each ends the program with.

    try:
        harness.train("mnist", **{"optimizer.learning_rate": 10})
    except harness.errors.NonFiniteLoss as error:
        print("diverged at step", error.data_step)

HarnessError                  1
├── UserError                 2    a mistake the user can fix, reported in one line: the value, the limit, the fix
│   ├── ConfigError
│   ├── DataError
│   ├── DeviceError
│   └── RunError                   a run directory that is missing, taken, in use, or of another config
├── NonFiniteLoss             1    training diverged; the update was not applied
├── OutOfMemory               1
├── WriteFailed               1    a disk that fills up, or a folder that becomes read-only, in the middle of work
├── CallbackFailed            1    a callback of the user's own raised something
├── WorkerMissing             1    a worker that never showed up
├── WorkerLost                1    a worker that died, or failed, and has reported it itself
└── Stopped       130, 143, 129   SIGINT, SIGTERM or SIGHUP, after a checkpoint
"""


class HarnessError(Exception):
    """Whatever ends a command in one line; `exit_code` is what the program then ends with."""

    exit_code = 1


class UserError(HarnessError):
    """A mistake that the user can fix: what is wrong, the value, the limit and the fix."""

    exit_code = 2


class ConfigError(UserError):
    """A config, or an assignment to one of its keys, that is wrong."""


class DataError(UserError):
    """Data that are missing, damaged, or not what the config says."""


class DeviceError(UserError):
    """Devices or workers that are not there, or can't be used as asked."""


class RunError(UserError):
    """A run directory that is missing, taken, in use, or of another config."""


class NonFiniteLoss(HarnessError):
    """At the examples of step `data_step` (from 0) of the stream, after `restores` earlier ones that were skipped."""

    def __init__(self, message: str, data_step: int = 0, restores: int = 0) -> None:
        super().__init__(message)
        self.data_step = data_step
        self.restores = restores


class OutOfMemory(HarnessError):
    """The memory of a GPU or of the machine is too small for what was asked."""


class WriteFailed(HarnessError):
    """A disk that fills up, or a directory that can no longer be written to, in the middle of work."""


class CallbackFailed(HarnessError):
    """A callback of the user's own raised something."""


class WorkerMissing(HarnessError):
    """A worker that did not show up within `cluster.start_timeout`."""


class WorkerLost(HarnessError):
    """A worker that died, or failed and has reported it itself."""


class Stopped(HarnessError):
    """Raised once the checkpoint of a stopped run is safe; `signal_number` says what asked for the stop."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
