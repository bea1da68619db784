"""A model's tokenizer with what a recipe changes of it, as a folder that any library loads.

It is made in a folder of this process from the base model's files, which are verified, and from the plan, so that
nobody else can change it. It is made once in a process and removed at its end.
"""

from __future__ import annotations

import atexit
import json
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ftc.spec.diagnostics import Refusal, diagnostic
from ftc.spec.storage.model_files import LOADED_FILES, PROCESSOR_TEMPLATE_FILE, TEMPLATE_FILE
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

if TYPE_CHECKING:
    from tokenizers import Tokenizer

    from ftc.spec.documents.own_tokenizer import OwnTokenizer

__all__ = ["add_tokens", "tokenizer_folder"]

_MADE: dict[tuple[Path, int, int, str], Path] = {}


def tokenizer_folder(model_folder: Path, own: OwnTokenizer | None) -> Path:
    """Where the tokenizer lies that texts go through: the model's folder, or one with what the recipe changes.

    Raises:
        Refusal: The model's tokenizer can't be loaded (FTC311), or gives the tokens other ids than planned (FTC470).
    """
    if own is None:
        return model_folder
    file = model_folder / FILE
    at = file.stat()
    key = (model_folder.absolute(), at.st_mtime_ns, at.st_size, own.digest())
    if key not in _MADE:
        scratch = Path(tempfile.mkdtemp(prefix="ftc-tokenizer-"))
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        folder = scratch / model_folder.absolute().name
        folder.mkdir()
        for name in LOADED_FILES:
            if (model_folder / name).is_file():
                shutil.copyfile(model_folder / name, folder / Path(name).name)
        tokenizer = load_tokenizer(file)
        tokenizer_call(file, add_tokens, tokenizer, [(one.token, one.special) for one in own.tokens])
        if others := [one.token for one in own.tokens if tokenizer.token_to_id(one.token) != one.id]:
            summary = f"token `{others[0]}` has another id than in the plan"
            help = "use the release of `tokenizers` that the plan was made with, or plan again"
            raise Refusal([diagnostic("FTC470", summary, help=help, path="model.add_tokens")])
        tokenizer.save(str(folder / FILE))
        roles = {"eos_token": own.eos_token, "pad_token": own.pad_token}
        _edit(folder / "tokenizer_config.json", own, roles, is_config=True)
        if (folder / "special_tokens_map.json").is_file():
            _edit(folder / "special_tokens_map.json", own, roles, is_config=False)
        if own.chat_template is not None:
            (folder / TEMPLATE_FILE).write_text(own.chat_template.text, encoding="utf-8", newline="")
            (folder / PROCESSOR_TEMPLATE_FILE).unlink(missing_ok=True)  # processors would take it before the other
        _MADE[key] = folder
    return _MADE[key]


def add_tokens(tokenizer: Tokenizer, tokens: list[tuple[str, bool]]) -> None:
    """Adds tokens in this order, as transformers does; the second value says whether a token is special."""
    for token, special in tokens:
        if special:
            tokenizer.add_special_tokens([token])
        else:
            tokenizer.add_tokens([token])


def _edit(file: Path, own: OwnTokenizer, roles: dict[str, str | None], *, is_config: bool) -> None:
    """Writes the new ends of texts and, in the configuration, tokens and template where older libraries look."""
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    found |= {role: token for role, token in roles.items() if token is not None}
    if is_config and isinstance(known := found.get("added_tokens_decoder"), dict):
        plain = {"lstrip": False, "rstrip": False, "single_word": False}
        for one in own.tokens:
            entry = {"content": one.token, "normalized": not one.special, "special": one.special, **plain}
            known[str(one.id)] = entry
    if is_config and own.chat_template is not None:
        found["chat_template"] = own.chat_template.text
    text = json.dumps(found, indent=2, ensure_ascii=False) + "\n"
    file.write_text(text, encoding="utf-8", newline="")
