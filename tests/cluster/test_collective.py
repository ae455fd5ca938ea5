import numpy as np

from harness.cluster.collective import from_chief, sum_over_workers
from harness.cluster.strategy import Cluster, connect
from harness.config.cluster import ClusterSection


def test_one_worker_has_the_sum_already() -> None:
    cluster = connect(ClusterSection(logical_cpus=2), {})
    values = np.array([2**62, -5])
    np.testing.assert_array_equal(sum_over_workers(cluster, values), values)
    np.testing.assert_array_equal(from_chief(cluster, values), values)


def test_each_worker_counts_once_however_many_replicas_it_has() -> None:
    """Four replicas here stand for two workers of two: both add the same values."""
    cluster = Cluster(connect(ClusterSection(logical_cpus=4), {}).strategy, "two of two", worker=0, workers=2)
    for values in (np.array([1, 2**40]), np.array([0.1, -1e300]), np.zeros((0, 3), np.float32)):
        summed = sum_over_workers(cluster, values)
        assert summed.dtype == values.dtype
        np.testing.assert_array_equal(summed, 2 * values)


def test_workers_that_are_not_the_chief_add_zeros() -> None:
    strategy = connect(ClusterSection(logical_cpus=2), {}).strategy
    values = np.array([3.0, 4.0])
    not_chief = Cluster(strategy, "second of two", worker=1, workers=2)
    np.testing.assert_array_equal(from_chief(not_chief, values), np.zeros(2))
