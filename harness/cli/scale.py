"""The commands about batch sizes, `harness scale …`."""

import json
from pathlib import Path

import click

from harness.cli.completion import complete_config
from harness.cli.options import set_option
from harness.cli.startup import check_devices


@click.group(short_help="Find out how large a batch fits, and still pays.")
def scale() -> None:
    """Find out how large a batch fits, and how large a batch still pays."""


@scale.command("run")
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option("--dir", "path", type=click.Path(path_type=Path), help="The experiment's directory.  [runs/NAME]")
@click.option("--dry-run", is_flag=True, help="Print the grid and an estimate of the time, train and write nothing.")
@click.option("--max-parallel", type=click.IntRange(1, 1000), metavar="N", help="Trials at a time.  [1]")
@click.option("--data-changed", is_flag=True, help="Resume although the data have changed.")
@click.option("--executor", type=click.Choice(["local", "slurm"]), default="local", show_default=True)
def run(
    config: str,
    assignments: tuple[str, ...],
    path: Path | None,
    dry_run: bool,
    max_parallel: int | None,
    data_changed: bool,
    executor: str,
) -> None:
    """Train CONFIG's grid of batch sizes and rates to a target, and find out how large a batch still pays.

    CONFIG has a section scale, as the shipped mnist_scaling and mnist_scaling_quick. Each trial is a process and a run
    of its own. The same command resumes what was stopped or killed; --executor slurm submits the trials as array
    jobs, as many at a time as the cluster has room for.
    """
    from harness.config.load import load_as
    from harness.config.scale import Experiment
    from harness.console.terminal import Terminal
    from harness.imports import check_loadable
    from harness.scaling.experiment import sweep
    from harness.scaling.experiment.executors import Local, Slurm
    from harness.scaling.experiment.experiment_dir import ExperimentDir
    from harness.scaling.report.summary import as_text

    experiment = load_as(Experiment, config, assignments)
    folder = ExperimentDir(path or Path("runs") / experiment.name)
    folder.check(experiment)
    check_loadable(experiment.import_paths())
    data = sweep.check(experiment)
    if not data_changed:
        folder.check_same_data(data.sha256)
    check_devices()
    terminal = Terminal()
    sweep.describe(experiment, terminal)
    if dry_run:
        sweep.estimate(experiment, data, terminal)
        terminal.line("dry run: nothing trained, nothing written")
        return
    workers: Local | Slurm
    if executor == "slurm":
        Slurm.check()
        workers = Slurm(folder.path / "slurm", experiment.scale.slurm, max_parallel)
    else:
        workers = Local(max_parallel or 1)
        gpus = {gpu for shared in workers.gpus or () for gpu in shared}
        if workers.capacity > len(gpus) > 0:
            shared = "one GPU" if len(gpus) == 1 else f"{len(gpus)} GPUs"
            terminal.line(f"gpus      {workers.capacity} trials at a time share {shared}; throughput is measured alone")
    with folder.held(experiment):
        if isinstance(workers, Slurm):
            workers.clear_queue()
        result = sweep.run(experiment, data, folder, workers, terminal, data_changed)
    terminal.line(as_text(result))
    terminal.line(f"report    {folder.report_file}")


@scale.command("find-batch")
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option("--memory", metavar="SIZE", help="The limit, such as 4GiB.  [what the GPUs or the machine have]")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def find_batch(config: str, assignments: tuple[str, ...], memory: str | None, as_json: bool) -> None:
    """Find the largest batch of CONFIG that fits in memory, and the fastest.

    On CPUs each size is tried in a process of its own, on GPUs all in one that is started again where it dies: running
    out of memory harms nothing. Nothing is written.
    """
    from harness.scaling.find_batch.search import as_text, find

    check_devices()
    result = find(config, assignments, memory, (lambda line: None) if as_json else click.echo)
    click.echo(json.dumps(result, indent=2) if as_json else f"\n{as_text(result)}")


@scale.command("fit")
@click.argument("trials", metavar="TRIALS.csv", type=click.Path(path_type=Path))
@click.option("--out", metavar="DIR", type=click.Path(path_type=Path), help="Write it here.  [TRIALS-fit beside it]")
@click.option(
    "--select-seeds", type=click.IntRange(min=1), default=1, show_default=True, help="How many to choose rates on."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def fit(trials: Path, out: Path | None, select_seeds: int, as_json: bool) -> None:
    """Fit the critical batch to a table of trials, from an experiment or from any other trainer, and draw it.

    TRIALS.csv has the columns global_batch, learning_rate, seed, steps_low (the last evaluation below the target),
    steps_high (the first one at it, empty where there was none) and status (reached, missed or diverged).
    """
    from harness.scaling.report import output
    from harness.scaling.report.summary import as_text

    folder = out or trials.parent / f"{trials.stem}-fit"
    result = output.write(trials, folder, select_seeds)
    click.echo(json.dumps(result, indent=2) if as_json else f"{as_text(result)}\n\nreport    {folder / 'report.html'}")
