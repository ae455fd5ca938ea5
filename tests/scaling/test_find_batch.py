"""`harness scale find-batch`: the search, what ends a try, and real searches in real processes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from numpy.typing import NDArray

from harness.config import load
from harness.config.cluster import ClusterSection
from harness.errors import ConfigError, HarnessError, UserError
from harness.imports import handed
from harness.measuring import bench
from harness.scaling.find_batch import memory
from harness.scaling.find_batch.search import Try, fastest, largest
from harness.scaling.find_batch.watched import Ended
from harness.training.losses import cross_entropy
from tests.processes import completed, started

Call = Callable[..., Any]
TRY = "harness.measuring.bench_requests"
"""In the command line of every try."""
BENCH = [sys.executable, "-m", TRY]


@pytest.fixture(scope="module", autouse=True)
def _on_one_processor() -> Iterator[None]:
    """A try measures for seconds, and would on every processor."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("TF_NUM_INTRAOP_THREADS", "1")
        yield


@pytest.mark.parametrize("cap", [1, 5, 16, 17, 31, 1000, 55_000])
@pytest.mark.parametrize("capacity", [0, 1, 3, 15, 16, 17, 23, 40, 100, 999, 12_345, 10**6])
def test_the_size_found_was_tried_and_fitted_and_a_little_more_did_not(capacity: int, cap: int) -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= capacity

    found = largest(fits, 16, cap)
    assert len(set(tried)) == len(tried) <= 24
    assert all(1 <= size <= cap for size in tried)
    assert found == max((size for size in tried if size <= capacity), default=0)
    if found < cap:
        failed = min(size for size in tried if size > capacity)
        assert failed - found <= (1 if found < 16 else max(8, found // 16))
        assert found < 16 or found % 8 == 0


def test_the_sizes_are_doubled_then_bisected() -> None:
    tried: list[int] = []

    def fits(size: int) -> bool:
        tried.append(size)
        return size <= 200

    assert largest(fits, 16, 10_000) == 200
    assert tried == [16, 32, 64, 128, 256, 192, 224, 208, 200]


def measured(batch: int, low: float, median: float, high: float) -> Try:
    return Try(batch, batch, None, True, None, 1, 1, {"median": median, "min": low, "max": high})


def test_the_fastest_is_the_smallest_whose_range_reaches_into_that_of_the_best() -> None:
    slow, tie, best, slower = (
        measured(16, 80, 85, 89),
        measured(32, 80, 85, 91),
        measured(64, 90, 95, 99),
        measured(128, 70, 90, 95),
    )
    assert fastest([slow, tie, best, slower]) == tie
    assert fastest([slower, best, slow]) == best


@pytest.mark.parametrize(
    ("text", "size"),
    [("4GiB", 2**32), ("800MiB", 800 * 2**20), ("4GB", 4 * 10**9), ("4096", 4096), (" 1.5 gib ", 3 * 2**29)],
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert memory.parse(text) == size


@pytest.mark.parametrize("text", ["", "lots", "-1GiB", "0", "0.0GiB", "4 Gi B", "1e3", "4XB", "9" * 400 + "GiB", "4G"])
def test_what_is_no_size_is_one_line(text: str, call: Call) -> None:
    ended = call("scale", "find-batch", "mnist", "--memory", text)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: --memory")
    assert ended.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-config"], "no such config file"),
        (["mnist", "--set", "train.globl_batch=3"], "globl_batch"),
        (["mnist", "--set", "cluster.strategy=multi_worker"], "cluster.strategy=auto"),
        (["mnist", "--set", "data.validation=60000"], "no training rows"),
        (["mnist", "--set", "data.source=none.npz"], "none.npz"),
    ],
)
def test_a_wrong_config_is_one_line_before_any_try(arguments: list[str], words: str, call: Call) -> None:
    ended = call("scale", "find-batch", *arguments)
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert words in ended.stderr
    assert ended.stderr.count("\n") == 1


@pytest.mark.slow
def test_what_only_a_try_can_refuse_is_one_line_too(small_config: Path, call: Call) -> None:
    ended = call("scale", "find-batch", small_config, "--set", "data.shift=200")
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.startswith("error: data.shift: 200")
    assert ended.stderr.count("\n") == 1


def test_asking_for_more_than_the_machine_has_is_refused() -> None:
    here = memory.host_limit(None)
    assert here.size is not None
    assert memory.host_limit(here.size // 2).size == here.size // 2
    with pytest.raises(ConfigError, match="ask for less"):
        memory.host_limit(2**50)


def test_the_least_limit_of_a_control_group_and_those_around_it_counts(tmp_path: Path) -> None:
    for folder, name, text in [
        ("", "memory.max", "max"),
        ("outer", "memory.max", "3000"),
        ("outer/inner", "memory.max", "4000"),
        ("memory/outer", "memory.limit_in_bytes", "5000"),
    ]:
        (tmp_path / folder).mkdir(parents=True, exist_ok=True)
        (tmp_path / folder / name).write_text(f"{text}\n")
    assert memory.cgroup_limit("0::/outer/inner\n", tmp_path) == 3000
    assert memory.cgroup_limit("4:cpu,memory:/outer\n3:pids:/outer/inner\n", tmp_path) == 5000
    assert memory.cgroup_limit("0::/\n", tmp_path) is None


@pytest.fixture
def two_gpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An nvidia-smi that knows GPUs of 80 and 40 GiB."""
    program = tmp_path / "nvidia-smi"
    program.write_text(
        "#!/bin/sh\n"
        "[ $1 = -L ] && echo 'GPU 0: Large (UUID: a)' && echo 'GPU 1: Small (UUID: b)' && exit\n"
        "case $4 in 0,1) echo 81920; echo 40960;; 0) echo 81920;; 1) echo 40960;; *) echo No devices; exit 6;; esac\n"
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")


@pytest.mark.usefixtures("two_gpus")
def test_the_smallest_gpu_that_is_used_sets_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.gpu_limit(ClusterSection(), None).size == 40 * 2**30
    assert memory.gpu_limit(ClusterSection(gpus=[0]), None).size == 80 * 2**30
    assert memory.gpu_limit(ClusterSection(), 2**30).size == 2**30
    with pytest.raises(ConfigError, match="ask for less"):
        memory.gpu_limit(ClusterSection(), 2**40)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-1234")
    assert memory.gpu_limit(ClusterSection(), None).size is None
    assert memory.gpu_limit(ClusterSection(), 2**30).size == 2**30


def asked(command: list[str], requests: list[dict[str, Any]], **limits: Any) -> list[Ended]:
    """`Process.ask` in turn, from a process without TensorFlow, as in use."""
    limits = {"most_bytes": None, "most_seconds": 30} | limits
    program = (
        "import json; from harness.scaling.find_batch.watched import Process\n"
        f"with Process({command!r}) as process:\n"
        f"    print(json.dumps([vars(process.ask(request, **{limits!r})) for request in {requests!r}]))"
    )
    return [Ended(**told) for told in json.loads(subprocess.check_output([sys.executable, "-c", program]))]


def trying(config: Path, *assignments: str) -> dict[str, Any]:
    return {"config": str(config), "assignments": [*assignments, "schedule.name=constant"], "repeats": 1}


def python(program: str, **limits: Any) -> Ended:
    (ended,) = asked([sys.executable, "-c", program], [{}], **limits)
    return ended


def test_a_process_that_takes_too_much_memory_is_killed() -> None:
    greedy = python("import time; kept = b'x' * 300_000_000; time.sleep(60)", most_bytes=200 * 2**20)
    assert greedy.exit_code == -signal.SIGKILL
    assert greedy.why_out_of_memory() == "above 200 MiB"
    assert greedy.peak_memory_bytes > 200 * 2**20


def test_a_process_that_hangs_is_killed() -> None:
    begin = time.monotonic()
    assert python("import time; time.sleep(60)", most_seconds=0.5).why_out_of_memory() == "not done in 0.5 s"
    assert time.monotonic() - begin < 20


def test_a_process_that_keeps_within_the_limits_is_left_alone() -> None:
    modest = python("""print('{"result": {"x": "' + 'x' * 200_000 + '"}}')""", most_bytes=2**30)
    assert modest.why_out_of_memory() is None
    assert modest.result is not None
    assert len(modest.result["x"]) == 200_000


ECHO = """
import json, os, sys
for line in sys.stdin:
    told = {"result": {"pid": os.getpid()}}
    exec(json.loads(line)["do"])
    print(json.dumps(told), flush=True)
"""


def test_a_process_answers_until_it_dies_and_then_there_is_another() -> None:
    do = ["pass", "pass", "os.kill(os.getpid(), 9)", "pass", "sys.exit('gone')", "pass"]
    first, second, killed, third, gone, fourth = asked([sys.executable, "-c", ECHO], [{"do": each} for each in do])
    assert first.result == second.result
    assert (killed.result, killed.why_out_of_memory()) == (None, "killed by SIGKILL")
    assert third.result not in (first.result, None)
    assert (gone.exit_code, gone.errors) == (1, "gone\n"), "what an earlier process said is not this one's"
    assert fourth.result not in (first.result, third.result, None)


def test_the_error_of_an_answer_is_told_and_the_process_lives() -> None:
    do = ["told = {'error': 'no such GPU', 'exit_code': 2}", "pass", "pass"]
    refused, first, second = asked([sys.executable, "-c", ECHO], [{"do": each} for each in do])
    with pytest.raises(UserError, match=r"^no such GPU$"):
        refused.why_out_of_memory()
    assert first.result == second.result


@pytest.mark.parametrize(
    ("program", "reason"),
    [
        ("import os; os.abort()", "killed by SIGABRT"),
        ("import os; os.kill(os.getpid(), 9)", "killed by SIGKILL"),
        ("import os; os.kill(os.getpid(), 7)", "killed by SIGBUS"),
        ("import os; os.kill(os.getpid(), 11)", "killed by SIGSEGV"),
        ("bytes(2**62)", "out of memory"),
    ],
)
def test_what_a_process_short_of_memory_dies_of_is_known(program: str, reason: str) -> None:
    assert python(program).why_out_of_memory() == reason


@pytest.mark.slow
def test_a_real_try_that_gets_no_memory_is_known(small_config: Path) -> None:
    # The first layer's outputs alone would take 30 GB.
    request = trying(small_config, "train.global_batch=350000")
    (limited,) = asked(["bash", "-c", 'ulimit -v 20000000; exec "$@"', "bash", *BENCH], [request], most_seconds=120)
    # TensorFlow 2.21 tells some of its allocations that fail, and stumbles over others.
    assert limited.why_out_of_memory() in ("out of memory", "killed by SIGSEGV"), limited


def test_other_failures_are_no_verdict_on_the_size() -> None:
    failed = Ended(2, None, 0, None, "a warning\nerror: no such GPU\n")
    with pytest.raises(UserError, match=r"^no such GPU$"):
        failed.why_out_of_memory()
    with pytest.raises(HarnessError, match="exit code 1: loss is not finite") as caught:
        replace(failed, exit_code=1, errors="error: loss is not finite").why_out_of_memory()
    assert not isinstance(caught.value, UserError)
    with pytest.raises(HarnessError, match="exit code -15: it printed nothing"):
        replace(failed, exit_code=-signal.SIGTERM, errors="").why_out_of_memory()


def test_a_quick_measurement_takes_few_steps_and_leaves_the_pipeline_out(small_config: Path) -> None:
    taken = np.zeros(1, int)

    def counted(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        def count(values: NDArray[np.float32]) -> NDArray[np.float32]:
            taken[0] += 1
            return values

        values = cross_entropy(logits, labels)
        seen = tf.numpy_function(count, [tf.stop_gradient(values)], tf.float32)
        return values + 0 * tf.ensure_shape(seen, values.shape)

    config = load(small_config, ["train.global_batch=512", "loss={name: test:counted}"])
    with handed({"test:counted": counted}):
        result = bench.measure(config, repeats=2, chunk_seconds=0.001, quick=True)
    assert taken == 5, "one step in each of five chunks"
    assert "pipeline_images_per_second" not in result
    assert "input pipeline" not in bench.as_text(result)
    assert "images/s" in bench.as_text(result)


def test_quick_is_not_for_comparisons(call: Call) -> None:
    assert call("bench", "mnist", "--quick", "--against", "keras-fit").exit_code == 2


def test_the_searching_process_has_no_tensorflow() -> None:
    code = "import harness.scaling.find_batch.search, sys; sys.exit(bool({'tensorflow', 'scipy'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.fixture(scope="module")
def large_images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A config of 64 training rows on two logical CPUs, of which each takes some 5 MiB."""
    folder = tmp_path_factory.mktemp("large")
    draws = np.random.default_rng(0)
    rows = {name: draws.integers(0, 256, (count, 112, 112), np.uint8) for name, count in [("train", 64), ("test", 4)]}
    arrays: dict[str, Any] = {f"x_{name}": images for name, images in rows.items()}
    labels: dict[str, Any] = {f"y_{name}": np.arange(len(images)) % 10 for name, images in rows.items()}
    np.savez(folder / "large.npz", **arrays, **labels)
    config = {
        "data": {"source": str(folder / "large.npz"), "validation": 0},
        "cluster": {"logical_cpus": 2},
        # A rate with which the first step would diverge, and a warm-up longer than the training.
        "train": {"length": "1 epochs", "global_batch": 64},
        "optimizer": {"name": "sgd", "learning_rate": 1e30},
        "schedule": {"warmup": "2 steps"},
    }
    path = folder / "large.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    return path


@pytest.fixture(scope="module")
def unlimited(script: Path, large_images: Path) -> dict[str, Any]:
    command: list[str | Path] = [script, "scale", "find-batch", large_images, "--json"]
    result: dict[str, Any] = json.loads(subprocess.check_output(command))
    return result


@pytest.mark.slow
def test_where_memory_is_no_limit_the_training_rows_are(unlimited: dict[str, Any]) -> None:
    assert unlimited["replicas"] == 2
    assert [(each["replica_batch"], each["global_batch"]) for each in unlimited["tries"]] == [(16, 32), (32, 64)]
    assert unlimited["largest"]["global_batch"] == unlimited["training_rows"] == 64
    assert unlimited["largest"]["settings"] == ["train.global_batch=64"]
    assert (unlimited["ended_by"], unlimited["accumulated"]) == ("training rows", None)
    for each in unlimited["tries"]:
        assert each["peak_memory_bytes"] + each["headroom_bytes"] == unlimited["limit"]["size"]


@pytest.mark.slow
def test_one_process_makes_the_same_tries_as_one_each_and_another_goes_on_where_it_is_killed(
    unlimited: dict[str, Any], large_images: Path
) -> None:
    # A search on CPUs as on GPUs: it prints its progress, and what it found as the last line.
    own = ["train.global_batch=16", "train.noise_scale=5 steps"]
    options = f"assignments={own}, progress=lambda line: print(line, flush=True), one_process=True"
    find = f"find({str(large_images)!r}, {options})"
    program = f"import json; from harness.scaling.find_batch.search import find; print(json.dumps({find}))"
    with started([sys.executable, "-c", program]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        assert process.stdout is not None
        assert process.stdout.readline().startswith("devices")
        (pid,) = map(int, children.read_text().split())
        first = process.stdout.readline()
        assert children.read_text().split() == [str(pid)], "which made the first try, too"
        os.kill(pid, signal.SIGKILL)  # during the second
        *progress, result = process.stdout.read().splitlines()
    told = json.loads(result)
    assert ": fits, " in first
    assert "does not fit (killed by SIGKILL)" in progress[0]
    assert [(each["replica_batch"], each["fits"]) for each in told["tries"]] == [(16, True), (32, False), (24, True)]
    assert len(progress) == 2
    alike = ("replica_batch", "global_batch", "micro_batch", "fits", "reason")
    assert [told["tries"][0][key] for key in alike] == [unlimited["tries"][0][key] for key in alike]
    for key in ("device", "replicas", "training_rows", "accumulated"):
        assert told[key] == unlimited[key]
    assert all(each["images_per_second"]["median"] > 0 for each in told["tries"] if each["fits"])
    assert told["largest"]["settings"] == ["train.global_batch=48"]
    assert told["ended_by"] == "killed by SIGKILL"


@pytest.mark.slow
def test_a_bad_try_is_one_line_and_what_a_try_held_is_free_again(small_config: Path) -> None:
    requests = [trying(small_config, each) for each in ("seed=0", "data.shift=200", "train.micro_batch=8")]
    program = (
        "import gc, io, json, tensorflow as tf\n"
        "from harness.measuring.bench_requests import serve\n"
        "answers = io.StringIO()\n"
        f"serve(map(json.dumps, {requests!r}), answers)\n"
        "print(answers.getvalue() + str(sum(isinstance(each, tf.Variable) for each in gc.get_objects())))"
    )
    first, refused, second, alive = completed(program=program).stdout.splitlines()
    assert json.loads(refused)["exit_code"] == 2
    assert json.loads(refused)["error"].startswith("data.shift: 200")
    assert all(json.loads(line)["result"]["images_per_second"]["median"] > 0 for line in (first, second))
    assert int(alive) == 0


@pytest.mark.gpu
def test_on_gpus_one_process_makes_all_tries(script: Path, small_config: Path, with_gpus: dict[str, str]) -> None:
    pids: set[str] = set()
    with started([script, "scale", "find-batch", small_config, "--json"], env=with_gpus) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        while process.poll() is None:
            with suppress(OSError):  # nvidia-smi is soon gone
                pids |= {pid for pid in children.read_text().split() if TRY in Path(f"/proc/{pid}/cmdline").read_text()}
            time.sleep(0.1)
        told = json.loads(process.communicate()[0])
    assert len(pids) == 1
    small, *_, large = sorted(told["tries"], key=lambda each: each["global_batch"])
    assert 0 < small["peak_memory_bytes"] < large["peak_memory_bytes"]


@pytest.mark.slow
def test_under_a_limit_the_largest_that_fits_is_found_and_the_configs_own_batch_accumulated(
    unlimited: dict[str, Any], large_images: Path, tmp_path: Path, call: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    small, large = (each["peak_memory_bytes"] for each in unlimited["tries"])
    limit = (small + large) // 2
    done = call("scale", "find-batch", large_images, "--memory", limit)
    assert (done.exit_code, done.stderr) == (0, "")
    assert list(tmp_path.iterdir()) == []

    progress, _, table = done.stdout.partition("\n\n")
    devices, *tries = progress.splitlines()
    assert "2 replicas" in devices
    assert "(--memory)" in devices
    fits = {line.split("global batch ")[1].split()[0]: ": fits, " in line for line in tries}
    assert (fits["32,"], fits["64,"]) == (True, True)  # 64 at once did not fit; what follows is its accumulation
    for fact in ("global batch 64, 32 at a time on a replica", "does not fit (above"):
        assert fact in tries[1]
    assert "global batch 48, 24 at a time on a replica" in tries[2]
    found = 48 if fits["48,"] else 32
    assert f"largest   --set train.global_batch={found}: headroom" in table
    assert "the next larger one tried: above" in table
    accumulated = [line for line in table.splitlines() if line.startswith("own ")]
    assert accumulated[0].startswith("own       --set train.global_batch=64 --set train.micro_batch=")
    rows = [line.split() for line in table.splitlines()[1 : len(tries) + 1]]
    assert sorted(row[1] for row in rows) == ["32", "48", "64", "64"]
    assert [row[2] for row in rows if row[:2] == ["32", "64"]] == ["no"]


@pytest.mark.slow
def test_less_memory_than_one_example_takes_is_one_line(small_config: Path, call: Call) -> None:
    done = call("scale", "find-batch", small_config, "--memory", "100MiB")
    assert (done.exit_code, done.stdout) == (1, "")
    assert re.match(r"error: .*batch of 1 example .*100 MiB \(--memory\)$", done.stderr)


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_no_try_outlives_the_search(number: int, script: Path, small_config: Path) -> None:
    with started([script, "scale", "find-batch", small_config]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        end = time.monotonic() + 30
        while not (pids := children.read_text().split()) and time.monotonic() < end:
            time.sleep(0.02)
        (pid,) = map(int, pids)
        while TRY not in Path(f"/proc/{pid}/cmdline").read_text() and time.monotonic() < end:
            time.sleep(0.02)
        assert Path(f"/proc/{pid}/oom_score_adj").read_text().strip() == "1000"
        assert os.getsid(pid) == pid, "a terminal's Ctrl-C must not reach it by itself"
        process.send_signal(number)
        assert process.wait(10) == (-number if number == signal.SIGKILL else 128 + number)
        assert [text.strip() for text in process.communicate()] == ["", "" if number == signal.SIGKILL else "stopped"]
    end = time.monotonic() + 5
    while is_alive(pid) and time.monotonic() < end:
        time.sleep(0.02)
    assert not is_alive(pid)
