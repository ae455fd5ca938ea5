"""Workers that look for each other, over real sockets on 127.0.0.1; each in a thread of its own."""

import socket
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pytest

from harness.cluster.environment import Membership
from harness.cluster.rendezvous import meet
from harness.errors import ConfigError, DeviceError, HarnessError, WorkerMissing
from harness.machine.resources import free_ports

CONFIG = {"seed": 0, "train.global_batch": 32}


def addresses(count: int) -> tuple[str, ...]:
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def met(
    workers: tuple[str, ...],
    configs: dict[int, dict[str, Any]],
    timeout: float = 20,
    delays: dict[int, float] | None = None,
) -> dict[int, str]:
    """What each of the workers that have a config was told: "" where all was well, else the exception and its text."""

    def worker(index: int) -> None:
        time.sleep((delays or {}).get(index, 0))
        meet(Membership(workers, index, "test"), configs[index], timeout)

    with ThreadPoolExecutor(len(configs)) as pool:
        running = {index: pool.submit(worker, index) for index in configs}
    return {index: told(future) for index, future in running.items()}


def told(future: "Future[None]") -> str:
    error = future.exception()
    if error is None:
        return ""
    assert isinstance(error, HarnessError), error
    assert "\n" not in str(error)
    return f"{type(error).__name__} {error}"


def test_workers_that_are_all_there_meet() -> None:
    assert met(addresses(3), dict.fromkeys(range(3), CONFIG)) == {0: "", 1: "", 2: ""}


def test_a_late_worker_is_waited_for() -> None:
    assert met(addresses(2), dict.fromkeys(range(2), CONFIG), delays={0: 0.7}) == {0: "", 1: ""}


def test_the_address_is_free_again_for_tensorflow() -> None:
    workers = addresses(2)
    met(workers, dict.fromkeys(range(2), CONFIG))
    for address in workers:
        socket.create_server(("127.0.0.1", int(address.partition(":")[2]))).close()


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_a_worker_that_never_shows_up_is_named(missing: int) -> None:
    workers = addresses(3)
    present = {index: CONFIG for index in range(3) if index != missing}
    start = time.monotonic()
    answers = met(workers, present, timeout=1)
    assert time.monotonic() - start < 10
    for answer in answers.values():
        assert answer.startswith(f"WorkerMissing worker {missing} ({workers[missing]}) has not shown up")
        assert "1 s (cluster.start_timeout)" in answer
        for index in present:
            assert f"({workers[index]})" not in answer


@pytest.mark.slow
def test_after_five_seconds_it_is_said_who_is_awaited_and_which_variable_names_them() -> None:
    workers = addresses(5)
    said: list[str] = []
    with pytest.raises(WorkerMissing):
        meet(Membership(workers, 1, "Slurm"), CONFIG, 5.5, said.append)
    awaited = ", ".join(f"worker {index} ({workers[index]})" for index in (0, 2, 3))
    (line,) = said
    for fact in (f"{awaited} and 1 more", "SLURM_STEP_NUM_TASKS names 5 workers", "5.5 s (cluster.start_timeout)"):
        assert fact in line


@pytest.mark.parametrize("odd", [1, 2])
def test_a_worker_with_another_config_is_named_to_all(odd: int) -> None:
    workers = addresses(3)
    configs = dict.fromkeys(range(3), CONFIG) | {odd: {"seed": 0, "train.global_batch": 64, "train.ema": 0.9}}
    for answer in met(workers, configs).values():
        assert answer.startswith(f"ConfigError worker {odd} ({workers[odd]}) ")
        assert "another config" in answer
        assert "train.global_batch (64, not 32), train.ema (0.9, not None)" in answer
    assert ConfigError.exit_code == 2


def test_a_worker_of_another_cluster_is_named_and_not_taken_for_ours() -> None:
    ours = addresses(2)
    theirs = (ours[1], *addresses(1))  # one of them listens where our worker 1 should
    configs = {0: CONFIG}
    with ThreadPoolExecutor(1) as pool:
        stray = pool.submit(meet, Membership(theirs, 0, "test"), CONFIG, 2.5)
        answer = met(ours, configs, timeout=1)[0]
        assert isinstance(stray.exception(), WorkerMissing)
    assert f"worker 1 ({ours[1]}) has not shown up" in answer
    assert f"{ours[1]} is worker 0 of another cluster: {list(theirs)}" in answer


@pytest.mark.parametrize("says", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"[1]\n", b"{}\n", b"\xff\n"])
def test_what_is_no_worker_is_named(says: bytes) -> None:
    ours = addresses(2)
    with socket.create_server(("127.0.0.1", int(ours[1].partition(":")[2]))) as listening:
        listening.settimeout(10)

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.sendall(says)

        thread = threading.Thread(target=answer)
        thread.start()
        told = met(ours, {0: CONFIG}, timeout=0.5)[0]
        thread.join()
    assert f"worker 1 ({ours[1]}) has not shown up" in told
    assert f"{ours[1]} is not a worker" in told


def test_an_address_in_use_is_refused() -> None:
    workers = addresses(2)
    with (
        socket.create_server(("127.0.0.1", int(workers[0].partition(":")[2]))),
        pytest.raises(DeviceError, match=f"listen at {workers[0]}.*in use"),
    ):
        meet(Membership(workers, 0, "test"), CONFIG, 5)


def test_a_host_name_without_an_address_is_called_that() -> None:
    (ours,) = addresses(1)
    workers = (ours, "no-such-host.invalid:4000")
    answer = met(workers, {0: CONFIG}, timeout=1.5)[0]
    assert answer.startswith(f"WorkerMissing worker 1 ({workers[1]})")
    assert "host name can't be resolved" in answer
    assert "has not shown up" not in answer
