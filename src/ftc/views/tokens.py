"""Rows token by token: what the model reads, and which of it is learned. Brackets say what colors say."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from operator import attrgetter, itemgetter

from ftc.spec.documents.tokenized import TokenizedRow, TokenizedRows
from ftc.spec.row_names import shown_row
from ftc.views import numbers
from ftc.views.page import PLAIN, Page, blocks, escaped, table, width
from ftc.views.row_texts import RowTexts

__all__ = ["tokens_text"]

_OPEN, _CLOSE = "⟦", "⟧"
_LINE_END = "⏎"


def tokens_text(
    found: TokenizedRows, *, listed: bool = False, shows_personal_data: bool = False, page: Page = PLAIN
) -> str:
    """The rows for people.

    Args:
        found: What to show.
        listed: Whether to list each token with its id, a line each, rather than set the text.
        shows_personal_data: Whether rows that match a rule for personal data are shown as they are.
        page: Width and colors.
    """
    texts = RowTexts(shows_all=shows_personal_data)
    parted = page.faint("(part of a character)")
    shown = []
    for row in found.rows:
        written = "".join(token.piece for token in row.tokens)
        (said,) = texts.row(str(row.row), written)
        if said != written:
            shown.append([*_title(row, found, page), f"  {page.faint(said)}"])
            continue
        rows = [  # place, id, piece, and whether it is a target
            (
                str(place),
                str(token.id),
                page.good("target") if token.supervised else page.faint("read"),
                escaped(token.piece.replace("\n", _LINE_END)) if token.piece else parted,
            )
            for place, token in enumerate(row.tokens)
        ]
        shown.append([*_title(row, found, page), *(table(rows, right=(0, 1), indent=2) if listed else _set(row, page))])
    learned = f"{page.good(_OPEN + 'target' + _CLOSE)} and {page.faint('read')}"
    if not any(row.supervised for row in found.rows):
        learned = "training labels: one per row, no target tokens"
    parts = [learned, f"{numbers.count(found.of)} rows in {found.split}"]
    if found.cut:
        parts.append(
            page.alert(f"{numbers.count(found.cut)} of them truncated to {numbers.count(found.max_length)} tokens")
        )
    if texts.note:
        parts.append(page.alert(texts.note))
    shown.append(page.flow("", parts, indent=0))
    return blocks(shown)


def _title(row: TokenizedRow, found: TokenizedRows, page: Page) -> list[str]:
    several = f" ({' + '.join(map(numbers.count, row.sequences))})" if len(row.sequences) > 1 else ""
    parts = [f"{numbers.plural(len(row.tokens), 'token')}{several}"]
    if row.label is not None:
        parts.append(f"class {escaped(row.label)}")
    if row.supervised:
        stops = [token for token in row.tokens if token.supervised and token.id in found.stop_ids]
        stop = f"ends with {escaped(stops[-1].piece.strip() or str(stops[-1].id))}" if stops else ""
        parts += [numbers.plural(row.supervised, "target token"), stop or page.bad("no stop token is trained on")]
    if row.is_at_limit:
        parts.append(page.alert(f"at the maximum length ({numbers.count(found.max_length)})"))
    name = f"{found.split} {escaped(shown_row(row.place, row.row - 1))}"
    return page.flow(page.strong(name), parts, indent=width(name) + 3)


def _set(row: TokenizedRow, page: Page) -> list[str]:
    """The text, set in lines, with the target tokens in brackets."""
    lines: list[list[tuple[str, bool]]] = [[]]
    columns = 0
    for piece, is_learned in (
        ("".join(token.piece for token in group), is_learned)
        for is_learned, group in groupby(row.tokens, key=attrgetter("supervised"))
    ):
        for part in _parts(f"{_OPEN}{piece}{_CLOSE}" if is_learned else piece):
            if columns and columns + width(part) > page.columns - 2:
                lines.append([])
                columns, part = 0, part.removeprefix(" ")
            lines[-1].append((part, is_learned))
            columns += width(part)
            if part.endswith(_LINE_END):
                lines.append([])
                columns = 0
    return [
        "  "
        + "".join(
            (page.good if is_learned else page.faint)("".join(part for part, _ in group))
            for is_learned, group in groupby(line, key=itemgetter(1))
        )
        for line in lines
        if line
    ]


def _parts(text: str) -> Iterator[str]:
    """Words with the blanks before them, and line ends as signs; nothing that moves the cursor."""
    for line in text.splitlines(keepends=True):
        body = line.rstrip("\r\n")
        word = ""
        for character in body:
            if character == " " and word.strip():
                yield escaped(word)
                word = ""
            word += character
        yield escaped(word) + (_LINE_END if line != body else "")
