"""The command that says what is on images: predict."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from harness.cli.completion import complete_run
from harness.cli.startup import use_devices

if TYPE_CHECKING:
    from harness.predict import Prediction


@click.command(short_help="Predict the classes of images with RUN's model.")
@click.argument("run", type=click.Path(path_type=Path), shell_complete=complete_run)
@click.argument("images", nargs=-1, required=True, type=click.Path(exists=True, path_type=Path))
@click.option(
    "--top", type=click.IntRange(min=1), default=3, show_default=True, help="How many classes to print per image."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def predict(run: Path, images: tuple[Path, ...], top: int, as_json: bool) -> None:
    """Predict the classes of images with RUN's model. IMAGES are files of any size and colour, and folders of them.

    Each is brought to the model's size as the run's data.resize says: cropped to its middle, stretched or padded. A
    file that can't be read gets a line on standard error, and then the exit code is 1.
    """
    from harness.console.terminal import Terminal
    from harness.data.own_files import pictures_in, readable
    from harness.errors import DataError
    from harness.runs.run_dir import RunDir

    opened = RunDir.open(run).with_model()
    files = pictures_in(images)
    use_devices()
    from harness.predict import of_run

    terminal = Terminal()
    refused: list[DataError] = []

    def refuse(error: DataError) -> None:
        refused.append(error)
        print(f"error: {error}", file=sys.stderr, flush=True)

    found = of_run(opened, files, top, refuse)
    if as_json:
        click.echo(json.dumps([_as_dict(prediction) for prediction in found], indent=2))
    else:
        width = max(len(readable(file)) for file in files)
        for prediction in found:
            ranks = (f"{_shown(rank.label, rank.name)} ({rank.probability:.3f})" for rank in prediction.ranks)
            terminal.line(f"{readable(prediction.path):{width}}  {'  '.join(ranks)}")
    sys.exit(1 if refused else 0)


def _shown(label: int, name: str | None) -> str:
    return str(label) if name is None else name


def _as_dict(prediction: "Prediction") -> dict[str, object]:
    from harness.data.own_files import readable

    ranks = [{"class": rank.label, "name": rank.name, "probability": rank.probability} for rank in prediction.ranks]
    return {"path": readable(prediction.path), "predictions": ranks}
