"""The commands that measure: bench."""

import click


@click.command()
@click.argument("config")
@click.option(
    "--set", "assignments", multiple=True, metavar="KEY=VALUE", help="Replace a value: train.global_batch=32."
)
@click.option("--against", type=click.Choice(["keras-fit"]), help="Measure this too, in fresh processes, in turn.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(config: str, assignments: tuple[str, ...], against: str | None, as_json: bool) -> None:
    """Measure the training speed of CONFIG; nothing is written."""
    raise click.UsageError("not built yet")
