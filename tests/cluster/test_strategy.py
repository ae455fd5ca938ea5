import json
import os
from typing import Any

import pytest
import tensorflow as tf

from harness.cluster.strategy import (
    Cluster,
    check_all_reduce,
    communication,
    connect,
    cross_device_ops,
    describe_device,
    peak_memory_bytes,
)
from harness.config.cluster import ClusterSection
from harness.config.train import TrainSection
from harness.errors import DeviceError

HAS_GPU = bool(tf.config.list_physical_devices("GPU"))
without_gpu = pytest.mark.skipif(HAS_GPU and os.environ.get("CI") != "true", reason="needs a machine without a GPU")


def refusal(environment: dict[str, str] | None = None, **section: Any) -> str:
    with pytest.raises(DeviceError) as refused:
        connect(ClusterSection(**section), environment or {})
    assert "\n" not in str(refused.value)
    return str(refused.value)


@without_gpu
@pytest.mark.parametrize(
    ("section", "replicas", "kind", "description"),
    [
        ({}, 1, "OneDeviceStrategy", "single device CPU:0 (no GPU found)"),
        ({"strategy": "single"}, 1, "OneDeviceStrategy", "single device CPU:0 (asked for)"),
        ({"strategy": "single", "logical_cpus": 2}, 1, "OneDeviceStrategy", "single device CPU:0 (asked for)"),
        ({"logical_cpus": 1}, 1, "OneDeviceStrategy", "single device CPU:0 (one logical CPU)"),
        ({"logical_cpus": 2}, 2, "MirroredStrategy", "mirrored over CPU:0, CPU:1 (2 devices)"),
        (
            {"strategy": "mirrored", "logical_cpus": 3},
            3,
            "MirroredStrategy",
            "mirrored over CPU:0, CPU:1, CPU:2 (asked for)",
        ),
    ],
)
def test_devices_and_choice(section: dict[str, Any], replicas: int, kind: str, description: str) -> None:
    cluster = connect(ClusterSection(**section), {})
    assert type(cluster.strategy).__name__ == kind
    assert cluster.replicas == replicas
    assert cluster.description == description
    assert (cluster.worker, cluster.workers, cluster.is_chief) == (0, 1, True)


def test_replicas_lie_on_the_logical_cpus() -> None:
    cluster = connect(ClusterSection(logical_cpus=4), {})
    devices = [tf.DeviceSpec.from_string(device) for device in cluster.strategy.extended.worker_devices]
    assert [(device.device_type, device.device_index) for device in devices] == [("CPU", index) for index in range(4)]


@without_gpu
@pytest.mark.parametrize("replicas", [1, 2])
def test_replicas_on_cpus_take_the_elements_of_a_plain_data_set_in_turn(replicas: int) -> None:
    """With TensorFlow's iterator around it, dropping it while it fills was seen to crash the process within seconds."""
    cluster = connect(ClusterSection(logical_cpus=replicas), {})
    batches = cluster.distribute(lambda context: tf.data.Dataset.counter().map(lambda number: number + 1).prefetch(2))
    assert isinstance(batches, tf.data.Dataset)
    iterator = iter(batches)
    for step in range(2):
        following = cluster.strategy.experimental_local_results(cluster.next(iterator))
        assert [int(value) for value in following] == [step * replicas + replica + 1 for replica in range(replicas)]
    for _ in range(20):
        assert next(iter(batches)) == 1


@without_gpu
def test_a_data_set_is_told_its_place_in_the_cluster() -> None:
    contexts: list[Any] = []

    def batches(context: Any) -> tf.data.Dataset:
        contexts.append(context)
        return tf.data.Dataset.counter()

    Cluster(connect(ClusterSection(logical_cpus=2), {}).strategy, "", worker=1, workers=3).distribute(batches)
    (context,) = contexts
    assert (context.input_pipeline_id, context.num_input_pipelines, context.num_replicas_in_sync) == (1, 3, 2)


@without_gpu
def test_mirrored_needs_devices() -> None:
    told = refusal(strategy="mirrored")
    assert "cluster.strategy: mirrored needs GPUs or cluster.logical_cpus" in told
    assert "devices here: CPU:0" in told


@without_gpu
@pytest.mark.parametrize("strategy", ["auto", "single", "mirrored"])
def test_a_gpu_that_is_not_there_is_named(strategy: str) -> None:
    told = refusal(strategy=strategy, gpus=[3])
    assert "cluster.gpus: there is no GPU 3" in told
    assert "devices here: CPU:0" in told


@without_gpu
@pytest.mark.parametrize("strategy", ["auto", "single", "mirrored"])
def test_logical_gpus_need_a_card_to_split(strategy: str) -> None:
    told = refusal(strategy=strategy, logical_gpus=2)
    assert "cluster.logical_gpus: 2" in told
    assert "no GPU" in told


