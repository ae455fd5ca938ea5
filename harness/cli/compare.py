"""The command that sets two models side by side: compare."""

from pathlib import Path

import click

from harness.cli.completion import complete_run
from harness.cli.options import check_insight_only, images_option, set_insight_option
from harness.cli.startup import use_devices


@click.command(short_help="Set two runs, or two checkpoints, side by side.")
@click.argument("run_a", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.argument("run_b", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write the page here.  [compare-A-B]")
@images_option
@set_insight_option
def compare(run_a: Path, run_b: Path, out: Path | None, rows: tuple[int, ...], assignments: tuple[str, ...]) -> None:
    """Set two runs side by side, or two checkpoints, RUN/checkpoints/step-N.safetensors, on one page.

    Their configs, curves and speed; what each gets right, with the exact McNemar test; and the same images with the
    maps of both. The runs are only read. With --set only the keys under insight. of the first can be replaced.
    """
    from harness.comparison.sides import open_sides
    from harness.config import resolve
    from harness.console.terminal import Terminal
    from harness.data.sources import check_rows
    from harness.runs.paths import check_out

    check_insight_only(assignments)
    a, b = open_sides(run_a, run_b)
    insight = resolve(a.config.model_dump(mode="json"), assignments, "--set").insight
    check_rows(rows, len(a.data.y_test))
    folder = out or Path(f"compare-{a.name}-{b.name}")
    check_out(folder, "compare.json")
    use_devices()
    from harness.comparison import compare as comparison

    found = comparison.compare_sides(a, b, insight, rows, Terminal())
    page = comparison.write(found, folder)
    click.echo(comparison.as_text(found))
    click.echo(f"{'page':11}{page}")
