"""Rows of a token stream, decoded: the stream itself is read, so that what is shown is what is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.streams import Split, Token, TokenizedRow, TokenizedRows, TokenStream, open_stream
from ftc.spec.storage.paths import streams_folder

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["tokenized_rows"]

_USUAL_ROWS = 3
_MOST_LISTED = 5


def tokenized_rows(plan: Plan, model_folder: Path, split: Split, rows: Sequence[int]) -> TokenizedRows:
    """Decodes rows of a plan whose streams are in the cache.

    Args:
        plan: The plan.
        model_folder: Where its tokenizer lies.
        split: The part that the rows belong to.
        rows: Numbers of rows in their source file, from 1; the first three of the part where there are none.

    Raises:
        Refusal: The plan has no such part, or the part no such row (FTC389).
    """
    from ftc.spec.storage.tokenizer_file import load_tokenizer

    if split not in plan.data:
        help = f"name one of {', '.join(name for name, _ in plan.splits)}"
        raise Refusal([diagnostic("FTC389", f"the plan has no {split} rows", help=help)])
    stream = open_stream(streams_folder(plan.stream_key) / f"{split}.arrow")
    known = {number + 1: index for index, number in enumerate(stream.rows.tolist())}
    if missing := [row for row in rows if row not in known]:
        raise Refusal([_no_row(plan, split, row, list(known)) for row in missing])
    indexes = [known[row] for row in rows] if rows else range(min(_USUAL_ROWS, len(stream)))
    tokenizer = load_tokenizer(model_folder / "tokenizer.json")
    labels = plan.settings.text.labels
    return TokenizedRows(
        split=split,
        rows=tuple(_row(stream, index, tokenizer, labels, plan.settings.text.max_length) for index in indexes),
        of=len(stream),
        cut=plan.data[split].truncated_rows,
        max_length=plan.settings.text.max_length,
        stop_ids=plan.settings.model.stop_ids,
    )


def _row(stream: TokenStream, index: int, tokenizer: Tokenizer, labels: Sequence[str], max_length: int) -> TokenizedRow:
    from tokenizers.decoders import DecodeStream

    ids, mask = stream.ids(index).tolist(), stream.mask(index).tolist()
    decoder = DecodeStream(skip_special_tokens=False)  # the text that each token adds; joined they are the row's text
    pieces = [decoder.step(tokenizer, number) or "" for number in ids]
    label = int(stream.labels[index])
    return TokenizedRow(
        row=int(stream.rows[index]) + 1,
        tokens=tuple(
            Token(id=number, piece=piece, supervised=supervised)
            for number, piece, supervised in zip(ids, pieces, mask, strict=True)
        ),
        prompt_tokens=stream.prompt_length(index),
        label=labels[label] if 0 <= label < len(labels) else None,
        is_at_limit=len(ids) >= max_length,
    )


def _no_row(plan: Plan, split: Split, row: int, known: Sequence[int]) -> Diagnostic:
    folder = streams_folder(plan.stream_key)
    others = [
        name
        for name, _ in plan.splits
        if name != split and row - 1 in open_stream(folder / f"{name}.arrow").rows.tolist()
    ]
    dropped = {drop.row + 1: drop.reason for drop in plan.data[split].first_dropped}
    listed = ", ".join(map(str, known[:_MOST_LISTED]))
    if row in dropped:
        help_ = f"it was left out: {dropped[row]}"
    elif others:
        help_ = f"it is in {others[0]}: add `--split {others[0]}`"
    else:
        help_ = f"rows of {split} begin with {listed}"
    return diagnostic("FTC389", f"{split} has no row {row:,}", help=help_)
