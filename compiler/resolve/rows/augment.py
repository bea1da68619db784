"""Variants of training rows: other prompts, paraphrases, and slips of the pen. Pure, and the same for the same seed.

Only what is read is varied, never what is learned: texts to classify, prompts, and the user's turns. A variant's chance
follows from the seed, the row's content and its number, so that other rows may come and go without changing it.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from ftc.compiler.resolve.rows.columns import Columns
from ftc.compiler.resolve.rows.reading import SpanOf
from ftc.compiler.resolve.rows.row_digests import example_digests
from ftc.compiler.resolve.rows.table import JoinedTable, PartRows, Row, Table
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.plan import Check
from ftc.spec.sections.augment import PROMPT_COLUMN, Augment

__all__ = ["augmented", "paraphrases_of"]

_VARIED = ("text", "text_pair", "prompt")
_BLANKS = re.compile(r"(\s+)")
_PHRASES_APPLIED = 0.5
"""Chance with which a phrase that stands in the table is replaced."""

Vary = Callable[[str], str]


def paraphrases_of(table: Table, span_of: SpanOf) -> dict[str, list[str]]:
    """What may stand for each phrase, in lower case.

    Raises:
        Refusal: The table has no columns `from` and `to` of text (FTC381).
    """
    found: dict[str, list[str]] = {}
    for number, row in enumerate(table.rows):
        phrase, other = row.get("from"), row.get("to")
        if not (isinstance(phrase, str) and isinstance(other, str) and phrase.strip()):
            raise Refusal(
                [
                    diagnostic(
                        "FTC381",
                        f"{table.where(number)} has no paraphrase",
                        span_of("data.augment.paraphrases"),
                        help="write a column `from` with the phrase and a column `to` with its paraphrase",
                        notes=f"columns: {', '.join(f'`{name}`' for name in table.columns[:20])}",
                        path="data.augment.paraphrases",
                    )
                ]
            )
        found.setdefault(phrase.strip().lower(), []).append(other)
    return found


def augmented(
    rule: Augment, part: PartRows, columns: Columns, paraphrases: Mapping[str, Sequence[str]]
) -> tuple[PartRows, Check]:
    """The training rows with their variants behind them, and a line for the plan.

    Args:
        rule: What is varied, and how much.
        part: The training rows.
        columns: What the task reads of a row.
        paraphrases: What may stand for each phrase, in lower case.
    """
    keys = example_digests(part.rows, columns.used)
    rows: list[Row] = []
    made_of: list[int] = []
    for number, row, key in zip(part.numbers, part.rows, keys, strict=True):
        if _chance(rule.seed, key, 0).random() >= rule.share:
            continue
        for variant in range(1, rule.variants + 1):
            varied = _variant(rule, row, columns, paraphrases, _chance(rule.seed, key, variant))
            if varied != row:
                rows.append(varied)
                made_of.append(number)
    first = len(part.table.rows)
    table = JoinedTable.with_rows(part.table, rows, made_of) if rows else part.table
    result = f"{len(rows):,} variants of {len(set(made_of)):,} of {len(part.numbers):,} train rows"
    numbers = [*part.numbers, *range(first, first + len(rows))]
    return PartRows(table, numbers), Check(name="augmentation", code=None, result=result)


def _chance(seed: int, key: bytes, variant: int) -> np.random.Generator:
    digest = hashlib.sha256(b"%d:%d:" % (seed, variant) + key).digest()
    return np.random.Generator(np.random.PCG64(int.from_bytes(digest[:16])))


def _variant(
    rule: Augment,
    row: Row,
    columns: Columns,
    paraphrases: Mapping[str, Sequence[str]],
    chance: np.random.Generator,
) -> Row:
    def vary(text: str) -> str:
        if paraphrases:
            text = _paraphrased(text, paraphrases, chance)
        if rule.words:
            text = _with_slips_of_words(text, rule.words, chance)
        return _with_slips_of_letters(text, rule.characters, chance) if rule.characters else text

    names = {column for part, column in columns.by_part.items() if part in _VARIED} | {*columns.in_prompt}
    varied = {name: vary(value) if name in names and isinstance(value, str) else value for name, value in row.items()}
    turns = columns.by_part.get("messages")
    if turns is not None:
        said: list[Any] = []
        for turn in row[turns]:
            is_asked = isinstance(turn, dict) and turn.get("role") == "user" and isinstance(turn.get("content"), str)
            said.append({**turn, "content": vary(turn["content"])} if is_asked else turn)
        varied[turns] = said
    if rule.prompts:
        varied[PROMPT_COLUMN] = int(chance.integers(1, len(rule.prompts) + 1))
    return varied


def _paraphrased(text: str, paraphrases: Mapping[str, Sequence[str]], chance: np.random.Generator) -> str:
    longest_first = sorted(paraphrases, key=lambda phrase: (-len(phrase), phrase))
    pattern = re.compile(rf"(?<!\w)(?:{'|'.join(map(re.escape, longest_first))})(?!\w)", re.IGNORECASE)

    def replace(match: re.Match[str]) -> str:
        if chance.random() >= _PHRASES_APPLIED:
            return match[0]
        choices = paraphrases[match[0].lower()]
        other = choices[int(chance.integers(len(choices)))]
        return other[:1].upper() + other[1:] if match[0][:1].isupper() else other

    return pattern.sub(replace, text)


def _with_slips_of_words(text: str, share: float, chance: np.random.Generator) -> str:
    """Leaves words out, or puts them behind the next; the last word stays, so that no text becomes empty."""
    pieces = _BLANKS.split(text)  # words and blanks in turn
    words = pieces[::2]
    at = 0
    while at < len(words) - 1:
        if words[at] and chance.random() < share:
            if chance.random() < 0.5:
                words[at] = ""
            else:
                words[at], words[at + 1] = words[at + 1], words[at]
                at += 1
        at += 1
    kept = [(word, blank) for word, blank in zip(words, [*pieces[1::2], ""], strict=True) if word or not blank]
    return "".join(word + blank for word, blank in kept)


def _with_slips_of_letters(text: str, share: float, chance: np.random.Generator) -> str:
    """Doubles letters, leaves them out, or puts them behind the next one of the same word."""
    letters = list(text)
    draws, kinds = chance.random(len(letters)), chance.integers(3, size=len(letters))
    at = 0
    while at < len(letters) - 1:
        if draws[at] < share and letters[at].isalpha() and letters[at + 1].isalpha():
            if kinds[at] == 0:
                letters[at] *= 2
            elif kinds[at] == 1:
                letters[at] = ""
            else:
                letters[at], letters[at + 1] = letters[at + 1], letters[at]
            at += 1
        at += 1
    return "".join(letters)
