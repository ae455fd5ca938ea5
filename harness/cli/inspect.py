"""The commands that look: runs, config, doctor, tensorboard."""

import json
import sys
from contextlib import suppress
from pathlib import Path

import click

from harness.cli.completion import complete_config, complete_run
from harness.cli.options import set_option
from harness.cli.startup import import_tensorflow
from harness.errors import UserError
from harness.runs.run_names import SORTED_BY


@click.command(short_help="List runs, and what each one changed.")
@click.argument("folder", metavar="[DIR]", default="runs", type=click.Path(path_type=Path))
@click.option(
    "--sort",
    "by",
    type=click.Choice(list(SORTED_BY)),
    default="age",
    show_default=True,
    help="In ascending order: the largest, of age the newest, comes last.",
)
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
def runs(folder: Path, by: str, as_json: bool) -> None:
    """List the runs in DIR (runs, if none is given), and what differs from each one's shipped config or the defaults.

    Other commands take a run by its path, or one in ./runs by its name, the beginning of its name, or latest. In a
    pipe the columns are separated by tabs.
    """
    from harness.runs.run_list import find_runs, print_table

    found = find_runs(folder, by)
    if as_json:
        click.echo(json.dumps(found, indent=2))
    else:
        print_table(found, folder)


@click.command()
@click.argument("config", required=False, shell_complete=complete_config)
@set_option
@click.option("--schema", is_flag=True, help="Print the JSON schema of configs, for editors.")
def config(config: str | None, assignments: tuple[str, ...], schema: bool) -> None:
    """Print CONFIG, checked and with all defaults filled in."""
    from harness.config import Config, dump, load

    if schema:
        click.echo(json.dumps(Config.model_json_schema(), indent=2))
    elif config is None:
        raise click.UsageError("name a CONFIG, or give --schema")
    else:
        click.echo(dump(load(config, assignments)), nl=False)


@click.command(short_help="Say what is installed, and what is missing.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object.")
def doctor(as_json: bool) -> None:
    """Say what is installed, which devices are seen, and what is missing."""
    with suppress(ImportError, UserError):  # to be examined like the rest
        import_tensorflow()
    from harness.machine.doctor import as_dict, examine, print_table

    findings = examine()
    result = as_dict(findings)
    if as_json:
        click.echo(json.dumps(result, indent=2))
    else:
        print_table(findings)
    sys.exit(0 if result["ok"] else 1)


@click.command(short_help="Show runs in TensorBoard, on this machine alone.")
@click.argument(
    "folder", metavar="[RUN|DIR]", default="runs", type=click.Path(path_type=Path), shell_complete=complete_run
)
@click.option("--port", type=click.IntRange(1, 65535), help="[the first free one from 6006 on]")
def tensorboard(folder: Path, port: int | None) -> None:
    """Show one run, or all runs in a folder, in TensorBoard on this machine alone."""
    from harness.runs.tensorboard_server import find, serve

    logdir, free_port = find(folder, port)
    import_tensorflow()  # TensorBoard would import it too, but not in silence
    serve(logdir, free_port)
