import itertools

import numpy as np
import pytest

from harness.cluster.batch import BatchPlan

BATCHES = (1, 2, 3, 7, 8, 50, 64, 100, 127, 4096)
REPLICAS = (1, 2, 3, 4, 8, 13)
MICRO_BATCHES = (None, 1, 5, 8, 10_000)
PLANS = [BatchPlan(*choice) for choice in itertools.product(BATCHES, REPLICAS, MICRO_BATCHES)]


@pytest.mark.parametrize("global_batch", BATCHES)
def test_every_example_is_computed_once(global_batch: int) -> None:
    for plan in (plan for plan in PLANS if plan.global_batch == global_batch):
        slots = np.arange(plan.padded_rows)
        taken: list[int] = []
        for replica in range(plan.replicas):
            in_batch = replica * plan.replica_rows + slots
            taken.extend(in_batch[(slots < plan.replica_rows) & (in_batch < plan.global_batch)])
        assert taken == list(range(plan.global_batch)), plan


@pytest.mark.parametrize("global_batch", BATCHES)
def test_pieces_are_the_micro_batches_with_an_example_in_them(global_batch: int) -> None:
    for plan in (plan for plan in PLANS if plan.global_batch == global_batch):
        with_examples = 0
        for replica, micro_batch in itertools.product(range(plan.replicas), range(plan.micro_batches)):
            in_replica = micro_batch * plan.micro_rows + np.arange(plan.micro_rows)
            in_batch = replica * plan.replica_rows + in_replica
            with_examples += bool(np.any((in_replica < plan.replica_rows) & (in_batch < plan.global_batch)))
        assert plan.pieces == with_examples, plan


@pytest.mark.parametrize("micro_batch", MICRO_BATCHES)
def test_micro_batches_are_equal_and_no_larger_than_asked(micro_batch: int | None) -> None:
    for plan in (plan for plan in PLANS if plan.micro_batch == micro_batch):
        assert plan.micro_rows * plan.micro_batches == plan.padded_rows, plan
        assert 1 <= plan.micro_rows <= (micro_batch or plan.replica_rows), plan
        assert plan.micro_batches == 1 or micro_batch is not None, plan


@pytest.mark.parametrize("replicas", REPLICAS)
def test_padding_is_as_small_as_equal_shares_allow(replicas: int) -> None:
    for plan in (plan for plan in PLANS if plan.replicas == replicas):
        assert 0 <= plan.replica_rows * replicas - plan.global_batch < replicas, plan
        assert 0 <= plan.padded_rows - plan.replica_rows < plan.micro_batches, plan


def test_without_need_there_is_no_padding() -> None:
    assert BatchPlan(128, 4, 8).padded_rows == 32
    assert BatchPlan(128, 1).padded_rows == 128


@pytest.mark.parametrize(
    ("plan", "facts"),
    [
        (BatchPlan(4096, 2), ["global batch 4,096 = 2 replicas × 2,048"]),
        (BatchPlan(50, 4), ["global batch 50 = 4 replicas × 13", " (2 padding rows with weight zero"]),
        (BatchPlan(64, 1, 16), ["global batch 64", " 4 micro-batches of 16"]),
        (
            BatchPlan(50, 4, 5),
            ["global batch 50 = 4 replicas × 13", " 3 micro-batches of 5", " (10 padding rows with weight zero"],
        ),
    ],
)
def test_description(plan: BatchPlan, facts: list[str]) -> None:
    for fact in facts:
        assert fact in plan.describe()
    assert ("padding" in plan.describe()) == (plan.padded_rows * plan.replicas > plan.global_batch)


def test_of_one_device_without_padding_only_the_global_batch_is_told() -> None:
    assert BatchPlan(128, 1).describe() == "global batch 128"
