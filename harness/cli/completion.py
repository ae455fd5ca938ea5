"""What Tab offers: shipped configs and files, runs, keys of a config."""

from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem


def complete_config(context: click.Context, argument: click.Parameter, begun: str) -> list[CompletionItem]:
    """The shipped configs, YAML files and folders."""
    from harness.config.load import shipped

    folder = Path(begun) if begun.endswith("/") else Path(begun).parent
    found = [path for path in _entries(folder) if path.suffix in (".yaml", ".yml") or path.is_dir()]
    names = [*shipped(), *(f"{path}/" if path.is_dir() else str(path) for path in found)]
    return [CompletionItem(name) for name in names if name.startswith(begun)] or [CompletionItem(begun, type="file")]


def complete_run(context: click.Context, argument: click.Parameter, begun: str) -> list[CompletionItem]:
    """`latest` and the runs under ./runs by name; elsewhere, folders."""
    from harness.runs.run_names import LATEST, RUNS, runs_in

    names: list[str] = []
    with suppress(OSError):
        names = [run.name for run in runs_in(RUNS)]
    offered = [name for name in [*([LATEST] if names else []), *reversed(names)] if name.startswith(begun)]
    return [CompletionItem(name) for name in offered] or [CompletionItem(begun, type="dir")]


def complete_resume(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """The same, and `auto`."""
    auto = [CompletionItem("auto")] if "auto".startswith(begun) else []
    return [*auto, *complete_run(context, option, begun)]


def complete_key(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Every key that --set can replace."""
    from harness.config.keys import keys

    return [CompletionItem(f"{key}=") for key in keys() if key.startswith(begun)]


def complete_insight_key(context: click.Context, option: click.Parameter, begun: str) -> list[CompletionItem]:
    """Those of the pictures."""
    return [item for item in complete_key(context, option, begun) if item.value.startswith("insight.")]


def _entries(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.name.startswith(".")) if folder.is_dir() else []
