"""The command that looks at the data of a config: data."""

from pathlib import Path

import click

from harness.cli.completion import complete_config
from harness.cli.options import set_option
from harness.cli.startup import use_devices


@click.command(short_help="Check the data of CONFIG, count and picture them.")
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write the pictures here.  [data-NAME]")
def data(config: str, assignments: tuple[str, ...], out: Path | None) -> None:
    """Check the data of CONFIG as training does, and print what is in them.

    Rows of each class and split, mean and standard deviation of the pixels, and what is doubtful; beside it a sheet of
    images of each class, and of what augmentation makes of some. What training would refuse is refused here.
    """
    from harness.config import load
    from harness.runs.paths import check_out

    checked = load(config, assignments)
    folder = out or Path(f"data-{checked.name}")
    check_out(folder, "data.json")
    use_devices()
    from harness.console.terminal import Terminal
    from harness.data_sheet.sheet import write_sheet

    write_sheet(checked, folder, Terminal())
