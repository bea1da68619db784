"""Training rows in the tokens of a teacher with another tokenizer, and where these begin together with the model's.

Both render a row with their own template and cut it with their own tokenizer; what they have in common is the answers'
text. Where a token of each begins at the same character, both predict what follows the same text, and there alone their
probabilities are compared. These pairs are found here, once, from the decoded tokens; a stream holds them, and a digest
locks it.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from ftc.compiler.draft import Draft
from ftc.compiler.resolve.rows.table import PartRows
from ftc.compiler.tokens.encoder import TextTokenizer
from ftc.compiler.tokens.forms import ChatForm, PromptForm, TextForm
from ftc.compiler.tokens.row_tokens import encode_rows
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.token_rows import RowCounts, RowTokens, TokenRows, flatten
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

__all__ = ["NOTHING", "aligned_starts", "can_be_aligned", "taught_rows"]

NOTHING = -1
"""Stands for the teacher's target where none of its tokens begins with the model's."""
_LONGEST = 1_000_000
"""Tokens of a row for a teacher that names no limit."""
_SHOWN = 5


def can_be_aligned(form: TextForm) -> bool:
    """Whether rows of a form have answers behind prompts, in one sequence."""
    return isinstance(form, ChatForm) or (isinstance(form, PromptForm) and not form.is_split and not form.is_question)


def taught_rows(
    draft: Draft, part: PartRows, form: TextForm, train: TokenRows, files: tuple[Path, Path]
) -> tuple[TokenRows, list[Diagnostic]]:
    """The training rows for the teacher, as many and in the same order, and a finding on those that can't be aligned.

    The `targets` of a row hold, for each target of the model, the number of the teacher's that it is compared with. A
    row that can't be aligned is two tokens, with which nothing is compared.

    Args:
        draft: With a teacher.
        part: The rows as they were read.
        form: What a row's text is.
        train: The rows in the model's tokens.
        files: The folders of the model's tokenizer and of the teacher's.

    Raises:
        Refusal: The teacher's template or tokenizer can't be used.
    """
    assert draft.teacher is not None, "the caller looked"
    model, (own_folder, folder) = draft.teacher.model, files
    facts = model.tokenizer
    if facts.chat_template is None:  # it reads the rows as the model does
        facts = facts.model_copy(update={"chat_template": draft.model.tokenizer.chat_template})
    with TemplateRenderer() as renderer:
        theirs = encode_rows(
            part.rows,
            form,
            TextTokenizer(folder / FILE),
            facts,
            renderer,
            max_length=model.max_positions or _LONGEST,
            cuts=False,
            numbers=part.numbers,
            place=part.place,
        )
    found = {int(row): place for place, row in enumerate(theirs.row)}
    own_tokens, other_tokens = _Pieces(own_folder / FILE), _Pieces(folder / FILE)
    rows: list[RowTokens] = []
    alone: list[int] = []
    for place, row in enumerate(train.row.tolist()):
        ours = own_tokens.runs(train, place)
        other = found.get(row)
        paired = None if other is None else _paired(train, place, ours, theirs, other, other_tokens.runs(theirs, other))
        if paired is None:
            alone.append(row)
            paired = RowTokens(row, array("i", [0, 0]), [(1, 2)], 1, targets=[NOTHING] * _num_targets(train, place))
        rows.append(RowTokens(row, paired.ids, paired.supervised, paired.prompt_length, targets=paired.targets))
    # Places of rows in their source repeat in no generative stream, so that sorting by them keeps the order.
    return flatten(rows, RowCounts(read=len(rows), place=part.place)), [*_unaligned(alone, len(rows), part)]


def _unaligned(alone: Sequence[int], count: int, part: PartRows) -> Iterator[Diagnostic]:
    if not alone:
        return
    nothing = len(alone) == count
    summary = f"{len(alone):,} of {count:,} training rows can't be aligned with the teacher's tokens"
    places = tuple(map(part.place, alone[:_SHOWN]))
    why = "their answers are other texts once the two tokenizers have read them, or too long for the teacher"
    yield diagnostic(
        "FTC348",
        summary,
        help="choose a teacher that keeps these texts" if nothing else "compare these rows, or remove them",
        notes=(why, f"{'such as ' if len(alone) > len(places) else ''}{', '.join(places)}"),
        path="train.distillation.teacher",
        rows=places,
        severity=Severity.ERROR if nothing else Severity.WARNING,
    )


def _num_targets(rows: TokenRows, place: int) -> int:
    begin, end = rows.boundaries[place : place + 2]
    return int(rows.mask[begin + 1 : end].sum())  # nothing predicts a row's first token


Run = tuple[int, str, dict[int, int]]
"""A run of target tokens: where it ends in its row, its text, and the token that begins at each character."""


class _Pieces:
    """A tokenizer, for the text that each token of a row adds."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._tokenizer: Tokenizer = load_tokenizer(file)
        self._hidden = {number for number, token in self._tokenizer.get_added_tokens_decoder().items() if token.special}

    def runs(self, rows: TokenRows, place: int) -> list[Run]:
        """The runs of target tokens of a row."""
        begin, end = rows.boundaries[place : place + 2]
        ids, mask = rows.ids[begin:end].tolist(), rows.mask[begin:end]
        edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).tolist()
        stream = DecodeStream(skip_special_tokens=False)  # gives the text that each token adds
        pieces = tokenizer_call(self._file, lambda: [stream.step(self._tokenizer, one) for one in ids])
        shown = ["" if one in self._hidden else piece for one, piece in zip(ids, pieces, strict=True)]
        return [
            (last, *_with_starts(shown[first:last], first)) for first, last in zip(edges[::2], edges[1::2], strict=True)
        ]


