"""Conversations behind the rows of a token stream, so that a server can be asked them, or a service trained on them.

A stream holds the text that a template wrote, and not what it was made of. The template's own text around the turns
of a conversation of the same shape says where each turn begins and ends; rendered again, what is found has to give the
prompt to the letter.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from ftc.compiler.resolve.files.safe_files import read_json_object
from ftc.compiler.resolve.models.tokenizer import read_tokenizer
from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.spec.documents.served import ServedRow
from ftc.spec.documents.streams import TokenStream
from ftc.spec.storage.tokenizer_file import FILE, load_tokenizer, tokenizer_call

__all__ = ["TaughtRow", "served_rows", "taught_rows"]

_MOST_EXCHANGES = 16
"""Questions of the longest conversation that is searched for."""

_Turns = tuple[dict[str, Any], ...]


class TaughtRow(NamedTuple):
    """A row as a conversation that ends with an answer."""

    turns: _Turns
    """Empty where `problem` says why there are none."""
    trained: tuple[bool, ...]
    """Whether each of the assistant's turns is trained on."""
    problem: str


def taught_rows(rows: TokenStream, texts: Path) -> Iterator[TaughtRow]:
    """Every row of a stream as the conversation that gives its very tokens, by a folder's tokenizer and template."""
    with _reading(texts) as (text_of, search, _):
        for number in range(len(rows)):
            whole = text_of(rows.ids(number).tolist())
            turns = search.whole(whole) if search and whole is not None else None
            mask = rows.mask(number)
            spans = int((mask[1:] & ~mask[:-1]).sum()) + int(mask[0])
            if turns is None:
                yield TaughtRow((), (), "its tokens are not what the chat template makes of a conversation")
            elif mask[0] or spans not in (1, count := sum(turn["role"] == "assistant" for turn in turns)):
                yield TaughtRow((), (), "it is trained on other turns than all of the assistant's, or the last")
            else:
                yield TaughtRow(turns, tuple(spans == count or n == count - 1 for n in range(count)), "")


@contextmanager
def _reading(texts: Path) -> Iterator[tuple[Callable[[list[int]], str | None], _Search | None, str]]:
    """What gives the text of tokens, what finds the turns in it, and the token that begins a text."""
    config = read_json_object(texts / "config.json", None)
    facts = read_tokenizer(texts, str(config.get("model_type")))
    file = texts / FILE
    tokenizer = load_tokenizer(file)

    def text_of(ids: list[int]) -> str | None:
        """The text of some tokens; None where that has other tokens."""
        text: str = tokenizer_call(file, tokenizer.decode, ids, skip_special_tokens=False)
        again = tokenizer_call(file, tokenizer.encode, text, add_special_tokens=False).ids
        return text if again == ids else None

    with TemplateRenderer() as renderer:
        named = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
        known = {name: token for name, token in named.items() if token is not None}
        search = _Search(facts.chat_template, known, renderer) if facts.chat_template else None
        yield text_of, search, facts.bos_token or ""


def served_rows(rows: TokenStream, count: int, texts: Path) -> list[ServedRow]:
    """The first rows of a stream with the conversation behind each, where there is one; by a folder's tokenizer."""
    found = list[ServedRow]()
    with _reading(texts) as (text_of, search, first):
        for number in range(min(count, len(rows))):
            ids, length = rows.ids(number).tolist(), rows.prompt_length(number)
            prompt, whole = text_of(ids[:length]), text_of(ids)
            turns = search.conversation(prompt, whole or prompt) if search and prompt is not None else None
            written = prompt if turns is None or search is None else search.written(turns, asks=True)
            found.append(ServedRow(written, written is not None and written == prompt, turns, first))
    return found


class _Search:
    """Finds the turns in texts that a template wrote."""

    def __init__(self, template: str, tokens: Mapping[str, str], renderer: TemplateRenderer) -> None:
        self._template, self._tokens, self._renderer = template, tokens, renderer
        self._between: dict[tuple[bool, tuple[str, ...]], list[str] | None] = {}

    def whole(self, row: str) -> _Turns | None:
        """The longest conversation that is written so and ends with an answer."""
        counts = reversed(range(1, _MOST_EXCHANGES + 1))
        shapes = [("user", "assistant") * count for count in counts]
        for roles in (roles for turns in shapes for roles in (turns, ("system", *turns))):
            around = self._texts_around(roles, asks=False)
            if around is None or not row.startswith(around[0]) or not row.endswith(around[-1]):
                continue
            contents = _parts(row[len(around[0]) : len(row) - len(around[-1])], around[1:-1])
            if contents is not None:
                turns = tuple({"role": role, "content": one} for role, one in zip(roles, contents, strict=True))
                if self.written(turns, asks=False) == row:
                    return turns
        return None

    def conversation(self, prompt: str, row: str) -> _Turns | None:
        """The longest conversation that is written so.

        Args:
            prompt: A prompt, of which the end may be missing.
            row: It with its answer.
        """
        ends = [("user", "assistant") * count + ("user",) for count in reversed(range(_MOST_EXCHANGES))]
        for roles in (roles for turns in ends for roles in (turns, ("system", *turns))):  # no turn hides others
            around = self._texts_around(roles, asks=True)
            contents = _split(prompt, row, around) if around is not None else None
            if contents is not None:
                turns = tuple({"role": role, "content": one} for role, one in zip(roles, contents, strict=True))
                again = self.written(turns, asks=True)
                if again is not None and again.startswith(prompt) and row.startswith(again):
                    return turns
        return None

    def _texts_around(self, roles: tuple[str, ...], *, asks: bool) -> list[str] | None:
        """What the template writes before, between and behind the turns of these roles."""
        if (asks, roles) not in self._between:
            marks = marks_for(self._template, len(roles))
            turns = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
            text = self.written(turns, asks=asks)
            parts, rest = list[str](), text or ""
            for mark in marks:
                before, found, rest = rest.partition(mark)
                parts += [before] if found else []
            self._between[asks, roles] = [*parts, rest] if len(parts) == len(marks) else None
        return self._between[asks, roles]

    def written(self, turns: Sequence[Mapping[str, Any]], *, asks: bool) -> str | None:
        """What the template makes of turns; where it asks, up to where the next answer begins."""
        asked = {
            "tools": None,
            "documents": None,
            **self._tokens,
            "messages": list(turns),
            "add_generation_prompt": asks,
        }
        (text,) = self._renderer.render(self._template, [asked])
        return text if isinstance(text, str) else None


def _split(prompt: str, row: str, around: list[str]) -> list[str] | None:
    """What stands between the given texts, in their order; None where they aren't all there."""
    end = row.find(around[-1], max(0, len(prompt) - len(around[-1])))
    if not prompt.startswith(around[0]) or end < 0:
        return None
    return _parts(row[len(around[0]) : end], around[1:-1])


def _parts(rest: str, separators: Sequence[str]) -> list[str] | None:
    """What stands between separators, in their order; None where they aren't all there."""
    contents = list[str]()
    for between in separators:
        content, found, rest = rest.partition(between)
        if not found:
            return None
        contents.append(content)
    return [*contents, rest]
