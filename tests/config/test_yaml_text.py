"""YAML text → plain values, as people mean it."""

import pytest

from harness.config.yaml_text import parse, parse_assignment
from harness.errors import ConfigError


@pytest.mark.parametrize("text", ["1e-3", "1E-3", "1.e-3", "+1.0e-3", ".1e-2", "0.001"])
def test_numbers_with_an_exponent_are_numbers_with_or_without_a_point(text: str) -> None:
    assert parse(f"rate: {text}".encode(), "a.yaml") == {"rate": 0.001}
    assert parse_assignment(f"optimizer.rate={text}") == (["optimizer", "rate"], 0.001)


@pytest.mark.parametrize("text", ["name: a\nname: b", "train: {length: 1 epochs,\n  length: 2 epochs}"])
def test_a_key_that_appears_twice_is_refused_with_its_line(text: str) -> None:
    with pytest.raises(ConfigError, match=r"a\.yaml:2: .*the key '(name|length)' appears twice"):
        parse(text.encode(), "a.yaml")


@pytest.mark.parametrize(("text", "meant"), [("010", "8 or 10"), ("12:30", "750"), ("1:30.5", "90.5")])
def test_a_number_that_yaml_reads_as_another_is_refused_with_both(text: str, meant: str) -> None:
    with pytest.raises(ConfigError, match=rf"a\.yaml:2: .*write {meant}, or '{text}'"):
        parse(f"name: x\nseed: {text}".encode(), "a.yaml")
    with pytest.raises(ConfigError, match=rf"--set seed={text}: .*write {meant}, or '{text}'"):
        parse_assignment(f"seed={text}")
