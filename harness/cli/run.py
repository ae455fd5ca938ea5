"""The commands that compute: train, resume, evaluate."""

import json
import os
from pathlib import Path

import click

from harness.cli.completion import complete_config, complete_resume, complete_run
from harness.cli.options import set_option
from harness.cli.startup import use_devices


def check_options(run_name: str | None, run_dir: Path | None, resume: str | None, data_changed: bool) -> None:
    """Raise UsageError where one of these options of `train` makes another one idle."""
    if data_changed and resume is None:
        raise click.UsageError("--data-changed goes with --resume")
    if run_name is not None and run_dir is not None:
        raise click.UsageError(
            f"--run-name {run_name} begins the name of a new directory in runs, and --run-dir {run_dir} is the whole "
            "path of one: give one of them"
        )
    if run_name is not None and resume is not None:
        raise click.UsageError(f"--run-name {run_name} is for a new run, but --resume {resume} continues one")


def named(run_name: str | None) -> list[str]:
    """What `--run-name` means, as an assignment. Raises ConfigError for what is no name."""
    from harness.config import resolve

    if run_name is None:
        return []
    resolve({"name": run_name}, source="--run-name")
    return [f"name={json.dumps(run_name)}"]


@click.command()
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option("--run-dir", type=click.Path(path_type=Path), metavar="DIR", help="Write the run here.  [runs/NAME-TIME]")
@click.option("--run-name", metavar="NAME", help="Begin the run directory's name with this.")
@click.option(
    "--resume",
    metavar="auto|RUN",
    shell_complete=complete_resume,
    help="Resume RUN; auto: with --run-dir, if it holds a run.",
)
@click.option("--dry-run", is_flag=True, help="Check and print everything, train and write nothing.")
@click.option("--only-training", is_flag=True, help="Leave out test, model and pictures; a resume makes up for them.")
@click.option("--no-report", is_flag=True, help="Leave out the pictures and the report; harness visualize makes them.")
@click.option("--data-changed", is_flag=True, help="With --resume: resume although the data have changed.")
@click.option("--quiet", is_flag=True, help="Print only the run directory, at the end.")
def train(
    config: str,
    assignments: tuple[str, ...],
    run_dir: Path | None,
    run_name: str | None,
    resume: str | None,
    dry_run: bool,
    only_training: bool,
    no_report: bool,
    data_changed: bool,
    quiet: bool,
) -> None:
    """Train, evaluate, export and picture one model.

    CONFIG is a YAML file, or the name of a shipped one such as mnist.
    """
    from harness.cluster.environment import is_chief
    from harness.config import load
    from harness.runs.run_dir import find_run

    check_options(run_name, run_dir, resume, data_changed)
    checked = load(config, (*assignments, *named(run_name)))
    if is_chief(checked.cluster.strategy, os.environ):
        find_run(checked, run_dir, resume)  # what is wrong here is found without TensorFlow
    use_devices()
    from harness import job, preparation
    from harness.console.terminal import Terminal

    if dry_run:
        preparation.dry_run(checked, Terminal(quiet))
        return
    trained = job.train(checked, run_dir, resume, quiet, only_training, data_changed, not no_report)
    if quiet and trained:
        click.echo(trained.path)


@click.command(short_help="Resume RUN, and make what it lacks.")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option("--length", metavar="LENGTH", help="Train to this length, such as '10 epochs'.  [that of its config]")
@click.option("--no-report", is_flag=True, help="Leave out the pictures and the report; harness visualize makes them.")
@click.option("--data-changed", is_flag=True, help="Resume although the data have changed.")
@click.option("--quiet", is_flag=True, help="Print only the run directory, at the end.")
def resume(run: Path, length: str | None, no_report: bool, data_changed: bool, quiet: bool) -> None:
    """Resume RUN from its newest checkpoint, and make what it lacks: test, model, pictures.

    A longer --length continues a finished run; a decaying learning rate is rescheduled, and the output says so.
    """
    from harness.config import resolve
    from harness.runs.run_dir import RunDir, find_run

    opened = RunDir.open(run)
    config = opened.read_config()
    if length is not None:
        config = resolve(config.model_dump(mode="json"), [f"train.length={json.dumps(length)}"], "--length")
    find_run(config, None, opened.path)
    use_devices()
    from harness import job

    trained = job.train(config, resume=opened.path, quiet=quiet, data_changed=data_changed, with_report=not no_report)
    if quiet and trained:
        click.echo(trained.path)


@click.command()
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option("--split", type=click.Choice(["test", "validation"]), default="test", show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(run: Path, split: str, as_json: bool) -> None:
    """Evaluate the exported model of RUN on one split."""
    from harness.runs.run_dir import RunDir

    opened = RunDir.open(run).with_model()
    use_devices()
    from harness.console.terminal import Terminal
    from harness.job import evaluate as evaluate_run
    from harness.training.rows import evaluation_text

    result = evaluate_run(opened, split, Terminal().warning)
    if as_json:
        click.echo(json.dumps({"split": split, **result}))
    else:
        click.echo(f"{split}: {evaluation_text(result)}  of {result['examples']:,}")
