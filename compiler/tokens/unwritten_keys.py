"""Whether a chat template writes what rows hold beside the turns' text: tools, tool calls and reasoning.

The first row that holds such a thing is rendered with and without it. A template that gives the same text both times
doesn't read it, so that the model would be trained without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ftc.compiler.tokens.rendering import as_parts
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic

__all__ = ["Conversation", "unwritten_findings"]

Message = Mapping[str, Any]

_REASONING = ("reasoning_content", "reasoning", "thinking")
"""Keys under which rows hold reasoning apart from the answer; which of them a template reads is its own choice."""


class Conversation(NamedTuple):
    """A row's turns.

    Attributes:
        number: Of the row, from 0.
        messages: The turns.
        tools: What the assistant may call.
        trained: Turns that are trained on; None for all.
    """

    number: int
    messages: Sequence[Message]
    tools: Any = None
    trained: Sequence[int] | None = None

    def trains_on(self, turn: int) -> bool:
        """Whether a turn is trained on."""
        return self.trained is None or turn in self.trained


class _Tried(NamedTuple):
    """Something that the turns or the row hold, with the request to render and the one without it."""

    key: str
    turn: int
    row: Conversation
    whole: Mapping[str, Any]
    without: Mapping[str, Any]


def unwritten_findings(
    rows: Iterable[Conversation],
    template: str,
    request: Mapping[str, Any],
    renderer: TemplateRenderer,
    *,
    file: str,
    place: Callable[[int], str],
    in_parts: bool = False,
) -> list[Diagnostic]:
    """What a chat template leaves out (FTC329), a finding a key: an error where a turn consists of tool calls alone.

    Args:
        rows: Conversations, of which the first with each key is tried, or the first of which nothing else is left.
        template: Jinja source.
        request: What the template sees beside messages and tools.
        renderer: The child that renders.
        file: Where the template stands, for people.
        place: Where the row of a number, from 0, stands.
        in_parts: Whether the template expects contents as lists of texts and images.
    """
    tried: dict[str, _Tried] = {}
    for row in rows:
        for key, turn in _held(row):
            if key not in tried or (_is_fatal(key, turn, row) and not _is_fatal(key, *tried[key][1:3])):
                tried[key] = _tried(key, turn, row, request)
    return [
        _finding(one, template, file, place(one.row.number))
        for one in tried.values()
        if _is_left_out(one, template, renderer, in_parts=in_parts)
    ]


def _held(row: Conversation) -> Iterable[tuple[str, int]]:
    """What a row holds beside its turns' text, with the turn that has it.

    Reasoning counts in the last answer alone: many templates drop that of earlier ones by design.
    """
    if row.tools:
        yield "tools", 0
    answers = [number for number, message in enumerate(row.messages) if message["role"] == "assistant"]
    calls = [number for number in answers if row.messages[number].get("tool_calls")]
    if calls:
        yield "tool_calls", next((number for number in calls if _is_fatal("tool_calls", number, row)), calls[0])
    for key in _REASONING:
        if answers and row.messages[answers[-1]].get(key):
            yield key, answers[-1]


def _is_fatal(key: str, turn: int, row: Conversation) -> bool:
    """Whether nothing of a turn that is trained on is left without what it holds."""
    return key == "tool_calls" and row.trains_on(turn) and not row.messages[turn].get("content")


def _tried(key: str, turn: int, row: Conversation, request: Mapping[str, Any]) -> _Tried:
    whole = {**request, "messages": list(row.messages), "tools": row.tools or None}
    if key == "tools":
        return _Tried(key, turn, row, whole, {**whole, "tools": None})
    turns = range(len(row.messages)) if key == "tool_calls" else (turn,)
    bare = [
        {name: value for name, value in message.items() if name != key or number not in turns}
        for number, message in enumerate(row.messages)
    ]
    return _Tried(key, turn, row, whole, {**whole, "messages": bare})


def _is_left_out(tried: _Tried, template: str, renderer: TemplateRenderer, *, in_parts: bool) -> bool:
    """Whether the template gives the same text with and without; not where it gives none.

    A turn of calls alone may have no content, which some templates require and others can't write. So both are tried.
    """
    pairs = [(tried.whole, tried.without), (_worded(tried.whole), _worded(tried.without))]
    asked = [{**one, "messages": as_parts(one["messages"])} if in_parts else one for pair in pairs for one in pair]
    texts = [text if isinstance(text, str) else None for text in renderer.render(template, asked)]
    seen = [(whole, without) for whole, without in zip(texts[::2], texts[1::2], strict=True) if whole is not None]
    return bool(seen) and all(whole == without for whole, without in seen)


def _worded(request: Mapping[str, Any]) -> Mapping[str, Any]:
    """A request in which a content that is null is empty text."""
    messages = [{**one, "content": ""} if one.get("content") is None else one for one in request["messages"]]
    return {**request, "messages": messages}


def _finding(tried: _Tried, template: str, file: str, where: str) -> Diagnostic:
    whose = "" if tried.key == "tools" else f" of turn {tried.turn + 1} (assistant)"
    is_fatal, row = _is_fatal(tried.key, tried.turn, tried.row), tried.row
    lost = "not see the call"
    if row.trains_on(tried.turn):
        lost = "learn an empty answer" if is_fatal else "not learn the call"
    effect = {
        "tools": "the model would not see what it may call",
        "tool_calls": f"the model would {lost}",
    }.get(tried.key, "the model would learn the answer without its reasoning")
    return diagnostic(
        "FTC329",
        f"the chat template leaves out `{tried.key}`",
        help=(*_ways(tried.key, template), "or choose a model whose template writes it"),
        notes=[f"{file}, rendered with {where}: the text is the same with `{tried.key}`{whose} and without; {effect}"],
        path="model.base",
        severity=Severity.ERROR if is_fatal else Severity.WARNING,
    )


def _ways(key: str, template: str) -> list[str]:
    """What to do about the rows or the template."""
    own = "name a template that writes it in `model.chat_template`"
    if key not in _REASONING:
        return [own]
    read = [one for one in _REASONING if one != key and re.search(rf"(?:\.|\[\s*['\"]|get\(\s*['\"]){one}\b", template)]
    if read:
        return [f"the template reads `{read[0]}`: name the key so in the rows", f"or {own}"]
    return ["write the reasoning into `content`, such as `<think>…</think>` before the answer", f"or {own}"]
