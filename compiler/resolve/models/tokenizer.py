"""Reads what a tokenizer's files say about its vocabulary, special tokens and chat template."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from itertools import count
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.digests import DigestCache
from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.model_config import code_keys
from ftc.spec import canonical
from ftc.spec.architectures import architecture
from ftc.spec.diagnostics import Refusal, Span, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.storage.model_files import PROCESSOR_TEMPLATE_FILE
from ftc.spec.vision_models import PROCESSOR_FILES

__all__ = ["read_tokenizer", "token_ids"]

_SLOW_ONLY = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "vocab.txt", "vocab.json", "vocab.bpe")
_NO_LIMIT = 10**9  # tokenizers without a limit write 1e30
_MAX_TEMPLATE_BYTES = 2**20

_TOKEN_KEYS = ("bos_token", "eos_token", "pad_token")
_USUAL_MASKS = ("[MASK]", "<mask>")
"""What the classes of encoders assume where files name no mask token."""


def read_tokenizer(
    folder: Path,
    model_type: str,
    span: Span | None = None,
    *,
    digests: DigestCache | None = None,
    has_processor: bool = False,
) -> TokenizerFacts:
    """Facts of the tokenizer in a model folder.

    Args:
        folder: The model's.
        model_type: In its config.json, of the part that reads text.
        span: The place in the recipe that names the model.
        digests: Remembers what a vocabulary says; without it the vocabulary is read each time.
        has_processor: Whether a processor of several kinds of inputs stands before the tokenizer; then the chat
            template may lie in its files.

    Raises:
        Refusal: FTC306, no fast tokenizer; FTC310, code asked for; FTC311, a file can't be read.
    """
    if not (folder / "tokenizer.json").is_file():
        slow = next((name for name in _SLOW_ONLY if (folder / name).is_file()), None)
        summary, note = "the model has no tokenizer", "`tokenizer.json` is missing"
        if slow is not None:
            summary, note = "the model has only a slow tokenizer", f"it has `{slow}`, {note}"
        help = "add the model's tokenizer.json; `AutoTokenizer.from_pretrained(...).save_pretrained(...)` writes one"
        raise Refusal([diagnostic("FTC306", summary, span, notes=note, help=help, path="model.base")])
    config = _optional_object(folder / "tokenizer_config.json", span)
    if found := code_keys(config, "tokenizer_config.json", span):
        raise Refusal(found)
    special = _optional_object(folder / "special_tokens_map.json", span)
    assumed = architecture(model_type).tokens or (None,) * len(_TOKEN_KEYS)  # by the class, if the vocabulary holds it
    said = {key: _text(config.get(key)) or _text(special.get(key)) for key in _TOKEN_KEYS}
    masks = (_text(config.get("mask_token")), _text(special.get("mask_token")), *_USUAL_MASKS)
    vocab_size, ids, sentinels = _vocabulary(folder, {*said.values(), *assumed, *masks} - {None}, span, digests)
    named = {
        key: said[key] or (usual if usual in ids else None) for key, usual in zip(_TOKEN_KEYS, assumed, strict=True)
    }
    limit = config.get("model_max_length")
    return TokenizerFacts(
        vocab_size=vocab_size,
        bos_token=named["bos_token"],
        eos_token=named["eos_token"],
        pad_token=named["pad_token"],
        bos_id=ids.get(named["bos_token"] or ""),
        eos_id=ids.get(named["eos_token"] or ""),
        pad_id=ids.get(named["pad_token"] or ""),
        mask_id=next((ids[mask] for mask in masks if mask in ids), None),
        sentinels=sentinels,
        model_max_length=limit if type(limit) is int and 0 < limit < _NO_LIMIT else None,
        chat_template=_chat_template(folder, config, span)
        or (_processors_template(folder, span) if has_processor else None),
    )


def _vocabulary(
    folder: Path, asked: Collection[str | None], span: Span | None, digests: DigestCache | None
) -> tuple[int, dict[str, int], tuple[int, ...]]:
    """Size of the vocabulary, ids of those tokens asked for that it has, and T5's sentinels.

    The file may hold 30 MB, whose parsing would take as long as the rest of a plan.
    """

    def read() -> dict[str, Any]:
        ids = token_ids(read_json_object(file, span), span)
        known = {token: ids[token] for token in asked if token in ids}
        return {"size": max(ids.values()) + 1, "ids": known, "sentinels": list(_sentinels(ids))}

    file = folder / "tokenizer.json"
    kind = f"tokens-{canonical.digest(sorted(filter(None, asked)))[:16]}"
    try:
        found = digests.made_of(file, kind, read) if digests else read()
    except OSError:
        found = read()  # which says what is wrong
    return found["size"], found["ids"], tuple(found["sentinels"])


def _sentinels(ids: Mapping[str, int]) -> Iterator[int]:
    """T5's, in their order; mT5's vocabulary has them behind the mark that begins a word."""
    mark = "▁" if "<extra_id_0>" not in ids else ""
    for number in count():
        if (found := ids.get(f"{mark}<extra_id_{number}>")) is None:
            return
        yield found


def token_ids(tokenizer: Mapping[str, Any], span: Span | None) -> dict[str, int]:
    """Id by token: the model's vocabulary, then the added tokens, which win.

    Args:
        tokenizer: What `tokenizer.json` holds.
        span: The place in the recipe that names the model.

    Raises:
        Refusal: It holds no vocabulary (FTC311).
    """
    model = tokenizer.get("model")
    vocabulary = model.get("vocab") if isinstance(model, Mapping) else None
    added = tokenizer.get("added_tokens") or []
    try:
        if isinstance(vocabulary, list):  # Unigram: pairs of token and score, the id is the position
            ids = {str(pair[0]): number for number, pair in enumerate(vocabulary)}
        else:
            ids = dict(vocabulary or {})
        ids.update({token["content"]: token["id"] for token in added})
    except (TypeError, KeyError, IndexError, ValueError):
        ids = {}
    if set(map(type, ids.values())) != {int} or min(ids.values()) < 0 or max(ids.values()) >= 2**31:
        raise Refusal(
            [
                diagnostic(
                    "FTC311",
                    "`tokenizer.json` of the model can't be read",
                    span,
                    notes="its vocabulary is missing, or an id is not a whole number",
                    help="download the file again, or copy it from the model's original folder",
                    path="model.base",
                )
            ]
        )
    return ids


def _optional_object(file: Path, span: Span | None) -> dict[str, Any]:
    return read_json_object(file, span) if file.is_file() else {}


def _text(token: Any) -> str | None:
    """A special token, which files give as text or as an object with `content`."""
    if isinstance(token, Mapping):
        token = token.get("content")
    return token if isinstance(token, str) and token else None


def _chat_template(folder: Path, config: Mapping[str, Any], span: Span | None) -> str | None:
    """The template file first; then the configuration's text, or its entry `default` where it holds several."""
    file = folder / "chat_template.jinja"
    if file.is_file():
        try:
            with file.open("rb") as stream:
                text = stream.read(_MAX_TEMPLATE_BYTES + 1)
            if len(text) > _MAX_TEMPLATE_BYTES:
                raise ValueError(f"larger than {_MAX_TEMPLATE_BYTES} bytes")
            return text.decode()
        except (OSError, ValueError) as error:
            summary = "`chat_template.jinja` of the model can't be read"
            raise Refusal([diagnostic("FTC311", summary, span, notes=str(error), path="model.base")]) from error
    return _template_in(config)


def _processors_template(folder: Path, span: Span | None) -> str | None:
    """That of a processor: in a file of its own, then in its configuration, as transformers looks for it."""
    files = (folder / name for name in (PROCESSOR_TEMPLATE_FILE, PROCESSOR_FILES[-1]))
    return next((text for file in files if (text := _template_in(_optional_object(file, span))) is not None), None)


def _template_in(config: Mapping[str, Any]) -> str | None:
    template = config.get("chat_template")
    if isinstance(template, list):
        named = {entry.get("name"): entry.get("template") for entry in template if isinstance(entry, Mapping)}
        template = named.get("default")
    return template if isinstance(template, str) and template else None
