"""The command that starts several workers."""

import os
import shutil
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli.run import check_options, named, train
from harness.cli.startup import check_devices

if TYPE_CHECKING:
    from harness.config.cluster import ClusterSection

_HANG_TIMEOUT = 300.0


@click.command(
    short_help="Train with several workers on this machine.", context_settings={"ignore_unknown_options": True}
)
@click.option("--workers", type=click.IntRange(1, 1024), required=True, help="How many processes to start.")
@click.option("--gpus-per-worker", type=click.IntRange(min=1), help="[an equal share of the GPUs here]")
@click.option("--max-restarts", type=click.IntRange(min=0), default=0, show_default=True, help="After failures.")
@click.option(
    "--hang-timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=_HANG_TIMEOUT,
    show_default=True,
    metavar="SECONDS",
    help="A worker without progress for so long counts as dead.",
)
@click.argument("command", nargs=-1, required=True, metavar="-- train CONFIG …", type=click.UNPROCESSED)
def launch(
    workers: int, gpus_per_worker: int | None, max_restarts: int, hang_timeout: float, command: tuple[str, ...]
) -> None:
    """Train with several workers on this machine, which end together.

    The first one's lines are shown as they are, the others' after [worker N]; each is logged to RUN/logs/worker-N.txt.
    After a failure all start again from the newest checkpoint, --max-restarts times.
    """
    from harness.config import load
    from harness.errors import UserError
    from harness.imports import check_elsewhere
    from harness.machine.resources import share_gpus, share_logical_cpus
    from harness.runs.paths import make_new
    from harness.runs.run_dir import RunDir, find_run
    from harness.supervision.launch import Plan, run

    name, *arguments = command
    if name != "train":
        raise click.UsageError(f"only the command train can be launched, not {name}: harness launch … -- train CONFIG")
    given = train.make_context("harness launch … -- train", list(arguments)).params
    if given["dry_run"]:
        raise click.UsageError(
            "--dry-run trains nothing, so there is nothing to launch: harness train CONFIG --dry-run"
        )
    check_options(given["run_name"], given["run_dir"], given["resume"], given["data_changed"])
    config = load(given["config"], (*given["assignments"], *named(given["run_name"])))
    section = config.cluster
    _check_for_several(section)
    check_elsewhere(config.import_paths())
    at = find_run(config, given["run_dir"], given["resume"])
    is_new, has_new_logs = not at.path.exists(), not at.logs_dir.exists()
    logical_cpus = share_logical_cpus(workers, section.logical_cpus)
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    gpus = None if logical_cpus else share_gpus(workers, gpus_per_worker, visible)
    if not given["resume"] and not given["run_dir"]:
        at = RunDir(make_new(config.name))
    plan = Plan(
        command=[name, *_for_workers(given, at.path), *logical_cpus],
        workers=workers,
        options=_options(workers, gpus_per_worker, max_restarts, hang_timeout),
        logs=at.logs_dir,
        gpus=gpus,
        max_restarts=max_restarts,
        restart_arguments=[] if given["resume"] else ["--resume", "auto"],
        hang_timeout=hang_timeout,
        start_allowance=section.start_timeout,
    )
    check_devices()
    exit_code = run(plan)
    if exit_code == UserError.exit_code and not at.exists():  # a mistake leaves nothing behind
        if has_new_logs:
            shutil.rmtree(at.logs_dir)
        if is_new:
            with suppress(OSError):
                at.path.rmdir()
    sys.exit(exit_code)


def _check_for_several(section: "ClusterSection") -> None:
    from harness.errors import ConfigError

    if section.strategy not in ("auto", "multi_worker"):
        raise ConfigError(f"cluster.strategy: {section.strategy} is for one process: launch needs auto or multi_worker")
    if section.gpus is not None:
        raise ConfigError("cluster.gpus names the GPUs of one process: set CUDA_VISIBLE_DEVICES for launch instead")
    if section.logical_gpus is not None:
        raise ConfigError("cluster.logical_gpus is for one process: leave it out, or use harness train")


def _options(workers: int, gpus_per_worker: int | None, max_restarts: int, hang_timeout: float) -> list[str]:
    given = {
        "--workers": workers,
        "--gpus-per-worker": gpus_per_worker,
        "--max-restarts": max_restarts,
        "--hang-timeout": None if hang_timeout == _HANG_TIMEOUT else f"{hang_timeout:g}",
    }
    return [word for name, value in given.items() if value for word in (name, str(value))]


def _for_workers(given: dict[str, Any], run: Path) -> list[str]:
    """The arguments of `train` for workers, which are told the run's directory: another run may be the latest soon."""
    words = [given["config"]]
    for assignment in (*given["assignments"], *named(given["run_name"])):
        words += ["--set", assignment]
    words += ["--run-dir", str(run)]
    if given["resume"]:
        words += ["--resume", "auto" if given["resume"] == "auto" else str(run)]
    flags = ("only_training", "no_report", "data_changed", "quiet")
    return [*words, *(f"--{flag.replace('_', '-')}" for flag in flags if given[flag])]
