"""What is wrong with texts, and what only looks so."""

from __future__ import annotations

import random
import time

import numpy as np
import pytest

from ftc.compiler.quality import near
from ftc.compiler.quality.near import FEWEST_SHINGLES, near_pairs, normalized, shingles_of
from ftc.compiler.quality.texts import damage, mojibake, row_text
from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.in_processes import with_jobs
from ftc.spec.personal_data import matching, passes_luhn, passes_mod_97

MAIL, PHONE, IBAN, CARD = "e-mail addresses", "telephone numbers", "IBANs", "credit card numbers"
KEY, URL, PRIVATE = "API keys and tokens", "passwords in URLs", "private keys"


@pytest.mark.parametrize("text", ["é", "ü", "ß", "’", "“", "–", "€", "日本", "Привет", "😀", "\xa0"])
@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
def test_utf8_that_was_misread_is_seen(text: str, encoding: str) -> None:
    data = f"a {text} b".encode()
    if text == "日本":
        return  # of other scripts only what is common is looked for
    try:
        misread = data.decode(encoding)
    except UnicodeDecodeError:
        return
    assert mojibake(misread) is not None
    assert mojibake(f"a {text} b") is None


@pytest.mark.parametrize(
    "text",
    ["Ã", "NÃO", "Århus", "Â", "São Tomé", "â€", "Ñandú", "ÐÑ", "Ä“", "CAFÉ”", "x²", "Ä Ö Ü", "naïve “quote”", ""],
)
def test_what_was_meant_so_is_left_alone(text: str) -> None:
    assert mojibake(text) is None


def test_lost_and_control_characters() -> None:
    assert [words for words, _ in damage("a\ufffdb\x07c")] == [
        "characters lost in a conversion (U+FFFD)",
        "control characters",
    ]
    assert not list(damage("tab\there\r\nand a line"))


@pytest.mark.parametrize(
    ("text", "rules"),
    [
        ("write to ann.lee+x@mail.example.org!", [MAIL]),
        ("邮箱ann@mail.example请联系", [MAIL]),  # without spaces, as Chinese is written
        ("这是一个很长的句子" * 20 + "ann@mail.example。", [MAIL]),
        ("电话+49 30 1234567请", [PHONE]),
        ("卡4111111111111111号", [CARD]),
        ("call +44 20 7946 0958", [PHONE]),
        ("call (555) 123-4567 now", [PHONE]),
        ("ruf 030/1234567 an", [PHONE]),
        ("DE89 3704 0044 0532 0130 00", [IBAN]),
        ("GB82WEST12345698765432", [IBAN]),
        ("paid with 4111 1111 1111 1111.", [CARD]),
        ("key AKIAIOSFODNN7EXAMPLE", [KEY]),
        ("npm_" + "a1B2c3" * 6, [KEY]),
        ("https://ann:hunter2secret@example/x", [URL]),
        ("-----BEGIN RSA PRIVATE KEY-----", [PRIVATE]),
        ("-----BEGIN OPENSSH PRIVATE KEY-----", [PRIVATE]),
        ("on 2024-05-31 at 12:00, 1,234,567 people", []),
        ("version 1.2.3.4, page 1234567890", []),
        ("DE89 3704 0044 0532 0130 01", []),  # a wrong check digit
        ("4111 1111 1111 1112", []),
        ("0000 0000 0000 0000", []),
        ("@someone said a@b", []),
        ("pi is 3.14159265358979323846", []),
        ("-----BEGIN PUBLIC KEY-----", []),
    ],
)
def test_personal_data_and_secrets(text: str, rules: list[str]) -> None:
    assert list(matching(text)) == rules


def test_check_digits() -> None:
    assert passes_luhn("79927398713")
    assert not any(passes_luhn(f"7992739871{digit}") for digit in "012456789")
    assert passes_mod_97("GB82WEST12345698765432")
    assert not passes_mod_97("GB83WEST12345698765432")