def _with_starts(pieces: Sequence[str | None], first: int) -> tuple[str, dict[int, int]]:
    """The text of a run without spaces around it, and the token that begins at each of its characters.

    Behind the last character begins what ends the answer. A token inside of a character begins nowhere.
    """
    whole = "".join(piece or "" for piece in pieces)
    text, lead = whole.strip(), len(whole) - len(whole.lstrip())
    starts: dict[int, int] = {}
    at, is_whole = -lead, True
    for token, piece in enumerate(pieces, start=first):
        if is_whole and at < len(text):
            starts[max(at, 0)] = token  # of several at one place the last, which begins with a character
        elif is_whole:
            starts.setdefault(len(text), token)
        is_whole = piece is not None
        at += len(piece or "")
    return text, starts


def aligned_starts(ours: Sequence[Run], theirs: Sequence[Run]) -> list[tuple[int, int]] | None:
    """Pairs of tokens that begin at the same character of the same answer; None where an answer differs.

    A row that was cut to the model's length has lost its last answers, which the teacher's still has.
    """
    pairs: list[tuple[int, int]] = []
    if len(theirs) < len(ours):
        return None
    for (_, text, starts), (_, other, begins) in zip(ours, theirs, strict=False):
        if text != other or not text:
            return None
        pairs += [(token, begins[at]) for at, token in starts.items() if at in begins]
    return pairs


def _paired(
    train: TokenRows, place: int, ours: list[Run], rows: TokenRows, other: int, theirs: list[Run]
) -> RowTokens | None:
    pairs = aligned_starts(ours, theirs)
    if not pairs:
        return None
    begin, end = rows.boundaries[other : other + 2]
    last = theirs[len(ours) - 1][0]
    mask = rows.mask[begin:end][:last]
    own = train.mask[slice(*train.boundaries[place : place + 2])]
    targets = [NOTHING] * int(own[1:].sum())
    for token, partner in pairs:
        if token and partner:
            targets[_number(own, token)] = _number(mask, partner)
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8))).tolist()
    supervised = list(pairwise(edges))[::2]
    ids = array("i", rows.ids[begin:end][:last].tolist())
    return RowTokens(0, ids, supervised, supervised[-1][0], targets=targets)


def _number(mask: NDArray[np.bool_], token: int) -> int:
    """Which of a row's targets a token is."""
    return int(mask[1:token].sum())
