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
    exit_code = 1


class UserError(HarnessError):
    exit_code = 2


class ConfigError(UserError):
    pass


class DataError(UserError):
    pass


class DeviceError(UserError):
    pass


class RunError(UserError):
    pass


class NonFiniteLoss(HarnessError):
    """At the examples of step `data_step` (from 0) of the stream, after `restores` earlier ones that were skipped."""

    def __init__(self, message: str, data_step: int = 0, restores: int = 0) -> None:
        super().__init__(message)
        self.data_step = data_step
        self.restores = restores


class OutOfMemory(HarnessError):
    pass


class WriteFailed(HarnessError):
    pass


class CallbackFailed(HarnessError):
    pass


class WorkerMissing(HarnessError):
    pass


class WorkerLost(HarnessError):
    pass


class Stopped(HarnessError):
    """Raised once the checkpoint of a stopped run is safe; `signal_number` says what asked for the stop."""

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.exit_code = 128 + signal_number
