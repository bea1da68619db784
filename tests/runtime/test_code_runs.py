"""Code that a model wrote runs beside tests and reaches nothing outside: whatever it tries, the run goes on."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from ftc.runtime.rewards import code_child, code_runs, reward_values
from ftc.runtime.rewards.code_runs import code_in
from ftc.spec.code_tests import CONFINING, read_code_tests
from ftc.spec.diagnostics import Refusal
from ftc.spec.rewards import RewardTerm

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="the kernel's filter is Linux's")

_ADDS = "def add(a, b):\n    return a + b\n"
_ONE = json.dumps(["assert True"])


def _share(answer: str, tests: str, **keys: Any) -> float:
    return reward_values([RewardTerm(kind="unit_tests", **keys)], answer, tests)[0]


@pytest.mark.parametrize(
    ("tests", "share"),
    [
        ('["assert add(1, 2) == 3", "assert add(1, 1) == 3"]', 0.5),
        ("assert add(1, 2) == 3", 1),
        ("x = 3\nassert add(1, 2) == x\nx = 5\nassert add(2, 2) == x\n", 0.5),
        ("for a in range(3):\n    assert add(a, 1) == a + 1\n", 1),
        ("def check(candidate):\n    assert candidate(1, 2) == 3\n", 1),
        ("def check(candidate):\n    assert candidate(1, 2) == 3\ncheck(add)\n", 1),
        ("def test_a():\n    assert add(1, 2) == 3\ndef test_b():\n    assert add(1, 2) == 4\n", 0.5),
        ('["def test_a():\\n    assert add(1, 2) == 3", "def test_b():\\n    assert add(1, 2) == 4"]', 0.5),
        (
            """import unittest
class T(unittest.TestCase):
    def test_a(self): self.assertEqual(add(1, 2), 3)
    def test_b(self): self.assertEqual(add(1, 2), 4)
""",
            0.5,
        ),
    ],
)
def test_tests_as_public_data_sets_write_them(tests: str, share: float) -> None:
    assert _share(f"Here it is:\n```python\n{_ADDS}```\nIt adds.", tests) == share


def test_programs_that_read_and_print() -> None:
    program = "a, b = map(int, input().split())\nprint(a + b)\n"
    apps = {"inputs": ["1 2\n", ["3 4"], "x\n"], "outputs": ["3\n", ["7"], "0"]}
    assert _share(program, json.dumps(apps)) == pytest.approx(2 / 3)
    assert _share(program, '[{"input": "1 2", "output": "3 "}]') == 1
    assert _share("while True: print('x' * 9999)", '[{"input": "", "output": "x"}]') == 0


@pytest.mark.parametrize(
    ("tests", "why"),
    [
        ("it adds", "not valid Python"),
        ("print(1)", "no assert statement"),
        ('["assert add(1 == 2"]', "not valid Python"),
        ('{"fn_name": "add", "inputs": [], "outputs": []}', "fn_name"),
        ('{"inputs": ["1"], "outputs": []}', "neither"),
        ('[{"input": 1, "output": "1"}]', "not text"),
        ("[1, 2", "begin like JSON"),
        ("[]", "no case"),
        ("(" * 300 + ")" * 300, "not valid Python"),
        ("assert add(1, 2) == " + "-" * 900 + "1", "deep|recursion"),
        ('["assert add(1, 2) == 3", ""]', "tests nothing"),
        ('["def help(x): return x"]', "tests nothing"),
        (r'{"inputs": ["\ud800"], "outputs": ["1"]}', "half a character"),
    ],
)
def test_what_holds_no_tests(tests: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_code_tests(tests)


def test_code_is_the_last_block_or_all() -> None:
    assert code_in("```py\na\n```\n```\nb\n```") == "b\n"
    assert code_in("a = `b`") == "a = `b`"
    assert code_in("```python\ncut o") == "cut o"


@pytest.mark.parametrize(
    "code",
    [
        "import os\nos._exit(0)",
        "import sys\nsys.exit(0)",
        "raise SystemExit",
        "import os\nos.fork()",
        "import os\nos.kill(os.getppid(), 0)",
        "import os\nos.kill(-1, 0)",
        "import fcntl\nfcntl.fcntl(0, fcntl.F_SETOWN, 1)",
        "import signal\nsignal.setitimer(signal.ITIMER_REAL, 1)",
        "import socket\nsocket.socket()",
        "import subprocess\nsubprocess.run(['true'])",
        "import threading\nthreading.Thread(target=print).start()",
        "import time\ntime.sleep(0.01)",
        "import resource\nresource.setrlimit(resource.RLIMIT_CPU, (99, 99))",
        "x = [0] * 10 ** 10",
        "def f(): f()\nf()",
        "x = (",
        "import ftc",
    ],
)
def test_what_code_may_not_do_fails_and_harms_nothing(code: str) -> None:
    assert _share(code, _ONE) == 0
    assert _share(_ADDS, _ONE) == 1


def test_no_file_is_written_renamed_or_deleted(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.write_text("kept")
    for action in (f"open({str(tmp_path / 'new')!r}, 'w')", f"open({str(kept)!r}, 'a')", "open('here', 'w')"):
        assert _share(action, _ONE) == 0
    for call in (f"remove({str(kept)!r})", f"rename({str(kept)!r}, 'b')", f"mkdir({str(tmp_path / 'd')!r})"):
        assert _share(f"import os\nos.{call}", _ONE) == 0
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    assert kept.read_text() == "kept"


def test_a_loop_ends_by_its_limit_and_no_later_test_runs() -> None:
    loop = "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\ndef f(n):\n    while n: pass\n"
    assert _share(loop, '["f(0)", "f(1)", "f(0)"]', cpu_seconds=1) == pytest.approx(1 / 3)


def test_code_that_closes_its_output_and_waits_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_runs, "_WALL_SHARE", 0)
    monkeypatch.setattr(code_runs, "_WALL_SECONDS", 1)
    assert _share("import os, select\nos.close(3)\nselect.select([], [], [])", _ONE) == 0


def test_the_same_code_always_earns_the_same() -> None:
    code = "import random\nx = [*{'a', 'b', 'c', 'd'}], random.random()"
    seen = json.dumps(["import sys\nassert x[1] == 0.8444218515250481 and sys.flags.hash_randomization == 0"])
    assert _share(code, seen) == 1


def test_code_is_never_run_where_it_is_not_confined(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    child = tmp_path / "child.py"
    child.write_text(f"import sys\nsys.stdin.readline()\nsys.exit({code_child.UNCONFINED})\n")
    monkeypatch.setattr(code_child, "__file__", str(child))
    monkeypatch.setattr(code_runs, "_child", code_runs._Child)
    with pytest.raises(Refusal, match="FTC455"):
        _share(_ADDS, _ONE)


def test_a_plan_and_the_process_know_the_same_machines() -> None:
    assert CONFINING[1] == tuple(code_child._MACHINES)
