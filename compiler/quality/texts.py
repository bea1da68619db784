"""The text of a row as a reader would see it, encoding errors in it, and outliers of length. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, overload

import numpy as np

from ftc.compiler.resolve.rows.columns import Columns, value_of
from ftc.compiler.resolve.rows.conversation_checks import plain_text
from ftc.compiler.tokens.token_rows import TokenRows
from ftc.spec.documents.quality import QualityFinding, QualityReport, Sample
from ftc.spec.documents.streams import SPLITS, Split
from ftc.spec.tasks import PARTS
from ftc.spec.tasks.rows import ASKED_COLUMN

__all__ = ["RowTexts", "damage", "mojibake", "row_text", "with_lengths"]


def row_text(row: Mapping[str, Any], columns: Columns) -> str:
    """Everything that the task reads of a row but its class and system messages, a line a value."""
    return RowTexts([row], columns)[0]


class RowTexts(Sequence[str]):
    """The text of each row, read from it when it is asked for."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], columns: Columns) -> None:
        self.rows, self._by_part = rows, columns.by_part
        contents = (column for part, column in columns.by_part.items() if PARTS[part].is_content)
        self._names = tuple(dict.fromkeys((*contents, *columns.in_prompt)))
        self._has_images = "image" in columns.by_part

    @property
    def columns(self) -> tuple[str, ...]:
        """What of a row is read, and what of that is images."""
        return *self._names, "image:", *([self._by_part["image"]] if self._has_images else [])

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[str]:
        return map(self._text, self.rows)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        return [*map(self._text, self.rows[index])] if isinstance(index, slice) else self._text(self.rows[index])

    def _text(self, row: Mapping[str, Any]) -> str:
        values = [row.get(name) for name in (ASKED_COLUMN, *self._names)]
        texts = [text for value in values if value is not None for text in _plain(value) or _texts(value)]
        if self._has_images:
            texts += map(_image_words, value_of(row, self._by_part, "image") or ())
        return "\n".join(texts)


def _image_words(digest: str) -> str:
    """Words that stand for an image, so that rows with another image are another text; letters, which nothing that
    looks for numbers takes for one.
    """
    letters = digest[:64].translate(_LETTERS)
    return " ".join(letters[start : start + 4] for start in range(0, len(letters), 4))


_LETTERS = str.maketrans("0123456789abcdef", "abcdefghijklmnop")


def _plain(value: Any) -> list[str]:
    """What `_texts` gives of a text, or of turns that are roles and texts alone; nothing of anything else."""
    if type(value) is str:
        return [value]
    if type(value) is not list:
        return []
    texts = []
    for turn in value:
        text = plain_text(turn, _READ)
        if text is None:
            return []
        texts.append(text)
    return texts


def _texts(value: Any) -> Iterator[str]:
    match value:
        case str():
            yield value
        case {"role": "system"}:
            return
        case {"type": "text", "text": str(text)}:
            yield text
        case {"type": "image", "image": str(digest)}:
            yield _image_words(digest)
        case {"content": content}:
            yield from _texts(content)
        case dict():
            for item in value.values():
                yield from _texts(item)
        case list() if all(isinstance(item, str) for item in value):
            yield " ".join(value)
        case list():
            for item in value:
                if isinstance(item, dict) and item.keys() == _TURN and item["role"] in _READ:
                    item = item["content"]  # what most turns are, without asking about all else
                yield from (item,) if isinstance(item, str) else _texts(item)


_TURN, _READ = frozenset(("role", "content")), ("user", "assistant")
_REPLACED = re.compile("\ufffd")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
# Bytes that begin a character of two, three or four in UTF-8, as Windows-1252 shows them, and what may follow.
_FOLLOWING = "\x80-\xbf€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ"
_MISREAD = re.compile(f"[ÂÃ][{_FOLLOWING}]|â[{_FOLLOWING}]{{2}}|ð[{_FOLLOWING}]{{3}}|(?:[ÐÑ][{_FOLLOWING}]){{2,64}}")


def mojibake(text: str) -> str | None:
    """The first piece that is UTF-8 misread as Windows-1252 or Latin-1, such as `Ã©` for `é`; None without one.

    A piece counts only where its bytes, read as UTF-8, are printable characters: what looks odd and decodes to nothing
    was meant so.
    """
    if text.isascii():  # which a string knows without being read
        return None
    for match in _MISREAD.finditer(text):
        try:
            meant = b"".join(map(_byte, match[0])).decode()
        except UnicodeError:
            continue
        if meant and (meant.isprintable() or meant == "\xa0"):
            return match[0]
    return None


def _byte(character: str) -> bytes:
    try:
        return character.encode("cp1252")
    except UnicodeEncodeError:  # bytes that Windows-1252 leaves undefined stay as they are
        return character.encode("latin-1")


"""Each kind of damage in words, with what gives the text around the first such place, or None."""


def damage(text: str) -> Iterator[tuple[str, str]]:
    """Every kind of damage that a text has, with the text around the first place."""
    lost, misread, control = _REPLACED.search(text), mojibake(text), _CONTROL.search(text)
    start = text.index(misread) if misread else 0
    for words, place in (
        ("characters lost in a conversion (U+FFFD)", lost.span() if lost else None),
        ("UTF-8 read in another encoding", (start, start + len(misread)) if misread else None),
        ("control characters", control.span() if control else None),
    ):
        if place:
            yield words, text[max(0, place[0] - 20) : place[1] + 20]


_FEWEST_ROWS = 20
_FENCE = 3.0
"""Interquartile ranges beyond a quartile, on the logarithm of the length: Tukey's outer fence."""
_SHOWN = 3


def with_lengths(
    report: QualityReport, splits: Mapping[str, TokenRows], places: Mapping[str, Callable[[int], str]]
) -> QualityReport:
    """The report with the rows that are far shorter or longer than the others."""
    found = []
    long_enough: list[Split] = [one for one in SPLITS if one in splits and len(splits[one].boundaries) > _FEWEST_ROWS]
    for name in long_enough:
        tokens, place = splits[name], places[name]
        lengths = np.diff(tokens.boundaries)
        logs = np.log(lengths)
        low, high = np.quantile(logs, [0.25, 0.75])
        fence = _FENCE * (high - low)
        kinds = ("far shorter than the others", logs < low - fence), ("far longer than the others", logs > high + fence)
        for rule, is_out in kinds:
            rows = np.flatnonzero(is_out)
            if len(rows) and fence > 0:
                shown = [f"{lengths[row]:,} tokens" for row in rows[:_SHOWN]]
                at = [place(int(tokens.row[row])) for row in rows[:_SHOWN]]
                samples = tuple(Sample(place=one, shown=words) for one, words in zip(at, shown, strict=True))
                found.append(
                    QualityFinding(
                        kind="length", rule=rule, split=name, rows=len(rows), of=len(lengths), samples=samples
                    )
                )
    counts = {**report.rows_by_kind, **({"length": sum(one.rows for one in found)} if found else {})}
    return report.model_copy(update={"findings": (*report.findings, *found), "rows_by_kind": counts})