def test_logical_gpus_are_not_for_several_workers() -> None:
    two = {"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}})}
    assert "TF_CONFIG names a cluster" in refusal(two, logical_gpus=2)


def test_multi_worker_needs_a_cluster() -> None:
    told = refusal(strategy="multi_worker")
    for fact in ("cluster.strategy: multi_worker", "TF_CONFIG, Slurm or Kubernetes", "devices here: CPU:0"):
        assert fact in told


@pytest.mark.parametrize("strategy", ["auto", "multi_worker"])
def test_a_bad_cluster_is_refused_before_anything_is_built(strategy: str) -> None:
    bad = {"TF_CONFIG": json.dumps({"cluster": {"worker": ["a:1"]}, "task": {"type": "worker", "index": 5}})}
    assert "task index 5" in refusal(bad, strategy=strategy)


def test_more_logical_cpus_than_tensorflow_was_started_with_are_refused() -> None:
    tf.zeros([1])  # TensorFlow runs
    there = len(tf.config.list_logical_devices("CPU"))
    told = refusal(logical_cpus=there + 1)
    assert f"cluster.logical_cpus: {there + 1}" in told
    assert f"with {there}: choose before its first operation" in told


@pytest.mark.parametrize("asked", [True, False])
def test_tf32_is_as_asked(asked: bool) -> None:
    before = tf.config.experimental.tensor_float_32_execution_enabled()
    try:
        tf.config.experimental.enable_tensor_float_32_execution(not asked)
        connect(ClusterSection(strategy="single"), {}, train=TrainSection(tf32=asked))
        assert tf.config.experimental.tensor_float_32_execution_enabled() is asked
    finally:
        tf.config.experimental.enable_tensor_float_32_execution(before)


@without_gpu
@pytest.mark.parametrize("all_reduce", ["nccl", "hierarchical"])
@pytest.mark.parametrize("section", [{}, {"logical_cpus": 2}, {"strategy": "single"}])
def test_ways_of_gpus_are_refused_without_any(all_reduce: str, section: dict[str, Any]) -> None:
    told = refusal(all_reduce=all_reduce, **section)
    for fact in (f"cluster.all_reduce: {all_reduce} is for GPUs", "none is used here", "auto"):
        assert fact in told


@pytest.mark.parametrize(
    ("all_reduce", "gpus", "several_workers", "told"),
    [
        ("nccl", 0, True, ["nccl is for GPUs"]),
        ("hierarchical", 0, True, ["hierarchical is for GPUs"]),
        ("hierarchical", 2, True, ["hierarchical", "one machine, not for several workers", "use nccl"]),
        ("hierarchical", 3, False, ["hierarchical", "even number of GPUs, not 3", "use nccl"]),
    ],
)
def test_ways_that_do_not_fit_the_devices_are_refused(
    all_reduce: str, gpus: int, several_workers: bool, told: list[str]
) -> None:
    with pytest.raises(DeviceError) as refused:
        check_all_reduce(all_reduce, gpus, several_workers)
    for fact in told:
        assert fact in str(refused.value)
    assert "\n" not in str(refused.value)


def test_ways_that_fit_the_devices_are_not() -> None:
    for several_workers in (False, True):
        for gpus in (0, 1, 2, 3):
            check_all_reduce("auto", gpus, several_workers)
        for gpus in (1, 2, 3):
            check_all_reduce("nccl", gpus, several_workers)
    for gpus in (1, 2, 4, 8):
        check_all_reduce("hierarchical", gpus, several_workers=False)


@pytest.mark.parametrize(
    ("devices", "all_reduce", "kind"),
    [
        (["CPU:0", "CPU:1"], "auto", tf.distribute.ReductionToOneDevice),
        (["GPU:0", "GPU:1"], "nccl", tf.distribute.NcclAllReduce),
        (["GPU:0", "GPU:1"], "hierarchical", tf.distribute.HierarchicalCopyAllReduce),
        (["GPU:0", "GPU:1"], "auto", type(None)),
    ],
)
def test_devices_of_one_machine_reduce_as_asked(devices: list[str], all_reduce: str, kind: type) -> None:
    assert type(cross_device_ops(devices, all_reduce)) is kind


@pytest.mark.parametrize("count", [2, 3, 8])
def test_logical_gpus_of_one_card_reduce_in_a_way_that_takes_any_number(count: int) -> None:
    devices = [f"GPU:{index}" for index in range(count)]
    assert type(cross_device_ops(devices, "auto", one_card=True)) is tf.distribute.ReductionToOneDevice
    asked = cross_device_ops(devices, "hierarchical", one_card=True)
    assert type(asked) is tf.distribute.HierarchicalCopyAllReduce


def test_workers_communicate_as_asked() -> None:
    a_gpu = [tf.config.PhysicalDevice("/physical_device:GPU:0", "GPU")]
    implementations = tf.distribute.experimental.CommunicationImplementation
    assert communication(ClusterSection(), []).implementation is implementations.AUTO
    assert communication(ClusterSection(), a_gpu).implementation is implementations.AUTO
    assert communication(ClusterSection(all_reduce="nccl"), a_gpu).implementation is implementations.NCCL
    with pytest.raises(DeviceError, match="not for several workers"):
        communication(ClusterSection(all_reduce="hierarchical"), a_gpu)
    with pytest.raises(DeviceError, match="none is used here"):
        communication(ClusterSection(all_reduce="nccl"), [])


@without_gpu
def test_the_processor_is_described_with_its_cores() -> None:
    assert describe_device().endswith(f" ({len(os.sched_getaffinity(0))} cores)")


def test_peak_memory_is_that_of_this_process() -> None:
    assert 100 * 2**20 < peak_memory_bytes() < 2**40