@pytest.mark.parametrize(
    "piece", ["+1", "+1 ", "0123-", "a@", "a@a.", "DE89 3704", "4 ", "sk-a", "://a", "Ã", "eyJ", "-----BEGIN A "]
)
def test_no_pattern_takes_more_than_linear_time(piece: str) -> None:
    def seconds(count: int) -> float:
        text = piece * count
        started = time.process_time()
        list(matching(text))
        list(damage(text))
        return time.process_time() - started

    seconds(100)
    assert seconds(20_000) < 5, "a second for 100 kB would be slow already; quadratic takes minutes"


def test_normalized_texts() -> None:
    assert normalized("  Ｈello,\tWORLD!\n") == normalized("hello world") == "hello world"
    assert normalized("Straße") == normalized("STRASSE")


LONG = "the player scored a late goal and the whole team of the small town won the old cup in the last minute".split()


def test_near_duplicates() -> None:
    texts = [" ".join(LONG * 3), "nothing of the kind", " ".join([*LONG * 3, "indeed"]), " ".join(reversed(LONG * 3))]
    assert list(near_pairs(texts, 0.9)) == [(0, 2)]


def test_short_texts_are_no_near_duplicates() -> None:
    assert not list(near_pairs([f"how many people live in town {number} today" for number in range(50)], 0.5))


def test_what_all_texts_share_makes_none_alike() -> None:
    rows = [" ".join([*LONG * 4, *(f"w{number}x{place}" for place in range(14))]) for number in range(200)]
    assert not list(near_pairs(rows, 0.9))


def test_many_copies_give_no_square_of_pairs() -> None:
    rows = [" ".join([*LONG * 3, f"n{number}"]) for number in range(15)]
    assert len(list(near_pairs(rows, 0.9))) < 15 * 5


def test_pairs_are_those_of_datasketch() -> None:
    """Its index asks each text one by one; here all signatures are made at once."""
    datasketch = pytest.importorskip("datasketch")
    drawn = random.Random(3)
    words = [f"w{number}" for number in range(900)]
    texts: list[str] = []
    for number in range(400):
        text = drawn.choice(texts[-30:]).split() if number % 3 == 2 else drawn.choices(words, k=drawn.randrange(5, 60))
        for _ in range(number % 5):
            text[drawn.randrange(len(text))] = drawn.choice(words)
        texts.append(" ".join(text))
    shingles = shingles_of(texts)
    index = datasketch.MinHashLSH(num_perm=72, params=(12, 6))
    expected = []
    for number in range(len(texts)):
        if len(shingles.of(number)) < FEWEST_SHINGLES:
            continue
        signature = datasketch.MinHash(num_perm=72, seed=1, hashfunc=int)
        signature.update_batch((shingles.of(number) >> np.uint64(32)).tolist())
        candidates = sorted(index.query(signature))
        expected += [(one, number) for one in candidates if shingles.likeness(one, number) >= 0.5]
        index.insert(number, signature)
    assert len(expected) > 50
    assert list(near_pairs(texts, 0.5)) == expected


def test_texts_far_apart_are_compared() -> None:
    texts = (" ".join(LONG * 3) if number in (5, 9_005) else f"short {number}" for number in range(9_100))
    assert list(near_pairs(texts, 0.9)) == [(5, 9_005)]


def test_several_processes_find_the_same_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(3)
    texts = [" ".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=20)) for _ in range(60)]
    texts = [text if draw.random() < 0.5 else f"{texts[number % 9]} {number}" for number, text in enumerate(texts)]
    one = list(near_pairs(texts, 0.5))
    assert len(one) > 10
    monkeypatch.setattr(near, "TEXTS_AT_ONCE", 8)
    for jobs in (1, 2, 3):
        with with_jobs(jobs):
            assert list(near_pairs(texts, 0.5)) == one


def test_the_text_of_a_row() -> None:
    turns = [{"role": "system", "content": "be kind"}, {"role": "user", "content": "hi"}]
    row = {"messages": turns, "text": "a", "label": "x", "other": "never read"}
    assert row_text(row, Columns({"messages": "messages", "text": "text", "label": "label"})) == "hi\na"
    assert row_text({"tokens": ["a", "b"]}, Columns({"tokens": "tokens"})) == "a b"
    asked = Columns({"context": "context", "answers": "answers"})
    assert row_text({"context": "c", "answers": {"text": ["d"]}}, asked) == "c\nd"
