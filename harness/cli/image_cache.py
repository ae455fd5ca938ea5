"""The command cache: what decoded images lie on this machine's disk."""

import json
from dataclasses import asdict
from datetime import timedelta
from typing import Any

import click


@click.group(invoke_without_command=True, short_help="List and clear the decoded images on this machine's disk.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list.")
@click.pass_context
def cache(context: click.Context, as_json: bool) -> None:
    """List the cache of decoded images: $HARNESS_CACHE, else $XDG_CACHE_HOME/harness, else ~/.cache/harness."""
    if context.invoked_subcommand is not None:
        return
    from harness.data.files.cache import entries, root, scans

    found, looked_through = entries(), scans()
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in found], indent=2))
    elif not found:
        click.echo(f"no decoded images in {root()}")
    else:
        _print_table(found)
    if looked_through.files and not as_json:
        click.echo(
            f"beside them, what was found in {_data_sets(looked_through.files)}: {looked_through.bytes / 1e6:,.0f} MB"
        )


@cache.command(short_help="Remove decoded images that no run uses.")
@click.argument("name", required=False)
@click.option("--older-than", type=click.FloatRange(min=0), metavar="DAYS", help="Only entries unused for DAYS days.")
def clear(name: str | None, older_than: float | None) -> None:
    """Remove NAME, or everything, except what a run on this machine is using or decoding.

    Removed images are decoded again when they are needed.
    """
    from harness.data.files.cache import Scans, clear_scans
    from harness.data.files.cache import clear as clear_cache

    removed, kept = clear_cache(name, older_than)
    click.echo(f"removed {len(removed)}, {sum(entry.bytes for entry in removed) / 1e6:,.0f} MB")
    for entry in kept:
        click.echo(f"kept {entry.name}: a run uses it")
    looked_through = Scans(0, 0) if name else clear_scans(older_than)
    if looked_through.files:
        click.echo(
            f"removed what was found in {_data_sets(looked_through.files)}: {looked_through.bytes / 1e6:,.0f} MB"
        )


def _data_sets(count: int) -> str:
    return "1 data set that was looked through" if count == 1 else f"{count:,} data sets that were looked through"


def _print_table(entries: list[Any]) -> None:
    import sys
    from time import time

    from rich.console import Console
    from rich.table import Table

    console = Console(markup=False, emoji=False, width=None if sys.stdout.isatty() else 10_000)
    table = Table(box=None, pad_edge=False)
    for heading in ("name", "source", "images", "MB", "age", "last used", ""):
        table.add_column(heading, justify="right" if heading in ("images", "MB", "age", "last used") else "left")
    for entry in entries:
        state = "in use" if entry.in_use else "" if entry.is_complete else "unfinished"
        times = [str(timedelta(seconds=int(time() - at))) for at in (entry.created, entry.last_used)]
        table.add_row(entry.name, entry.source, f"{entry.rows:,}", f"{entry.bytes / 1e6:,.0f}", *times, state)
    console.print(table)
