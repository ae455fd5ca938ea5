"""What is planned for which machine: within the promised time, with every precision of the config."""

import os
from pathlib import Path
from typing import get_args

import pytest

from harness.config import load
from harness.config.train import TrainSection
from harness.errors import DeviceError
from harness.gpu_check.plan import TF32, Machine, SpeedSetting, plan, powers_of_two, precisions, this_machine


@pytest.mark.parametrize(("quick", "seconds"), [(False, 300), (True, 90)])
def test_on_one_card_the_limits_add_up_to_less_than_is_promised(quick: bool, seconds: float) -> None:
    planned = plan(Machine("gpus", 1), quick)
    limits = planned.seconds
    several = len(planned.replicas) * limits.replicas + len(planned.scaling) * limits.scaling
    assert limits.trainings + limits.speed + several + 2 * limits.peer * planned.peers < seconds
    assert planned.scaling == ()


def test_every_precision_of_the_config_is_checked_and_tf32() -> None:
    names = [precision.name for precision in precisions()]
    assert {*names} == {*get_args(TrainSection.model_fields["precision"].annotation), TF32}
    assert names[:2] == ["float32", TF32]
    for quick in (False, True):
        assert [precision.name for precision in plan(Machine("gpus", 1), quick).precisions] == names


def test_each_precision_and_both_ways_with_xla_are_timed_at_every_batch() -> None:
    planned = plan(Machine("gpus", 1), quick=False)
    timed = {(setting.global_batch, setting.precision.name, setting.jit) for setting in planned.speed}
    for batch in (32, 256, 4096):
        assert {(batch, precision.name, "on") for precision in planned.precisions} <= timed
        assert (batch, "float32", "off") in timed
    assert {planned.weak_batch, planned.strong_batch} <= {*planned.batches}, "scaling is against one of these"


@pytest.mark.parametrize(
    ("cards", "quick", "replicas", "scaling"),
    [
        (1, False, (2, 3), ()),
        (1, True, (), ()),
        (2, False, (2,), (2,)),
        (6, False, (2, 4, 6), (2, 4, 6)),
        (8, False, (2, 4, 8), (2, 4, 8)),
        (8, True, (8,), (8,)),
    ],
)
def test_numbers_of_devices(cards: int, quick: bool, replicas: tuple[int, ...], scaling: tuple[int, ...]) -> None:
    planned = plan(Machine("gpus", cards), quick)
    assert (planned.replicas, planned.scaling) == (replicas, scaling)


def test_powers_of_two_end_with_the_number_itself() -> None:
    assert [powers_of_two(count) for count in (1, 2, 3, 4, 7)] == [(1,), (1, 2), (1, 2, 3), (1, 2, 4), (1, 2, 4, 7)]


@pytest.mark.parametrize(
    ("machine", "count", "devices"),
    [
        (Machine("gpus", 1), 1, {"gpus": [0], "logical_gpus": None}),
        (Machine("gpus", 1), 3, {"gpus": [0], "logical_gpus": 3}),
        (Machine("gpus", 4), 2, {"gpus": [0, 1], "logical_gpus": None}),
        (Machine("logical_cpus", 2), 1, {"strategy": "single", "logical_cpus": None}),
        (Machine("logical_cpus", 2), 2, {"strategy": "auto", "logical_cpus": 2}),
    ],
)
def test_a_setting_is_a_config_on_so_many_devices(machine: Machine, count: int, devices: dict[str, object]) -> None:
    for precision in precisions():
        config = load("mnist", SpeedSetting(256, precision, "off", count).assignments(machine))
        section = config.cluster.model_dump()
        assert {key: section[key] for key in devices} == devices
        assert (config.train.global_batch, config.train.jit) == (256, "off")
        assert config.train.tf32 == (precision.name == TF32)


def nvidia_smi(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    program = folder / "nvidia-smi"
    program.write_text(f"#!/bin/sh\n{script}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)


TWO_CARDS = 'if [ "$1" = -L ]; then echo "GPU 0: A"; echo "GPU 1: B"; else echo "$*"; fi'


def test_this_machine_has_the_cards_that_a_process_may_see(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nvidia_smi(tmp_path, monkeypatch, TWO_CARDS)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert (this_machine().kind, this_machine().count) == ("gpus", 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert this_machine().count == 1
    assert "-i 1" in this_machine().names[0]


@pytest.mark.parametrize(("script", "visible"), [(TWO_CARDS, ""), (TWO_CARDS, "-1"), ("exit 9", None), ("exit 9", "0")])
def test_no_card_to_see_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, visible: str | None
) -> None:
    nvidia_smi(tmp_path, monkeypatch, script)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    with pytest.raises(DeviceError, match="needs a GPU"):
        this_machine()
