"""Conversations and prompts as text, with the stretches that are supervised.

A turn of the assistant is supervised from the end of the rendering of what came before it, generation prompt
included, to the end of the stop token after it. That first rendering must be a prefix of the whole text: then the
model is trained on exactly what it will see when it generates. Where it isn't, as in templates that drop earlier
reasoning, the turn isn't supervised and is counted. A turn of another role, which nobody generates, is supervised from
its own first character.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import accumulate
from typing import Any, TypeGuard

from ftc.compiler.tokens.forms import PromptForm
from ftc.compiler.tokens.opacity import Place, Skeleton, copies_messages, copies_variables, marks_for, used_names
from ftc.compiler.tokens.sandbox import TemplateProblem, TemplateRenderer
from ftc.spec.tasks.rows import TRAIN_MARK
from ftc.spec.tasks.turns import TrainOn, trained_turns

__all__ = [
    "ChatTemplate",
    "Message",
    "PromptTemplate",
    "PromptText",
    "RenderedRow",
    "Span",
    "as_parts",
    "is_conversation",
    "with_prompt",
]

Message = Mapping[str, Any]
Span = tuple[int, int]
"""First character and the one after the last."""
_Roles = tuple[tuple[str, ...], tuple[int, ...]]
"""Roles of a conversation's turns, and which of the turns are trained on."""


@dataclass(slots=True)  # as many as there are rows: one that is frozen takes four times as long to make
class RenderedRow:
    """A row's text.

    Attributes:
        text: What is tokenized.
        spans: Supervised stretches, in order.
        unsupervised_turns: The assistant's turns whose generation prompt is no prefix of the text.
        stop_missing: Whether a supervised turn ends without a special token.
        prompt: The stretch of the prompt that may be cut when the row is too long.
        references: Right answers, where a row has others beside the one that is learned.
    """

    text: str
    spans: tuple[Span, ...]
    unsupervised_turns: int = 0
    stop_missing: bool = False
    prompt: Span | None = None
    references: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PromptText:
    """A rendered prompt and the stretch of it that may be cut: its longest column, or all of it."""

    text: str
    cut: Span


@dataclass(frozen=True, slots=True)
class _Shape:
    """Everything about a conversation that follows from its roles."""

    skeleton: Skeleton
    spans: tuple[tuple[Place, Place], ...]
    unsupervised_turns: int
    stop_missing: bool

    def fill(self, messages: Sequence[Message]) -> RenderedRow:
        pieces = self.skeleton.pieces([message["content"] for message in messages])
        starts = [0, *accumulate(map(len, pieces))]
        spans = tuple([(starts[i] + a, starts[j] + b) for (i, a), (j, b) in self.spans])
        return RenderedRow("".join(pieces), spans, self.unsupervised_turns, self.stop_missing)


