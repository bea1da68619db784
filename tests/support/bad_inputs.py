"""Bad inputs as a user has them: a recipe with its files, and what must be read when it is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from ftc.cli.main import main
from tests.diagnostics.worlds import prepare

__all__ = ["Case", "World", "check", "files", "recipe", "row", "rows"]

PLAIN = {
    "task": "{kind: classification}",
    "data": "{source: {path: rows.csv}}",
    "model": "{base: ./model}",
    "strategy": "{kind: lora}",
}
World = Callable[[Path], None]


def recipe(**sections: str) -> str:
    """A plain recipe with sections replaced or added, as flow mappings."""
    return "ftc: 1\nname: tiny\n" + "".join(f"{key}: {value}\n" for key, value in {**PLAIN, **sections}.items())


def rows(name: str, *lines: str | bytes) -> World:
    """Writes a data file."""

    def write(folder: Path) -> None:
        encoded = (line if isinstance(line, bytes) else line.encode() for line in lines)
        (folder / name).write_bytes(b"".join(line + b"\n" for line in encoded))

    return write


def row(text: str, label: str) -> str:
    return json.dumps({"text": text, "label": label})


def files(*writers: World) -> World:
    def write(folder: Path) -> None:
        for writer in writers:
            writer(folder)

    return write


@dataclass(frozen=True)
class Case:
    """One bad input. `code` is empty for what is fine; `verb` is the first one that must notice."""

    number: str
    text: str
    code: str
    words: tuple[str, ...]
    exit: int = 3
    verb: str = "validate"
    world: World = field(default=lambda folder: None)
    options: tuple[str, ...] = ()


def check(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Runs the verb in a project of its own: the right code and words, no traceback, and nothing touched."""
    monkeypatch.setenv("FTC_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("GITHUB_ACTIONS", raising=False)
    project = tmp_path / "project"
    (project / ".ftc").mkdir(parents=True)
    monkeypatch.chdir(project)
    (project / "recipe.yaml").write_text(case.text, encoding="utf-8", newline="\n")
    prepare(project, "")
    case.world(project)
    before = {path: path.read_bytes() for path in project.rglob("*") if path.is_file()}

    code = main([case.verb, "recipe.yaml", *case.options])
    out, err = capsys.readouterr()

    shown = " ".join((out + err).split())
    assert code == case.exit, shown
    assert f"[{case.code}]" in shown or not case.code
    for word in case.words:
        assert word in shown, (word, shown)
    assert "Traceback" not in shown
    assert "ftc-bug" not in shown
    assert "panicked" not in shown
    assert "AbCdEfGh" not in shown, "a secret is never repeated"
    after = {path: path.read_bytes() for path in project.rglob("*") if path.is_file() and path in before}
    assert after == before, "nothing that was there is touched"
    if code:
        assert not (project / "recipe.lock.json").exists()
