"""Rows as a hosted service takes them: conversations that the model's own template turns into the plan's very tokens.

They are read out of the plan's token stream, so that what is sent is what would have been trained on here: the same
split, the same shortening, the same prompts. Equal streams give equal bytes.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from ftc.spec.canonical import file_digest
from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.documents.facts import FileFacts
from ftc.spec.documents.hosted import SentRows
from ftc.spec.documents.plan import Plan
from ftc.spec.documents.streams import Split, TokenStream, open_stream
from ftc.spec.providers import ProviderCard
from ftc.verbs.launch import Launch

__all__ = ["file_facts", "stream_of", "texts_of", "written_rows"]

_MOST_NAMED = 5


def file_facts(file: Path) -> FileFacts:
    """A file by its content."""
    return FileFacts(size=file.stat().st_size, sha256=file_digest(file))


def stream_of(plan: Plan, part: Split) -> TokenStream | None:
    """The plan's rows of a part; None where the cache doesn't have them as they were planned."""
    from ftc.compiler.tokens.stream_manifest import kept_streams

    folder = kept_streams(plan)
    stream = open_stream(folder / f"{part}.arrow") if folder is not None else None
    return stream if stream is not None and stream.digest() == plan.data[part].stream_digest else None


def texts_of(plan: Plan, root: Path) -> Path | None:
    """The folder of the plan's tokenizer and template; None where the model isn't here."""
    from ftc.compiler.audit.locate import model_folder
    from ftc.spec.storage.own_tokenizer import tokenizer_folder

    folder = model_folder(plan, root)
    return tokenizer_folder(folder, plan.settings.model.tokenizer) if folder is not None else None


def written_rows(launch: Launch, card: ProviderCard, part: str, file: Path) -> SentRows:
    """Writes a part's rows as JSON lines.

    Raises:
        Refusal: The rows or the model are not here (FTC704), or a row is no conversation (FTC791).
        OSError: The file can't be written.
    """
    from ftc.compiler.tokens.conversations import taught_rows

    split: Split = "validation" if part == "validation" else "train"
    stream, texts = stream_of(launch.plan, split), texts_of(launch.plan, launch.root)
    if stream is None or texts is None:
        what = f"the {split} rows as tokens" if stream is None else "the base model's tokenizer"
        help = f"`ftc plan {launch.plan.recipe_file} -o {launch.file.name}` makes the plan again"
        raise Refusal([diagnostic("FTC704", f"{what} can't be found here", help=help)])
    refused, digest, size = list[str](), hashlib.sha256(), 0
    with file.open("wb") as out:
        for number, row in enumerate(taught_rows(stream, texts)):
            if row.problem:
                refused.append(f"{stream.place(number) or f'row {int(stream.rows[number]) + 1}'}: {row.problem}")
                continue
            line = json.dumps(_message_rows(row.turns, row.trained, card.weight), ensure_ascii=False).encode() + b"\n"
            out.write(line)
            digest.update(line)
            size += len(line)
    if refused:
        notes = refused[:_MOST_NAMED] + (
            [f"and {len(refused) - _MOST_NAMED} more"] if len(refused) > _MOST_NAMED else []
        )
        summary = f"{len(refused)} of {len(stream)} {split} rows can't be sent as conversations"
        help = "train it here with `ftc apply`; rows with tools or turns out of turn can't be sent"
        raise Refusal([diagnostic("FTC791", summary, notes=notes, help=help)])
    tokens = len(stream.all_ids)
    return SentRows(rows=len(stream), tokens=tokens, facts=FileFacts(size=size, sha256=digest.hexdigest()))


def _message_rows(turns: Any, trained: tuple[bool, ...], weight: str) -> dict[str, Any]:
    """A line's content; only where some answers are not trained on does each say so."""
    answers = iter(trained)
    messages = []
    for turn in turns:
        message = dict(turn)
        if turn["role"] == "assistant" and not next(answers):
            message[weight] = 0
        messages.append(message)
    return {"messages": messages}