class ChatTemplate:
    """A chat template with the variables that it sees beside the messages.

    Args:
        source: Jinja source.
        variables: Special tokens by name, such as `bos_token`.
        stop_tokens: Texts of the tokenizer's special tokens.
        renderer: The child that renders.
        train_on: Which turns are supervised.
        by_shape: Whether opaque templates are rendered once a shape; the result is the same without.
        in_parts: Whether contents are lists of texts and images, as templates of models expect them that read images.
    """

    def __init__(
        self,
        source: str,
        variables: Mapping[str, Any],
        stop_tokens: Sequence[str],
        renderer: TemplateRenderer,
        *,
        train_on: TrainOn = "assistant",
        by_shape: bool = True,
        in_parts: bool = False,
    ) -> None:
        self._source = source
        self._in_parts = in_parts
        self._train_on: TrainOn = train_on
        self._variables = {"tools": None, "documents": None, **variables}
        longest_first = sorted(filter(None, stop_tokens), key=len, reverse=True)
        self._stop = re.compile("|".join(map(re.escape, longest_first)) or r"(?!)")
        self._renderer = renderer
        self._is_opaque = by_shape and not in_parts and copies_messages(source)
        self._shapes: dict[_Roles, _Shape | TemplateProblem] = {}

    def render(
        self, conversations: Sequence[Sequence[Message]], tools: Sequence[Any] | None = None
    ) -> list[RenderedRow | TemplateProblem]:
        """The text of each conversation with its supervised stretches.

        Args:
            conversations: Messages of each row.
            tools: What the assistant of each row may call, as JSON schemas; None where no row has tools.
        """
        trained = [trained_turns(messages, self._train_on) for messages in conversations]
        conversations = [self._as_seen(messages) for messages in conversations]
        if not self._is_opaque or tools is not None:
            return self._render_each(conversations, trained, tools)
        shapes = [
            (tuple([m["role"] for m in messages]), targets)
            if all(len(m) == 2 and isinstance(m.get("content"), str) for m in messages)
            else None  # more than roles and texts
            for messages, targets in zip(conversations, trained, strict=True)
        ]
        self._learn({shape for shape in shapes if shape is not None} - self._shapes.keys())
        others = [number for number, shape in enumerate(shapes) if shape is None]
        unshaped = iter(self._render_each([conversations[n] for n in others], [trained[n] for n in others]))
        rows: list[RenderedRow | TemplateProblem] = []
        for messages, shape in zip(conversations, shapes, strict=True):
            known = self._shapes[shape] if shape is not None else next(unshaped)
            rows.append(known.fill(messages) if isinstance(known, _Shape) else known)
        return rows

    def prompt_frame(self, messages: Sequence[Message]) -> tuple[str, str] | None:
        """What stands before and after the last message's content in its generation prompt; None if it isn't there."""
        (mark,) = marks_for(self._source, 1)
        marked = self._as_seen([*messages[:-1], {**messages[-1], "content": _with_text(messages[-1]["content"], mark)}])
        (text,) = self._renderer.render(self._source, [self._request(marked, generation=True)])
        if isinstance(text, TemplateProblem) or text.count(mark) != 1:
            return None
        before, _, after = text.partition(mark)
        return before, after

    def _as_seen(self, messages: Sequence[Message]) -> list[Message]:
        """The messages as a template sees them."""
        plain = [{key: one[key] for key in one if key != TRAIN_MARK} if TRAIN_MARK in one else one for one in messages]
        return as_parts(plain) if self._in_parts else plain

    def _learn(self, shapes: set[_Roles]) -> None:
        marked = {shape: marks_for(self._source, len(shape[0])) for shape in sorted(shapes)}
        rows = self._render_each(
            [
                [{"role": role, "content": mark} for role, mark in zip(roles, marks, strict=True)]
                for (roles, _), marks in marked.items()
            ],
            [targets for _, targets in marked],
        )
        for (shape, marks), row in zip(marked.items(), rows, strict=True):
            if isinstance(row, TemplateProblem):
                self._shapes[shape] = row
                continue
            skeleton = Skeleton.from_marked(row.text, marks)
            spans = tuple((skeleton.place(start, marks), skeleton.place(end, marks)) for start, end in row.spans)
            self._shapes[shape] = _Shape(skeleton, spans, row.unsupervised_turns, row.stop_missing)

    def _request(self, messages: Sequence[Message], generation: bool, tools: Any = None) -> dict[str, Any]:
        own = {"messages": list(messages), "add_generation_prompt": generation}
        return {**self._variables, **own, **({"tools": tools} if tools else {})}

    def _render_each(
        self,
        conversations: Sequence[Sequence[Message]],
        trained: Sequence[tuple[int, ...]],
        tools: Sequence[Any] | None = None,
    ) -> list[RenderedRow | TemplateProblem]:
        """Renders each conversation whole, and at the start and the end of each of its turns that are trained on."""
        requests: list[dict[str, Any]] = []
        for number, (messages, targets) in enumerate(zip(conversations, trained, strict=True)):
            known = tools[number] if tools is not None else None
            requests.append(self._request(messages, False, known))
            for i in targets:
                if i > 0:
                    requests.append(self._request(messages[:i], messages[i]["role"] == "assistant", known))
                if i + 1 < len(messages):
                    requests.append(self._request(messages[: i + 1], False, known))
        texts = iter(self._renderer.render(self._source, requests))
        pairs = zip(conversations, trained, strict=True)
        return [self._supervise(messages, targets, lambda: next(texts)) for messages, targets in pairs]

    def _supervise(
        self, messages: Sequence[Message], targets: tuple[int, ...], next_text: Callable[[], str | TemplateProblem]
    ) -> RenderedRow | TemplateProblem:
        whole = next_text()
        last = len(messages) - 1
        turns = [(i, next_text() if i > 0 else "", whole if i == last else next_text()) for i in targets]
        if isinstance(whole, TemplateProblem):
            return whole
        if self._train_on == "all":
            return RenderedRow(whole, ((0, len(whole)),), stop_missing=self._stop.search(whole) is None)
        spans, stops = [], []
        for i, before, after in turns:
            text = _text_of(messages[i].get("content"))
            if isinstance(before, str) and isinstance(after, str) and after.startswith(before):
                start = len(before)
                if messages[i]["role"] != "assistant" and (start := after.find(text.strip(), start)) < 0:
                    continue
                end, stops_there = self._stop_end(after, start, text)
                if whole.startswith(after[:end]):
                    spans.append((start, end))
                    stops.append(stops_there)
        return RenderedRow(whole, tuple(spans), len(turns) - len(spans), not all(stops))

    def _stop_end(self, text: str, start: int, content: str) -> tuple[int, bool]:
        """End of the first special token after the answer that begins at `start`, and whether there is one."""
        exact, trimmed = text.find(content, start), text.find(content.strip(), start)
        answer_end = exact + len(content) if exact >= 0 else trimmed + len(content.strip()) if trimmed >= 0 else start
        stop = self._stop.search(text, answer_end)
        return (stop.end(), True) if stop else (len(text), False)


