"""What columns are called, for parts whose column isn't named: one table for recognition and for `ftc init`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

__all__ = ["NAMES", "column_for", "likely_column"]

NAMES: dict[str, tuple[str, ...]] = {
    "text": ("text", "sentence", "message", "content", "review", "document", "body", "input"),
    "text_pair": ("text_pair", "hypothesis", "sentence2"),
    "label": ("label", "labels", "class", "category", "target", "sentiment", "topic", "output"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "pos_tags", "labels"),
    "spans": ("spans", "entities"),
    "question": ("question", "query"),
    "context": ("context", "passage", "paragraph"),
    "answers": ("answers", "answer"),
    "answer_start": ("answer_start",),
    "document": ("document", "article", "dialogue", "text", "source"),
    "summary": ("summary", "highlights", "abstract", "headline", "target"),
    "prompt": ("prompt", "instruction", "question", "input", "source", "article", "text"),
    "completion": ("completion", "response", "answer", "output", "target", "summary", "headline"),
    "instruction": ("instruction",),
    "input": ("input",),
    "output": ("output", "response"),
    "messages": ("messages", "conversations", "conversation", "dialogue", "chat"),
    "tools": ("tools",),
    "chosen": ("chosen", "preferred"),
    "rejected": ("rejected", "dispreferred"),
}
"""Names by part, the part's own first."""


def column_for(part: str, columns: Sequence[str]) -> str | None:
    """The column that plays a part beyond doubt: the one of its name, else the only one with a usual name."""
    if part in columns:
        return part
    usual = [column for column in columns if column.lower() in NAMES.get(part, ())]
    return usual[0] if len(usual) == 1 else None


def likely_column(part: str, columns: Iterable[str]) -> str | None:
    """The column that most likely plays a part, by its name."""
    by_name = {column.lower(): column for column in columns}
    return next((by_name[name] for name in NAMES[part] if name in by_name), None)
