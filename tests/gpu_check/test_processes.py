"""Real processes side by side: killed where asked, ended in time, never left behind."""

import os
import sys
import time
from pathlib import Path

import pytest

from harness.gpu_check.processes import Ended, Task, run

SLEEP = "import time; time.sleep(60)"


def python(program: str, *arguments: object) -> list[str]:
    return [sys.executable, "-S", "-c", program, *map(str, arguments)]


def finished(tasks: list[Task], logs: Path, at_once: int = 2, seconds: float = 60) -> dict[str, Ended]:
    ends: dict[str, Ended] = {}
    run(tasks, at_once, seconds, logs, ends)
    return ends


def gone(pid_file: Path) -> bool:
    try:
        os.kill(int(pid_file.read_text()), 0)
    except ProcessLookupError:
        return True
    return False


def test_each_problem_is_one_line_and_output_is_kept(tmp_path: Path) -> None:
    ends = finished(
        [
            Task("well", python("print('fine')")),
            Task("mistaken", python("import sys; print('first\\nerror: no such GPU', file=sys.stderr); sys.exit(2)")),
            Task("silent", python("import sys; sys.exit(3)")),
            Task("dead", python("import os; os.kill(os.getpid(), 6)")),
        ],
        tmp_path,
    )
    assert ends["well"].problem is None
    assert (tmp_path / "well.out").read_text() == "fine\n"
    assert ends["mistaken"].problem == "no such GPU"
    assert "3" in str(ends["silent"].problem)
    assert "SIGABRT" in str(ends["dead"].problem)
    assert not any(ended.stopped or ended.killed for ended in ends.values())


def test_a_process_is_killed_at_its_file_and_the_next_follows(tmp_path: Path) -> None:
    there, after = tmp_path / "there", tmp_path / "after"
    program = "import os, sys; open(sys.argv[2], 'w').write(str(os.getpid())); open(sys.argv[1], 'w'); " + SLEEP
    then = Task("then", python("import sys; open(sys.argv[1], 'w')", after))
    ends = finished(
        [Task("killed", python(program, there, tmp_path / "pid"), kill_at=there, then=then)], tmp_path / "logs"
    )
    assert (ends["killed"].killed, ends["killed"].problem) == (True, None)
    assert ends["then"].problem is None
    assert after.exists()
    assert gone(tmp_path / "pid")


def test_only_so_many_run_at_once(tmp_path: Path) -> None:
    program = """
import os, sys, time
mine = sys.argv[1] + "/" + str(os.getpid())
open(mine, "w")
for _ in range(100):  # until another is there too: on a busy machine it starts late
    if len(os.listdir(sys.argv[1])) > 1:
        break
    time.sleep(0.1)
time.sleep(0.2)
print(len(os.listdir(sys.argv[1])))
os.remove(mine)
"""
    present = tmp_path / "present"
    present.mkdir()
    heard: list[str] = []
    tasks = [Task(str(number), python(program, present)) for number in range(4)]
    run(tasks, 2, 60, tmp_path / "logs", {}, lambda name, line: heard.append(line))
    assert max(map(int, heard)) == 2


def test_lines_are_heard_while_the_process_runs(tmp_path: Path) -> None:
    go = tmp_path / "go"
    program = """
import os, sys, time
print("begun")
while not os.path.exists(sys.argv[1]): time.sleep(0.01)
print("ended")
"""
    heard: list[tuple[str, str]] = []

    def hear(name: str, line: str) -> None:
        heard.append((name, line))
        go.touch()  # so that it would never end if the first line came only with the last

    ends: dict[str, Ended] = {}
    run([Task("talker", python(program, go))], 1, 60, tmp_path, ends, hear)
    assert heard == [("talker", "begun"), ("talker", "ended")]
    assert ends["talker"].problem is None


def test_what_is_not_done_in_time_is_ended_and_told(tmp_path: Path) -> None:
    program = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); " + SLEEP
    then = Task("then", python("pass"))
    tasks = [
        Task("quick", python("pass")),
        Task("slow", python(program, tmp_path / "pid"), then=then),
        Task("late", python("pass")),
    ]
    begin = time.monotonic()
    ends = finished(tasks, tmp_path / "logs", at_once=1, seconds=3)
    assert time.monotonic() - begin < 30, "it waited for a process of a minute"
    assert ends["quick"].problem is None
    for name in ("slow", "then", "late"):
        assert "not done in the 3 s" in str(ends[name].problem)
        assert not ends[name].stopped
    assert gone(tmp_path / "pid")


def test_an_interrupt_leaves_no_process_and_what_had_ended_is_known(tmp_path: Path) -> None:
    program = "import os, sys; open(sys.argv[1], 'w').write(str(os.getpid())); " + SLEEP
    wait = (
        "import os, sys, time\nwhile not os.path.exists(sys.argv[1]) or not open(sys.argv[1]).read(): time.sleep(0.01)"
    )
    ends: dict[str, Ended] = {}

    def print_end(name: str, ended: Ended) -> None:
        raise KeyboardInterrupt

    tasks = [Task("slow", python(program, tmp_path / "pid")), Task("quick", python(wait, tmp_path / "pid"))]
    with pytest.raises(KeyboardInterrupt):
        run([*tasks, Task("late", python("pass"))], 2, 60, tmp_path / "logs", ends, on_end=print_end)
    assert ends["quick"].problem is None
    assert (ends["slow"].stopped, ends["late"].stopped) == (True, True)
    assert gone(tmp_path / "pid")


def test_variables_are_set_and_removed_and_no_cluster_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REMOVED", "x")
    monkeypatch.setenv("TF_CONFIG", "x")
    program = "import os; print(*(os.environ.get(name) for name in ('ADDED', 'REMOVED', 'TF_CONFIG')))"
    finished([Task("says", python(program), {"ADDED": "1", "REMOVED": None})], tmp_path)
    assert (tmp_path / "says.out").read_text() == "1 None None\n"