def is_conversation(value: object) -> TypeGuard[list[Message]]:
    """Whether it is a list of messages, each with a role in text."""
    return isinstance(value, list) and all(isinstance(m, dict) and isinstance(m.get("role"), str) for m in value)


def as_parts(messages: Sequence[Message]) -> list[Message]:
    """The messages with contents as lists of texts and images."""
    return [
        {**one, "content": [{"type": "text", "text": one["content"]}]} if isinstance(one.get("content"), str) else one
        for one in messages
    ]


def _text_of(content: Any) -> str:
    """The text of a message's content, images left out."""
    if isinstance(content, list):
        return "".join(part["text"] for part in content if part.get("type") == "text")
    return content if isinstance(content, str) else ""


def _with_text(content: Any, text: str) -> Any:
    """A content with another text, its images in front of it."""
    if not isinstance(content, list):
        return text
    return [*(part for part in content if part.get("type") != "text"), {"type": "text", "text": text}]


class PromptTemplate:
    """The prompt template of a `PromptForm`, over a row's columns. Unknown columns are problems."""

    def __init__(self, form: PromptForm, renderer: TemplateRenderer, *, by_shape: bool = True) -> None:
        self._source = form.prompt
        self._renderer = renderer
        self._by_shape = by_shape
        self._names = used_names(form.prompt)
        self._skeletons: dict[tuple[str, ...], Skeleton | None] = {}

    def render(self, rows: Sequence[Mapping[str, Any]]) -> list[PromptText | TemplateProblem]:
        """The prompt of each row."""
        variables = [{name: row[name] for name in self._names & row.keys()} for row in rows]
        skeletons = [self._skeleton(columns) for columns in variables]
        rest = [columns for columns, skeleton in zip(variables, skeletons, strict=True) if skeleton is None]
        rendered = iter(self._renderer.render(self._source, rest, strict=True))
        prompts: list[PromptText | TemplateProblem] = []
        for columns, skeleton in zip(variables, skeletons, strict=True):
            texts = [columns[name] for name in sorted(columns)]
            text = "".join(skeleton.pieces(texts)) if skeleton is not None else next(rendered)
            prompts.append(_prompt_text(text, columns) if isinstance(text, str) else replace(text, template="prompt"))
        return prompts

    def _skeleton(self, columns: Mapping[str, Any]) -> Skeleton | None:
        """The template's skeleton for these columns; None where the row has to be rendered by itself."""
        if not self._by_shape or not all(isinstance(value, str) for value in columns.values()):
            return None
        names = tuple(sorted(columns))
        if names not in self._skeletons:
            self._skeletons[names] = self._learn(names)
        return self._skeletons[names]

    def _learn(self, names: tuple[str, ...]) -> Skeleton | None:
        if not copies_variables(self._source, frozenset(names)):
            return None
        marks = marks_for(self._source, len(names))
        (text,) = self._renderer.render(self._source, [dict(zip(names, marks, strict=True))], strict=True)
        return Skeleton.from_marked(text, marks) if isinstance(text, str) else None


def _prompt_text(text: str, columns: Mapping[str, Any]) -> PromptText:
    """Finds the longest column in the prompt, so that a cut spares the words around it."""
    texts = [value.strip() for _, value in sorted(columns.items()) if isinstance(value, str)]
    longest = max(texts, key=len, default="")
    if not longest or text.count(longest) != 1:
        return PromptText(text, (0, len(text)))
    start = text.index(longest)
    return PromptText(text, (start, start + len(longest)))


def with_prompt(row: RenderedRow, prompt: PromptText, frame: tuple[str, str] | None) -> RenderedRow:
    """The row with the stretch of its prompt that may be cut, as far as it can be found."""
    if frame is None or not row.spans:
        return row
    start, end = len(frame[0]), row.spans[-1][0] - len(frame[1])
    written = row.text[start:end]
    if written == prompt.text:
        return replace(row, prompt=(start + prompt.cut[0], start + prompt.cut[1]))
    if written != prompt.text.strip():
        return replace(row, prompt=(start, end)) if start <= end else row
    shift = start - (len(prompt.text) - len(prompt.text.lstrip()))
    cut = (max(start, shift + prompt.cut[0]), min(end, shift + prompt.cut[1]))
    return replace(row, prompt=cut) if cut[0] <= cut[1] else row
