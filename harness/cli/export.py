"""The command that writes a trained model for other programs: export."""

from pathlib import Path

import click

from harness.cli.completion import complete_run
from harness.cli.startup import use_devices
from harness.errors import UserError
from harness.runs.run_names import EXPORTS


@click.command(short_help="Write the model of RUN in another format.")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.option("--to", "form", type=click.Choice(list(EXPORTS)), required=True, help="The format.")
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="PATH",
    help=f"Write it here.  [RUN/{', RUN/'.join(EXPORTS.values())}]",
)
def export(run: Path, form: str, output: Path | None) -> None:
    """Write the model of RUN as a TensorFlow SavedModel, for TensorFlow Lite (LiteRT) or in ONNX.

    What was written is loaded again and run on 100 test images; it is kept if its probabilities are within 1e-4 of
    those of model.keras.
    """
    from harness.machine.requirements import check_extra
    from harness.runs.paths import check_writable
    from harness.runs.run_dir import RunDir

    opened = RunDir.open(run).with_model()
    path = output or opened.path / EXPORTS[form]
    if path.exists() or path.is_symlink():
        raise UserError(f"{path} already exists: remove it, or name another path with --output")
    if not path.parent.is_dir():
        raise UserError(f"there is no folder {path.parent}: make it, or name another path with --output")
    check_writable(path, "name another path with --output")
    if form != "savedmodel":
        check_extra(form, f"--to {form}")
    use_devices()
    from harness import exporting

    difference, images = exporting.export(opened, form, path)
    click.echo(f"{path}: largest difference from model.keras {difference:.1e}, over {images} test images")
