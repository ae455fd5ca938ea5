"""The commands that measure: bench, gpu-check, chaos."""

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from harness.cli.completion import complete_config
from harness.cli.options import set_option
from harness.cli.startup import check_devices, use_devices


@click.command()
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option(
    "--against",
    metavar="keras-fit|KEY=VALUE",
    help="Compare, in fresh processes in turn, with the tutorial's way (model.fit) or with another setting.",
)
@click.option("--pairs", type=click.IntRange(min=1), default=3, show_default=True, help="With --against: how many.")
@click.option("--repeats", type=click.IntRange(min=1), default=7, show_default=True, help="Timed windows of 2 seconds.")
@click.option("--replicas", type=click.IntRange(1, 64), metavar="N", help="GPUs, or logical CPUs where there are none.")
@click.option("--quick", is_flag=True, help="Windows of half a second, no input pipeline: to compare large batches.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def bench(
    config: str,
    assignments: tuple[str, ...],
    against: str | None,
    pairs: int,
    repeats: int,
    replicas: int | None,
    quick: bool,
    as_json: bool,
) -> None:
    """Measure the training speed of CONFIG; nothing is written."""
    from harness.config import load

    if quick and against is not None:
        raise click.UsageError("--quick is too short to compare with --against: leave one of them out")
    if replicas is not None and against is not None:
        raise click.UsageError("--replicas and --against: give the devices of each side with --set and --against")
    if against is None:
        checked = load(config, assignments)
        use_devices()
        from harness.measuring.bench import as_text, measure, on_replicas

        if replicas is not None:
            checked = on_replicas(checked, replicas)
        result = measure(checked, repeats, chunk_seconds=0.5, quick=True) if quick else measure(checked, repeats)
        click.echo(json.dumps(result, indent=2) if as_json else as_text(result))
    else:
        from harness.measuring import paired

        check_devices()
        progress = (lambda line: None) if as_json else click.echo
        result = paired.compare(config, assignments, against, pairs, repeats, progress)
        click.echo(json.dumps(result, indent=2) if as_json else paired.as_text(result))


@click.command("gpu-check", short_help="Check and measure this machine's GPUs.")
@click.option("--quick", is_flag=True, help="Planned for 90 seconds: fewer measurements, no other frameworks.")
@click.option("--out", type=click.Path(path_type=Path), metavar="DIR", help="Write it here.  [gpu-check-TIME]")
def gpu_check(quick: bool, out: Path | None) -> None:
    """Check this machine's GPUs, and measure them: what to run first on new hardware.

    Planned to take under five minutes on one card. Prints tables as it goes, and writes gpu-check.md and
    gpu-check.json. The exit code is 1 where something failed.
    """
    from harness.gpu_check.check import check
    from harness.gpu_check.plan import plan, this_machine
    from harness.gpu_check.report import JSON_FILE
    from harness.runs.paths import check_out, make_new

    machine = this_machine()
    folder = out or make_new("gpu-check", Path())
    check_out(folder, JSON_FILE)
    report = check(plan(machine, quick), folder, click.echo)
    for line in report.failed():
        click.echo(f"FAILED    {line}")
    click.echo(f"written   {folder}")
    sys.exit(1 if report.failed() else 0)


@click.command(short_help="Inject faults into runs of CONFIG: do they recover?")
@click.argument("config", shell_complete=complete_config)
@set_option
@click.option("--faults", metavar="A,B,…", help="Which, separated by commas.  [all of them]")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Decides when faults strike.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON list.")
def chaos(config: str, assignments: tuple[str, ...], faults: str | None, seed: int, as_json: bool) -> None:
    """Inject faults into runs of CONFIG, and see whether they end as if nothing had happened.

    Faults: kill (SIGKILL), term (SIGTERM), stop (SIGSTOP, under launch), nan (weights that are NaN),
    torn-checkpoint (killed, and the newest checkpoint cut in half), disk-full (no file may grow).
    Each fault takes about as long as two training runs.
    """
    from harness.config import load
    from harness.errors import ConfigError
    from harness.imports import check_loadable
    from harness.runs.paths import check_writable, make_new
    from harness.runs.run_names import RUNS
    from harness.supervision.chaos import FAULTS, as_text, run

    checked = load(config, assignments)
    check_loadable(checked.import_paths())
    chosen = list(FAULTS) if faults is None else faults.split(",")
    for fault in chosen:
        if fault not in FAULTS:
            raise ConfigError(f"--faults: {fault!r} is not one of {', '.join(FAULTS)}")
    check_devices()
    check_writable(RUNS, "start in a folder that can be written to")
    folder = make_new(f"chaos-{checked.name}")
    outcomes = run(checked, chosen, seed, folder, (lambda line: None) if as_json else click.echo)
    if as_json:
        click.echo(json.dumps([{**asdict(outcome), "passed": outcome.passed} for outcome in outcomes], indent=2))
    else:
        click.echo(as_text(outcomes))
        click.echo(f"runs      {folder}")
    sys.exit(0 if all(outcome.passed for outcome in outcomes) else 1)
