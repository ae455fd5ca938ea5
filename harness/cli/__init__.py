"""The command line: arguments → one call. Nothing heavy is imported before a command runs."""

import faulthandler
import os
import signal
import sys
from functools import cache

import click

from harness import stop_signals
from harness.cli.compare import compare
from harness.cli.data import data
from harness.cli.export import export
from harness.cli.image_cache import cache as cache_command
from harness.cli.inspect import config, doctor, runs, tensorboard
from harness.cli.launch import launch
from harness.cli.measure import bench, chaos, gpu_check
from harness.cli.predict import predict
from harness.cli.run import evaluate, resume, train
from harness.cli.scale import scale
from harness.cli.startup import keep_current_folder_out
from harness.cli.visualize import visualize
from harness.console import streams
from harness.errors import HarnessError, Stopped, UserError
from harness.machine.requirements import DISTRIBUTION


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name=DISTRIBUTION)
def cli() -> None:
    """Train a CNN with TensorFlow on one device, all GPUs of a machine or many machines, and look inside it."""


for command in (
    train,
    resume,
    launch,
    evaluate,
    predict,
    visualize,
    compare,
    export,
    runs,
    config,
    data,
    scale,
    bench,
    gpu_check,
    chaos,
    cache_command,
    doctor,
    tensorboard,
):
    cli.add_command(command)


@cache
def _standard_error() -> int:
    """Standard error under another number: the usual one is TensorFlow's alone once that is imported."""
    return os.dup(2)


def main() -> None:
    """Run the command line; a mistake of the user's is one line on standard error and an exit code, no traceback.

    A crash, and SIGQUIT (Ctrl-\\), write the Python stacks to standard error before they end the process.
    """
    streams.make_last()
    keep_current_folder_out()
    stop_signals.raise_for_signals()
    faulthandler.enable(file=_standard_error())
    faulthandler.register(signal.SIGQUIT, file=_standard_error(), all_threads=True, chain=True)
    try:
        exit_code = cli.main(standalone_mode=False)
        sys.stdout.flush()
        sys.exit(exit_code)
    except click.exceptions.NoArgsIsHelpError as help_text:
        help_text.show()
        sys.exit(help_text.exit_code)
    except click.ClickException as error:
        print(f"error: {error.format_message()}", file=sys.stderr)
        sys.exit(error.exit_code)
    except click.Abort as abort:
        print("stopped", file=sys.stderr)
        sys.exit(128 + getattr(abort.__cause__, "signal_number", signal.SIGINT))
    except Stopped as stop:
        print(stop, file=sys.stderr)
        sys.exit(stop.exit_code)
    except HarnessError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(error.exit_code)
    except MemoryError as error:
        print(f"error: out of memory{f': {error}' if str(error) else ''}", file=sys.stderr)
        sys.exit(HarnessError.exit_code)
    except OSError as error:  # a name too long, a file that can't be read, a folder that is gone
        where = f": {error.filename}" if error.filename else ""
        print(f"error: {error.strerror or error}{where}", file=sys.stderr)
        sys.exit(UserError.exit_code)
