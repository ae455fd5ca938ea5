import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.stop_signals import Interrupted, StopSignals, raise_for_signals


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_is_kept_and_nothing_is_interrupted(number: int) -> None:
    with StopSignals() as signals:
        assert signals.received == 0
        os.kill(os.getpid(), number)
        assert signals.received == number


@pytest.mark.parametrize("first", [signal.SIGINT, signal.SIGTERM])
def test_a_second_interrupt_does_not_wait(first: int) -> None:
    with StopSignals() as signals:
        os.kill(os.getpid(), first)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        assert signals.received == first


def test_a_second_termination_still_waits() -> None:
    with StopSignals() as signals:
        for _ in range(3):
            os.kill(os.getpid(), signal.SIGTERM)
        assert signals.received == signal.SIGTERM


def test_signals_that_are_handed_on_are_all_kept() -> None:
    sent = [signal.SIGHUP, signal.SIGINT, signal.SIGINT, signal.SIGTERM]
    with StopSignals(interrupts=False) as signals:
        for number in sent:
            os.kill(os.getpid(), number)
        assert signals.all == sent


def test_the_handlers_from_before_come_back() -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), StopSignals():
        _ = 1 / (signal.getsignal(signal.SIGINT) in before)
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


@pytest.fixture
def handlers_put_back() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.usefixtures("handlers_put_back")
def test_what_is_ignored_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as nohup has it
    raise_for_signals()
    with StopSignals() as signals:
        os.kill(os.getpid(), signal.SIGHUP)
        assert signals.received == 0


def test_in_a_thread_signals_are_left_alone() -> None:
    before, seen = signal.getsignal(signal.SIGINT), []

    def work() -> None:
        with StopSignals() as signals:
            seen.extend([signals.received, signal.getsignal(signal.SIGINT)])

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [0, before]


@pytest.mark.usefixtures("handlers_put_back")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_where_nothing_waits_a_signal_interrupts_and_is_known(number: int) -> None:
    raise_for_signals()
    with pytest.raises(Interrupted) as raised:
        os.kill(os.getpid(), number)
    assert raised.value.signal_number == number


def test_a_training_runs_in_a_thread(small_config: Path, tmp_path: Path) -> None:
    shorter: Any = {"train.length": "12 steps"}
    with ThreadPoolExecutor(1) as pool:
        training = pool.submit(harness.train, small_config, tmp_path / "run", quiet=True, only_training=True, **shorter)
        run = training.result()
    assert run is not None
    assert (run.read_summary()["status"], run.read_summary()["steps"]) == ("completed", 12)
