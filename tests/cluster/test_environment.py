import json
from typing import Any

import pytest

from harness.cluster.environment import Membership, detect, expand_nodes, is_chief
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
    assert f"worker is {workers!r}" in refusal(environment({"worker": workers}))


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


def slurm(**changes: str | None) -> dict[str, str]:
    """What `srun` sets for the second of three tasks on two nodes."""
    variables: dict[str, str | None] = {
        "SLURM_JOB_ID": "7",
        "SLURM_PROCID": "1",
        "SLURM_STEP_NODELIST": "n[9-10]",
        "SLURM_STEP_NUM_TASKS": "3",
        "SLURM_STEP_TASKS_PER_NODE": "2,1",
    }
    return {key: value for key, value in (variables | changes).items() if value is not None}


def test_tasks_of_a_slurm_step_are_workers() -> None:
    assert detect(slurm()) == Membership(("n9:20112", "n9:20113", "n10:20114"), 1, "Slurm")


def test_jobs_next_to_each_other_use_other_ports() -> None:
    one, other = detect(slurm()), detect(slurm(SLURM_JOB_ID="8"))
    assert one
    assert other
    assert not set(one.workers) & set(other.workers)


@pytest.mark.parametrize("tasks", ["1", "", None])
def test_a_slurm_step_of_one_task_is_no_cluster(tasks: str | None) -> None:
    assert detect(slurm(SLURM_STEP_NUM_TASKS=tasks)) is None


@pytest.mark.parametrize(
    ("text", "nodes"),
    [
        ("n1", ["n1"]),
        ("n10,n9", ["n10", "n9"]),
        ("n[08-10,12],login", ["n08", "n09", "n10", "n12", "login"]),
        ("rack[1-2]-gpu[0-1].site", ["rack1-gpu0.site", "rack1-gpu1.site", "rack2-gpu0.site", "rack2-gpu1.site"]),
        ("a[1,3],b[2]", ["a1", "a3", "b2"]),
    ],
)
def test_node_lists_are_expanded_in_their_order(text: str, nodes: list[str]) -> None:
    assert expand_nodes(text) == nodes


@pytest.mark.parametrize(
    "changes",
    [
        {"SLURM_PROCID": "3"},
        {"SLURM_PROCID": None},
        {"SLURM_JOB_ID": "x"},
        {"SLURM_STEP_NODELIST": ""},
        {"SLURM_STEP_NODELIST": "n[1-"},
        {"SLURM_STEP_NODELIST": "n1;rm"},
        {"SLURM_STEP_TASKS_PER_NODE": "2(x2)"},
        {"SLURM_STEP_TASKS_PER_NODE": "two"},
    ],
)
def test_slurm_variables_that_make_no_sense_are_refused(changes: dict[str, str | None]) -> None:
    with pytest.raises(DeviceError, match="Slurm's variables are not understood"):
        detect(slurm(**changes))


def kubernetes(**changes: str | None) -> dict[str, str]:
    variables: dict[str, str | None] = {
        "HARNESS_WORKERS": "3",
        "HARNESS_WORKER_ADDRESS": "mnist-{index}.mnist:2222",
        "JOB_COMPLETION_INDEX": "2",
    }
    return {key: value for key, value in (variables | changes).items() if value is not None}


def test_pods_of_an_indexed_job_are_workers() -> None:
    addresses = ("mnist-0.mnist:2222", "mnist-1.mnist:2222", "mnist-2.mnist:2222")
    assert detect(kubernetes()) == Membership(addresses, 2, "Kubernetes")


def test_a_job_of_one_pod_is_no_cluster() -> None:
    assert detect(kubernetes(HARNESS_WORKERS="1", JOB_COMPLETION_INDEX="0")) is None


def test_an_index_alone_is_no_cluster() -> None:
    assert detect({"JOB_COMPLETION_INDEX": "0"}) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"HARNESS_WORKERS": "two"},
        {"HARNESS_WORKER_ADDRESS": "mnist-0.mnist:2222"},
        {"HARNESS_WORKER_ADDRESS": "mnist-{index}.mnist"},
        {"HARNESS_WORKER_ADDRESS": None},
        {"JOB_COMPLETION_INDEX": None},
        {"JOB_COMPLETION_INDEX": "3"},
    ],
)
def test_kubernetes_variables_that_make_no_sense_are_refused(changes: dict[str, str | None]) -> None:
    with pytest.raises(DeviceError, match="JOB_COMPLETION_INDEX"):
        detect(kubernetes(**changes))


def test_the_first_source_that_is_there_counts() -> None:
    everything = environment() | slurm() | kubernetes()
    sources = []
    for variable in ("TF_CONFIG", "SLURM_STEP_NUM_TASKS", "HARNESS_WORKERS"):
        found = detect(everything)
        assert found
        sources.append(found.source)
        del everything[variable]
    assert sources == ["TF_CONFIG", "Slurm", "Kubernetes"]
    assert detect(everything) is None
