"""A hello among the workers before TensorFlow starts: who is missing, and whose config differs.

TensorFlow would wait for a missing worker for very long and in silence. So each worker first listens where TensorFlow
will listen later, and asks every other worker for its hello until all have answered it and asked it in turn. A hello
is one line of JSON in each direction: the cluster as that worker sees it, its place in it, and its config.
"""

import asyncio
import json
import socket
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Any

from harness.cluster.environment import Membership
from harness.config.differences import differences
from harness.errors import ConfigError, DeviceError, WorkerMissing

_SECONDS_BETWEEN_TRIES = 0.2
_SECONDS_PER_HELLO = 10
_SECONDS_OF_SILENCE = 5
_MOST_NAMED = 3
_LONGEST_HELLO = 2**20


def meet(
    membership: Membership, config: Mapping[str, Any], timeout: float, say: Callable[[str], None] = lambda text: None
) -> None:
    """Return as soon as all workers have exchanged hellos.

    Args:
        membership: the cluster and our place in it.
        config: flat `section.key` → value, of what all workers must have in common.
        timeout: seconds to wait for the others.
        say: is given a line with who is awaited, where they take longer than a few seconds.

    Raises:
        WorkerMissing: naming those that have not shown up within `timeout`.
        ConfigError: naming a worker whose config is not that of the first one, and the keys that differ.
        DeviceError: where our own address can't be listened at.
    """
    if len(membership.workers) == 1:
        return
    hellos = asyncio.run(_Meeting(membership, config).held(timeout, say))
    first = hellos[0]["config"]
    for index, hello in sorted(hellos.items()):
        if different := differences(first, hello["config"]):
            changes = ", ".join(f"{each.key} ({each.b}, not {each.a})" for each in different)
            raise ConfigError(
                f"worker {index} ({membership.workers[index]}) was started with another config than worker 0: {changes}"
            )


@dataclass
class _Meeting:
    membership: Membership
    config: Mapping[str, Any]
    answers: dict[int, dict[str, Any]] = field(default_factory=dict)
    """Hellos of those who answered us."""
    asked_by: set[int] = field(default_factory=set)
    """Those who asked us, and have our hello."""
    unresolved: dict[int, str] = field(default_factory=dict)
    """Why the host name of a worker has no address, by its index. It may yet get one: Kubernetes names pods late."""
    strangers: dict[str, str] = field(default_factory=dict)
    """What was met that is no worker of this cluster, by where it was met."""

    async def held(self, timeout: float, say: Callable[[str], None]) -> dict[int, dict[str, Any]]:
        """Every worker's hello, our own among them."""
        us, workers = self.membership.index, self.membership.workers
        self._ours = {"workers": list(workers), "index": us, "config": dict(self.config)}
        server = await asyncio.start_server(self._answer, sock=_listening(workers[us]), limit=_LONGEST_HELLO)
        self._all_asked = asyncio.Event()
        asking = [self._ask(index) for index in range(len(workers)) if index != us]
        late = asyncio.get_running_loop().call_later(
            _SECONDS_OF_SILENCE,
            lambda: say(
                f"{self._who_is_awaited()}. Giving up after {timeout:g} s (cluster.start_timeout); "
                "--set cluster.strategy=single or mirrored trains without them"
            ),
        )
        try:
            async with asyncio.timeout(timeout):
                await asyncio.gather(self._all_asked.wait(), *asking)
        except TimeoutError:
            raise WorkerMissing(self._who_is_missing(timeout)) from None
        finally:
            late.cancel()
            server.close()
        return self.answers | {us: self._ours}

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with closing(writer), suppress(OSError, TimeoutError):
            async with asyncio.timeout(_SECONDS_PER_HELLO):
                hello = await self._exchange(reader, writer)
            peer = writer.get_extra_info("peername")
            index = self._recognised(hello, f"{peer[0]}:{peer[1]}" if peer else "a closed connection")
            if index is not None:
                self.asked_by.add(index)
        if len(self.asked_by) == len(self.membership.workers) - 1:
            self._all_asked.set()

    async def _ask(self, index: int) -> None:
        address = self.membership.workers[index]
        host, _, port = address.rpartition(":")
        while index not in self.answers:
            try:
                async with asyncio.timeout(_SECONDS_PER_HELLO):
                    reader, writer = await asyncio.open_connection(host.strip("[]"), int(port), limit=_LONGEST_HELLO)
                    with closing(writer):
                        hello = await self._exchange(reader, writer)
                if self._recognised(hello, address) == index:
                    self.answers[index] = hello
                    return
            except socket.gaierror as error:
                self.unresolved[index] = error.strerror or str(error)
            except (OSError, TimeoutError):
                self.unresolved.pop(index, None)
            await asyncio.sleep(_SECONDS_BETWEEN_TRIES)

    async def _exchange(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Any:
        """Say our hello; gives the other side's, or whatever it says instead."""
        writer.write(json.dumps(self._ours).encode() + b"\n")
        await writer.drain()
        try:
            return json.loads(await reader.readuntil(b"\n"))
        except (ValueError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            return None

    def _recognised(self, hello: Any, where: str) -> int | None:
        """The index of the worker of our cluster that says this hello."""
        kinds = {"workers": list, "index": int, "config": dict}
        if not isinstance(hello, dict) or not all(isinstance(hello.get(key), kind) for key, kind in kinds.items()):
            self.strangers[where] = f"{where} is not a worker of harness"
            return None
        if hello["workers"] != list(self.membership.workers):
            self.strangers[where] = f"{where} is worker {hello['index']} of another cluster: {hello['workers']}"
            return None
        return int(hello["index"])  # of the same list, so a place in it, as `detect` has seen to

    def _who_is_awaited(self) -> str:
        workers, source = self.membership.workers, self.membership.source
        variable = {"Slurm": "SLURM_STEP_NUM_TASKS", "Kubernetes": "HARNESS_WORKERS"}.get(source, source)
        missing = [index for index in range(len(workers)) if index not in (self.membership.index, *self.answers)]
        named = [f"worker {index} ({workers[index]})" for index in missing[:_MOST_NAMED]]
        more = f" and {len(missing) - _MOST_NAMED} more" if len(missing) > _MOST_NAMED else ""
        return (
            f"still waiting for {', '.join(named) or 'the others to reach us'}{more}: {variable} names {len(workers)} "
            "workers"
        )

    def _who_is_missing(self, timeout: float) -> str:
        problems = []
        for index, address in enumerate(self.membership.workers):
            if index == self.membership.index:
                continue
            if index in self.unresolved and index not in self.answers:
                problems.append(
                    f"worker {index} ({address}): its host name can't be resolved here ({self.unresolved[index]})"
                )
            elif index not in self.answers:
                problems.append(f"worker {index} ({address}) has not shown up")
            elif index not in self.asked_by:
                ours = self.membership.workers[self.membership.index]
                problems.append(f"worker {index} ({address}) answers, but can't reach this worker at {ours}")
        return f"{'; '.join([*problems, *self.strangers.values()])}: waited {timeout:g} s (cluster.start_timeout)"


def _listening(address: str) -> socket.socket:
    """A socket where the others look for us: on every interface as TensorFlow's, or on loopback alone."""
    host, _, port = address.rpartition(":")
    interface = "127.0.0.1" if host in ("127.0.0.1", "localhost") else ""
    family = socket.AF_INET6 if host.startswith("[") else socket.AF_INET
    try:
        return socket.create_server((interface, int(port)), family=family)
    except OSError as error:
        raise DeviceError(f"can't listen at {address}, which is this worker's address: {error}") from None
