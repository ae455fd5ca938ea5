"""The command that explains a model: visualize."""

from pathlib import Path

import click

from harness.cli.completion import complete_run
from harness.cli.options import check_insight_only, images_option, set_insight_option
from harness.cli.startup import use_devices

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command(short_help="Make the page of RUN, or of any Keras model.")
@click.argument("run", required=False, type=click.Path(path_type=Path), shell_complete=complete_run)
@images_option
@click.option("--class", "label", type=int, metavar="C", help="Explain class C too, for --images and --input.")
@click.option(
    "--input", "files", multiple=True, type=_FILE, metavar="FILE", help="Predict and explain a picture of your own."
)
@click.option("--invert", is_flag=True, help="Swap dark and bright in --input: MNIST is white on black.")
@click.option("--no-filters", is_flag=True, help="Leave the filters out: --set insight.filters=false.")
@set_insight_option
@click.option("--model", type=_FILE, metavar="FILE", help="Explain this .keras file instead of a RUN.")
@click.option("--data", type=_FILE, metavar="FILE", help="With --model: an .npz file of images and labels.")
@click.option(
    "--import", "modules", multiple=True, metavar="MODULE", help="Import it first: it registers the layers of --model."
)
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="With --model.  [MODEL-insight]")
def visualize(
    run: Path | None,
    rows: tuple[int, ...],
    label: int | None,
    files: tuple[Path, ...],
    invert: bool,
    no_filters: bool,
    assignments: tuple[str, ...],
    model: Path | None,
    data: Path | None,
    modules: tuple[str, ...],
    out: Path | None,
) -> None:
    """Make the figures, insight.json and report.html of RUN again, or of any Keras model on data of your own.

    With --input the model's prediction is printed, and the page goes into RUN/inputs/, beside the run's own.

    With --set only the keys under insight. can be replaced.
    """
    from harness.config import resolve
    from harness.console.terminal import Terminal
    from harness.data import own_files, own_images
    from harness.runs.run_dir import RunDir

    if (run is None) == (model is None):
        raise click.UsageError("name a RUN, or give --model and --data")
    if (model is None) != (data is None):
        raise click.UsageError("--model and --data go together")
    if run and out:
        raise click.UsageError("--out goes with --model: a run's pictures stay in the run")
    if modules and not model:
        raise click.UsageError("--import goes with --model")
    if label is not None and not rows and not files:
        raise click.UsageError("--class needs --images or --input")
    if invert and not files:
        raise click.UsageError("--invert is for pictures given with --input")
    check_insight_only(assignments)
    opened = RunDir.open(run).with_model() if run else None
    base = opened.read_config().model_dump(mode="json") if opened else {}
    without = ("insight.filters=false",) if no_filters else ()
    insight = resolve(base, (*assignments, *without), "--set").insight
    own_images.check(files, opened.read_config().data.scale if opened else None)
    if model and data:
        own_files.check(model, data)
    use_devices()
    from harness import report
    from harness.imports import import_modules

    import_modules(modules)
    request = report.Request(rows, label, files, invert)
    if model and data:
        click.echo(
            report.visualize_model(model, data, out or Path(f"{model.stem}-insight"), Terminal(), insight, request)
        )
    elif opened:
        opened.lock()
        try:
            page = report.visualize(opened, Terminal(), insight, request)
        finally:
            opened.unlock()
        click.echo(page)
