from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.cluster.batch import BatchPlan
from harness.data.order import partner_rows, rows
from harness.data.pipeline import evaluation_batches, training_batches
from harness.data.sources import Split

SEED = 6
PLANS = [
    (replicas, global_batch, micro_batch)
    for replicas in (1, 2, 4)
    for global_batch, micro_batch in [(32, None), (30, None), (3, None), (64, 8), (50, 7), (130, None)]
]


def taken(batches: tf.data.Dataset, count: int) -> list[tuple[NDArray[Any], ...]]:
    """Elements as their arrays; of partners there are none where none were asked for."""
    return [tuple(tf.nest.flatten(element)) for element in batches.take(count).as_numpy_iterator()]


@pytest.mark.parametrize(("replicas", "global_batch", "micro_batch"), PLANS)
def test_a_step_is_the_next_rows_of_the_order_whatever_the_replicas(
    numbered: Split, context: Any, replicas: int, global_batch: int, micro_batch: int | None
) -> None:
    steps = 5
    plan = BatchPlan(global_batch, replicas, micro_batch)
    of_step_count = plan.micro_batches * replicas
    elements = taken(training_batches(numbered, SEED, plan, 0, context(replicas)), steps * of_step_count)
    expected_rows = rows(tf.range(steps * global_batch, dtype=tf.int64), SEED, len(numbered)).numpy()
    for step in range(steps):
        of_step = elements[step * of_step_count : (step + 1) * of_step_count]
        assert all(len(part) == plan.micro_rows for element in of_step for part in element)
        by_replica = [element for replica in range(replicas) for element in of_step[replica::replicas]]
        images, labels, weights, positions = (np.concatenate(parts) for parts in zip(*by_replica, strict=True))
        assert set(np.unique(weights)) <= {0, 1}
        assert weights.sum() == global_batch
        real = weights == 1
        first = step * global_batch
        np.testing.assert_array_equal(positions[real], np.arange(first, first + global_batch))
        np.testing.assert_array_equal(labels[real], expected_rows[first : first + global_batch])
        np.testing.assert_array_equal(images[real], numbered.images[labels[real]])


def test_elements_have_the_documented_dtypes(numbered: Split, context: Any) -> None:
    element = training_batches(numbered, SEED, BatchPlan(9, 2), 0, context(2)).element_spec
    images, labels, weights, positions = element[:4]
    assert not any(element[4:]), "partners, which nobody asked for"
    assert (images.dtype, labels.dtype) == (tf.uint8, tf.int64)
    assert (weights.dtype, positions.dtype) == (tf.float32, tf.int64)
    assert images.shape == (5, 28, 28, 1)


@pytest.mark.parametrize(("replicas", "global_batch", "micro_batch"), [(1, 32, None), (2, 31, None), (4, 50, 5)])
@pytest.mark.parametrize("first_step", [1, 7, 1_000_000])
def test_a_stream_from_a_step_goes_on_as_the_whole_one(
    numbered: Split, context: Any, replicas: int, global_batch: int, micro_batch: int | None, first_step: int
) -> None:
    plan = BatchPlan(global_batch, replicas, micro_batch)
    resumed = taken(training_batches(numbered, SEED, plan, first_step, context(replicas)), 3 * replicas)
    if first_step < 100:
        behind = first_step * plan.micro_batches * replicas
        whole = training_batches(numbered, SEED, plan, 0, context(replicas)).skip(behind)
        for one, other in zip(resumed, taken(whole, 3 * replicas), strict=True):
            for part, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, same)
    assert resumed[0][3][0] == first_step * global_batch


@pytest.mark.parametrize(("global_batch", "micro_batch"), [(32, None), (50, 7)])
@pytest.mark.parametrize("block", [1, 3])
def test_a_block_holds_the_micro_batches_of_its_steps(
    numbered: Split, context: Any, global_batch: int, micro_batch: int | None, block: int
) -> None:
    plan, blocks = BatchPlan(global_batch, 1, micro_batch), 4
    apart = taken(training_batches(numbered, SEED, plan, 5, context(1)), blocks * block * plan.micro_batches)
    together = taken(training_batches(numbered, SEED, plan, 5, context(1), block), blocks)
    for parts, of_blocks in zip(zip(*apart, strict=True), zip(*together, strict=True), strict=True):
        assert of_blocks[0].shape[:3] == (block, plan.micro_batches, plan.micro_rows)
        np.testing.assert_array_equal(np.concatenate(parts), np.concatenate(of_blocks).reshape(-1, *parts[0].shape[1:]))


