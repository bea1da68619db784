"""The command as a process: exit codes, pipes, and what a start imports."""

from __future__ import annotations

import gc
import json
import os
import shlex
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import ftc
from ftc.cli import main

CONSOLE = [sys.executable, "-m", "ftc"]
LEAN = """
import sys
from ftc.cli.main import main
code = main(sys.argv[1:])
heavy = {"ftc.api", "jinja2", "numpy", "pyarrow", "pydantic", "rich", "ruamel", "shutil", "pathlib"} & set(sys.modules)
sys.exit(f"imported {sorted(heavy)}" if heavy else code)
"""


def run(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": "/usr/bin:/bin", **environ}
    return subprocess.run([*CONSOLE, *arguments], capture_output=True, encoding="utf-8", check=False, env=env)


@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["plan", "--help"], ["apply", "--help"]])
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    command = [sys.executable, "-S", "-c", PATHS + LEAN, *arguments]  # -S: the hooks of site-packages are not ours
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


WAITING = """
import sys, tempfile, time
from ftc.cli import faults, main
def wait(args):
    with tempfile.TemporaryDirectory(prefix="ftc-rows-"):
        print("there", flush=True)
        time.sleep(60)
main._parse_and_run = wait
main.console()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_leaves_no_copies_of_rows_behind(tmp_path: Path, number: signal.Signals) -> None:
    environ = {"PATH": "/usr/bin:/bin", "TMPDIR": str(tmp_path)}
    command = [sys.executable, "-c", PATHS + WAITING]
    with subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8", env=environ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        assert [path.name[:9] for path in tmp_path.iterdir()] == ["ftc-rows-"]
        process.send_signal(number)
        assert process.wait() == 128 + number
    assert not list(tmp_path.iterdir())


PATHS = f"import sys; sys.path[:] = {sys.path!r}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="shells of POSIX close streams so")
def test_a_closed_standard_input_holds_nothing(tmp_path: Path) -> None:
    command = f"{shlex.join(CONSOLE)} fmt - <&-"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, encoding="utf-8", check=False, cwd=tmp_path)
    assert "bug in ftc" not in done.stderr
    assert "Traceback" not in done.stderr


def test_exit_codes_reach_the_shell(tmp_path: Path) -> None:
    assert run("--version").returncode == 0
    said = json.loads(run("--version", "--json").stdout)
    assert said["ftc"] == ftc.__version__
    assert said["packages"]["pydantic"]
    assert run().returncode == 64
    assert run("frobnicate").returncode == 64
    missing = run("validate", str(tmp_path / "none.yaml"))
    assert missing.returncode == 1
    assert missing.stderr.startswith("error[FTC107]: there is no recipe")


def test_a_broken_recipe_exits_with_3_and_shows_the_place(tmp_path: Path) -> None:
    recipe = tmp_path / "bad.yaml"
    recipe.write_text("ftc: 1\nname: x\nname: y\n", encoding="utf-8")
    done = run("validate", str(recipe))
    assert done.returncode == 3
    assert "error[FTC003]" in done.stderr
    assert "bad.yaml:3:1" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_reader_that_leaves_early_is_no_error_message() -> None:
    child = subprocess.Popen([*CONSOLE, "schema"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stderr is not None
    child.stdout.close()
    assert child.stderr.read() == b""
    child.stderr.close()
    assert child.wait() == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device that is always full")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("words", [["--help"], ["--version"], ["help", "plan"], ["fmt", "--help"], ["schema"]])
def test_an_answer_that_could_not_be_written_is_an_error(words: list[str], unbuffered: str) -> None:
    with Path("/dev/full").open("w", encoding="utf-8") as full:
        environment = {**os.environ, "PYTHONUNBUFFERED": unbuffered}
        done = subprocess.run(
            [*CONSOLE, *words], check=False, stdout=full, stderr=subprocess.PIPE, text=True, env=environment
        )
    assert done.returncode == 1
    assert done.stderr == "error: No space left on device\n"


def test_an_old_code_page_shows_question_marks() -> None:
    done = run("explain", "FTC002", PYTHONIOENCODING="ascii", PYTHONUTF8="0")
    assert done.returncode == 0
    assert "?   epochs" in done.stdout


def test_color_can_be_forced_through_a_pipe() -> None:
    assert "\x1b[" not in run("explain", "FTC002").stdout
    assert "\x1b[" in run("explain", "FTC002", FORCE_COLOR="1").stdout


@pytest.mark.parametrize("is_long", [True, False])
def test_only_a_short_command_leaves_its_garbage(is_long: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries in C++ take what a long command leaves for a leak, and say so at its end."""

    def command(**_: object) -> int:
        if is_long:
            gc.enable()
        return 0

    frozen: list[bool] = []
    monkeypatch.setattr(main, "main", command)
    monkeypatch.setattr(gc, "freeze", lambda: frozen.append(True))
    try:
        with pytest.raises(SystemExit):
            main.console()
    finally:
        gc.enable()
    assert bool(frozen) is not is_long


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["which color is it?"], "the first argument, `which color is it?`, names the run: give a text behind it"),
        (["tickets", "a text", "--data", "rows.csv"], "and not both"),
    ],
)
def test_predict_says_which_argument_is_missing(arguments: list[str], words: str) -> None:
    command = [sys.executable, "-m", "ftc", "predict", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, words in done.stderr) == (64, True), done.stderr
