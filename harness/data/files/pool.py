"""Jobs → answers, by processes that decode, as many as this one may use processors."""

import json
import os
import subprocess
import sys
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack, suppress
from queue import SimpleQueue
from typing import Any

from harness.data.files.worker import answer as answer_to
from harness.errors import HarnessError

_WORKER = (sys.executable, "-P", "-m", "harness.data.files.worker")


def answers(jobs: Sequence[dict[str, Any]]) -> Generator[tuple[int, dict[str, Any]]]:
    """Each job's number and answer (see `worker.answer`), as they come. Raises HarnessError where a process dies.

    To be closed where it is not exhausted: that ends the processes.
    """
    if len(jobs) == 1:  # sooner done than a process is started
        yield 0, answer_to(jobs[0])
        return
    count = min(len(os.sched_getaffinity(0)), len(jobs))
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}  # else NumPy starts a thread a processor in each of them
    with ExitStack() as stack:
        idle: SimpleQueue[subprocess.Popen[str]] = SimpleQueue()
        executor = stack.enter_context(ThreadPoolExecutor(max(1, count)))
        stack.callback(executor.shutdown, wait=False, cancel_futures=True)
        for _ in range(count):  # these are ended first, so that no thread waits for an answer
            process = subprocess.Popen(
                _WORKER, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
            )
            stack.callback(_end, process)
            idle.put(process)

        def ask(job: dict[str, Any]) -> dict[str, Any]:
            process = idle.get()
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(job) + "\n")
                process.stdin.flush()
                answer: dict[str, Any] = json.loads(process.stdout.readline())
            except (OSError, ValueError):  # a broken pipe, or no line
                raise HarnessError(
                    f"a process that decodes images has ended with exit code {process.wait()}; -9 often means out "
                    "of memory. What has been decoded so far is kept: start again to resume"
                ) from None
            finally:
                idle.put(process)
            return answer

        futures = {executor.submit(ask, job): number for number, job in enumerate(jobs)}
        for future in as_completed(futures):
            yield futures.pop(future), future.result()


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with suppress(OSError):  # what was still to be written
            if stream is not None:
                stream.close()
