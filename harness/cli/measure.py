"""The commands that measure: bench."""

import json

import click

from harness.cli.options import set_option
from harness.cli.startup import import_tensorflow


@click.command()
@click.argument("config")
@set_option
@click.option(
    "--against",
    metavar="keras-fit|KEY=VALUE",
    help="Compare, in fresh processes in turn, with the tutorial's way (model.fit) or with another setting.",
)
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="With --against: how often.")
@click.option("--repeats", type=click.IntRange(min=1), default=7, show_default=True, help="Timed chunks of 2 seconds.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    config: str, assignments: tuple[str, ...], against: str | None, pairs: int, repeats: int, as_json: bool
) -> None:
    """Measure the training speed of CONFIG; nothing is written."""
    from harness.config import load

    if against is None:
        checked = load(config, assignments)
        import_tensorflow()
        from harness.bench import as_text, measure

        result = measure(checked, repeats)
        click.echo(json.dumps(result, indent=2) if as_json else as_text(result))
    else:
        from harness import compare

        progress = (lambda line: None) if as_json else click.echo
        result = compare.compare(config, assignments, against, pairs, repeats, progress)
        click.echo(json.dumps(result, indent=2) if as_json else compare.as_text(result))
