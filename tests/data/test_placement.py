import numpy as np
import pytest
from numpy.typing import NDArray

from harness.config import Config, resolve
from harness.data.images import Images, Stored
from harness.data.placement import can_be_read, fits_on_device, is_small
from harness.data.sources import Split

GIB = 2**30


@pytest.mark.parametrize(
    ("free", "replicas", "small"),
    [
        ([8 * GIB], 1, True),
        ([4 * GIB], 1, False),  # just a quarter
        ([8 * GIB, 3 * GIB], 1, False),  # the fullest decides
        ([16 * GIB], 4, False),
        ([17 * GIB], 4, True),
        ([None], 1, False),
        ([8 * GIB, None], 1, False),
        ([], 1, False),
    ],
)
def test_a_quarter_of_what_a_replica_has_free_is_too_much(free: list[int | None], replicas: int, small: bool) -> None:
    assert is_small(GIB, free, replicas) == small


def test_what_is_not_in_memory_must_fit_there_twice_to_go_to_the_device() -> None:
    def unread(rows: object) -> NDArray[np.uint8]:
        pytest.fail("nothing is read to decide that")

    in_file = Stored(unread, range(3), (10, 10, 1))
    in_memory: Images = np.zeros((3, 10, 10, 1), np.uint8)
    assert can_be_read(in_file, 600)
    assert not can_be_read(in_file, 599)
    assert can_be_read(in_memory, 0)


def test_what_is_asked_for_is_done_and_cpus_gather_in_the_stream(numbered: Split) -> None:
    assert fits_on_device(resolve({"data": {"placement": "device"}}), numbered)
    assert not fits_on_device(resolve({"data": {"placement": "host"}}), numbered)
    assert not fits_on_device(Config(), numbered)
