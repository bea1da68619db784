"""Texts keep to the field's words: the project's own do, and each word that may not come back is found where it is."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def check(*files: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, str(ROOT / "docs" / "words.py"), *map(str, files)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow  # `nox -s lint` checks this too
def test_the_projects_texts_use_the_fields_words() -> None:
    found = check()
    assert (found.returncode, found.stdout) == (0, ""), found.stdout


@pytest.mark.parametrize(
    ("name", "text", "hit"),
    [
        ("page.md", "Fine.\n\nThe rows were looked at twice.\n", "page.md:3: `looked at`: write evaluate"),
        ("code.py", 'x = 1\ny = f"{x} rungs of the log"\n', "code.py:2: `rungs`: write step log"),
        ("code.py", 'summary = "what stands elsewhere"\n', "code.py:1: `stands`: write is, be"),
        ("code.py", 'text = "by closed form"\n', "code.py:1: `closed form`: write analytical estimate"),
    ],
)
def test_a_planted_word_is_found_with_its_place(tmp_path: Path, name: str, text: str, hit: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = check(tmp_path / name)
    assert (found.returncode, hit in found.stdout) == (1, True), found.stdout


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("page.md", "Look up the key `test_looks`; the docstring looks like this.\n"),
        ("code.py", '"""Docstrings that users don\'t read may say what stands where."""\nkey = "looks"\n'),
    ],
)
def test_names_and_other_meanings_are_left_alone(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text, encoding="utf-8")
    found = check(tmp_path / name)
    assert (found.returncode, found.stdout) == (0, ""), found.stdout
