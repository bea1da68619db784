"""A stranger's project can't have a file of this machine printed: what it names by a link out of itself is refused.

`recipe.yaml -> /proc/self/environ` in a pull request would put the secrets of a CI job into its log, as the line that a
finding shows. What is no regular file at all would keep the job waiting.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ftc.cli.main import main
from tests.diagnostics.worlds import write_plain_model, write_plain_rows
from tests.support.bad_inputs import recipe

SECRET = "password: hunter2-and-more"
NAMED = {
    "recipe.yaml": (
        ("plan", "recipe.yaml"),
        ("validate", "recipe.yaml"),
        ("validate", "."),
        ("fmt", "recipe.yaml"),
        ("tokens", "recipe.yaml"),
        ("lock", "recipe.yaml"),
        ("apply", "recipe.yaml", "--yes"),
        ("diff", "recipe.yaml", "good.yaml"),
    ),
    "recipe.lock.json": (
        ("plan", "recipe.yaml"),
        ("lock", "recipe.yaml", "--check"),
        ("diff", "recipe.lock.json", "b.lock.json"),
    ),
    "ftc.policy.yaml": (("plan", "recipe.yaml"),),
    "more.yaml": (("plan", "recipe.yaml", "--set-file", "more.yaml"), ("import", "more.yaml", "-o", "new.yaml")),
    "a.sweep.yaml": (("sweep", "show", "a.sweep.yaml"), ("sweep", "plan", "a.sweep.yaml")),
}
"""Verbs by the file that they are given, or that they find."""
CASES = [(name, words) for name, verbs in NAMED.items() for words in verbs]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a good recipe, and beside it a file that is none of its business."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    folder = tmp_path / "project"
    (folder / ".git").mkdir(parents=True)
    for name in ("recipe.yaml", "good.yaml"):
        (folder / name).write_text(recipe(), encoding="utf-8")
    (folder / "b.lock.json").write_text("{}", encoding="utf-8")
    write_plain_model(folder / "model")
    write_plain_rows(folder / "rows.csv")
    (tmp_path / "secret.yaml").write_text(SECRET + "\nnext: [1\n", encoding="utf-8")
    monkeypatch.chdir(folder)
    return folder


def _skip_without_library(words: tuple[str, ...]) -> None:
    if words[0] == "sweep":
        pytest.importorskip("optuna")


@pytest.mark.parametrize(("name", "words"), CASES, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_a_link_out_of_the_project_is_not_followed(
    name: str, words: tuple[str, ...], project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _skip_without_library(words)
    target = project.parent / "secret.yaml"
    if words == ("validate", "."):
        target.write_text(f"ftc: 1\n{SECRET}\n", encoding="utf-8")  # else it is no recipe below a folder
    (project / name).unlink(missing_ok=True)
    (project / name).symlink_to(os.path.relpath(target, project))
    before = target.read_bytes()
    assert main(words) != 0
    text = "".join(capsys.readouterr())
    assert "FTC300" in text, text
    assert f"`{name}` is a link to a file outside the project, `../secret.yaml`" in " ".join(text.split())
    assert "hunter2" not in text
    assert target.read_bytes() == before


def _pipe(path: Path) -> None:
    os.mkfifo(path)


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(path.name)  # names of sockets are short; this is the working folder


def _endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


@contextmanager
def _impatience(seconds: int = 60) -> Iterator[None]:
    """Ends a wait for what never comes."""

    def give_up(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes among files")
@pytest.mark.parametrize("make", [_pipe, _socket, _endless])
@pytest.mark.parametrize(("name", "words"), CASES, ids=lambda one: one if isinstance(one, str) else " ".join(one))
def test_nothing_waits_for_what_is_no_file(
    name: str,
    words: tuple[str, ...],
    make: Callable[[Path], None],
    project: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _skip_without_library(words)
    (project / name).unlink(missing_ok=True)
    make(project / name)
    with _impatience():
        code = main(words)
    text = " ".join("".join(capsys.readouterr()).split())
    if words == ("validate", "."):
        assert code == 0, "a folder is searched for recipes, and this is none"
        return
    assert code != 0
    if words[0] != "diff":  # which takes a name for a recipe, a run or a revision
        assert "FTC326" in text, text
        assert "not a regular file" in text


def test_a_link_within_the_project_is_followed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "shared").mkdir()
    (project / "recipe.yaml").rename(project / "shared" / "base.yaml")
    (project / "jobs").mkdir()
    (project / "jobs" / "recipe.yaml").symlink_to("../shared/base.yaml")
    assert main(["validate", "jobs/recipe.yaml"]) == 0, capsys.readouterr().err


@pytest.mark.parametrize("recipe_path", ["../secret.yaml", "/etc/passwd", "out.yaml"])
def test_a_sweep_names_no_recipe_outside_its_project(
    recipe_path: str, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """`sweep pick --write` would edit it."""
    pytest.importorskip("optuna")
    (project / "out.yaml").symlink_to("../secret.yaml")
    space = "space: {train: {learning_rate: {log: [1e-4, 1e-3]}}}"
    (project / "a.sweep.yaml").write_text(f"ftc_sweep: 1\nrecipe: {recipe_path}\n{space}\n", encoding="utf-8")
    assert main(["sweep", "plan", "a.sweep.yaml"]) != 0
    text = "".join(capsys.readouterr())
    assert "FTC300" in text, text
    assert "a.sweep.yaml:2:9" in text
    assert "hunter2" not in text
