"""Conversations behind the prompts of a token stream, so that a server can be asked them.

A stream holds the prompt that a template wrote, and not what it was made of. The template's own text around the turns
of a conversation of the same shape says where each turn begins and ends; rendered again, what is found has to give the
prompt to the letter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.spec.documents.served import ServedRow
from ftc.spec.documents.streams import TokenStream
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

__all__ = ["served_rows"]

_MOST_EXCHANGES = 16
"""Questions of the longest conversation that is searched for."""

_Turns = tuple[dict[str, Any], ...]


def served_rows(rows: TokenStream, count: int, texts: Path) -> list[ServedRow]:
    """The first rows of a stream with the conversation behind each, where there is one; by a folder's tokenizer."""
    config = read_json_object(texts / "config.json", None)
    facts = read_tokenizer(texts, str(config.get("model_type")))
    file = texts / FILE
    tokenizer = load_tokenizer(file)

    def text_of(ids: list[int]) -> str | None:
        """The text of some tokens; None where that has other tokens."""
        text: str = tokenizer_call(file, tokenizer.decode, ids, skip_special_tokens=False)
        again = tokenizer_call(file, tokenizer.encode, text, add_special_tokens=False).ids
        return text if again == ids else None

    found, first = list[ServedRow](), facts.bos_token or ""
    with TemplateRenderer() as renderer:
        named = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
        known = {name: token for name, token in named.items() if token is not None}
        search = _Search(facts.chat_template, known, renderer) if facts.chat_template else None
        for number in range(min(count, len(rows))):
            ids, length = rows.ids(number).tolist(), rows.prompt_length(number)
            prompt, whole = text_of(ids[:length]), text_of(ids)
            turns = search.conversation(prompt, whole or prompt) if search and prompt is not None else None
            written = prompt if turns is None or search is None else search.prompt(turns)
            found.append(ServedRow(written, written is not None and written == prompt, turns, first))
    return found


class _Search:
    """Finds the turns in texts that a template wrote."""

    def __init__(self, template: str, tokens: Mapping[str, str], renderer: TemplateRenderer) -> None:
        self._template, self._tokens, self._renderer = template, tokens, renderer
        self._between: dict[tuple[str, ...], list[str] | None] = {}

    def conversation(self, prompt: str, row: str) -> _Turns | None:
        """The longest conversation that is written so.

        Args:
            prompt: A prompt, of which the end may be missing.
            row: It with its answer.
        """
        ends = [("user", "assistant") * count + ("user",) for count in reversed(range(_MOST_EXCHANGES))]
        for roles in (roles for turns in ends for roles in (turns, ("system", *turns))):  # no turn hides others
            around = self._texts_around(roles)
            contents = _split(prompt, row, around) if around is not None else None
            if contents is not None:
                turns = tuple({"role": role, "content": one} for role, one in zip(roles, contents, strict=True))
                again = self.prompt(turns)
                if again is not None and again.startswith(prompt) and row.startswith(again):
                    return turns
        return None

    def _texts_around(self, roles: tuple[str, ...]) -> list[str] | None:
        """What the template writes before, between and behind the turns of these roles."""
        if roles not in self._between:
            marks = marks_for(self._template, len(roles))
            text = self.prompt([{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)])
            parts, rest = list[str](), text or ""
            for mark in marks:
                before, found, rest = rest.partition(mark)
                parts += [before] if found else []
            self._between[roles] = [*parts, rest] if len(parts) == len(marks) else None
        return self._between[roles]

    def prompt(self, turns: Sequence[Mapping[str, Any]]) -> str | None:
        """What the template makes of turns, up to where the answer begins."""
        asked = {
            "tools": None,
            "documents": None,
            **self._tokens,
            "messages": list(turns),
            "add_generation_prompt": True,
        }
        (text,) = self._renderer.render(self._template, [asked])
        return text if isinstance(text, str) else None


def _split(prompt: str, row: str, around: list[str]) -> list[str] | None:
    """What stands between the given texts, in their order; None where they aren't all there."""
    end = row.find(around[-1], max(0, len(prompt) - len(around[-1])))
    if not prompt.startswith(around[0]) or end < 0:
        return None
    rest, contents = row[len(around[0]) : end], list[str]()
    for between in around[1:-1]:
        content, found, rest = rest.partition(between)
        if not found:
            return None
        contents.append(content)
    return [*contents, rest]