@pytest.mark.parametrize("block", [None, 2])
def test_rows_are_those_of_the_images(numbered: Split, context: Any, block: int | None) -> None:
    plan = BatchPlan(50, 1, 7)
    batches = taken(training_batches(numbered, SEED, plan, 0, context(1), block), 5)
    rows_only = taken(training_batches(numbered, SEED, plan, 0, context(1), block, on_device=True), 5)
    for (images, labels, weights, positions), (row, *rest) in zip(batches, rows_only, strict=True):
        np.testing.assert_array_equal(numbered.images[row], images)
        np.testing.assert_array_equal(numbered.labels[row], labels)
        np.testing.assert_array_equal(rest, [weights, positions])


@pytest.mark.parametrize("block", [None, 2])
def test_partners_come_with_the_images_and_as_rows(numbered: Split, context: Any, block: int | None) -> None:
    plan = BatchPlan(50, 1, 7)
    given = (numbered, SEED, plan, 0, context(1), block)
    with_images = taken(training_batches(*given, with_partners=True), 5)
    with_rows = taken(training_batches(*given, on_device=True, with_partners=True), 5)
    for (*own, partner_images, partner_labels), (*rows_only, partners), alone in zip(
        with_images, with_rows, taken(training_batches(*given), 5), strict=True
    ):
        expected = partner_rows(tf.constant(rows_only[2].ravel()), SEED, len(numbered)).numpy()
        np.testing.assert_array_equal(partners.ravel(), expected)
        np.testing.assert_array_equal(numbered.images[partners], partner_images)
        np.testing.assert_array_equal(numbered.labels[partners], partner_labels)
        for part, same in zip(own, alone, strict=True):
            np.testing.assert_array_equal(part, same)


@pytest.mark.parametrize("global_batch", [64, 50, 5])
def test_workers_take_turns_as_the_replicas_of_one_would(numbered: Split, context: Any, global_batch: int) -> None:
    plan, steps = BatchPlan(global_batch, 4), 4
    together = taken(training_batches(numbered, SEED, plan, 2, context(4)), 4 * steps)
    of_worker = [
        taken(training_batches(numbered, SEED, plan, 2, context(4, 2, worker)), 2 * steps) for worker in (0, 1)
    ]
    for step in range(steps):
        joined = of_worker[0][2 * step : 2 * step + 2] + of_worker[1][2 * step : 2 * step + 2]
        for one, other in zip(joined, together[4 * step : 4 * step + 4], strict=True):
            for part, same in zip(one, other, strict=True):
                np.testing.assert_array_equal(part, same)


def test_the_stream_has_no_end(numbered: Split, context: Any) -> None:
    stream = training_batches(numbered, SEED, BatchPlan(30, 2), 0, context(2))
    assert stream.cardinality() == tf.data.INFINITE_CARDINALITY


@pytest.mark.parametrize(("replicas", "workers"), [(1, 1), (2, 1), (4, 1), (4, 2)])
@pytest.mark.parametrize("rows_per_replica", [1, 4, 19, 57, 100])
def test_evaluation_takes_every_row_once_and_in_order(
    numbered: Split, context: Any, replicas: int, workers: int, rows_per_replica: int
) -> None:
    of_worker = [
        list(evaluation_batches(numbered, rows_per_replica, context(replicas, workers, worker)).as_numpy_iterator())
        for worker in range(workers)
    ]
    local = replicas // workers
    batches = -(-57 // (rows_per_replica * replicas))
    assert [len(elements) for elements in of_worker] == [batches * local] * workers
    seen: list[int] = []
    for batch in range(batches):
        for elements in of_worker:
            for images, labels, weights in elements[batch * local : (batch + 1) * local]:
                assert len(images) == len(labels) == len(weights) == rows_per_replica
                real = weights == 1
                assert np.all(weights[~real] == 0)
                np.testing.assert_array_equal(images[real], numbered.images[labels[real]])
                seen.extend(labels[real])
    assert seen == list(range(57))
