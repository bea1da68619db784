"""Whether a chat template writes every turn once and in its place: what it renders is compared with the rows.

Each kind of conversation in the rows is rendered once with a mark for each turn's text. A mark that is not there is
tried again with a row's own words, since a template may write text otherwise than it is given. What rows hold beside
the turns' text is tried by `unwritten_keys`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Any, assert_never

from ftc.compiler.tokens.forms import (
    AnswerForm,
    ChatForm,
    ClassifyForm,
    EmbedForm,
    ExtractForm,
    MaskedForm,
    PreferenceForm,
    PromptForm,
    RawForm,
    RerankForm,
    ScoreForm,
    SpanForm,
    StepForm,
    TagForm,
    TextForm,
)
from ftc.compiler.tokens.opacity import marks_for
from ftc.compiler.tokens.rendering import as_parts, is_conversation
from ftc.compiler.tokens.sandbox import TemplateRenderer
from ftc.compiler.tokens.unwritten_keys import Conversation, unwritten_findings
from ftc.spec.diagnostics import Diagnostic, Severity, diagnostic
from ftc.spec.documents.facts import TokenizerFacts
from ftc.spec.tasks.turns import trained_turns

__all__ = ["template_findings"]

Row = Mapping[str, Any]

_MOST_ROWS = 2000
_MOST_SHAPES = 12
_LONGEST_ROW = 40
"""Turns of a conversation that is tried; longer ones repeat what shorter ones show."""


@dataclass(frozen=True, slots=True)
class _Seen:
    """What a template makes of one kind of conversation."""

    roles: tuple[str, ...]
    dropped: tuple[int, ...]
    repeated: tuple[int, ...]
    reordered: tuple[int, ...]


def template_findings(
    form: TextForm,
    rows: Sequence[Row],
    facts: TokenizerFacts,
    renderer: TemplateRenderer,
    *,
    file: str,
    place: Callable[[int], str],
    in_parts: bool = False,
) -> list[Diagnostic]:
    """What a chat template does to rows (FTC329): an error where answers are gone, else a warning; a finding a kind.

    Args:
        form: What a row's text is.
        rows: The training rows.
        facts: The tokenizer's special tokens and the template.
        renderer: The child that renders.
        file: Where the template stands, for people.
        place: Where the row of a number, from 0, stands.
        in_parts: Whether the template expects contents as lists of texts and images.
    """
    if not (template := facts.chat_template):
        return []
    named = {"bos_token": facts.bos_token, "eos_token": facts.eos_token, "pad_token": facts.pad_token}
    known = {name: token for name, token in named.items() if token is not None}
    found: dict[str, Diagnostic] = {}
    request = {"tools": None, "documents": None, **known, "add_generation_prompt": False}
    for roles, (number, messages) in _shapes(form, rows).items():
        seen = _seen(template, roles, messages, request, renderer, in_parts=in_parts)
        for kind, turns in (("drops", seen.dropped), ("repeats", seen.repeated), ("reorders", seen.reordered)):
            if turns and kind not in found:
                found[kind] = _finding(kind, seen, turns, file, place(number))
    unwritten = unwritten_findings(
        _held_beside(form, rows), template, request, renderer, file=file, place=place, in_parts=in_parts
    )
    return [*found.values(), *unwritten]


def _held_beside(form: TextForm, rows: Sequence[Row]) -> Iterator[Conversation]:
    """Conversations among the first rows that hold more than roles and texts."""
    tools, train_on = (form.tools, form.train_on) if isinstance(form, ChatForm) else (None, "last")
    for number, row in enumerate(islice(rows, _MOST_ROWS)):
        called = row.get(tools) if tools else None
        for messages in _conversations(form, row):
            if len(messages) <= _LONGEST_ROW and (called or any(len(message) > 2 for message in messages)):
                trained = None if train_on == "all" else trained_turns(messages, train_on)
                yield Conversation(number, messages, called, trained)


def _shapes(form: TextForm, rows: Sequence[Row]) -> dict[tuple[str, ...], tuple[int, Sequence[Row]]]:
    """The kinds of conversations among the first rows by their roles, with a row of each."""
    found: dict[tuple[str, ...], tuple[int, Sequence[Row]]] = {}
    for number, row in enumerate(islice(rows, _MOST_ROWS)):
        for messages in _conversations(form, row):
            roles = tuple(message["role"] for message in messages)
            is_plain = all(isinstance(message.get("content"), str) and len(message) == 2 for message in messages)
            if is_plain and 0 < len(roles) <= _LONGEST_ROW and len(found) < _MOST_SHAPES:
                found.setdefault(roles, (number, messages))
    return found


def _conversations(form: TextForm, row: Row) -> Iterable[Sequence[Row]]:
    match form:
        case ChatForm():
            return [messages] if is_conversation(messages := row.get(form.messages)) else []
        case PromptForm():
            if form.is_split or not isinstance(answer := row.get(form.completion), str):
                return []
            system = [{"role": "system", "content": form.system}] if form.system is not None else []
            return [[*system, {"role": "user", "content": "prompt"}, {"role": "assistant", "content": answer}]]
        case PreferenceForm():
            return _conversations(form.chosen, row)
        case AnswerForm():
            return _conversations(form.written, row)
        case (
            ClassifyForm()
            | ScoreForm()
            | EmbedForm()
            | RerankForm()
            | TagForm()
            | StepForm()
            | ExtractForm()
            | RawForm()
            | MaskedForm()
            | SpanForm()
        ):
            return []
        case _:
            assert_never(form)


def _seen(
    template: str,
    roles: tuple[str, ...],
    messages: Sequence[Row],
    request: dict[str, Any],
    renderer: TemplateRenderer,
    *,
    in_parts: bool,
) -> _Seen:
    marks = marks_for(template, len(roles))
    marked = [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
    tried = [as_parts(turns) if in_parts else turns for turns in (marked, list(messages))]
    texts = renderer.render(template, [{**request, "messages": turns} for turns in tried])
    by_marks, by_words = texts
    if not isinstance(by_marks, str) or not isinstance(by_words, str):
        return _Seen(roles, (), (), ())  # what is wrong is said where the rows are rendered
    counts = [by_marks.count(mark) for mark in marks]
    dropped = [
        turn
        for turn, count in enumerate(counts)
        if count == 0 and (words := _bare(messages[turn]["content"])) and words not in _bare(by_words)
    ]
    first = [by_marks.find(mark) for mark in marks]
    placed = [turn for turn in range(len(marks)) if first[turn] >= 0]
    reordered = [b for a, b in pairwise(placed) if first[b] < first[a]]
    return _Seen(
        roles,
        tuple(dropped),
        tuple(turn for turn, count in enumerate(counts) if count > 1),
        tuple(reordered),
    )


def _bare(text: str) -> str:
    """Letters and digits alone, without case: a template may trim, escape or break text."""
    return re.sub(r"[\W_]+", "", text).casefold()


_EFFECTS = {
    "drops": "leaves out",
    "repeats": "writes more than once",
    "reorders": "moves to another place",
}


def _finding(kind: str, seen: _Seen, turns: Sequence[int], file: str, where: str) -> Diagnostic:
    roles = sorted({seen.roles[turn] for turn in turns})
    is_fatal = kind == "drops" and "assistant" in roles
    listed = ", ".join(f"{turn + 1} ({seen.roles[turn]})" for turn in turns[:6])
    effect = "the model would learn nothing from these rows" if is_fatal else "the model sees another conversation"
    return diagnostic(
        "FTC329",
        f"the chat template {_EFFECTS[kind]} the {' and the '.join(roles)} turn{'s' if len(turns) > 1 else ''}",
        help=(f"compare {file} with the one in the model's original folder", "or choose a model whose template fits"),
        notes=[f"{file}, rendered with the roles of {where}: turn {listed} of {len(seen.roles)}; {effect}"],
        path="model.base",
        severity=Severity.ERROR if is_fatal else Severity.WARNING,
    )
