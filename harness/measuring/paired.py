"""Our speed against another's: each measured in fresh processes, in turn, so that both meet the same machine.

No TensorFlow here: while one process measures, this one must take neither processor nor memory.
"""

import json
import statistics
import subprocess
from collections.abc import Callable, Sequence
from typing import Any

from harness.config import Config, load
from harness.config.model import NAMES, InputSection
from harness.data import sources
from harness.errors import ConfigError, HarnessError, UserError
from harness.supervision.launch import HARNESS, PYTHON

KERAS_FIT = "keras-fit"

_QUANTITIES: dict[str, Callable[[dict[str, Any]], float]] = {
    "images_per_second": lambda result: result["images_per_second"]["median"],
    "first_step_seconds": lambda result: result["first_step"]["seconds"],
    "first_step_peak_memory_bytes": lambda result: result["first_step"]["peak_memory_bytes"],
    "peak_memory_bytes": lambda result: result["peak_memory_bytes"],
}


def json_of(name: str, command: list[str]) -> dict[str, Any]:
    """The JSON object that `command`, called `name` in messages, prints.

    Raises UserError where it ends with a user's error, HarnessError where it fails otherwise.
    """
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        last_line = (done.stderr.strip().splitlines() or ["it printed nothing"])[-1].removeprefix("error: ")
        if done.returncode == UserError.exit_code:
            raise UserError(last_line)
        raise HarnessError(f"{name} failed with exit code {done.returncode}: {last_line}")
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def compare(
    config: str,
    assignments: Sequence[str],
    against: str,
    pairs: int,
    repeats: int,
    progress: Callable[[str], None] = lambda line: None,
    run: Callable[[str, list[str]], dict[str, Any]] = json_of,
) -> dict[str, Any]:
    """Measure `config`, then `against`, `pairs` times over, each time in a new process.

    Args:
        config: as on the command line; `assignments`: its `--set` values.
        against: "keras-fit", or one more assignment: the same config with that value.
        pairs: how many times each is measured.
        repeats: timed chunks in each measurement of ours.
        progress: is given a line of text after each pair.
        run: runs a command in a process of its own; given what it is called and its words, gives what it printed.

    Returns:
        {"against", "pairs": [{"ours", "theirs", "ratios"}], "ratios"}: what each process printed, ours / theirs by
        quantity in each pair, and the medians of these ratios.

    Raises UserError where the config is wrong or cannot run here; HarnessError where a process fails otherwise.
    """
    checked = load(config, assignments)
    ours = _bench_command(config, assignments, repeats)
    if against == KERAS_FIT:
        theirs = _keras_fit_command(checked)
    elif "=" in against:
        load(config, (*assignments, against))
        theirs = _bench_command(config, (*assignments, against), repeats)
    else:
        raise ConfigError(f"--against {against}: give {KERAS_FIT}, or key=value to compare with that setting")
    rows = []
    for number in range(1, pairs + 1):
        pair = {"ours": run("harness bench", ours), "theirs": run(against, theirs)}
        ratios = {name: value(pair["ours"]) / value(pair["theirs"]) for name, value in _QUANTITIES.items()}
        rows.append({**pair, "ratios": ratios})
        speeds = [_QUANTITIES["images_per_second"](result) for result in pair.values()]
        progress(
            f"pair {number}  harness {speeds[0]:,.0f} images/s  {against} {speeds[1]:,.0f} images/s  "
            f"ratio {ratios['images_per_second']:.2f}"
        )
    medians = {name: statistics.median(row["ratios"][name] for row in rows) for name in _QUANTITIES}
    return {"against": against, "pairs": rows, "ratios": medians}


def as_text(result: dict[str, Any]) -> str:
    """The medians of what `compare` gave, for a person."""

    def median(side: str, name: str) -> float:
        return statistics.median(_QUANTITIES[name](pair[side]) for pair in result["pairs"])

    def line(label: str, name: str, form: str, scale: float = 1) -> str:
        numbers = [format(median(side, name) / scale, form) for side in ("ours", "theirs")]
        return f"{label:30}{numbers[0]:>12}{numbers[1]:>12}{result['ratios'][name]:>8.2f}"

    theirs = result["against"] if result["against"] == KERAS_FIT else "against"
    return "\n".join(
        [
            f"{'median of ' + str(len(result['pairs'])):30}{'harness':>12}{theirs:>12}{'ratio':>8}",
            line("images/s", "images_per_second", ",.0f"),
            line("start to first step, s", "first_step_seconds", ".2f"),
            line("memory at first step, MiB", "first_step_peak_memory_bytes", ",.0f", 2**20),
            line("peak memory, MiB", "peak_memory_bytes", ",.0f", 2**20),
        ]
    )


def _bench_command(config: str, assignments: Sequence[str], repeats: int) -> list[str]:
    settings = [argument for assignment in assignments for argument in ("--set", assignment)]
    return [*HARNESS, "bench", config, *settings, "--repeats", str(repeats), "--json"]


def _keras_fit_command(config: Config) -> list[str]:
    if config.model.name not in NAMES:
        raise ConfigError(f"--against {KERAS_FIT} is for the models {' and '.join(NAMES)}, not for {config.model}")
    if config.model.input != InputSection():
        raise ConfigError(f"--against {KERAS_FIT} doesn't take model.input: leave it out")
    data = sources.load(config.data)
    return [
        *(*PYTHON, "-m", "harness.measuring.keras_fit"),
        *("--model", config.model.name, "--batch", str(config.train.global_batch)),
        *("--image-shape", *map(str, data.image_shape), "--classes", str(data.classes)),
        *("--data", config.data.model_dump_json(), "--seed", str(config.seed)),
    ]
