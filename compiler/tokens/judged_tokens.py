"""How many tokens a judge is sent for the rows of a split, counted once and kept beside the rows' tokens in the cache.

The judge's own tokenizer is not known here, so the base model's counts; the plan says so. What is counted are the very
messages that the run will send, made by the same function from the same rows.
"""

from __future__ import annotations

import json
from pathlib import Path

from pydantic import ValidationError

from ftc.spec import canonical
from ftc.spec.documents.judging import JudgedTokens, messages
from ftc.spec.judges import Judge
from ftc.spec.storage.cache import Cache

__all__ = ["judged_tokens"]

_AT_ONCE = 256
"""Rows whose messages are held at the same time."""


def judged_tokens(
    judge: Judge, folder: Path, model_folder: Path, rows_sha256: str, split: str = "test"
) -> JudgedTokens:
    """The count for a split of a folder of streams.

    Args:
        judge: What is asked.
        folder: The streams; the count is kept there.
        model_folder: The base model, whose tokenizer counts.
        rows_sha256: Digest of the split's stream.
        split: Its name.
    """
    asked = canonical.digest({"messages": [dict(one) for one in messages(judge, "", "", "")]})
    cache, name = Cache(folder), f"judge-{asked[:16]}-{rows_sha256[:16]}.json"
    key = {"kind": "judged tokens", "asked": asked, "streams": folder.name, "rows": rows_sha256}
    try:
        return JudgedTokens.model_validate_json(json.dumps(cache.recall(name, key)))
    except ValidationError:
        found = _counted(judge, folder / f"{split}.arrow", model_folder)
    cache.keep(name, key, found.to_json())
    return found


def _counted(judge: Judge, split: Path, model_folder: Path) -> JudgedTokens:
    from ftc.spec.documents.decoded import TextDecoder
    from ftc.spec.documents.streams import open_stream
    from ftc.spec.storage.tokenizer_file import load_tokenizer, tokenizer_call

    stream, decode = open_stream(split), TextDecoder(model_folder)
    file = model_folder / "tokenizer.json"
    tokenizer = load_tokenizer(file)
    tokenizer.no_truncation()
    tokenizer.no_padding()

    def count(texts: list[str]) -> int:
        return sum(map(len, tokenizer_call(file, tokenizer.encode_batch, texts, add_special_tokens=False)))

    empty = expected = 0
    system = count([messages(judge, "", "", "")[0]["content"]])
    for start in range(0, len(stream), _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, len(stream)))
        rows = [
            (decode.prompt(stream, one), next(iter(stream.texts(one)), "") or decode.expected(stream, one))
            for one in numbers
        ]
        empty += system * len(rows) + count([_asked(judge, *row, "") for row in rows])
        expected += system * len(rows) + count([_asked(judge, *row, row[1]) for row in rows])
    return JudgedTokens(empty=empty, expected=expected)


def _asked(judge: Judge, prompt: str, expected: str, answer: str) -> str:
    return messages(judge, prompt, expected, answer)[-1]["content"]
