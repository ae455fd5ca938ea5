"""Options that several commands have."""

from collections.abc import Sequence

import click

from harness.cli.completion import complete_insight_key, complete_key

set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_key,
    help="Replace a value: train.length='2 epochs'.",
)

set_insight_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    shell_complete=complete_insight_key,
    help="Replace a value: insight.images=5.",
)


def check_insight_only(assignments: Sequence[str]) -> None:
    """Raise UsageError where an assignment replaces anything but a key under `insight.`."""
    for assignment in assignments:
        if "=" in assignment and not assignment.startswith("insight."):
            raise click.UsageError(f"--set {assignment}: only the keys under insight. can be replaced here")


def _rows(context: click.Context, option: click.Parameter, text: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(",")) if text is not None else ()
    except ValueError:
        raise click.BadParameter(f"'{text}' is not a list of image numbers, such as 17,42") from None


images_option = click.option(
    "--images", "rows", metavar="N,N,…", callback=_rows, help="Show these images of the test set too."
)
