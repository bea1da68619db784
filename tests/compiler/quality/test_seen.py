"""Which texts are read at all: every one that a rule matches or that is damaged, whatever stands around it."""

from __future__ import annotations

import random

import pytest

from ftc.compiler.quality import seen
from ftc.compiler.quality.seen import inspect_text, inspect_texts
from ftc.spec.personal_data import PERSONAL, SECRETS, Rule, Run, matching

ODD = (
    *("anna.smith@example.org", "+49 30 1234567", "call 030/1234567", "(555) 123-4567", "07123456789"),
    *("DE89 3704 0044 0532 0130 00", "4111 1111 1111 1111", "sk_live_abcdefghijklmnop1234", "npm_" + "a1" * 18),
    *("https://user:secret@host/x", "-----BEGIN RSA PRIVATE KEY-----", "hf_" + "Ab1" * 12, "ghp_" + "a1B2" * 9),
    *("Ã©tÃ©", "lost \ufffd", "bell\x07", "\x7f", "\x0b", "\x85", "٣٤٥", "1٢3", "12", "123", "a" * 18, "a" * 19),
    *("://", "@", "PRIVATE KEY", "é", "日本", "", "\n", " "),
)
PLAIN = ("the", "answer", "is", "two", "and", "two.", "\n", "\t", "why-not", "x_y", "7", "42")


def test_what_is_passed_over_holds_nothing() -> None:
    draw = random.Random(7)
    for size in (0, 1, 2, 50, 300):
        texts = [" ".join(draw.choices(PLAIN, k=draw.randrange(9))) for _ in range(size)]
        for number in draw.sample(range(size), size // 2):
            texts[number] += draw.choice((" ", "", "\n")) + draw.choice(ODD) + draw.choice(("", " ", " end"))
        whole = {number: seen for number, text in enumerate(texts) if (seen := inspect_text(text, None)) is not None}
        assert dict(inspect_texts(texts, None)) == whole
    for text in ODD:  # alone, and between texts that it must not be read together with
        found = inspect_text(text, None)
        assert dict(inspect_texts(["12", text, "3" * 2], None)) == ({1: found} if found else {}), text


EXAMPLES = {
    "e-mail addresses": ("a.b@c.de", "x@example.org"),
    "telephone numbers": ("+49 30 1234567", "030/1234567", "(555) 123-4567", "07123456789"),
    "IBANs": ("DE89 3704 0044 0532 0130 00", "GB82WEST12345698765432"),
    "credit card numbers": ("4111 1111 1111 1111", "5500-0000-0000-0004"),
    "API keys and tokens": ("AIza" + "a" * 35, "npm_" + "a1" * 18, "sk_live_abcdefghijklmnop", "ghp_" + "a1B2" * 9),
    "passwords in URLs": ("https://user:secret@host/x", "ftp://me:a1b2c3d4@files"),
    "private keys": ("-----BEGIN RSA PRIVATE KEY-----", "-----BEGIN PGP PRIVATE KEY BLOCK-----"),
}
"""Plain ASCII that each rule finds something in; some are as short as can be."""


def test_every_rule_has_examples() -> None:
    assert [*EXAMPLES] == [rule.words for rule in (*PERSONAL, *SECRETS)]


@pytest.mark.parametrize("rule", [*PERSONAL, *SECRETS], ids=lambda rule: rule.words)
def test_what_a_rule_finds_is_passed_over_by_nothing(rule: Rule) -> None:
    """What finds it in many texts at once, what finds it in one, and what the rule says a text needs agree."""
    for example in EXAMPLES[rule.words]:
        assert example.isascii()
        assert rule.needs in example if isinstance(rule.needs, str) else rule.needs.is_in(example)
        found = inspect_text(example, None)
        assert found is not None
        assert rule.words in found.rules
        assert rule.words in matching(example)
        assert dict(inspect_texts(["plain", example, "text"], None)) == {1: found}
    if isinstance(rule.needs, Run):
        assert not any(Run(rule.needs.kind, 1).is_in(space) for space in "\n\t "), "texts are joined by line ends"


def test_plain_texts_are_not_read(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[str] = []
    monkeypatch.setattr(seen, "inspect_text", lambda text, presidio: read.append(text))
    assert not dict(inspect_texts([f"a plain text of {count} words" for count in range(100)], None))
    assert not read
    assert not dict(inspect_texts(["a@b.c"], None))
    assert read == ["a@b.c"]
