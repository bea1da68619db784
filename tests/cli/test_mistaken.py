"""What a stranger types: names of nothing, files of another kind, damaged folders, a shell that listens to nobody."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ftc.cli.main import main
from tests.support import documents

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a run that can't be read: its record is of another format."""
    (tmp_path / ".git").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "deep.json").write_text("[" * 100_000)
    damaged = tmp_path / "runs" / "bbc-news" / "damaged"
    damaged.mkdir(parents=True)
    record = documents.record(documents.plan()).to_text()
    (damaged / "record.json").write_text(record.replace("ftc.run/1", "ftc.run/9"), encoding="utf-8")
    (damaged / "plan.json").write_text(documents.plan().to_text(), encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("show", "none"), 1, "`ftc run list` lists them"),
        (("audit", "folder"), 1, "the folder has no record"),
        (("show", "recipe.yaml"), 1, "`ftc plan recipe.yaml` shows"),
        (("show", "damaged"), 6, "`schema` is not `ftc.run/1`"),
        (("show", "deep.json"), 5, "not JSON: recursion limit exceeded"),
        (("diff", "deep.json", "deep.json"), 5, "is not a lock or a plan"),
        (("rate", "none", "--port", "99999"), 64, "`99999` is not a port"),
        (("export", "none", "--format", "pdf"), 64, "invalid choice: 'pdf'"),
        (("verify", "none"), 64, "required: --key"),
        (("plan", "recipe.yaml", "-o", "plan.txt"), 64, "a saved plan is a .json file"),
        (("plan", "recipe.yaml", "--refresh-only", "--locked"), 64, "leave out --locked"),
        (("lock", "recipe.yaml", "--check", "--migrate"), 64, "`--detailed-exitcode` changes nothing"),
    ],
)
def test_it_is_told_what_would_help(
    project: Path, capsys: Capture, words: tuple[str, ...], code: int, told: str
) -> None:
    assert main(words) == code
    said = capsys.readouterr()
    assert (said.out, told in " ".join(said.err.split())) == ("", True), said.err


def test_a_run_that_cannot_be_listed_is_named(project: Path, capsys: Capture) -> None:
    assert main(["runs"]) == 0
    assert "can't be read: damaged; `ftc show NAME` shows why" in capsys.readouterr().err
    shutil.rmtree(project / "runs")
    assert main(["show", "none"]) == 1
    assert "there are no runs yet" in capsys.readouterr().err


def test_a_folder_that_may_not_be_listed_is_not_empty(
    project: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(folder: Path) -> None:
        raise PermissionError(13, "Permission denied", str(folder))

    monkeypatch.setattr(Path, "iterdir", refuse)
    for words in (["runs"], ["show", "none"]):
        assert main(words) == 1
        assert capsys.readouterr().err == f"error: {project / 'runs'}: Permission denied\n"


@pytest.mark.skipif(os.name != "posix", reason="a POSIX shell")
@pytest.mark.parametrize(
    ("script", "code", "told"),
    [
        ("$FTC schema >&-", 0, ""),
        ("$FTC frobnicate 2>&-", 64, ""),
        (
            "mkdir gone && cd gone && rmdir ../gone && $FTC runs",
            1,
            "error: the working folder was deleted\n",
        ),
    ],
)
def test_a_shell_that_closed_a_stream_or_stands_nowhere(tmp_path: Path, script: str, code: int, told: str) -> None:
    env = {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path)),
        "FTC": f"{sys.executable} -m ftc",
    }
    done = subprocess.run(["sh", "-c", script], cwd=tmp_path, env=env, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (code, told)
