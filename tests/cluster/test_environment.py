import json
from typing import Any

import pytest

from harness.cluster.environment import Membership, detect, is_chief
from harness.errors import DeviceError

WORKERS = ["host-a:2222", "host-b:2222"]


def environment(cluster: Any = None, kind: str = "worker", index: Any = 0) -> dict[str, str]:
    cluster = {"worker": WORKERS} if cluster is None else cluster
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": {"type": kind, "index": index}})}


def refusal(variables: dict[str, str]) -> str:
    with pytest.raises(DeviceError) as refused:
        detect(variables)
    message = str(refused.value)
    assert "TF_CONFIG" in message
    assert "\n" not in message
    return message


@pytest.mark.parametrize("index", [0, 1])
def test_a_worker_finds_itself_among_the_others(index: int) -> None:
    found = detect(environment(index=index))
    assert found == Membership(tuple(WORKERS), index, "TF_CONFIG")
    assert found.is_chief == (index == 0)


def test_an_index_given_as_text_is_understood() -> None:
    assert detect(environment(index="1")) == Membership(tuple(WORKERS), 1, "TF_CONFIG")


@pytest.mark.parametrize("variables", [{}, {"TF_CONFIG": ""}, {"TF_CONFIG": "{}"}, {"SLURM_PROCID": "1"}])
def test_without_a_cluster_there_is_no_membership(variables: dict[str, str]) -> None:
    assert detect(variables) is None


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "no JSON",
        "[1]",
        "7",
        '"worker"',
        '{"cluster": {}}',
        '{"cluster": {"worker": ["a:1"]}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker"}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": null}}',
        '{"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": "first"}}',
        '{"cluster": ["a:1"], "task": {"type": "worker", "index": 0}}',
        '{"cluster": {"worker": 2}, "task": {"type": "worker", "index": 0}}',
        '{"task": {"type": "worker", "index": 0}}',
    ],
)
def test_what_is_not_understood_is_answered_with_the_form(text: str) -> None:
    assert '{"worker": ["host:port", …]}' in refusal({"TF_CONFIG": text})


@pytest.mark.parametrize("workers", ["host-a:2222", {"0": "host-a:2222"}, [1, 2], [""]])
def test_workers_must_be_a_list_of_addresses(workers: Any) -> None:
    refusal(environment({"worker": workers}))


@pytest.mark.parametrize("kind", ["ps", "chief", "evaluator"])
def test_other_tasks_are_refused(kind: str) -> None:
    assert "only workers" in refusal(environment({"worker": WORKERS, kind: ["host-c:2222"]}))
    assert "only workers" in refusal(environment(kind=kind))


@pytest.mark.parametrize("index", [2, 17, -1])
def test_an_index_past_the_workers_is_refused(index: int) -> None:
    assert f"task index {index} is not one of the 2 workers" in refusal(environment(index=index))


def test_a_cluster_of_no_workers_is_refused() -> None:
    assert "0 workers" in refusal(environment({"worker": []}))


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_only_the_first_worker_is_chief(strategy: str) -> None:
    assert is_chief(strategy, environment(index=0))
    assert not is_chief(strategy, environment(index=1))
    assert is_chief(strategy, {})


@pytest.mark.parametrize("strategy", ["single", "mirrored"])
def test_a_process_by_itself_is_chief_whatever_the_cluster(strategy: str) -> None:
    assert is_chief(strategy, environment(index=1))
