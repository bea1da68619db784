"""Rows of a token stream, decoded: the stream itself is read, so that what is shown is what is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ftc.spec.diagnostics import Diagnostic, Refusal, diagnostic
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.settings import Settings
from ftc.spec.documents.streams import TokenStream, open_stream
from ftc.spec.documents.tokenized import Token, TokenizedRow, TokenizedRows
from ftc.spec.language.safe_repr import quoted
from ftc.spec.row_names import row_list
from ftc.spec.storage.paths import streams_folder
from ftc.spec.text_forms import form_card

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["tokenized_rows"]

_USUAL_ROWS = 3
_MOST_LISTED = 5


def tokenized_rows(plan: Plan, model_folder: Path, split: str, rows: Sequence[int | str]) -> TokenizedRows:
    """Decodes rows of a plan whose streams are in the cache.

    Args:
        plan: The plan.
        model_folder: Where its tokenizer lies.
        split: The part that the rows belong to, or the name of a prompt baseline.
        rows: Names such as `data/tickets.csv:38`, or `tickets.csv:38` where only one folder has such a file, or numbers
            from 1 of the rows that were read; the first three of the part where there are none.

    Raises:
        Refusal: The plan has no such part, or the part no such row (FTC389).
    """
    from ftc.spec.storage.own_tokenizer import tokenizer_folder
    from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

    prompts = {one.name: one for one in plan.settings.eval.baselines}
    if split not in plan.data and split not in prompts:
        help = f"name one of {', '.join([*(name for name, _ in plan.splits), *prompts])}"
        raise Refusal([diagnostic("FTC389", f"the plan has no {split} rows", help=help)])
    stream = open_stream(streams_folder(plan.stream_key) / f"{split}.arrow")
    cut = prompts[split].cut_rows if split in prompts else plan.data[split].truncated_rows
    found = _indexes(stream, rows)
    if missing := [row for row in rows if not found[row]]:
        raise Refusal([_no_row(plan, split, row, stream) for row in missing])
    indexes = [found[row][0] for row in rows] if rows else range(min(_USUAL_ROWS, len(stream)))
    file = tokenizer_folder(model_folder, plan.settings.model.tokenizer) / FILE
    tokenizer = load_tokenizer(file)
    text = plan.settings.text
    return TokenizedRows(
        split=split,
        rows=tuple(tokenizer_call(file, _row, stream, index, tokenizer, plan.settings) for index in indexes),
        of=len(stream),
        cut=cut,
        max_length=text.max_length,
        stop_ids=plan.settings.model.stop_ids,
    )


def _indexes(stream: TokenStream, rows: Sequence[int | str]) -> dict[int | str, list[int]]:
    """Where each of some rows begins in a stream, by number or by name; several windows of a row are one place."""
    found: dict[int | str, list[int]] = {row: [] for row in rows}
    numbers = {row - 1: row for row in rows if isinstance(row, int)}
    names = [row for row in rows if isinstance(row, str)]
    for index, number in enumerate(stream.rows.tolist() if rows else ()):
        if number in numbers:
            found[numbers[number]].append(index)
        place = stream.place(index) if names else ""
        for name in names:
            if place == name or place.endswith(f"/{name}"):
                found[name].append(index)
    return found


def _row(stream: TokenStream, index: int, tokenizer: Tokenizer, settings: Settings) -> TokenizedRow:
    from tokenizers.decoders import DecodeStream

    ids, mask = stream.ids(index).tolist(), stream.mask(index).tolist()
    decoder = DecodeStream(skip_special_tokens=False)  # the text that each token adds; joined they are the row's text
    pieces = [decoder.step(tokenizer, number) or "" for number in ids]
    label, labels = int(stream.labels[index]), settings.text.labels
    lengths = [len(ids)]
    if form_card(settings.text.form).is_pair:
        lengths = [(first := int(stream.targets[index][0])), len(ids) - first]
    elif form_card(settings.text.form).has_texts:
        lengths = [len(part) for part in stream.marked(index)]
    elif settings.model.family == "encoder_decoder":
        lengths = [(first := stream.prompt_length(index)), len(ids) - first]
    return TokenizedRow(
        row=int(stream.rows[index]) + 1,
        place=stream.place(index),
        tokens=tuple(
            Token(id=number, piece=piece, supervised=supervised)
            for number, piece, supervised in zip(ids, pieces, mask, strict=True)
        ),
        prompt_tokens=stream.prompt_length(index),
        label=labels[label] if 0 <= label < len(labels) else None,
        sequences=tuple(lengths),
        is_at_limit=max(lengths) >= settings.text.max_length,
    )


def _no_row(plan: Plan, split: str, row: int | str, stream: TokenStream) -> Diagnostic:
    folder = streams_folder(plan.stream_key)
    others = [name for name, _ in plan.splits if name != split]
    there = [name for name in others if _indexes(open_stream(folder / f"{name}.arrow"), [row])[row]]
    dropped = [
        drop
        for drop in (plan.data[split].first_dropped if split in plan.data else ())
        if row in (drop.place, drop.row + 1)
    ]
    if dropped:
        help_ = f"it was left out: {dropped[0].reason}"
    elif there:
        help_ = f"it is in {there[0]}: add `--split {there[0]}`"
    else:
        first = [
            stream.place(index) or str(int(stream.rows[index]) + 1) for index in range(min(_MOST_LISTED, len(stream)))
        ]
        help_ = f"rows of {split} begin with {row_list(first, len(first))}"
    shown = quoted(row) if isinstance(row, str) else f"{row:,}"
    return diagnostic("FTC389", f"{split} has no row {shown}", help=help_)
