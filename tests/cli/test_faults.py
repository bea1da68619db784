"""What goes wrong is told in words, with the right exit code and no traceback."""

from __future__ import annotations

import io
from pathlib import Path

import pytest

from ftc import api
from ftc.cli.main import main
from ftc.cli.terminal import wants_color
from tests.cli.conftest import World

Capture = pytest.CaptureFixture[str]


def failing(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    def runs() -> None:
        raise error

    monkeypatch.setattr(api, "runs", runs)


def test_a_file_error_is_one_line(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, FileNotFoundError(2, "No such file or directory", "recipes/x\x1b.yaml"))
    assert main(["runs"]) == 1
    assert capsys.readouterr() == ("", "error: recipes/x\\x1b.yaml: No such file or directory\n")


def test_a_name_that_no_file_can_have_is_a_finding(world: World, capsys: Capture) -> None:
    assert main(["validate", f"{'a' * 300}.yaml"]) == 3
    said = " ".join(capsys.readouterr().err.split())
    assert "error[FTC300]: `aaa" in said
    assert "a part of the path has 305 characters" in said
    assert "help: name a file" in said


def test_a_file_error_without_a_name(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, OSError("the hub did not answer"))
    assert main(["runs"]) == 1
    assert capsys.readouterr().err == "error: the hub did not answer\n"


def test_a_bug_keeps_its_traceback_in_a_file(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    failing(monkeypatch, ValueError("impossible"))
    assert main(["runs"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    (kept,) = tmp_path.glob("ftc-bug-*.txt")
    assert str(kept) in err
    assert "ValueError: impossible" in kept.read_text(encoding="utf-8")


def test_a_developer_sees_the_traceback(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTC_TRACEBACK", "1")
    failing(monkeypatch, ValueError("impossible"))
    assert main(["runs"]) == 1
    assert "Traceback" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["torch", "transformers.models", "peft"])
def test_a_missing_extra_says_what_to_install(
    world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    failing(monkeypatch, ModuleNotFoundError(f"No module named '{name}'", name=name))
    assert main(["runs"]) == 1
    assert "pip install 'ftc[train]'" in capsys.readouterr().err


def test_ctrl_c(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, KeyboardInterrupt())
    assert main(["runs"]) == 130
    assert capsys.readouterr().err == "\ninterrupted\n"


def test_a_closed_pipe_is_quiet(world: World, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    failing(monkeypatch, BrokenPipeError())
    assert main(["runs"]) == 1
    assert capsys.readouterr() == ("", "")


class Terminal(io.StringIO):
    """A stream that is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("choice", "environ", "terminal", "pipe"),
    [
        ("auto", {}, True, False),
        ("auto", {"TERM": "dumb"}, False, False),
        ("auto", {"NO_COLOR": "1"}, False, False),
        ("auto", {"NO_COLOR": ""}, True, False),
        ("auto", {"FORCE_COLOR": "1"}, True, True),
        ("auto", {"FORCE_COLOR": "0"}, False, False),
        ("auto", {"NO_COLOR": "1", "FORCE_COLOR": "1"}, False, False),
        ("always", {"NO_COLOR": "1"}, True, True),
        ("never", {"FORCE_COLOR": "1"}, False, False),
    ],
)
def test_who_wants_color(choice: str, environ: dict[str, str], terminal: bool, pipe: bool) -> None:
    assert wants_color(Terminal(), choice, environ) is terminal
    assert wants_color(io.StringIO(), choice, environ) is pipe
