"""Transcripts as texts: each gives a conversation in which the roles take turns."""

from __future__ import annotations

from itertools import pairwise

import pytest

from ftc.compiler.resolve.rows.transcripts import split_transcripts

ASKED = "\n\nHuman: hello\n\nAssistant: yes\n\nHuman: cold?\n\nAssistant:"


@pytest.mark.parametrize(
    ("chosen", "rejected", "answers"),
    [
        (" warm", " mild", ("warm", "mild")),
        (" one\n\nAssistant: two", " three", ("one\n\ntwo", "three")),
        (" one", " two\n\nAssistant:\n\nAssistant: three", ("one", "two\n\nthree")),
        (" one\n\nAssistant: two", " one\n\nAssistant: three", ("one\n\ntwo", "one\n\nthree")),
        (" warm", " hot\n\nHuman: why?\n\nAssistant: so", ("warm", "hot\n\nHuman: why?\n\nAssistant: so")),
        (" warm\n\nHuman: thanks", " hot", ("warm\n\nHuman: thanks", "hot")),
        (" a\n\nAssistant: b\n\nHuman: thanks", " hot", ("a\n\nb\n\nHuman: thanks", "hot")),
    ],
)
def test_neighboring_turns_of_a_role_are_one(chosen: str, rejected: str, answers: tuple[str, str]) -> None:
    pair = split_transcripts(ASKED + chosen, ASKED + rejected)
    assert pair is not None
    assert tuple(turns[-1]["content"] for turns in pair) == answers
    for turns in pair:
        assert [one["content"] for one in turns[:-1]] == ["hello", "yes", "cold?"]
        assert all(one["role"] != other["role"] for one, other in pairwise(turns))


def test_neighboring_turns_before_the_answer_are_one_too() -> None:
    asked = "Human: a\n\nHuman:\n\nAssistant: b\n\nAssistant: c\n\nHuman: d\n\nAssistant:"
    pair = split_transcripts(f"{asked} e", f"{asked} f")
    assert pair is not None
    assert [(one["role"], one["content"]) for one in pair[1]] == [
        ("user", "a"),
        ("assistant", "b\n\nc"),
        ("user", "d"),
        ("assistant", "f"),
    ]


@pytest.mark.parametrize(
    ("chosen", "rejected"),
    [("Human: a", "Human: b"), ("Human: a\n\nAssistant: b", "Human: b\n\nAssistant: b"), ("a", "b"), (None, "b")],
)
def test_what_is_no_such_pair(chosen: str | None, rejected: str) -> None:
    assert split_transcripts(chosen, rejected) is None
