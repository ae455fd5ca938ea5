"""Options that several commands have."""

import click

set_option = click.option(
    "--set",
    "assignments",
    multiple=True,
    metavar="KEY=VALUE",
    help="Replace a value: train.length='2 epochs'.",
)
